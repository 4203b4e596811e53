"""Sealed folders: whole or not there, and damage of any kind is noticed."""

import json
import shutil
import time
from pathlib import Path

import pytest

from embedhub.search.sealed import SEAL, exclusive, opened, replacing, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    with replacing(made) as building:
        (building / "a").write_bytes(bytes(range(100)))
        (building / "b").write_bytes(b"")
        seal(building, {"rows": 3})
    # Damage within the clock tick in which the seal was made would keep the change time.
    time.sleep(0.02)
    return made


def test_a_whole_folder_gives_its_record(folder: Path) -> None:
    assert opened(folder) == {"rows": 3}


def test_a_missing_folder_gives_none(tmp_path: Path) -> None:
    assert opened(tmp_path / "none") is None


@pytest.mark.parametrize("length", [0, 1, 50, 99])
def test_a_truncated_file_is_noticed(folder: Path, length: int) -> None:
    with (folder / "a").open("r+b") as stream:
        stream.truncate(length)
    assert opened(folder) is None


@pytest.mark.parametrize("place", [0, 49, 99])
def test_one_flipped_bit_is_noticed(folder: Path, place: int) -> None:
    with (folder / "a").open("r+b") as stream:
        stream.seek(place)
        stream.write(bytes([place ^ 4]))
    assert opened(folder) is None


def test_files_that_came_or_went_are_noticed(folder: Path) -> None:
    (folder / "c").write_bytes(b"more")
    assert opened(folder) is None
    (folder / "c").unlink()
    (folder / "b").unlink()
    assert opened(folder) is None


def test_a_seal_damaged_at_any_byte_never_raises_and_never_lies(folder: Path) -> None:
    original = (folder / SEAL).read_bytes()
    for place in range(len(original)):
        damaged = bytearray(original)
        damaged[place] ^= 1
        for text in (bytes(damaged), original[:place]):
            (folder / SEAL).write_bytes(text)
            assert opened(folder) in (None, {"rows": 3})
    for text in (b"[]", b"null", b'{"content": 1, "crc32": 2}', b"\xff\xfe"):
        (folder / SEAL).write_bytes(text)
        assert opened(folder) is None


def test_a_copied_folder_is_checked_once_and_sealed_again(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    before = json.loads((copied / SEAL).read_text())
    assert opened(copied) == {"rows": 3}
    assert json.loads((copied / SEAL).read_text()) != before
    assert opened(copied) == {"rows": 3}


def test_a_folder_that_failed_leaves_nothing(folder: Path) -> None:
    def fail() -> None:
        with replacing(folder) as building:
            (building / "a").write_bytes(b"half")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert list(folder.parent.iterdir()) == []


def test_what_cannot_be_locked_because_it_cannot_be_written_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "read only")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with exclusive(folder):
        assert opened(folder) == {"rows": 3}
