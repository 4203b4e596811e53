"""Which texts are computed together, and where their tokens lie. Pure: lengths and ids in, plans and arrays out.

Three plans. `plan_sorted` is for jobs that have all their texts: texts of like length form a batch, a text a row, with
hardly any filler. `next_pack` is for mixed traffic: texts in order of arrival are laid side by side in a few rows of
one width (sequence packing), so that nobody waits for a text of his own length. `plan_rows` is for mixed traffic where
a row holds one text only. All give `Pack`s, and `lay_out` turns a pack into the arrays that `graphs.layers` describes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Row widths tried for a pack, in tokens: narrow rows waste filler, wide ones attention.
_WIDTHS = (32, 64, 128, 256, 512)

# One more token of row width costs a token as much as 1/_ATTENTION_BALANCE of its linear layers: measured on
# MiniLM (width 384), where attention over 256 tokens takes about a third of the time of the rest.
_ATTENTION_BALANCE = 768


# Widths are rounded up to these steps, from that many tokens on. OpenVINO prepares code and memory for every shape that
# it meets and keeps them: with all widths up to 256 that was half a gigabyte. The filler is 3 % on average.
_STEPS = ((128, 16), (64, 8), (32, 4), (0, 2))


# Tokens of filler that a row may have however short its text is: a batch costs something by itself.
_FILLER_ALLOWED = 16


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One input of the encoder: a text, or a piece of a long one.

    Attributes:
        ids: token ids, special tokens included.
        skipped: leading tokens that do not count in the pooling (a prompt that is not to be pooled).
        types: which text of a pair each token belongs to, 0 or 1; None for a single text.
    """

    ids: Sequence[int]
    skipped: int = 0
    types: Sequence[int] | None = None


@dataclass(frozen=True)
class Pack:
    """Texts computed together: `rows` of text numbers, every row `width` tokens wide."""

    rows: tuple[tuple[int, ...], ...]
    width: int

    @property
    def texts(self) -> tuple[int, ...]:
        """The texts of all rows, in the order in which their vectors come back."""
        return tuple(text for row in self.rows for text in row)

    @property
    def computed_tokens(self) -> int:
        """Tokens that are computed, filler included."""
        return len(self.rows) * self.width


@dataclass(frozen=True)
class Batch:
    """A pack as arrays.

    Attributes:
        texts: the S texts, as numbers of the plan.
        jobs: the same as jobs.
        ids, positions, segments, types: int32 [B, T].
        starts, lengths: int64 [S], where each text lies in B*T.
        skipped: int64 [S], leading tokens of each text that do not count in the pooling.
    """

    texts: tuple[int, ...]
    jobs: tuple[Job, ...]
    ids: NDArray[np.int32]
    positions: NDArray[np.int32]
    segments: NDArray[np.int32]
    types: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    skipped: NDArray[np.int64]


def plan_sorted(lengths: Sequence[int], *, batch_size: int, token_limit: int) -> list[Pack]:
    """Batches of texts of like length, longest first, a text a row.

    Args:
        lengths: tokens of each text.
        batch_size: texts in a batch at most.
        token_limit: rows times width at most; a longer text has a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda text: (-lengths[text], text))
    packs: list[Pack] = []
    start = 0
    while start < len(order):
        width = rounded_width(lengths[order[start]])
        count = min(batch_size, max(1, token_limit // width))
        packs.append(Pack(tuple((text,) for text in order[start : start + count]), width))
        start += count
    return packs


def plan_rows(lengths: Sequence[int]) -> list[Pack]:
    """Small batches of the few texts that arrived together, longest first, a text a row.

    A batch ends where a row would be more than half filler, so that a long text does not make short ones long; but to
    start another batch for a handful of tokens is not worth it.
    """
    packs: list[Pack] = []
    rows: list[tuple[int, ...]] = []
    width = 0
    for text in sorted(range(len(lengths)), key=lambda text: (-lengths[text], text)):
        if rows and width - lengths[text] > max(width // 2, _FILLER_ALLOWED):
            packs.append(Pack(tuple(rows), width))
            rows = []
        width = width if rows else rounded_width(lengths[text])
        rows.append((text,))
    return [*packs, Pack(tuple(rows), width)]


def next_pack(lengths: Sequence[int], *, budget: int, first: int = 0) -> Pack:
    """The next pack of waiting texts: the longest run from `first` on whose tokens fit the budget, at least one.

    Nothing starves, because order of arrival decides who is in; within the pack, texts are laid out where they fit.

    Args:
        lengths: tokens of each waiting text, in order of arrival.
        budget: tokens of the pack's texts at most, filler not counted.
        first: the first text that is still waiting.
    """
    end, total = first, 0
    while end < len(lengths) and (end == first or total + lengths[end] <= budget):
        total += lengths[end]
        end += 1
    return arrange(lengths, budget=budget, texts=range(first, end))


def arrange(lengths: Sequence[int], *, budget: int, texts: Sequence[int] | None = None) -> Pack:
    """Texts that are to be computed together, laid out in the cheapest rows.

    Args:
        lengths: tokens of each text.
        budget: the widest row, unless a text is longer.
        texts: which of them; None takes all.
    """
    waiting = range(len(lengths)) if texts is None else texts
    longest_first = sorted(waiting, key=lambda text: -lengths[text])
    total = sum(lengths[text] for text in waiting)
    longest = rounded_width(lengths[longest_first[0]])
    best, best_cost = None, 0
    for width in (longest, *(width for width in _WIDTHS if longest < width <= budget)):
        # Even without any filler this width would cost more.
        if best is not None and _cost(-(-total // width), width) >= best_cost:
            continue
        rows = _fill(longest_first, lengths, width)
        cost = _cost(len(rows), width)
        if best is None or cost < best_cost:
            best, best_cost = Pack(rows, width), cost
    assert best is not None
    return best


def _cost(rows: int, width: int) -> int:
    """What a pack costs, in tokens times what a token costs."""
    return rows * width * (_ATTENTION_BALANCE + width)


def plan_packed(lengths: Sequence[int], *, budget: int) -> list[Pack]:
    """Packs of all texts in order of arrival."""
    packs: list[Pack] = []
    first = 0
    while first < len(lengths):
        packs.append(next_pack(lengths, budget=budget, first=first))
        first += len(packs[-1].texts)
    return packs


def rounded_width(tokens: int) -> int:
    """The row width for a text of so many tokens, at least 2."""
    step = next(step for start, step in _STEPS if tokens > start or start == 0)
    return max(-(-tokens // step) * step, 2)


def _fill(longest_first: Sequence[int], lengths: Sequence[int], width: int) -> tuple[tuple[int, ...], ...]:
    """Rows of at most `width` tokens: first-fit decreasing."""
    rows: list[list[int]] = []
    space: list[int] = []
    for text in longest_first:
        length = lengths[text]
        for row, free in enumerate(space):
            if free >= length:
                rows[row].append(text)
                space[row] = free - length
                break
        else:
            rows.append([text])
            space.append(width - length)
    return tuple(map(tuple, rows))


def lay_out(pack: Pack, jobs: Sequence[Job], filler: int) -> Batch:
    """The arrays of a pack.

    Args:
        pack: from a plan.
        jobs: every text the plan was made for.
        filler: token id for places without a text (segment -1).
    """
    shape = (len(pack.rows), pack.width)
    batch = Batch(
        texts=pack.texts,
        jobs=tuple(jobs[text] for text in pack.texts),
        ids=np.full(shape, filler, np.int32),
        positions=np.zeros(shape, np.int32),
        segments=np.full(shape, -1, np.int32),
        types=np.zeros(shape, np.int32),
        starts=np.empty(len(pack.texts), np.int64),
        lengths=np.empty(len(pack.texts), np.int64),
        skipped=np.array([jobs[text].skipped for text in pack.texts], np.int64),
    )
    counting = np.arange(pack.width, dtype=np.int32)
    number = 0
    for row, texts in enumerate(pack.rows):
        column = 0
        for segment, text in enumerate(texts):
            ids, types = jobs[text].ids, jobs[text].types
            length = len(ids)
            place = slice(column, column + length)
            batch.ids[row, place] = ids
            batch.positions[row, place] = counting[:length]
            batch.segments[row, place] = segment
            if types is not None:
                batch.types[row, place] = types
            batch.starts[number] = row * pack.width + column
            batch.lengths[number] = length
            column += length
            number += 1
    return batch
