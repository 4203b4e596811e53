"""Which texts are computed together, and where their tokens lie. Pure: lengths and ids in, plans and arrays out.

Two plans. `plan_sorted` is for jobs that have all their texts: texts of like length form a batch, a text a row, with
hardly any filler. `next_pack` is for mixed traffic: texts in order of arrival are laid side by side in a few rows of
one width (sequence packing), so that nobody waits for a text of his own length. Both give `Pack`s, and `lay_out`
turns a pack into the arrays that `graphs.layers` describes.
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
    """A pack as arrays: ids, positions, segments, types int32 [B, T]; starts and lengths int64 [S] of texts in B*T."""

    texts: tuple[int, ...]
    ids: NDArray[np.int32]
    positions: NDArray[np.int32]
    segments: NDArray[np.int32]
    types: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


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
    waiting = range(first, end)
    longest = rounded_width(max(lengths[text] for text in waiting))
    widths = {longest, *(width for width in _WIDTHS if longest < width <= budget)}
    layouts = [Pack(_fill(waiting, lengths, width), width) for width in sorted(widths)]
    return min(layouts, key=lambda pack: pack.computed_tokens * (_ATTENTION_BALANCE + pack.width))


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


def _fill(texts: Sequence[int], lengths: Sequence[int], width: int) -> tuple[tuple[int, ...], ...]:
    """Rows of at most `width` tokens: first-fit decreasing."""
    rows: list[list[int]] = []
    space: list[int] = []
    for text in sorted(texts, key=lambda text: (-lengths[text], text)):
        row = next((row for row, free in enumerate(space) if free >= lengths[text]), None)
        if row is None:
            row = len(rows)
            rows.append([])
            space.append(width)
        rows[row].append(text)
        space[row] -= lengths[text]
    return tuple(map(tuple, rows))


def lay_out(
    pack: Pack, ids: Sequence[Sequence[int]], filler: int, types: Sequence[Sequence[int]] | None = None
) -> Batch:
    """The arrays of a pack.

    Args:
        pack: from a plan.
        ids: token ids of every text the plan was made for.
        filler: token id for places without a text (segment -1).
        types: token types of every text; None for single texts, whose types are all zero.
    """
    shape = (len(pack.rows), pack.width)
    batch = Batch(
        texts=pack.texts,
        ids=np.full(shape, filler, np.int32),
        positions=np.zeros(shape, np.int32),
        segments=np.full(shape, -1, np.int32),
        types=np.zeros(shape, np.int32),
        starts=np.empty(len(pack.texts), np.int64),
        lengths=np.empty(len(pack.texts), np.int64),
    )
    counting = np.arange(pack.width, dtype=np.int32)
    number = 0
    for row, texts in enumerate(pack.rows):
        column = 0
        for segment, text in enumerate(texts):
            length = len(ids[text])
            place = slice(column, column + length)
            batch.ids[row, place] = ids[text]
            batch.positions[row, place] = counting[:length]
            batch.segments[row, place] = segment
            if types is not None:
                batch.types[row, place] = types[text]
            batch.starts[number] = row * pack.width + column
            batch.lengths[number] = length
            column += length
            number += 1
    return batch
