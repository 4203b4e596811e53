"""The folder of a dataset: what lies where, who may write, and the one moment at which it becomes finished.

Knows names, states and renames. Refuses to know what is in a shard beyond what its footer says.

    DIR/README.md                               the card
    DIR/data/train-00000-of-00002.parquet       the shards; `data` comes into being as a whole, by one rename
    DIR/.embedhub/lock, writer                  held by the process that writes, and its number
    DIR/.embedhub/build/data/train-….parquet    finished shards of a job that is under way
    DIR/.embedhub/build/leftovers/0000/…        finished shards of jobs that were given up
    DIR/.embedhub/replaced/                     the old `data`, for the moment between two renames
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from embedhub.datasets.shards import Shard, read_shard
from embedhub.datasets.storage import (
    move_folder,
    remove_folder,
    storage_errors,
    whole_file,
)
from embedhub.errors import DatasetBusyError, DatasetError, DatasetNotFoundError, DatasetUnfinishedError
from embedhub.storage import unfinished_files

_SHARD_NAME = re.compile(r"train-(\d{5,})-of-(\d{5,})\.parquet")
_PRIVATE = ".embedhub"
_IGNORE = ".gitignore"


def shard_name(index: int, count: int) -> str:
    """A shard's file name, as `datasets` and the Hub expect it."""
    return f"train-{index:05d}-of-{count:05d}.parquet"


@dataclass(frozen=True)
class DatasetFolder:
    """Paths within one dataset's folder."""

    path: Path

    @property
    def data(self) -> Path:
        """The finished shards."""
        return self.path / "data"

    @property
    def card(self) -> Path:
        """The dataset card."""
        return self.path / "README.md"

    @property
    def private(self) -> Path:
        """What is not part of the dataset and is not to be pushed."""
        return self.path / _PRIVATE

    @property
    def build(self) -> Path:
        """The work under way."""
        return self.private / "build"

    @property
    def parts(self) -> Path:
        """Finished shards of the work under way."""
        return self.build / "data"

    @property
    def _leftovers(self) -> Path:
        return self.build / "leftovers"

    @property
    def _replaced(self) -> Path:
        return self.private / "replaced"

    def finished_shards(self) -> list[Shard]:
        """The shards of the finished dataset, in order.

        Raises:
            DatasetNotFoundError: no such folder, or no embedded dataset in it.
            DatasetUnfinishedError: its first embedding was interrupted.
            DatasetError: a shard is missing, broken or of another dataset.
        """
        names = _shard_names(self.data)
        if not names:
            raise self._why_no_data()
        counts = {int(match[2]) for match in map(_SHARD_NAME.fullmatch, names) if match}
        expected = [shard_name(index, max(counts)) for index in range(max(counts))]
        if names != expected:
            missing = sorted(set(expected) - set(names))
            told = f"{missing[0]} is missing" if missing else "there are files of several datasets"
            raise DatasetError(f"{self.data} is incomplete: {told}; download or embed it again")
        shards = [read_shard(self.data / name) for name in names]
        if any(shard.facts != shards[0].facts for shard in shards):
            raise DatasetError(f"{self.data} holds shards of several datasets; download or embed it again")
        return shards

    def _why_no_data(self) -> DatasetError:
        if not self.path.is_dir():
            return DatasetNotFoundError(f"there is no folder {self.path}")
        if self.build.is_dir() or self._replaced.is_dir():
            return DatasetUnfinishedError(
                f"the embedding of {self.path} is not finished; run the command again, and it continues"
            )
        return DatasetNotFoundError(f"{self.path} is not an embedded dataset: it has no data/train-*.parquet")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder, if need be, and be its only writer.

        Raises:
            DatasetError: the folder holds something else, or may not be written.
            DatasetBusyError: another process writes it.
            StorageFullError: no space left.
        """
        self._refuse_foreign()
        with storage_errors(self.path):
            self.private.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.private / "lock", timeout=0)
        with storage_errors(self.path):
            try:
                lock.acquire()
            except Timeout as error:
                busy = f"{self.path} is being written by another process{self._writer()}"
                raise DatasetBusyError(busy) from error
        try:
            # The lock file itself is emptied by everyone who tries the lock.
            with whole_file(self.private / "writer") as file:
                file.write(str(os.getpid()).encode())
            self._mend()
            yield
        finally:
            lock.release()

    def _writer(self) -> str:
        try:
            return f" ({(self.private / 'writer').read_text()})"
        except OSError:
            return ""

    def _refuse_foreign(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise DatasetError(f"{self.path} is a file; name a folder")
        strangers = [entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")]
        if strangers and not self.private.is_dir() and not readable_shards(self.data):
            raise DatasetError(
                f"{self.path} holds files that are no embedded dataset ({sorted(strangers)[0]}); name another folder"
            )
        for entry in sorted(self.data.iterdir() if self.data.is_dir() else []):
            # Hidden files are left by file browsers and hub clients; any other is somebody's.
            if not entry.name.startswith(".") and not _SHARD_NAME.fullmatch(entry.name):
                raise DatasetError(f"{entry} is no part of the dataset and would be lost; move it away")

    def _mend(self) -> None:
        """Take up after a process that died between the two renames of `finish`, or while tidying up."""
        if self._replaced.is_dir() and not self.data.exists() and self.parts.is_dir():
            # `data` is moved aside only when the new shards are all there.
            move_folder(self.parts, self.data)
        remove_folder(self._replaced)
        for written in (self.card, self.path / _IGNORE, self.private / "writer", self.parts / "train-*"):
            with storage_errors(written):
                for torn in unfinished_files(written):
                    torn.unlink()

    def begin(self, job: str) -> None:
        """Make room for a job; shards that another job finished become leftovers.

        Raises:
            DatasetError: the folder may not be written.
            StorageFullError: no space left.
        """
        found = readable_shards(self.parts)
        with storage_errors(self.build):
            self._leftovers.mkdir(parents=True, exist_ok=True)
        if found and found[0].facts.job != job:
            taken = sum(1 for _ in self._leftovers.iterdir())
            move_folder(self.parts, self._leftovers / f"{taken:04d}")
        with storage_errors(self.parts):
            self.parts.mkdir(exist_ok=True)

    def earlier_shards(self) -> list[Shard]:
        """Shards of the finished dataset and of given-up jobs, always in the same order within a job."""
        folders = sorted(self._leftovers.iterdir()) if self._leftovers.is_dir() else []
        return [shard for folder in [self.data, *folders] for shard in readable_shards(folder)]

    def finish(self, card: str) -> None:
        """Make the shards of the build the dataset.

        Args:
            card: the new text of the card.

        Raises:
            DatasetError: the folder may not be written.
            StorageFullError: no space left.
        """
        with whole_file(self.card) as file:
            # Whatever bytes a person's card held are written back as they were.
            file.write(card.encode("utf-8", "surrogateescape"))
        self._keep_private()
        if self.data.exists():
            move_folder(self.data, self._replaced)
        move_folder(self.parts, self.data)
        self.tidy()

    def tidy(self) -> None:
        """Remove what only an unfinished job needs."""
        remove_folder(self._replaced)
        remove_folder(self.build)

    def _keep_private(self) -> None:
        ignore = self.path / _IGNORE
        present = ignore.read_bytes() if ignore.is_file() else b""
        line = f"{_PRIVATE}/\n".encode()
        if line not in present:
            with whole_file(ignore) as file:
                file.write(present + (b"" if present.endswith(b"\n") or not present else b"\n") + line)


def readable_shards(folder: Path) -> list[Shard]:
    """The shards in a folder that can be read, in order; others are passed over."""
    return [shard for name in _shard_names(folder) if (shard := _readable(folder / name))]


def _readable(path: Path) -> Shard | None:
    try:
        return read_shard(path)
    except DatasetError:
        return None


def _shard_names(folder: Path) -> Sequence[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if _SHARD_NAME.fullmatch(entry.name))
