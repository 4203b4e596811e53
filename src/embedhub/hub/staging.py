"""Files on their way: written beside the content, given their name once they are whole.

Knows temporary files and how those of dead processes are told from those of living ones. Refuses to know what is in
them.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from embedhub.errors import HubContentError, HubStorageError, StorageFullError
from embedhub.storage import storage_errors, sync

Piece = bytes | bytearray | memoryview

_PREFIX = "unfinished-"

_FULL = "no space left on the Hub's disk: nothing of this was kept; try again when there is some"


@contextmanager
def hub_storage_errors() -> Iterator[None]:
    """Turn what the disk answers into errors that name no path: they are shown to people elsewhere.

    Raises:
        StorageFullError: no space, quota or size limit left.
        HubStorageError: any other refusal.
    """
    with storage_errors(_FULL, (HubStorageError, "the Hub cannot use its files")):
        yield


class StagedFile:
    """A file without a name of its own yet. As a context it is discarded at the end, unless it was kept."""

    def __init__(self, path: Path, descriptor: int, limit: int | None) -> None:
        self.path = path
        self.size = 0
        self._limit = limit
        # Unbuffered: pieces are large, and what a full disk refused must not be written again when it is closed.
        self._file = os.fdopen(descriptor, "r+b", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, piece: Piece) -> None:
        """Add bytes.

        Raises:
            HubContentError: more than the file may have.
            StorageFullError: no space left.
        """
        if self._limit is not None and self.size + len(piece) > self._limit:
            raise HubContentError(f"more than the {self._limit} bytes that were announced or are allowed were sent")
        with hub_storage_errors():
            written = self._file.write(piece)
            while written < len(piece):
                written += self._file.write(memoryview(piece)[written:])
        self.size += len(piece)

    def read(self, count: int, offset: int) -> bytes:
        """Bytes that were written, fewer at the end."""
        with hub_storage_errors():
            return os.pread(self._file.fileno(), count, offset)

    def sync(self) -> None:
        """Make the bytes survive a power cut; the name is another matter."""
        with hub_storage_errors():
            os.fsync(self._file.fileno())

    def keep(self, target: Path, base: Path, *, durable: bool = True) -> None:
        """Give the file its name, in a folder that is made if need be; whatever has that name is replaced.

        Args:
            target: on the same file system.
            base: a folder above `target` that is known to be there for good.
            durable: whether bytes and name have survived any power cut once this returns.
        """
        with hub_storage_errors():
            if durable:
                os.fsync(self._file.fileno())
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.replace(target)
            if durable:
                sync_folders(target, base)
        self._file.close()

    def discard(self) -> None:
        """Leave nothing behind; after `keep`, nothing happens."""
        if not self._file.closed:
            self.path.unlink(missing_ok=True)
            self._file.close()


class Receiver:
    """What is being received. As a context it is aborted at the end, unless it was finished.

    Args:
        staged: where it goes for now.
    """

    def __init__(self, staged: StagedFile) -> None:
        self._staged = staged

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, piece: Piece) -> None:
        """Add bytes; pieces of a mebibyte are the fastest.

        Raises:
            HubContentError: more than was announced, or than it may have.
            StorageFullError: no space left.
        """
        self._staged.write(piece)

    def abort(self) -> None:
        """Keep nothing of it; after it was finished, nothing happens."""
        self._staged.discard()


class Staging:
    """The folder of files on their way. Any number of threads and processes may use it.

    Args:
        folder: on the file system of everything that is to be kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, limit: int | None = None) -> StagedFile:
        """A new file.

        Args:
            limit: bytes it may have at most; None does not limit it.

        Raises:
            StorageFullError: there is no space for `limit` bytes.
            HubStorageError: the folder cannot be written.
        """
        with hub_storage_errors():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if limit is not None and shutil.disk_usage(self.folder).free < limit:
                raise StorageFullError(_FULL)
            while True:
                path = self.folder / f"{_PREFIX}{secrets.token_hex(8)}"
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                # The kernel lets go of the lock when this process dies, however it does. A process id would not do:
                # in a container the next process has the same.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:
                    return StagedFile(path, descriptor, limit)
                # Whoever cleans came between the two calls.
                os.close(descriptor)

    def clean(self, *, remove: bool = True) -> int:
        """Remove what dead processes have left, or only count it; gives how many files that were."""
        removed = 0
        with hub_storage_errors():
            for path in self.folder.glob(f"{_PREFIX}*"):
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
                except FileNotFoundError:
                    continue
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                else:
                    if remove:
                        path.unlink(missing_ok=True)
                    removed += 1
                finally:
                    os.close(descriptor)
        return removed


def sync_folders(path: Path, base: Path) -> None:
    """Make a name, and those of the folders from `base` down to it, survive a power cut.

    Folders that another thread has just made are no exception: it may not have come to this yet.
    """
    for folder in path.parents:
        sync(folder)
        if folder == base:
            return
