"""Where the vector of a text is found that was embedded before.

Knows texts by a checksum, on the disk, so that a million of them need no more memory than a thousand. Refuses
to outlive the process: it is built anew from finished shards, and so cannot disagree with them.
"""

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedhub.datasets.shards import Flags, Matrix, RowVectors, Shard
from embedhub.datasets.storage import storage_errors

Key = bytes
# The number of a shard in the index, and a row in it.
Place = tuple[int, int]

# SQLite allows 32,766 variables a statement; a round number below is as fast.
_ASKED_AT_ONCE = 10_000


def text_key(text: str) -> Key:
    """A 128-bit checksum: among 10^12 texts the chance that two share one is below 10^-14."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


@dataclass(frozen=True)
class TextVectors:
    """Different texts with what is known of each so far.

    Attributes:
        positions: where each text stands in the arrays.
        matrix: float32, shape (texts, dimensions).
        truncated: bool, shape (texts,): whether only the beginning of a text was read.
    """

    positions: Mapping[Key, int]
    matrix: Matrix
    truncated: Flags

    @classmethod
    def empty(cls, keys: Sequence[Key], dimensions: int) -> "TextVectors":
        """Room for texts, of which nothing is known yet."""
        positions = {key: position for position, key in enumerate(keys)}
        return cls(positions, np.zeros((len(keys), dimensions), np.float32), np.zeros(len(keys), np.bool_))

    def put(self, keys: Sequence[Key], matrix: Matrix, truncated: Flags) -> None:
        """Note what is known of some texts, in their order."""
        places = [self.positions[key] for key in keys]
        self.matrix[places] = matrix
        self.truncated[places] = truncated

    def of_rows(self, keys: Sequence[Key | None]) -> RowVectors:
        """The same for rows: a text may stand in several, and None is a row without one."""
        present = np.array([key is not None for key in keys], np.bool_)
        places = [self.positions[key] for key in keys if key is not None]
        rows = RowVectors(
            np.zeros((len(keys), self.matrix.shape[1]), np.float32), present, np.zeros(len(keys), np.bool_)
        )
        rows.matrix[present] = self.matrix[places]
        rows.truncated[present] = self.truncated[places]
        return rows


class VectorIndex:
    """Maps texts to places in shards. `open_index` makes one."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._shards: list[Shard] = []
        self._own = 0
        with storage_errors(path):
            # It need not survive a crash, so nothing waits for the disk.
            connection.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32768;"
                "CREATE TABLE places (key BLOB PRIMARY KEY, shard INTEGER, row INTEGER) WITHOUT ROWID"
            )

    def end_of_earlier(self) -> None:
        """Say that shards added from now on belong to the job itself."""
        self._own = len(self._shards)

    def is_own(self, place: Place) -> bool:
        """Whether the place is in a shard of the job itself."""
        return place[0] >= self._own

    def add(self, shard: Shard) -> None:
        """Add every text of a shard that has a vector; of equal texts the first counts.

        A shard of the job itself takes precedence over earlier ones.

        Raises:
            DatasetError: the shard is broken.
            StorageFullError: no space left.
        """
        number = len(self._shards)
        self._shards.append(shard)
        for start, texts in zip(shard.starts, shard.column(shard.facts.text_column), strict=True):
            places = ((text_key(text), number, row) for row, text in enumerate(texts, start) if isinstance(text, str))
            with storage_errors(self._path):
                self._connection.executemany(
                    "INSERT INTO places VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
                    f"SET shard = excluded.shard, row = excluded.row WHERE shard < {self._own}"
                    f" AND excluded.shard >= {self._own}",
                    places,
                )

    def find(self, keys: Sequence[Key]) -> dict[Key, Place]:
        """The places of those texts that have one."""
        found: dict[Key, Place] = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            asked = keys[start : start + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(asked))
            rows = self._connection.execute(f"SELECT key, shard, row FROM places WHERE key IN ({marks})", asked)
            found.update((key, (shard, row)) for key, shard, row in rows)
        return found

    def fetch(self, places: Mapping[Key, Place], into: TextVectors) -> None:
        """Copy vectors, and whether their texts were cut, out of their shards.

        Args:
            places: where each text's vector is.
            into: written to.

        Raises:
            DatasetError: a shard is broken.
        """
        by_shard: dict[int, list[tuple[int, Key]]] = defaultdict(list)
        for key, (number, row) in places.items():
            by_shard[number].append((row, key))
        for number, wanted in sorted(by_shard.items()):
            _fetch_from(self._shards[number], sorted(wanted), into)


def _fetch_from(shard: Shard, wanted: Sequence[tuple[int, Key]], into: TextVectors) -> None:
    rows = np.array([row for row, _ in wanted])
    keys = [key for _, key in wanted]
    truncated = np.zeros(shard.rows, np.bool_) if shard.truncated is None else shard.truncated
    groups = np.searchsorted(shard.starts, rows, side="right") - 1
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        vectors = shard.vectors(int(group))
        found = vectors.matrix[np.searchsorted(vectors.rows, rows[inside])]
        into.put([keys[place] for place in inside], found, truncated[rows[inside]])


@contextmanager
def open_index(path: Path) -> Iterator[VectorIndex]:
    """An empty index in a file, which is removed in the end.

    Raises:
        StorageFullError: no space left.
    """
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield VectorIndex(connection, path)
    finally:
        connection.close()
        path.unlink(missing_ok=True)
