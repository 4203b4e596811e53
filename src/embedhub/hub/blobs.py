"""Large files, each kept once under the sha256 of its bytes.

Knows bytes and their hash: a file is in the store only once it was read to its end and is what was announced. Refuses
to know whose it is and under which name; that a file is here opens it to nobody (`holdings`).

    lfs/ab/cd/abcd…   the files
    tmp/              what is on its way; locked while a file gets its name, and by who takes one away
"""

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from embedhub.errors import HubContentError
from embedhub.hub.locks import alone, at_work
from embedhub.hub.pointers import SHA256
from embedhub.hub.staging import Piece, Receiver, StagedFile, Staging, hub_storage_errors, sync_folders

# Who gives files their names holds the lock for an instant.
_WAIT_SECONDS = 2.0


class BlobWriter(Receiver):
    """A file that is being received."""

    def __init__(self, store: "BlobStore", staged: StagedFile) -> None:
        super().__init__(staged)
        self._store = store
        self._hash = hashlib.sha256()

    @property
    def size(self) -> int:
        """Bytes received so far."""
        return self._staged.size

    @property
    def sha256(self) -> str:
        """Of what was received so far."""
        return self._hash.hexdigest()

    def write(self, piece: Piece) -> None:
        """See `Receiver.write`."""
        super().write(piece)
        self._hash.update(piece)

    def finish(self, sha256: str | None, size: int | None) -> Path:
        """The file's place in the store. Once this returns, the file survives a power cut.

        Args:
            sha256: what it must have; None believes the bytes, as where nobody announced it.
            size: in bytes, likewise.

        Raises:
            HubContentError: the bytes are others; nothing is kept.
            StorageFullError: no space left; nothing is kept.
        """
        try:
            if size is not None and size != self.size:
                raise HubContentError(f"{self.size} bytes were sent where {size} were announced: send the file again")
            if sha256 is not None and sha256 != self.sha256:
                raise HubContentError(f"the bytes sent have sha256 {self.sha256}, not {sha256:.100}: send them again")
            return self._store.keep(self._staged, self.sha256)
        finally:
            self.abort()


class BlobStore:
    """The files under a folder. Any number of threads and processes may use it.

    Args:
        root: holds `lfs` and `tmp`, on one file system.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = Staging(root / "tmp")
        self._folder = root / "lfs"

    def begin(self, size: int | None = None) -> BlobWriter:
        """Receive a file.

        Args:
            size: bytes that were announced; more are refused as soon as they come.

        Raises:
            StorageFullError: there is no space for so many bytes.
            HubStorageError: the folder cannot be written.
        """
        return BlobWriter(self, self.staging.begin(size))

    def path(self, sha256: str) -> Path:
        """Where the file is, or would be.

        Raises:
            HubContentError: that is no sha256.
        """
        if not SHA256.fullmatch(sha256):
            raise HubContentError(f"{sha256!r:.100} is no sha256: 64 digits of 0-9 and a-f")
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes of a file; None if it is not here."""
        path = self.path(sha256)
        with hub_storage_errors():
            try:
                found = path.lstat()
            except FileNotFoundError:
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def has(self, sha256: str) -> bool:
        """Whether the file is here."""
        return self.size(sha256) is not None

    def remove(self, sha256: str) -> bool:
        """Forget a file; who is reading it reads on. Gives whether it was here."""
        path = self.path(sha256)
        with hub_storage_errors():
            try:
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def verify(self, sha256: str) -> bool:
        """Whether the file is here and its bytes still are what they were; reads them all."""
        path = self.path(sha256)
        with hub_storage_errors():
            try:
                with path.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest() == sha256
            except FileNotFoundError:
                return False

    def __iter__(self) -> Iterator[str]:
        """The sha256 of every file, in order; what else lies in the folder is passed over."""
        for first in _names(self._folder):
            for second in _names(self._folder / first):
                for name in _names(self._folder / first / second):
                    if SHA256.fullmatch(name) and name.startswith(first + second):
                        yield name

    def remove_unless(self, sha256: str, is_held: Callable[[str], bool], older_than_seconds: float) -> int | None:
        """Forget a file that nobody has sent for so long and nobody holds; gives its bytes, None if it stays.

        While that is decided nobody can keep the file anew: who sends it either does so before, and it is young, or
        after, and it is written again.

        Args:
            sha256: of the file.
            is_held: asked at the last moment.
            older_than_seconds: by the file's time.
        """
        path = self.path(sha256)
        with hub_storage_errors():
            self.staging.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with alone(self.staging.folder, _WAIT_SECONDS) as is_alone, contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                old = time.time() - found.st_mtime > older_than_seconds
                if is_alone and old and not is_held(sha256):
                    path.unlink()
                    return found.st_size
        return None

    def keep(self, staged: StagedFile, sha256: str) -> Path:
        """Take over a file whose bytes were hashed; one that is here already stays, and counts as new."""
        path = self.path(sha256)
        staged.sync()
        with hub_storage_errors(), at_work(self.staging.folder):
            renewed = self.size(sha256) == staged.size and self._renew(path)
            if not renewed:
                staged.keep(path, self.root, durable=False)
        with hub_storage_errors():
            sync_folders(path, self.root)
        return path

    def _renew(self, path: Path) -> bool:
        with hub_storage_errors():
            try:
                # Whoever removes what nothing refers to spares what is young.
                os.utime(path)
            except FileNotFoundError:
                return False
        return True


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
