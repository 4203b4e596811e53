"""The planner: pure, so a table of cases and properties says all of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.engine.packing import Job, Pack, lay_out, next_pack, plan_packed, plan_rows, plan_sorted, rounded_width

LENGTHS = st.lists(st.integers(1, 300), max_size=80)


@pytest.mark.parametrize(
    ("lengths", "budget", "texts"),
    [
        ([5], 10, {0}),
        ([5, 5], 10, {0, 1}),
        ([5, 6], 10, {0}),
        ([50], 10, {0}),  # a longer text has a pack of its own
        ([50, 1], 10, {0}),
        ([1, 50, 1], 10, {0}),  # nobody is let past a text that does not fit
        ([3, 3, 3, 3], 10, {0, 1, 2}),
    ],
)
def test_next_pack(lengths: list[int], budget: int, texts: set[int]) -> None:
    assert set(next_pack(lengths, budget=budget).texts) == texts


def test_like_lengths_share_a_batch() -> None:
    packs = plan_sorted([9, 2, 9, 2], batch_size=2, token_limit=100)
    assert packs == [Pack(((0,), (2,)), 10), Pack(((1,), (3,)), 2)]


def test_a_batch_of_long_texts_is_small() -> None:
    packs = plan_sorted([100] * 10, batch_size=16, token_limit=250)
    assert [len(pack.rows) for pack in packs] == [2] * 5


def test_a_long_text_does_not_make_short_ones_long() -> None:
    assert plan_rows([6, 200, 7, 190, 90, 60]) == [
        Pack(((1,), (3,)), 208),
        Pack(((4,), (5,)), 96),
        Pack(((2,), (0,)), 8),
    ]
    # Not for a handful of tokens.
    assert plan_rows([2, 16, 1]) == [Pack(((1,), (0,), (2,)), 16)]


@given(LENGTHS.filter(bool))
def test_rows_of_arrivals_hold_every_text_once_with_little_filler(lengths: list[int]) -> None:
    packs = plan_rows(lengths)
    assert sorted(text for pack in packs for text in pack.texts) == list(range(len(lengths)))
    for pack in packs:
        assert all(len(row) == 1 for row in pack.rows)
        assert max(lengths[text] for text in pack.texts) <= pack.width
        assert all(pack.width - lengths[text] <= max(pack.width // 2, 16) for text in pack.texts)


@given(LENGTHS, st.integers(1, 400))
def test_packs_hold_every_text_once_within_budget(lengths: list[int], budget: int) -> None:
    packs = plan_packed(lengths, budget=budget)
    assert sorted(text for pack in packs for text in pack.texts) == list(range(len(lengths)))
    for pack in packs:
        assert len(pack.texts) == 1 or sum(lengths[text] for text in pack.texts) <= budget
        assert all(sum(lengths[text] for text in row) <= pack.width for row in pack.rows)
        assert all(pack.rows), "a row without a text is computed for nothing"


@given(LENGTHS, st.integers(1, 400))
def test_order_of_arrival_decides_who_goes_first(lengths: list[int], budget: int) -> None:
    last = -1
    for pack in plan_packed(lengths, budget=budget):
        assert sorted(pack.texts) == list(range(last + 1, last + 1 + len(pack.texts)))
        last += len(pack.texts)


@given(LENGTHS, st.integers(1, 32), st.integers(1, 2000))
def test_sorted_batches_hold_every_text_once_within_limits(lengths: list[int], size: int, limit: int) -> None:
    packs = plan_sorted(lengths, batch_size=size, token_limit=limit)
    assert sorted(text for pack in packs for text in pack.texts) == list(range(len(lengths)))
    for pack in packs:
        assert all(len(row) == 1 for row in pack.rows)
        assert len(pack.rows) <= size
        assert len(pack.rows) == 1 or pack.computed_tokens <= limit
        assert pack.width == rounded_width(max(lengths[text] for text in pack.texts))


@given(st.integers(1, 10_000))
def test_few_widths_and_little_filler(tokens: int) -> None:
    width = rounded_width(tokens)
    assert tokens <= width <= max(tokens * 1.125 + 1, 2)
    assert rounded_width(width) == width
    assert len({rounded_width(each) for each in range(1, 513)}) == 16 + 8 + 8 + 24


@given(LENGTHS.filter(bool), st.integers(1, 400))
def test_layout_keeps_every_token_at_its_place(lengths: list[int], budget: int) -> None:
    ids = [[1000 * text + place for place in range(length)] for text, length in enumerate(lengths)]
    for pack in plan_packed(lengths, budget=budget):
        batch = lay_out(pack, [Job(each) for each in ids], filler=-7)
        flat = batch.ids.reshape(-1)
        for text, start, length in zip(batch.texts, batch.starts, batch.lengths, strict=True):
            assert flat[start : start + length].tolist() == ids[text]
            assert batch.positions.reshape(-1)[start : start + length].tolist() == list(range(length))
            assert len(set(batch.segments.reshape(-1)[start : start + length])) == 1
        outside = batch.segments == -1
        assert (batch.ids[outside] == -7).all()
        assert np.count_nonzero(~outside) == sum(lengths[text] for text in pack.texts)
        for row in range(len(pack.rows)):
            assert len({int(segment) for segment in batch.segments[row] if segment >= 0}) == len(pack.rows[row])
