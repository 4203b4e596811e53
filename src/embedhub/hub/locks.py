"""Who is at work where, as the kernel knows it: such a lock ends with the last process that holds it, however it ends.

Knows locks of folders. Refuses to know what is done under them. git's own locks are files that outlive a
process which is killed; these here tell whether such a file still belongs to anybody.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Git keeps its lock files in a repository's own folder, with the packed references, and beside single references.
_PLACES = ("*.lock", "refs/**/*.lock")

_WAIT_SECONDS = 0.02


@contextmanager
def at_work(folder: Path) -> Iterator[int]:
    """Any number may be at work in a folder, as long as nobody wants to be alone in it.

    Gives a descriptor: a child that inherits it (`pass_fds`) goes on being at work when its parent is killed.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def alone(folder: Path, wait_seconds: float = 0.0) -> Iterator[bool]:
    """Nobody else is at work in a folder while the block runs; gives False, and no lock, if somebody is.

    Args:
        folder: which.
        wait_seconds: for those who are.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _exclusive(descriptor, wait_seconds)
    finally:
        os.close(descriptor)


def stale_locks(folder: Path) -> list[Path]:
    """Lock files of git in a repository. Who is alone in it knows that nobody holds them any more."""
    return [path for place in _PLACES for path in folder.glob(place)]


def remove_stale_locks(folder: Path, wait_seconds: float) -> int:
    """Remove what killed processes have left locked in a repository; gives how many locks that were.

    Nothing is removed while somebody is at work in it, such as a push whose server was killed.

    Args:
        folder: of the repository.
        wait_seconds: for who is at work.
    """
    if not stale_locks(folder):
        return 0
    removed = 0
    with suppress(FileNotFoundError), alone(folder, wait_seconds) as is_alone:
        for path in stale_locks(folder) if is_alone else ():
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _exclusive(descriptor: int, wait_seconds: float) -> bool:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_WAIT_SECONDS)
        else:
            return True
