"""Pooling by the graph's sums equals pooling written down naively, for every mode and layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from embedhub.engine.packing import Job, lay_out, next_pack
from embedhub.engine.pooling import finish_sums, pool_matrix, pool_tokens
from embedhub.models import POOLING_MODES

Floats = NDArray[np.float32]


def naive(tokens: Floats, mode: str, skipped: int) -> Floats:
    """One text's vector from its tokens [n, H], word by word after the definition."""
    kept = tokens[skipped:]
    position = np.arange(1, len(tokens) + 1)[skipped:, None]
    if mode == "cls":
        return np.asarray(kept[0])
    if mode == "lasttoken":
        return np.asarray(tokens[-1])
    if mode == "max":
        return np.asarray(kept.max(axis=0))
    if mode == "mean":
        return np.asarray(kept.mean(axis=0))
    if mode == "mean_sqrt_len_tokens":
        return np.asarray(kept.sum(axis=0) / np.sqrt(len(kept)))
    return np.asarray((kept * position).sum(axis=0) / position.sum())


@given(st.lists(st.integers(3, 20), min_size=1, max_size=12), st.integers(0, 2), st.integers(1, 60))
@pytest.mark.parametrize("mode", POOLING_MODES)
def test_modes(mode: str, lengths: list[int], skipped: int, budget: int) -> None:
    ids = [[1] * length for length in lengths]
    batch = lay_out(next_pack(lengths, budget=budget), [Job(each, skipped) for each in ids], filler=0)
    tokens = np.random.default_rng(1).standard_normal((batch.ids.size, 5)).astype(np.float32)
    found = pool_tokens(tokens, batch, (mode,))
    wanted = [
        naive(tokens[start : start + length], mode, skipped)
        for start, length in zip(batch.starts, batch.lengths, strict=True)
    ]
    np.testing.assert_allclose(found, np.stack(wanted), rtol=2e-5, atol=2e-6)


def test_several_modes_stand_side_by_side() -> None:
    batch = lay_out(next_pack([3, 4], budget=9), [Job([1] * 3), Job([1] * 4)], filler=0)
    tokens = np.random.default_rng(2).standard_normal((batch.ids.size, 5)).astype(np.float32)
    both = pool_tokens(tokens, batch, ("max", "mean"))
    assert both.shape == (2, 10)
    np.testing.assert_array_equal(both[:, :5], pool_tokens(tokens, batch, ("max",)))
    np.testing.assert_array_equal(both[:, 5:], pool_tokens(tokens, batch, ("mean",)))


def test_a_text_that_is_all_prompt_gives_zeros_and_no_nan() -> None:
    batch = lay_out(next_pack([3], budget=9), [Job([1] * 3, skipped=5)], filler=0)
    tokens = np.ones((batch.ids.size, 2), np.float32)
    sums = pool_matrix(batch, ("mean", "weightedmean")) @ tokens
    assert np.array_equal(finish_sums(sums, batch, ("mean", "weightedmean")), np.zeros((1, 4)))


@given(st.lists(st.tuples(st.integers(3, 20), st.integers(0, 2)), min_size=1, max_size=12))
@pytest.mark.parametrize("mode", POOLING_MODES)
def test_every_text_may_skip_another_number_of_tokens(mode: str, texts: list[tuple[int, int]]) -> None:
    jobs = [Job([1] * length, skipped) for length, skipped in texts]
    batch = lay_out(next_pack([length for length, _ in texts], budget=60), jobs, filler=0)
    tokens = np.random.default_rng(1).standard_normal((batch.ids.size, 5)).astype(np.float32)
    found = pool_tokens(tokens, batch, (mode,))
    wanted = [
        naive(tokens[start : start + length], mode, texts[text][1])
        for text, start, length in zip(batch.texts, batch.starts, batch.lengths, strict=True)
    ]
    np.testing.assert_allclose(found, np.stack(wanted), rtol=2e-5, atol=2e-6)
