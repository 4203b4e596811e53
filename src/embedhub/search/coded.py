"""Exact nearest rows of many: every row is looked at in int8, and those that may be hits again in float32.

Knows one folder of codes, beside the float32 vectors that score its candidates again. Refuses to know where vectors
come from and how a folder stays whole.

A row x is kept as s·c + r: codes c, the scale s of the row, and the length of the remainder r, which no code tells.
A query likewise is t·k + e. Then, by Cauchy-Schwarz on the two terms that codes leave out,

    |q·x - t·s·(k·c)| = |e·(s·c) + q·r| <= |e| (|x| + |r|) + |q| |r|

so integers tell between which two ranks a row lies, and who cannot be among the best is left out for certain. The
codes do not depend on the lengths, so one folder serves every score.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embedhub.errors import SettingError
from embedhub.machine import available_threads
from embedhub.search.exact import BLOCK_ROWS, Block, ExactIndex, Hits, RowBlock, check_dimensions, checked_queries
from embedhub.search.metrics import Metric, metric_named
from embedhub.search.sealed import exclusive, opened, replacing, seal
from embedhub.storage import storage_errors

Progress = Callable[[int, int], None]
"""(rows done, rows in all), called after each block that was coded."""

CODES, FIGURES, VECTORS, ROWS = "codes.i8", "figures.f64", "vectors.f32", "rows.i64"
LAYOUT = 1
"""Of the files; folders of another one are built again."""

ROWS_AT_ONCE = 32_768
"""Rows whose figures fit into a core's second-level cache, float64."""

QUERIES_TOGETHER = 32
"""From so many queries on, one float32 product of all of them is faster than codes one by one (docs/decisions/0007)."""

LARGEST_CODE = 127
FAINTEST = 1e-30
"""A row with no larger number is all remainder: float32 has no room for its scale."""

ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Scores are told in float32; rows that are equal there come by row number."""


@dataclass(frozen=True)
class Coded:
    """Vectors in int8.

    Attributes:
        codes: int8 [n, dims].
        scales: what a code of 1 means, float64 [n].
        lengths: of the vectors, float64 [n].
        remainders: lengths of what the codes leave out, float64 [n].
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float64]
    lengths: NDArray[np.float64]
    remainders: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> "Coded":
        """Code finite vectors [n, dims]."""
        wide = vectors.astype(np.float64)
        largest = np.abs(wide).max(axis=1, initial=0.0)
        scales = np.where(largest > FAINTEST, largest / LARGEST_CODE, 0.0)
        codes = np.rint(wide / np.where(scales > 0, scales, np.inf)[:, None])
        remainders = _lengths(wide - scales[:, None] * codes)
        return cls(codes.astype(np.int8), scales, _lengths(wide), remainders)

    def part(self, rows: slice) -> "Coded":
        """Some of the vectors."""
        return Coded(self.codes[rows], self.scales[rows], self.lengths[rows], self.remainders[rows])


class CodedIndex:
    """Codes that lie in a folder, mapped into memory. Make one with `open_coded`."""

    def __init__(self, folder: Path, record: dict[str, Any], score: str) -> None:
        """Map the files of a folder that was found whole, with the record of its seal."""
        count, dimensions = record["rows"], record["dimensions"]
        self._score = score
        self._metric = metric_named(score)
        self._rows = _mapped(folder / ROWS, np.int64, (count,))
        self._vectors = _mapped(folder / VECTORS, np.float32, (count, dimensions))
        self._coded = Coded(
            _mapped(folder / CODES, np.int8, (count, dimensions)),
            *np.asarray(_mapped(folder / FIGURES, np.float64, (3, count))),
        )

    def __len__(self) -> int:
        """How many rows can be found: those whose vector is not null."""
        return len(self._rows)

    def search(self, queries: ArrayLike, top_k: int = 10, among: NDArray[np.int64] | None = None) -> Hits:
        """The nearest rows of queries [q, dims] (or one query [dims]): those that `ExactIndex` finds.

        Args:
            queries: float vectors.
            top_k: hits a query.
            among: numbers of the rows that may be hits, int64 [n]; None are all.

        Raises:
            SettingError: `top_k` is below 1, or the queries have other dimensions than the rows.
            InputError: a query is not finite.
        """
        wanted = checked_queries(queries, top_k)
        check_dimensions(wanted, self._vectors.shape[1])
        if among is not None:
            return self._looked_at(wanted, top_k, np.flatnonzero(np.isin(self._rows, among)))
        if len(wanted) >= QUERIES_TOGETHER:
            return self._looked_at(wanted, top_k, None)
        with ThreadPoolExecutor(available_threads()) as threads:
            hits = [self._search_one(query[None, :], top_k, threads) for query in wanted]
        shape = len(wanted), min(top_k, len(self))
        rows = np.array([hit.rows[0] for hit in hits], np.int64).reshape(shape)
        return Hits(rows, np.array([hit.scores[0] for hit in hits], np.float32).reshape(shape))

    def _search_one(self, query: NDArray[np.float32], top_k: int, threads: ThreadPoolExecutor) -> Hits:
        coded = Coded.of(query)
        starts = range(0, len(self), ROWS_AT_ONCE)
        parts = threads.map(lambda start: self._bounds(coded, start), starts)
        floor, kept = -np.inf, list[tuple[NDArray[np.intp], NDArray[np.float64]]]()
        best = np.empty(0)
        for start, (lowest, highest) in zip(starts, parts, strict=True):
            best = _largest(np.concatenate([best, lowest[lowest >= floor]]), top_k)
            floor = float(best.min()) if len(best) == top_k else -np.inf
            places = np.flatnonzero(highest >= floor)
            kept.append((places + start, highest[places]))
        found = [places[highest >= floor] for places, highest in kept]
        return self._looked_at(query, top_k, np.concatenate(found or [np.empty(0, np.intp)]))

    def _bounds(self, query: Coded, start: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Between which two ranks the rows from `start` lie: float64 [b] and [b]."""
        return rank_bounds(query, self._coded.part(slice(start, start + ROWS_AT_ONCE)), self._metric)

    def _looked_at(self, queries: NDArray[np.float32], top_k: int, places: NDArray[np.intp] | None) -> Hits:
        """The nearest of the rows at some places of the files, or of all."""
        blocks = (Block.of(self._rows[part], self._vectors[part]) for part in _parts(len(self), places))
        return ExactIndex(blocks, self._score).search(queries, top_k)


def rank_bounds(query: Coded, rows: Coded, metric: Metric) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks that are certainly not above and not below the true ones of one query against rows: float64 [n] each.

    A rank grows with the dot product in every metric; the formula is the module's.
    """
    # numkong takes 20 ms to import, which a search of few rows should not pay.
    from numkong import cdist

    products = np.asarray(cdist(query.codes, rows.codes, "dot"))[0]
    dots = products * (rows.scales * query.scales[0])
    apart = query.remainders[0] * (rows.lengths + rows.remainders) + query.lengths[0] * rows.remainders
    margin = ROUNDING * metric.scale(query.lengths[0], rows.lengths)
    lowest = metric.rank(dots - apart, query.lengths[0], rows.lengths) - margin
    return lowest, metric.rank(dots + apart, query.lengths[0], rows.lengths) + margin


def open_coded(
    folder: Path,
    source: Callable[[], Iterable[RowBlock]],
    *,
    fingerprint: str,
    score: str = "cosine",
    in_all: int = 0,
    progress: Progress | None = None,
) -> CodedIndex:
    """The index in `folder`, built first where it is missing, damaged, or of other data.

    Processes and threads that want the same folder wait for the one that builds. Memory while building: 32 bytes a
    row and one block.

    Args:
        folder: of this index alone, for every score; made if need be.
        source: makes an iterator of (row numbers [b], vectors [b, dims]); called only to build. Null rows
            (any number not finite) are left out.
        fingerprint: names the data; another one has the index rebuilt.
        score: a name in `SCORES`.
        in_all: how many rows `source` has, nulls included, for `progress`.
        progress: called while building.

    Raises:
        SettingError: no such score, or blocks of different dimensions.
        StorageFullError: no space left; nothing is left behind.
        OSError: the folder cannot be read or written.
    """
    metric_named(score)
    identity = {"fingerprint": fingerprint, "layout": LAYOUT}
    with exclusive(folder):
        record = opened(folder)
        if record is None or any(record.get(name) != value for name, value in identity.items()):
            full = f"no space left for the search index in {folder}; free some"
            with storage_errors(full), replacing(folder) as building:
                record = identity | _build(building, source(), in_all, progress)
                seal(building, record)
        return CodedIndex(folder, record, score)


def _build(folder: Path, blocks: Iterable[RowBlock], in_all: int, progress: Progress | None) -> dict[str, Any]:
    """Write the files of every row that is not null; returns how many those are, and their dimensions."""
    count, dimensions, done = 0, 0, 0
    figures = [np.empty((3, 0))]
    with ExitStack() as stack:
        codes, vectors, rows = (stack.enter_context((folder / name).open("wb")) for name in (CODES, VECTORS, ROWS))
        for block in _small_blocks(blocks):
            dimensions = dimensions or block.vectors.shape[1]
            if block.vectors.shape[1] != dimensions:
                raise SettingError(f"blocks of {dimensions} and of {block.vectors.shape[1]} dimensions")
            present = block.vectors[~block.null]
            coded = Coded.of(present)
            coded.codes.tofile(codes)
            present.tofile(vectors)
            block.rows[~block.null].tofile(rows)
            figures.append(np.stack([coded.scales, coded.lengths, coded.remainders]))
            count, done = count + len(present), done + len(block.rows)
            if progress is not None:
                progress(done, in_all)
    np.concatenate(figures, axis=1).tofile(folder / FIGURES)
    return {"rows": count, "dimensions": dimensions}


def _small_blocks(blocks: Iterable[RowBlock]) -> Iterator[Block]:
    """The same rows, few enough at once that their float64 takes no memory to speak of."""
    for rows, vectors in blocks:
        # Even a block without rows tells the dimensions.
        for start in range(0, max(1, len(rows)), BLOCK_ROWS):
            yield Block.of(rows[start : start + BLOCK_ROWS], vectors[start : start + BLOCK_ROWS])


def _parts(count: int, places: NDArray[np.intp] | None) -> Iterator[slice | NDArray[np.intp]]:
    if places is None:
        yield from (slice(start, start + BLOCK_ROWS) for start in range(0, count, BLOCK_ROWS))
    else:
        yield from np.split(places, range(BLOCK_ROWS, len(places), BLOCK_ROWS))


def _lengths(wide: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt((wide * wide).sum(axis=1))
    return lengths


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return values if len(values) <= count else np.partition(values, len(values) - count)[-count:]


def _mapped(path: Path, dtype: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)
