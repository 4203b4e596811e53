"""Exact nearest rows: every row is looked at. The oracle for every other index.

Knows arrays and blocks of arrays. Refuses to know files, models and approximations.

A float32 matrix product finds the rows that may be hits, with a margin wider than its rounding error; those
few are scored again in float64, each by itself, and rounded to float32 once. So scores and order are the same
whatever the block size and the number of threads, and equal rows come by row number.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embedhub.errors import InputError, SettingError
from embedhub.search.metrics import (
    Floats,
    Metric,
    cos_sim,
    dot_score,
    euclidean_sim,
    lengths_of,
    metric_named,
)
from embedhub.values import whole_number

RowBlock: TypeAlias = tuple[NDArray[np.int64], NDArray[Any]]
"""Row numbers int64 [b] and their vectors, float32 or float16 [b, dims]."""

ScoreFunction: TypeAlias = Callable[[Any, Any], Any]
"""(queries [q, dims], corpus [c, dims]) -> scores [q, c], higher being better."""

BLOCK_ROWS = 8192
QUERIES_AT_ONCE = 128

NAME_OF_FUNCTION: dict[ScoreFunction, str] = {cos_sim: "cosine", dot_score: "dot", euclidean_sim: "euclidean"}


@dataclass(frozen=True)
class Hits:
    """The nearest rows of each query, best first.

    Attributes:
        rows: row numbers, int64 [queries, k]; k is `top_k`, or the number of searchable rows where that is
            smaller.
        scores: float32 [queries, k], higher being better.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """Rows made ready to be searched. A row that is not finite is null: nobody's neighbour.

    Attributes:
        rows: row numbers, int64 [b].
        vectors: float32 [b, dims].
        lengths: float32 [b].
        null: which rows are null, bool [b].
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    lengths: NDArray[np.float32]
    null: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: NDArray[np.int64], vectors: NDArray[Any]) -> "Block":
        """A block of rows; float32 vectors are not copied."""
        with np.errstate(over="ignore", invalid="ignore"):
            single = np.asarray(vectors, dtype=np.float32)
            lengths = lengths_of(single)
        return cls(np.asarray(rows, dtype=np.int64), single, lengths, ~np.isfinite(lengths))

    def among(self, rows: NDArray[np.int64]) -> "Block":
        """Those rows of the block that are among `rows`, int64 [n]."""
        kept = np.isin(self.rows, rows)
        return Block(self.rows[kept], self.vectors[kept], self.lengths[kept], self.null[kept])

    @property
    def longest(self) -> float:
        """The greatest length of a row that is not null; 0 where there is none."""
        return float(self.lengths.max(where=~self.null, initial=0.0))


@dataclass(frozen=True)
class _Best:
    """What one query has found so far, best first: row numbers, float64 ranks, float32 scores."""

    rows: NDArray[np.int64]
    ranks: NDArray[np.float64]
    scores: NDArray[np.float32]

    @classmethod
    def none(cls) -> "_Best":
        return cls(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.float32))

    def merged(self, rows: NDArray[np.int64], ranks: NDArray[np.float64], metric: Metric, top_k: int) -> "_Best":
        rows, ranks = np.concatenate([self.rows, rows]), np.concatenate([self.ranks, ranks])
        scores = metric.score(ranks).astype(np.float32)
        order = np.lexsort((rows, -scores))[:top_k]
        return _Best(rows[order], ranks[order], scores[order])


class ExactIndex:
    """Searches blocks from first to last; `blocks` is iterated once a search.

    Raises:
        SettingError: no score of that name.
    """

    def __init__(self, blocks: Iterable[Block], score: str = "cosine") -> None:
        self._blocks = blocks
        self._metric = metric_named(score)

    def search(self, queries: ArrayLike, top_k: int = 10, among: NDArray[np.int64] | None = None) -> Hits:
        """The nearest rows of queries [q, dims] (or one query [dims]).

        Args:
            queries: float vectors.
            top_k: hits a query.
            among: numbers of the rows that may be hits, int64 [n]; None are all.

        Raises:
            SettingError: `top_k` is below 1, or the queries have other dimensions than the rows.
            InputError: a query is not finite.
        """
        wanted = checked_queries(queries, top_k)
        blocks = self._blocks if among is None else (block.among(among) for block in self._blocks)
        return _search(wanted, blocks, top_k, self._metric)


def top_k(queries: ArrayLike, corpus: NDArray[Any] | Iterable[RowBlock], k: int = 10, score: str = "cosine") -> Hits:
    """The k nearest rows of each query, exactly.

    Args:
        queries: [q, dims], or one query [dims].
        corpus: float32 or float16 [n, dims], or blocks of (row numbers [b], vectors [b, dims]), of which one
            at a time is held. Null rows (any number not finite) are left out.
        k: hits a query.
        score: a name in `SCORES`.

    Raises:
        SettingError: no such score, `k` below 1, a corpus that is no matrix of real numbers, or dimensions that differ.
        InputError: a query is not finite.
    """
    blocks = matrix_blocks(_checked_corpus(corpus)) if isinstance(corpus, np.ndarray) else corpus
    return ExactIndex((Block.of(rows, vectors) for rows, vectors in blocks), score).search(queries, k)


def matrix_blocks(matrix: NDArray[Any], size: int = BLOCK_ROWS) -> Iterator[RowBlock]:
    """A matrix [n, dims] as blocks of `size` rows that are views of it, numbered from 0."""
    for start in range(0, len(matrix), size):
        vectors = matrix[start : start + size]
        yield np.arange(start, start + len(vectors), dtype=np.int64), vectors


def semantic_search(
    query_embeddings: ArrayLike,
    corpus_embeddings: ArrayLike,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: str | ScoreFunction = "cosine",
) -> list[list[dict[str, int | float]]]:
    """The nearest rows of each query, in the arguments, the order and the shape of sentence-transformers.

    Args:
        query_embeddings: [q, dims], or one query [dims].
        corpus_embeddings: [n, dims]; null rows are left out.
        query_chunk_size: queries handed to a score function of yours at once.
        corpus_chunk_size: rows handed to a score function of yours at once.
        top_k: hits a query.
        score_function: a name in `SCORES`, or a function (queries [q, dims], corpus [c, dims]) -> scores
            [q, c], higher being better; pairs it scores NaN are left out.

    Returns:
        A list for each query of `{"corpus_id": row number, "score": score}` by decreasing score, equal scores
        by row number: the hits of `sentence_transformers.util.semantic_search`, which leaves the order of
        equal scores open.

    Raises:
        SettingError: no such score, `top_k` or a chunk size below 1, vectors that are no matrix of real numbers, or
            dimensions that differ.
        InputError: a query is not finite.
    """
    queries, corpus = checked_queries(query_embeddings, top_k), _checked_corpus(corpus_embeddings)
    whole_number("query_chunk_size", query_chunk_size)
    whole_number("corpus_chunk_size", corpus_chunk_size)
    if corpus.size == 0:
        return [[] for _ in queries]
    if not isinstance(score_function, str):
        score_function = NAME_OF_FUNCTION.get(score_function, score_function)
    if isinstance(score_function, str):
        blocks = (Block.of(rows, vectors) for rows, vectors in matrix_blocks(corpus))
        found: Iterable[tuple[Any, Any]] = _pairs(ExactIndex(blocks, score_function).search(queries, top_k))
    else:
        chunks = range(0, len(queries), query_chunk_size)
        found = (
            hits
            for start in chunks
            for hits in _search_by_function(
                queries[start : start + query_chunk_size], corpus, corpus_chunk_size, top_k, score_function
            )
        )
    return [
        [{"corpus_id": int(row), "score": float(score)} for row, score in zip(rows, scores, strict=True)]
        for rows, scores in found
    ]


def checked_queries(queries: ArrayLike, top_k: int) -> NDArray[np.float32]:
    """Queries as float32 [q, dims]; one query [dims] counts as one row.

    Raises:
        SettingError: `top_k` is no whole number of at least 1, or the queries are no matrix.
        InputError: a query is not finite.
    """
    whole_number("top_k", top_k)
    with np.errstate(over="ignore"):
        matrix = np.atleast_2d(_real_numbers(queries, "queries").astype(np.float32, copy=False))
    if matrix.ndim != 2:
        raise SettingError(f"queries must be one vector or rows of vectors, not of shape {matrix.shape}")
    broken = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if broken.size:
        raise InputError(f"query {broken[0]} holds a number that is not finite")
    return matrix


def _checked_corpus(corpus: ArrayLike) -> NDArray[Any]:
    matrix = _real_numbers(corpus, "corpus")
    if matrix.ndim != 2 and matrix.size:
        raise SettingError(f"the corpus must be rows of vectors, [rows, dimensions], not of shape {matrix.shape}")
    return matrix


def _real_numbers(vectors: ArrayLike, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(vectors)
    except ValueError as error:
        raise SettingError(f"the {what} must be rows of equally many numbers") from error
    # Complex numbers, objects, texts and times.
    if array.dtype.kind in "cOSUTmM":
        raise SettingError(f"the {what} must be real numbers, not {array.dtype}")
    return array


def check_dimensions(queries: Floats, dimensions: int) -> None:
    """Raises a SettingError where queries [q, dims] have other dimensions than the rows."""
    if queries.shape[1] != dimensions:
        raise SettingError(f"the queries have {queries.shape[1]} dimensions, the rows {dimensions}")


def _pairs(hits: Hits) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    return zip(hits.rows, hits.scores, strict=True)


def _search(queries: NDArray[np.float32], blocks: Iterable[Block], top_k: int, metric: Metric) -> Hits:
    """Search by products of at most `QUERIES_AT_ONCE` queries with one block at a time."""
    best = [_Best.none() for _ in queries]
    searchable = 0
    for block in blocks:
        check_dimensions(queries, block.vectors.shape[1])
        searchable += len(block.rows) - int(np.count_nonzero(block.null))
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            chunk = slice(start, start + QUERIES_AT_ONCE)
            best[chunk] = _search_block(queries[chunk], block, best[chunk], top_k, metric)
    shape = len(queries), min(top_k, searchable)
    rows, scores = np.empty(shape, np.int64), np.empty(shape, np.float32)
    for position, found in enumerate(best):
        rows[position], scores[position] = found.rows, found.scores
    return Hits(rows, scores)


def _search_block(
    queries: NDArray[np.float32], block: Block, best: list[_Best], top_k: int, metric: Metric
) -> list[_Best]:
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = lengths_of(queries)
        ranks = metric.rank(queries @ block.vectors.T, lengths[:, None], block.lengths[None, :])
    ranks[:, block.null] = -np.inf
    rounding = (queries.shape[1] + 8) * np.finfo(np.float32).eps
    margins = rounding * metric.scale(lengths, block.longest)
    merged = []
    for query, query_ranks, margin, found in zip(queries, ranks, margins, best, strict=True):
        floor = found.ranks.min() - margin if len(found.ranks) == top_k else -np.inf
        places = _candidates(query_ranks, floor, margin, top_k)
        if places.size:
            exact = metric.pair_ranks(query, block.vectors[places])
            found = found.merged(block.rows[places], exact, metric, top_k)
        merged.append(found)
    return merged


def _candidates(ranks: Floats, floor: float, margin: float, top_k: int) -> NDArray[np.intp]:
    """Places of all ranks that may be among the `top_k` best, each rank being off by `margin` at most."""
    places: NDArray[np.intp] = np.flatnonzero((ranks >= floor) & (ranks > -np.inf))
    if places.size <= top_k:
        return places
    kept = ranks[places]
    lowest = np.partition(kept, kept.size - top_k)[kept.size - top_k]
    candidates: NDArray[np.intp] = places[kept >= lowest - 2 * margin]
    return candidates


def _search_by_function(
    queries: NDArray[np.float32], corpus: NDArray[Any], size: int, top_k: int, function: ScoreFunction
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Hits by somebody's function, whose scores are taken as they come."""
    best: list[tuple[NDArray[np.int64], NDArray[Any]]] = [(np.empty(0, np.int64), np.empty(0))] * len(queries)
    for numbers, vectors in matrix_blocks(corpus, size):
        present = np.isfinite(vectors).all(axis=1)
        scores = np.asarray(function(queries, vectors))
        for place, row_scores in enumerate(scores):
            kept = present & ~np.isnan(row_scores)
            rows = np.concatenate([best[place][0], numbers[kept]])
            both = np.concatenate([best[place][1], row_scores[kept]])
            order = np.lexsort((rows, -both))[:top_k]
            best[place] = rows[order], both[order]
    return iter(best)
