"""What this room says when the disk refuses: a dataset is not lost, the same command goes on.

Knows the words, and that SQLite has its own for a full disk. How files become whole is known to `embedhub.storage`.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from embedhub import storage
from embedhub.errors import DatasetError, StorageFullError


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the disk answers into the project's errors.

    Args:
        path: what is being written, for the message.

    Raises:
        StorageFullError: no space, quota or size limit left.
        DatasetError: any other refusal, such as a folder that may not be written.
    """
    full = f"no space left to write {path}; what was finished is kept: free some space and run the same again"
    try:
        with storage.storage_errors(full, (DatasetError, f"cannot write {path}")):
            yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise StorageFullError(full) from error
        raise DatasetError(f"cannot write {path}: {error}") from error


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """`embedhub.storage.whole_file` with the errors of this room."""
    with storage_errors(path), storage.whole_file(path) as file:
        yield file


def move_folder(source: Path, target: Path) -> None:
    """`embedhub.storage.move_folder` with the errors of this room."""
    with storage_errors(target):
        storage.move_folder(source, target)


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it; one that is not there is fine.

    Raises:
        DatasetError: the file system refuses.
    """
    with storage_errors(folder):
        if folder.is_dir():
            shutil.rmtree(folder)
