"""Files that are whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from embedhub.errors import ModelError, StorageFullError
from embedhub.storage import is_full, move_folder, storage_errors, unfinished_files, whole_file


def fail_in(path: Path, error: BaseException) -> None:
    with whole_file(path) as file:
        file.write(b"half")
        assert [found.parent for found in unfinished_files(path)] == [path.parent]
        raise error


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        fail_in(path, error)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_in_the_callers_words(number: int) -> None:
    with pytest.raises(StorageFullError, match=r"^free some$") as raised, storage_errors("free some"):
        raise OSError(number, os.strerror(number))
    assert is_full(raised.value.__cause__)


def test_other_refusals_are_the_callers_error_or_pass() -> None:
    with (
        pytest.raises(ModelError, match=r"^the store: Permission denied$"),
        storage_errors("full", (ModelError, "the store")),
    ):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(PermissionError), storage_errors("full"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_full_disk_is_found_behind_other_errors() -> None:
    def wrapped() -> None:
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError as error:
            raise RuntimeError("download failed") from error

    with pytest.raises(RuntimeError) as raised:
        wrapped()
    assert is_full(raised.value)
    assert not is_full(RuntimeError("download failed"))
    assert not is_full(None)


def test_a_folder_moves_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x")
    (tmp_path / "b").mkdir()
    move_folder(tmp_path / "a", tmp_path / "b" / "c")
    assert (tmp_path / "b" / "c" / "file").read_bytes() == b"x"
    assert not (tmp_path / "a").exists()
