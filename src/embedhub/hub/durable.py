"""What libgit2 has written is on the disk when we say so, and what it says of a full disk is said in our words.

Knows loose objects, packs, references and fsync. Refuses to know what the objects are.
"""

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import Option
from pygit2.packbuilder import PackBuilder

from embedhub.errors import HubError
from embedhub.storage import storage_errors, sync

FULL = "the disk is full; nothing was changed"

# What libgit2 passes on of the system's words, and below how many bytes a disk is full whatever it says.
_FULL_WORDS = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_FULL_BYTES = 256 << 10

# What libgit2 raises: some of its errors are a Python error's class with no errno.
GIT_ERRORS = (pygit2.GitError, ValueError, KeyError, OSError)

# Objects are put on the disk together, not by libgit2 one by one; references by libgit2, while this is on.
_FSYNC = threading.Lock()
_SYNCING = ThreadPoolExecutor(8, "fsync")

# So many small objects at once lie in one pack from then on: a file system gives each file a block of 4 KiB, and a
# folder of so many files is listed twice as fast. Larger ones would be compared with each other at length.
_PACKED_FROM = 1000
_SMALL_BYTES = 16 << 10


def sync_objects(repository: pygit2.Repository, hashes: Iterable[str]) -> None:
    """Put loose objects on the disk. At once, because a disk takes several as fast as one.

    Args:
        repository: a bare one.
        hashes: of the objects; those that lie in a pack are there already.

    Raises:
        StorageFullError: the disk is full.
    """
    objects = Path(repository.path) / "objects"
    paths = {objects / hash[:2] / hash[2:]: hash for hash in hashes}
    with storage_errors(FULL):
        if len(paths) >= _PACKED_FROM:
            small = {path: hash for path, hash in paths.items() if 0 < _size(path) <= _SMALL_BYTES}
            if small:
                _pack(repository, small)
            paths = {path: hash for path, hash in paths.items() if path not in small}
        list(_SYNCING.map(_sync_if_there, [*paths, *{path.parent for path in paths}, objects]))


@contextmanager
def synced(repository: pygit2.Repository) -> Iterator[Any]:
    """A transaction over references that is on the disk at its end.

    Raises:
        StorageFullError: the disk is full.
    """
    with _FSYNC, full_disk(Path(repository.path)):
        pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)
        try:
            with repository.transaction() as transaction:
                yield transaction
        finally:
            pygit2.option(Option.ENABLE_FSYNC_GITDIR, False)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Turn what libgit2 says of a full disk into the project's error; other words of it pass.

    Args:
        folder: of the repository.

    Raises:
        StorageFullError: the disk is full.
    """
    with storage_errors(FULL):
        try:
            yield
        except (pygit2.GitError, OSError) as error:
            # Its errors have no number, and some of them say no more than `no error`.
            unknown = not getattr(error, "errno", None)
            told = any(words in str(error) for words in _FULL_WORDS)
            if unknown and (told or shutil.disk_usage(folder).free < _FULL_BYTES):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise


def _sync_if_there(path: Path) -> None:
    # An object that was there before may lie in a pack.
    with suppress(FileNotFoundError):
        if not path.stat().st_size and path.is_file():
            # What a power cut has left of an object; libgit2 takes it for one that is there already.
            path.unlink()
            raise HubError("the disk had lost a part of this: send it again")
        sync(path)


def _pack(repository: pygit2.Repository, loose: Mapping[Path, str]) -> None:
    """Keep objects in one pack instead of in files of their own."""

    def add(builder: PackBuilder) -> None:
        for hash in loose.values():
            builder.add(pygit2.Oid(hex=hash))

    packs = Path(repository.path) / "objects" / "pack"
    packs.mkdir(exist_ok=True)
    # What is left of it by somebody who was killed is known as such by git and by `garbage`.
    with tempfile.TemporaryDirectory(prefix="tmp_", dir=packs) as made, full_disk(packs):
        repository.pack(made, add, 1)
        # A pack is looked for where an index is.
        for path in sorted(Path(made).iterdir(), key=lambda path: path.suffix == ".idx"):
            sync(path)
            path.replace(packs / path.name)
    sync(packs)
    for path in loose:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
