"""The cache of vectors: what it forgets, what survives, and what makes two jobs different."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embedhub.engine.packing import Job
from embedhub.errors import SettingError
from embedhub.runtime.cache import VectorCache, job_key, model_namespace

SPACE = model_namespace("fingerprint", "f32", "openvino", "")


def key(number: int) -> bytes:
    return job_key(Job([number]), SPACE)


def vector(number: int, width: int = 100) -> np.ndarray:
    return np.full(width, number, np.float32)


def test_it_remembers() -> None:
    cache = VectorCache(1 << 20)
    cache.put({key(1): vector(1)})
    found = cache.get([key(2), key(1)])
    assert found[0] is None
    np.testing.assert_array_equal(found[1], vector(1))


def test_a_vector_changed_by_its_owner_stays_what_it_was() -> None:
    cache = VectorCache(1 << 20)
    mine = vector(1)
    cache.put({key(1): mine})
    mine[:] = 9
    np.testing.assert_array_equal(cache.get([key(1)])[0], vector(1))


def test_memory_has_a_limit_and_what_was_not_asked_for_goes_first() -> None:
    cache = VectorCache(10 * 700)
    for number in range(10):
        cache.put({key(number): vector(number)})
    assert cache.get([key(0)])[0] is not None
    cache.put({key(10): vector(10)})
    assert cache.memory_bytes <= 10 * 700
    assert cache.get([key(0)])[0] is not None
    assert cache.get([key(1)])[0] is None
    cache.put({key(number): vector(number) for number in range(100, 200)})
    assert 0 < cache.memory_bytes <= 10 * 700
    # The same again takes no more.
    before = cache.memory_bytes
    cache.put({key(199): vector(199)})
    assert cache.memory_bytes == before


def test_without_memory_and_disk_it_is_off() -> None:
    cache = VectorCache(0)
    assert not cache.enabled
    cache.put({key(1): vector(1)})
    assert cache.get([key(1)]) == [None]
    assert cache.memory_bytes == 0


def test_the_disk_survives(tmp_path: Path) -> None:
    cache = VectorCache(0, tmp_path)
    assert cache.enabled
    cache.put({key(number): vector(number) for number in range(1200)})
    cache.close()
    again = VectorCache(1 << 20, tmp_path)
    found = again.get([key(number) for number in range(1201)])
    assert found[1200] is None
    for number in range(1200):
        np.testing.assert_array_equal(found[number], vector(number))
    again.close()


def test_the_disk_has_a_limit(tmp_path: Path) -> None:
    limit = 400_000
    cache = VectorCache(0, tmp_path, limit)
    for start in range(0, 4000, 100):
        cache.put({key(number): vector(number) for number in range(start, start + 100)})
    kept = [number for number in range(4000) if cache.get([key(number)])[0] is not None]
    assert 100 < len(kept) < limit / 400
    # What was stored first goes first.
    assert kept[-1] == 3999
    cache.close()


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 5000, b""])
def test_a_damaged_file_becomes_an_empty_cache(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "vectors.sqlite").write_bytes(damage)
    cache = VectorCache(0, tmp_path)
    assert cache.get([key(1)]) == [None]
    cache.put({key(1): vector(1)})
    np.testing.assert_array_equal(cache.get([key(1)])[0], vector(1))
    cache.close()


def test_a_file_damaged_in_the_middle_is_no_error_of_a_request(tmp_path: Path) -> None:
    cache = VectorCache(0, tmp_path)
    cache.put({key(number): vector(number) for number in range(500)})
    cache.close()
    file = tmp_path / "vectors.sqlite"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xab" * (len(whole) - 4096))
    again = VectorCache(0, tmp_path)
    keys = [key(number) for number in range(600)]
    for found, number in zip(again.get(keys), range(600), strict=True):
        assert found is None or np.array_equal(found, vector(number))
    again.put({key(601): vector(601)})
    again.close()


def test_keys_differ_by_everything_that_decides_a_vector() -> None:
    jobs = [Job([1, 2]), Job([2, 1]), Job([1, 2], skipped=1), Job([1]), Job([1, 2, 0]), Job([])]
    spaces = [
        model_namespace(*parts)
        for parts in (
            ("a", "f32", "openvino", ""),
            ("b", "f32", "openvino", ""),
            ("a", "bf16", "openvino", ""),
            ("a", "int8", "openvino", "calibration"),
            ("a", "f32", "onnx", ""),
            ("af32", "", "openvino", ""),
        )
    ]
    keys = [job_key(job, space) for job in jobs for space in spaces]
    assert len(set(keys)) == len(jobs) * len(spaces)
    assert job_key(Job((1, 2)), spaces[0]) == keys[0]


def test_a_damaged_row_is_none_and_is_written_anew(tmp_path: Path) -> None:
    cache = VectorCache(0, tmp_path)
    cache.put({key(1): vector(1)})
    cache.close()
    with sqlite3.connect(tmp_path / "vectors.sqlite") as connection:
        connection.execute("UPDATE vectors SET vector = x'01020304'")
    connection.close()
    again = VectorCache(1 << 20, tmp_path)
    assert again.get([key(1)], 100) == [None]
    again.put({key(1): vector(1)})
    again.close()
    last = VectorCache(0, tmp_path)
    np.testing.assert_array_equal(last.get([key(1)], 100)[0], vector(1))
    last.close()


def pages_of(file: Path) -> None:
    """Overwrite every page but the first: what the file says of itself stays whole."""
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xab" * (len(whole) - 4096))


def test_a_file_found_damaged_later_is_begun_anew(tmp_path: Path) -> None:
    cache = VectorCache(0, tmp_path)
    cache.put({key(number): vector(number) for number in range(500)})
    cache.close()
    pages_of(tmp_path / "vectors.sqlite")
    again = VectorCache(0, tmp_path)
    again.get([key(number) for number in range(500)])
    again.put({key(601): vector(601)})
    np.testing.assert_array_equal(again.get([key(601)])[0], vector(601))
    again.close()
    with sqlite3.connect(tmp_path / "vectors.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A cache with a vector, which somebody keeps for himself."""
    cache = VectorCache(0, tmp_path)
    cache.put({key(1): vector(1)})
    cache.close()
    connection = sqlite3.connect(tmp_path / "vectors.sqlite", isolation_level=None)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("UPDATE vectors SET rowid = rowid + 1")
    yield connection
    connection.close()


def test_a_locked_file_is_neither_waited_for_nor_removed(tmp_path: Path, locked: sqlite3.Connection) -> None:
    before = time.monotonic()
    cache = VectorCache(1 << 20, tmp_path)
    for number in range(10):
        assert cache.get([key(1)]) == [None]
        cache.put({key(2 + number): vector(2)})
    assert time.monotonic() - before < 2
    # What is in memory is found meanwhile.
    np.testing.assert_array_equal(cache.get([key(2)])[0], vector(2))
    locked.execute("COMMIT")
    locked.close()
    cache._disk._left_alone_until = 0.0  # type: ignore[union-attr]
    np.testing.assert_array_equal(cache.get([key(1)])[0], vector(1))
    cache.close()


@pytest.mark.parametrize("trouble", ["file", "folder"])
def test_a_folder_that_cannot_be_used_is_told_with_the_way_out(tmp_path: Path, trouble: str) -> None:
    folder = tmp_path / "cache"
    if trouble == "file":
        folder.write_text("")
    else:
        folder.mkdir()
        (folder / "vectors.sqlite").mkdir()
    with pytest.raises(SettingError, match=r"cannot be used.*EMBEDHUB_CACHE_DISK_MB=0"):
        VectorCache(0, folder)
