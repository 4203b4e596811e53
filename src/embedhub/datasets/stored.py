"""A finished dataset, opened for reading.

Knows rows, vectors and provenance. Refuses to know search and models, and reads a folder that came from a hub
as well as one that was built here.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from embedhub.datasets.columns import EMBEDDING_COLUMN
from embedhub.datasets.folder import DatasetFolder
from embedhub.datasets.provenance import Provenance
from embedhub.datasets.shards import Rows, Shard, Vectors
from embedhub.errors import ColumnError


@dataclass(frozen=True)
class StoredDataset:
    """A dataset of which only the footers were read; `read_dataset` makes it. Threads may share it.

    Attributes:
        path: its folder.
        shards: its files, in order.
    """

    path: Path
    shards: tuple[Shard, ...]

    @property
    def provenance(self) -> Provenance:
        """Which model made the vectors."""
        return self.shards[0].facts.provenance

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return self.provenance.dimensions

    @property
    def text_column(self) -> str:
        """The column that was embedded."""
        return self.shards[0].facts.text_column

    @property
    def columns(self) -> list[str]:
        """The columns that `rows` gives: all but the vectors."""
        return [name for name in self.shards[0].schema.names if name != EMBEDDING_COLUMN]

    @property
    def row_count(self) -> int:
        """How many rows there are, those without a vector included."""
        return sum(shard.rows for shard in self.shards)

    def truncated_rows(self) -> Rows | None:
        """The rows whose text was longer than the model reads, so that the vector tells of its beginning only.

        Returns:
            int64, shape (n,), counted from 0, ascending; None where a version made the dataset that did not keep it.
        """
        flags = [shard.truncated for shard in self.shards if shard.truncated is not None]
        if len(flags) < len(self.shards):
            return None
        return np.flatnonzero(np.concatenate(flags)).astype(np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """A checksum in hex that changes when the data do, equal for copies; reads the footers only."""
        digest = hashlib.blake2b(digest_size=16)
        for shard in self.shards:
            digest.update(f"{shard.path.name} {shard.path.stat().st_size} {shard.facts.to_json()}\n".encode())
            digest.update(repr(shard.footer.to_dict()).encode())
        return digest.hexdigest()

    def vectors(self) -> Vectors:
        """All vectors in memory: a float32 matrix of shape (n, dimensions) and the row each belongs to.

        Rows without a vector are left out, so n may be smaller than `row_count`.

        Raises:
            DatasetError: a shard is broken.
        """
        matrix = np.empty((self.row_count, self.dimensions), np.float32)
        rows = np.empty(self.row_count, np.int64)
        filled = 0
        for part in self.iterate_vectors():
            end = filled + len(part.rows)
            matrix[filled:end] = part.matrix
            rows[filled:end] = part.rows
            filled = end
        return Vectors(matrix[:filled], rows[:filled])

    def iterate_vectors(self) -> Iterator[Vectors]:
        """The vectors in order, a few thousand at a time, with the memory for as many.

        Raises:
            DatasetError: a shard is broken.
        """
        for first, shard in zip(self._starts, self.shards, strict=True):
            for group in range(len(shard.starts)):
                part = shard.vectors(group)
                yield Vectors(part.matrix, part.rows + first)

    def rows(self, indices: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Rows by their number, counted from 0, in the order asked for.

        Args:
            indices: any order, any repetition.
            columns: those to give; None are all but the vectors.

        Raises:
            IndexError: there is no such row.
            ColumnError: there is no such column.
            DatasetError: a shard is broken.
        """
        chosen = self.columns if columns is None else self.check_columns(columns)
        wanted: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index in dict.fromkeys(map(int, indices)):
            wanted[self._row_group(index)].append(index)
        found: dict[int, dict[str, Any]] = {}
        for (number, group), members in wanted.items():
            shard = self.shards[number]
            first = self._starts[number] + shard.starts[group]
            found.update(zip(members, shard.take(group, chosen, [index - first for index in members]), strict=True))
        # A copy each, so that changing one of two equal indices' rows does not change the other.
        return [dict(found[int(index)]) for index in indices]

    def check_columns(self, names: Sequence[str]) -> list[str]:
        """The names of columns, each once; the vectors are one of them.

        Raises:
            ColumnError: there is no such column.
        """
        known = self.shards[0].schema.names
        for name in names:
            if name not in known:
                raise ColumnError(f"the dataset has no column {name!r:.100}; it has: {', '.join(known)}")
        return list(dict.fromkeys(names))

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((shard.rows for shard in self.shards), initial=0))[:-1]

    def _row_group(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.row_count:
            raise IndexError(f"row {index} of {self.row_count}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        shard = self.shards[number]
        return number, int(np.searchsorted(shard.starts, index - self._starts[number], side="right")) - 1


def read_dataset(directory: str | Path) -> StoredDataset:
    """Open a finished dataset.

    Args:
        directory: the folder that `build` made or that was downloaded from a hub.

    Raises:
        DatasetNotFoundError: no such folder, or no embedded dataset in it.
        DatasetUnfinishedError: its embedding was interrupted.
        DatasetError: a shard is missing or broken.
    """
    path = Path(directory)
    return StoredDataset(path, tuple(DatasetFolder(path).finished_shards()))
