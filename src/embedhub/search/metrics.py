"""How alike two vectors are: cosine, dot product and Euclidean distance, higher always being better.

Knows arithmetic between two sets of vectors. Refuses to know what is searched, in what order, and by which
index.

Every metric is a pure function of three numbers (the dot product and the two lengths), so one matrix product
serves all of them, in float32 for whole blocks and in float64 for the few rows that become hits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from embedhub.errors import SettingError

Floats = NDArray[Any]
"""float32 or float64."""

SHORTEST = 1e-12
"""Shorter lengths count as this, as in `torch.nn.functional.normalize`: a zero vector has cosine 0 to all."""


def _cosine_rank(dots: Floats, a_lengths: Floats, b_lengths: Floats) -> Floats:
    cosines: Floats = dots / np.maximum(a_lengths, SHORTEST) / np.maximum(b_lengths, SHORTEST)
    return cosines


def _dot_rank(dots: Floats, a_lengths: Floats, b_lengths: Floats) -> Floats:
    return dots


def _euclidean_rank(dots: Floats, a_lengths: Floats, b_lengths: Floats) -> Floats:
    negative_squares: Floats = np.minimum(0, 2 * dots - a_lengths**2 - b_lengths**2)
    return negative_squares


@dataclass(frozen=True)
class Metric:
    """One way to compare vectors.

    Attributes:
        name: its name in `SCORES`.
        rank: (dot products, lengths of a, lengths of b), broadcast against each other -> ranks that order
            pairs as their scores do. Euclidean ranks are negative squared distances:
            -|a-b|² = 2ab - |a|² - |b|².
        score: ranks -> scores.
        scale: (a length, another or the longest other length) -> a bound of a rank's terms; a float32 rank is off by at
            most about dimensions x 1.2e-7 x scale (Cauchy-Schwarz on the rounding error of a dot product).
    """

    name: str
    rank: Callable[[Floats, Floats, Floats], Floats]
    score: Callable[[Floats], Floats]
    scale: Callable[[Floats, float | Floats], Floats]

    def pair_ranks(self, query: Floats, vectors: Floats) -> NDArray[np.float64]:
        """Ranks of one query [dims] against rows [n, dims], float64 [n], each independent of its neighbours.

        Sums run along each row by itself: equal rows get equal ranks wherever they stand, which a matrix
        product does not promise.
        """
        wide_query, wide = query.astype(np.float64), vectors.astype(np.float64)
        dots = (wide * wide_query).sum(axis=1)
        lengths = np.sqrt((wide * wide).sum(axis=1))
        return self.rank(dots, np.sqrt((wide_query * wide_query).sum()), lengths)

    def matrix(self, a: ArrayLike, b: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[np.float32]:
        """Scores of every row of a [n, dims] (or [dims]) against every row of b [m, dims]: float32 [n, m].

        Args:
            a: vectors.
            b: vectors.
            dtype: the number type of the computation.
        """
        left, right = np.atleast_2d(np.asarray(a, dtype)), np.atleast_2d(np.asarray(b, dtype))
        ranks = self.rank(left @ right.T, lengths_of(left)[:, None], lengths_of(right)[None, :])
        return self.score(ranks).astype(np.float32, copy=False)


SCORES = {
    metric.name: metric
    for metric in (
        Metric("cosine", _cosine_rank, lambda ranks: ranks, lambda length, _: np.ones_like(length)),
        Metric("dot", _dot_rank, lambda ranks: ranks, lambda length, longest: length * longest),
        Metric(
            "euclidean",
            _euclidean_rank,
            lambda ranks: -np.sqrt(-ranks),
            lambda length, longest: (length + longest) ** 2,
        ),
    )
}
"""Every metric by name."""


def metric_named(name: str) -> Metric:
    """The metric of that name.

    Raises:
        SettingError: there is none; the message lists those there are.
    """
    if name not in SCORES:
        raise SettingError(f"no score is called {name!r}; there are {', '.join(SCORES)}")
    return SCORES[name]


def lengths_of(vectors: Floats) -> Floats:
    """Euclidean lengths of rows [n, dims]: [n], in the rows' number type."""
    squares: Floats = np.einsum("nd,nd->n", vectors, vectors)
    return np.sqrt(squares)


def cos_sim(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """Cosine of every row of a [n, dims] with every row of b [m, dims]: float32 [n, m].

    `sentence_transformers.util.cos_sim` on arrays: one vector [dims] counts as one row, a zero vector has
    cosine 0.
    """
    return SCORES["cosine"].matrix(a, b)


def dot_score(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """Dot product of every row of a [n, dims] with every row of b [m, dims]: float32 [n, m].

    `sentence_transformers.util.dot_score` on arrays: one vector [dims] counts as one row.
    """
    return SCORES["dot"].matrix(a, b)


def euclidean_sim(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """Negative Euclidean distance of every row of a [n, dims] to every row of b [m, dims]: float32 [n, m].

    `sentence_transformers.util.euclidean_sim` on arrays: 0 but for rounding (1e-7) for equal vectors, below 0 for all
    others, so that higher is better here as well. Computed in float64, because two large squares cancel.
    """
    return SCORES["euclidean"].matrix(a, b, np.float64)
