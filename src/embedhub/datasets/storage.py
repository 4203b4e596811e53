"""Files that are there whole or not at all, and what the disk says when it refuses.

Knows fsync, rename and the error numbers of a full disk. Refuses to know what is written.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from embedhub.errors import DatasetError, StorageFullError

_UNFINISHED = ".unfinished"

# EFBIG is the answer of a file size limit (ulimit -f), EDQUOT that of a user's quota.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the disk answers into the project's errors.

    Args:
        path: what is being written, for the message.

    Raises:
        StorageFullError: no space, quota or size limit left.
        DatasetError: any other refusal, such as a folder that may not be written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise StorageFullError(_full_message(path)) from error
        raise DatasetError(f"cannot write {path}: {error}") from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(_full_message(path)) from error
        raise DatasetError(f"cannot write {path}: {error.strerror or error}") from error


def _full_message(path: Path) -> str:
    return f"no space left to write {path}; what was finished is kept: free some space and run the same again"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name once every byte is on the disk; a failure leaves nothing behind.

    Raises:
        StorageFullError: no space left.
        DatasetError: the place may not be written.
    """
    # A name of its own a process: two exports to one place must not write into each other.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        with storage_errors(path):
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished_files(path: Path) -> list[Path]:
    """What processes that were killed while they wrote a file of this name have left; `*` stands for any part."""
    return list(path.parent.glob(f".{path.name}.*{_UNFINISHED}"))


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder so that the new name survives a power cut. Both lie on one file system.

    Raises:
        DatasetError: the file system refuses.
    """
    with storage_errors(target):
        source.rename(target)
        sync_folder(target.parent)
        if source.parent != target.parent:
            sync_folder(source.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it; one that is not there is fine.

    Raises:
        DatasetError: the file system refuses.
    """
    with storage_errors(folder):
        if folder.is_dir():
            shutil.rmtree(folder)
