"""Approximate nearest rows by usearch's HNSW graph, for more rows than are looked at one by one.

Knows one graph over float16 vectors, kept in a folder beside the float32 vectors that score its candidates
again. Refuses to know where vectors come from and how a folder stays whole.

HNSW: Malkov and Yashunin 2016, arXiv:1603.09320. The figures below are recall@10 on 20,000 x 384 clustered vectors;
those of 150,000 are in docs/log.md.
"""

import errno
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embedhub.errors import SettingError
from embedhub.search.exact import Block, ExactIndex, Hits, RowBlock, check_dimensions, checked_queries
from embedhub.search.metrics import SHORTEST, Floats, lengths_of, metric_named
from embedhub.search.sealed import exclusive, opened, replacing, seal
from embedhub.storage import storage_errors

Progress = Callable[[int, int], None]
"""(rows done, rows in all), called after each block that entered the graph."""

GRAPH, VECTORS, ROWS = "graph.usearch", "vectors.f32", "rows.i64"
ROWS_AT_ONCE = 4096

FARTHEST = 10
"""A query longer than so many times the longest row is rounded by float16 more than the rows' distances to it
differ: every row is looked at."""

GRAPH_METRICS = {"cosine": "ip", "dot": "ip", "euclidean": "l2sq"}
"""usearch's metric for the points of `_points`. Dot products go in as they are: turned into distances by an
added dimension (Bachrach 2014), vectors of uneven lengths found 0.35 of their neighbours, and so 0.999."""


@dataclass(frozen=True)
class HnswParameters:
    """How wide the graph is searched.

    Attributes:
        connectivity: neighbours of a node. By cosine and dot product 32 costs a third more to build and finds no more.
        expansion_add: candidates held while a node is added.
        expansion_search: candidates held while searching.
    """

    connectivity: int = 16
    expansion_add: int = 128
    expansion_search: int = 128


PARAMETERS = {
    "cosine": HnswParameters(),
    "dot": HnswParameters(),
    "euclidean": HnswParameters(connectivity=64, expansion_add=256, expansion_search=512),
}
"""By score. Where lengths are uneven, the shortest rows are near to all others by distance, and a narrow graph leads to
them only: with the parameters of the others 0.91 of the nearest were found (log-normal lengths, sigma 0.5)."""


class HnswIndex:
    """A graph that lies in a folder, mapped into memory. Make one with `open_hnsw`."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        """Map the files of a folder that was found whole, with the record of its seal."""
        count, dimensions = record["rows"], record["dimensions"]
        self._score = record["score"]
        self._longest = record["longest"]
        self._rows = _mapped(folder / ROWS, np.int64, (count,))
        self._vectors = _mapped(folder / VECTORS, np.float32, (count, dimensions))
        self._graph = _graph(dimensions, self._score, HnswParameters(**record["parameters"]))
        expansion = self._graph.expansion_search
        self._graph.view(str(folder / GRAPH))
        # Viewing takes the connectivity from the file and the expansion from nowhere.
        self._graph.expansion_search = expansion

    def __len__(self) -> int:
        """How many rows can be found: those whose vector is not null."""
        return len(self._rows)

    def search(self, queries: ArrayLike, top_k: int = 10, among: NDArray[np.int64] | None = None) -> Hits:
        """The nearest rows of queries [q, dims] (or one query [dims]), nearly always; the scores are exact.

        Args:
            queries: float vectors.
            top_k: hits a query.
            among: numbers of the rows that may be hits, int64 [n]: each of them is looked at. None are all.

        Raises:
            SettingError: `top_k` is below 1, or the queries have other dimensions than the rows.
            InputError: a query is not finite.
        """
        wanted = checked_queries(queries, top_k)
        check_dimensions(wanted, self._vectors.shape[1])
        if among is not None:
            return self._search_places(wanted, top_k, np.flatnonzero(np.isin(self._rows, among)))
        # Twice as many as asked, because float16 confuses neighbours that are nearly as near.
        reach = min(2 * top_k + 16, len(self))
        hits = [self._search_one(query, top_k, reach) for query in wanted]
        shape = len(wanted), min(top_k, len(self))
        rows = np.array([hit.rows[0] for hit in hits], np.int64).reshape(shape)
        return Hits(rows, np.array([hit.scores[0] for hit in hits], np.float32).reshape(shape))

    def _search_one(self, query: NDArray[np.float32], top_k: int, reach: int) -> Hits:
        found = self._found(query, reach) if 2 * reach < len(self) else np.arange(len(self))
        if len(found) < min(top_k, len(self)):
            found = np.arange(len(self))
        return self._search_places(query, top_k, found)

    def _search_places(self, queries: NDArray[np.float32], top_k: int, found: NDArray[np.int64]) -> Hits:
        blocks = (
            Block.of(self._rows[places], self._vectors[places])
            for places in np.split(found, range(ROWS_AT_ONCE, len(found), ROWS_AT_ONCE))
        )
        return ExactIndex(blocks, self._score).search(queries, top_k)

    def _found(self, query: NDArray[np.float32], reach: int) -> NDArray[np.int64]:
        """Places of candidates, in the order of the folder's files."""
        points = _points(query[None, :], self._score, self._longest)
        length = float(lengths_of(points)[0])
        if GRAPH_METRICS[self._score] == "ip":
            # The order of dot products does not depend on the query's length, float16's range does.
            points = points / max(length, SHORTEST)
        elif length > FARTHEST:
            return np.arange(len(self))
        keys = self._graph.search(points, reach, threads=1).keys
        return np.sort(np.asarray(keys).ravel().astype(np.int64))


def open_hnsw(
    folder: Path,
    source: Callable[[], Iterable[RowBlock]],
    *,
    fingerprint: str,
    score: str = "cosine",
    parameters: HnswParameters | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> HnswIndex:
    """The index in `folder`, built first where it is missing, damaged, or of other data or parameters.

    Processes and threads that want the same folder wait for the one that builds. Memory while building: the
    graph with its float16 vectors and one block.

    Args:
        folder: of this index alone, for one score; made if need be.
        source: makes an iterator of (row numbers [b], vectors [b, dims]); called only to build. Null rows
            (any number not finite) are left out.
        fingerprint: names the data; another one has the index rebuilt.
        score: a name in `SCORES`.
        parameters: of the graph; None takes those in `PARAMETERS`.
        threads: that build; 0 takes every core.
        progress: called while building.

    Raises:
        SettingError: no such score, or blocks of different dimensions.
        StorageFullError: no space left; nothing is left behind.
        OSError: the folder cannot be read or written.
    """
    metric_named(score)
    chosen = parameters or PARAMETERS[score]
    identity = {
        "fingerprint": fingerprint,
        "score": score,
        "parameters": vars(chosen),
        "usearch": version("usearch"),
    }
    with exclusive(folder):
        record = opened(folder)
        if record is None or any(record.get(name) != value for name, value in identity.items()):
            full = f"no space left for the search index in {folder}; free some"
            with storage_errors(full), replacing(folder) as building:
                record = identity | _build(building, source(), score, chosen, threads, progress)
                seal(building, record)
        return HnswIndex(folder, record)


def _build(
    folder: Path,
    blocks: Iterable[RowBlock],
    score: str,
    parameters: HnswParameters,
    threads: int,
    progress: Progress | None,
) -> dict[str, Any]:
    """Write vectors, row numbers and graph; returns what a reader must know of them."""
    rows, dimensions, longest = _write_vectors(folder, blocks)
    vectors = _mapped(folder / VECTORS, np.float32, (rows, dimensions))
    graph = _graph(dimensions, score, parameters)
    for start in range(0, rows, ROWS_AT_ONCE):
        points = _points(vectors[start : start + ROWS_AT_ONCE], score, longest)
        # Threads that add to a small graph at once lose links of it: the first block goes in alone.
        graph.add(np.arange(start, start + len(points)), points, threads=threads if start else 1)
        if progress is not None:
            progress(start + len(points), rows)
    _save(graph, folder / GRAPH)
    return {"rows": rows, "dimensions": dimensions, "longest": longest}


def _write_vectors(folder: Path, blocks: Iterable[RowBlock]) -> tuple[int, int, float]:
    """Write what is not null; returns the number of rows, the dimensions and the greatest length."""
    count, dimensions, longest = 0, 0, 0.0
    with (folder / VECTORS).open("wb") as vectors_file, (folder / ROWS).open("wb") as rows_file:
        for block in (Block.of(rows, vectors) for rows, vectors in blocks):
            dimensions = dimensions or block.vectors.shape[1]
            if block.vectors.shape[1] != dimensions:
                raise SettingError(f"blocks of {dimensions} and of {block.vectors.shape[1]} dimensions")
            present = ~block.null
            block.vectors[present].tofile(vectors_file)
            block.rows[present].tofile(rows_file)
            count += int(np.count_nonzero(present))
            longest = max(longest, block.longest)
    return count, dimensions, longest


def _points(vectors: NDArray[np.float32], score: str, longest: float) -> Floats:
    """Vectors [n, dims] as the graph holds them: none longer than 1, so that float16 can hold them."""
    if score == "cosine":
        return vectors / np.maximum(lengths_of(vectors), SHORTEST)[:, None]
    return vectors / np.float32(max(longest, SHORTEST))


def _graph(dimensions: int, score: str, parameters: HnswParameters) -> Any:
    # usearch takes 85 ms to import, which a search of few rows should not pay.
    from usearch.index import Index

    return Index(
        ndim=dimensions,
        metric=GRAPH_METRICS[score],
        dtype="f16",
        connectivity=parameters.connectivity,
        expansion_add=parameters.expansion_add,
        expansion_search=parameters.expansion_search,
    )


def _save(graph: Any, path: Path) -> None:
    try:
        graph.save(str(path))
    except RuntimeError as error:
        # usearch tells every failure to write in the same words.
        if shutil.disk_usage(path.parent).free < graph.serialized_length:
            raise OSError(errno.ENOSPC, str(error)) from error
        raise OSError(errno.EIO, str(error)) from error


def _mapped(path: Path, dtype: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)
