"""What libgit2 has written is on the disk when we say so, and what it says of a full disk is said in our words.

Knows loose objects, references and fsync. Refuses to know what the objects are.
"""

import errno
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import Option

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


def sync_objects(folder: Path, hashes: Iterable[str]) -> None:
    """Put loose objects on the disk. At once, because a disk takes several as fast as one.

    Args:
        folder: of the repository.
        hashes: of the objects; those that lie in a pack are there already.

    Raises:
        StorageFullError: the disk is full.
    """
    objects = folder / "objects"
    paths = {objects / hash[:2] / hash[2:] for hash in hashes}
    with storage_errors(FULL):
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
