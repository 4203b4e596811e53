"""From the vectors of a text's tokens to one vector. Pure arrays.

Every mode but `max` is a weighted sum of tokens, so the graph computes the sums (`pool_matrix`) and `finish_sums`
divides. `pool_tokens` does the whole from token vectors: for `max`, and for backends that only give tokens. Formulas
as in sentence-transformers' Pooling module.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.packing import Batch

Floats = NDArray[np.float32]

Counts = int | NDArray[np.int64]
"""One number for all texts, or int64 [S], one a text."""


def pool_matrix(batch: Batch, modes: Sequence[str], skipped: Counts = 0) -> Floats:
    """Weights [P, B*T] of the sums, P = modes * texts, mode by mode. Whole numbers, exact in bfloat16 up to 256.

    Args:
        batch: where the texts lie.
        modes: of `models.spec.POOLING_MODES`; a row of `max` stays empty.
        skipped: leading tokens of each text that do not count (a prompt that is not to be pooled).
    """
    count = len(batch.texts)
    skips = np.broadcast_to(skipped, count)
    matrix = np.zeros((len(modes) * count, batch.ids.size), np.float32)
    for block, mode in enumerate(modes):
        for number, (start, length, skip) in enumerate(zip(batch.starts, batch.lengths, skips, strict=True)):
            row = matrix[block * count + number]
            first, end = start + min(skip, length), start + length
            if mode == "cls":
                row[first if first < end else start] = 1
            elif mode == "lasttoken":
                row[end - 1] = 1
            elif mode == "weightedmean":
                row[first:end] = np.arange(first - start + 1, length + 1)
            elif mode != "max":
                row[first:end] = 1
    return matrix


def finish_sums(sums: Floats, lengths: NDArray[np.int64], modes: Sequence[str], skipped: Counts = 0) -> Floats:
    """Sums [P, H] to vectors [S, modes * H]: divided by what the mode divides by."""
    count = len(lengths)
    counted = np.maximum(lengths - skipped, 0)
    skipped_each = lengths - counted
    divisors: dict[str, NDArray[Any]] = {
        "mean": counted,
        "mean_sqrt_len_tokens": np.sqrt(counted),
        "weightedmean": (lengths * (lengths + 1) - skipped_each * (skipped_each + 1)) / 2,
    }
    parts = []
    for block, mode in enumerate(modes):
        part = sums[block * count : (block + 1) * count]
        if mode in divisors:
            part = part / np.maximum(divisors[mode], 1e-9).astype(np.float32)[:, None]
        parts.append(part)
    return np.concatenate(parts, axis=1)


def pool_tokens(tokens: Floats, batch: Batch, modes: Sequence[str], skipped: Counts = 0) -> Floats:
    """Token vectors [B*T, H] to vectors [S, modes * H]."""
    sums = pool_matrix(batch, modes, skipped) @ tokens
    count = len(batch.texts)
    skips = np.broadcast_to(skipped, count)
    for block, mode in enumerate(modes):
        if mode != "max":
            continue
        for number, (start, length, skip) in enumerate(zip(batch.starts, batch.lengths, skips, strict=True)):
            first = start + min(skip, length - 1)
            sums[block * count + number] = tokens[first : start + length].max(axis=0)
    return finish_sums(sums, batch.lengths, modes, skipped)
