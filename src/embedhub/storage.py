"""Files that are there whole or not at all, and what the disk says when it refuses.

Knows fsync, rename and the error numbers of a full disk. Refuses to know what is written, and which room writes.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from embedhub.errors import EmbedhubError, StorageFullError

_UNFINISHED = ".unfinished"

# EFBIG is the answer of a file size limit (ulimit -f), EDQUOT that of a user's quota.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error, or behind the one that led to it."""
    while error is not None:
        if isinstance(error, StorageFullError) or (isinstance(error, OSError) and error.errno in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def storage_errors(full: str, refused: tuple[type[EmbedhubError], str] | None = None) -> Iterator[None]:
    """Turn what the disk answers into the project's errors.

    Args:
        full: what to say when it is full.
        refused: the error for any other refusal, such as a folder that may not be written, and what stands before
            its reason; None lets the OSError pass.

    Raises:
        StorageFullError: no space, quota or size limit left.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(full) from error
        if refused is None:
            raise
        kind, words = refused
        raise kind(f"{words}: {error.strerror or error}") from error


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name once every byte is on the disk; a failure leaves nothing behind.

    Raises:
        OSError: the disk refuses.
    """
    # A name of its own a process: two that write to one place must not write into each other's file.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished_files(path: Path) -> list[Path]:
    """What processes that were killed while they wrote a file of this name have left; `*` stands for any part."""
    return list(path.parent.glob(f".{path.name}.*{_UNFINISHED}"))


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder so that the new name survives a power cut. Both lie on one file system.

    Raises:
        OSError: the file system refuses.
    """
    source.rename(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)
