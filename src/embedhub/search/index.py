"""Which index searches a collection: rows in memory below a number, codes on the disk above it.

Knows the two and when to take which. Refuses to know what rows mean and where they are stored.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embedhub.errors import StorageFullError
from embedhub.search.coded import Progress, open_coded
from embedhub.search.exact import Block, ExactIndex, Hits, RowBlock

EXACT_ROWS = 100_000
"""Up to here an answer takes about 10 ms, and nothing need be written."""

logger = logging.getLogger(__name__)


class Index(Protocol):
    """What can be searched."""

    def search(self, queries: ArrayLike, top_k: int = 10, among: NDArray[np.int64] | None = None) -> Hits:
        """The nearest rows of queries [q, dims] (or one query [dims]), exactly.

        Args:
            queries: float vectors.
            top_k: hits a query.
            among: numbers of the rows that may be hits, int64 [n]; None are all.

        Raises:
            SettingError: `top_k` is below 1, or the queries have other dimensions than the rows.
            InputError: a query is not finite.
        """
        ...


def open_index(
    source: Callable[[], Iterable[RowBlock]],
    *,
    rows: int,
    folder: Path,
    fingerprint: str,
    score: str = "cosine",
    threshold: int = EXACT_ROWS,
    progress: Progress | None = None,
) -> Index:
    """An index of all rows of `source` whose vector is not null.

    Up to `threshold` rows are read into memory. More are coded in int8 into `folder` the first time. Where that cannot
    be written or is full, the rows are read again for every search: slower, and a warning is logged. The hits are the
    same in all three.

    Args:
        source: makes an iterator of (row numbers [b], float32 or float16 vectors [b, dims]), anew every
            time.
        rows: how many there are, nulls included.
        folder: where codes of this collection are kept.
        fingerprint: names the data; another one has the codes made again.
        score: a name in `SCORES`.
        threshold: most rows that are held in memory.
        progress: called with (rows done, rows in all) while codes are made.

    Raises:
        SettingError: no such score.
    """
    if rows <= threshold:
        return ExactIndex(list(_Blocks(source)), score)
    try:
        return open_coded(folder / "int8", source, fingerprint=fingerprint, score=score, in_all=rows, progress=progress)
    except (StorageFullError, OSError) as error:
        logger.warning("searching %d rows without an index, slowly: %s", rows, error)
        return ExactIndex(_Blocks(source), score)


class _Blocks:
    """Blocks that are read again for every search."""

    def __init__(self, source: Callable[[], Iterable[RowBlock]]) -> None:
        self._source = source

    def __iter__(self) -> Iterator[Block]:
        return (Block.of(rows, vectors) for rows, vectors in self._source())
