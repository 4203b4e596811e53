"""Large files: there once they are what was announced, and never before."""

import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from embedhub.errors import HubContentError, HubStorageError, StorageFullError
from embedhub.hub.blobs import BlobStore
from embedhub.hub.staging import StagedFile

DATA = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "hub")


def put(store: BlobStore, data: bytes = DATA, piece: int = 65536) -> Path:
    with store.begin(len(data)) as writer:
        for start in range(0, len(data), piece):
            writer.write(memoryview(data)[start : start + piece])
        return writer.finish(hashlib.sha256(data).hexdigest(), len(data))


def everything(store: BlobStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def finish_in(store: BlobStore, data: bytes, sha256: str | None, size: int | None) -> Path:
    with store.begin() as writer:
        writer.write(data)
        return writer.finish(sha256, size)


@pytest.mark.parametrize("piece", [7777, 65536, 1 << 20, len(DATA)])
def test_a_file_is_kept_under_its_sha256(store: BlobStore, piece: int) -> None:
    path = put(store, piece=piece)
    assert path == store.root / "lfs" / SHA256[:2] / SHA256[2:4] / SHA256 == store.path(SHA256)
    assert path.read_bytes() == DATA
    assert everything(store) == [path]
    assert store.has(SHA256)
    assert store.size(SHA256) == len(DATA)
    assert store.verify(SHA256)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_is_a_file(store: BlobStore) -> None:
    assert put(store, b"").read_bytes() == b""
    assert store.size(hashlib.sha256().hexdigest()) == 0


def test_bytes_that_nobody_announced_are_believed(store: BlobStore) -> None:
    assert finish_in(store, b"abc", None, None) == store.path(hashlib.sha256(b"abc").hexdigest())


@pytest.mark.parametrize(
    ("sha256", "size", "words"),
    [
        (SHA256, len(DATA) - 1, f"{len(DATA)} bytes were sent where {len(DATA) - 1}"),
        (SHA256, len(DATA) + 1, "bytes were sent where"),
        ("0" * 64, len(DATA), f"sha256 {SHA256}, not 000"),
        (SHA256.upper(), len(DATA), "not"),
    ],
)
def test_what_is_not_as_announced_is_not_kept(store: BlobStore, sha256: str, size: int, words: str) -> None:
    with pytest.raises(HubContentError, match=words):
        finish_in(store, DATA, sha256, size)
    assert everything(store) == []


def test_more_than_announced_is_refused_before_it_is_written(store: BlobStore) -> None:
    with store.begin(10) as writer:
        writer.write(b"0123456789")
        with pytest.raises(HubContentError, match="more than the 10 bytes"):
            writer.write(b"0")
    assert everything(store) == []


def test_an_aborted_file_leaves_nothing(store: BlobStore) -> None:
    with store.begin() as writer:
        writer.write(DATA)
        assert len(everything(store)) == 1
    assert everything(store) == []
    writer.abort()


def test_a_file_that_is_here_stays_and_counts_as_new(store: BlobStore) -> None:
    path = put(store)
    os.utime(path, (1, 1))
    inode = path.stat().st_ino
    assert put(store) == path
    assert everything(store) == [path]
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 1


def test_a_file_cut_short_is_mended_by_who_sends_it_again(store: BlobStore) -> None:
    put(store).write_bytes(b"half")
    assert not store.verify(SHA256)
    assert put(store).read_bytes() == DATA


def test_damage_is_found(store: BlobStore) -> None:
    path = put(store)
    path.write_bytes(DATA[:-1] + b"x")
    assert store.has(SHA256)
    assert not store.verify(SHA256)
    assert not store.verify("1" * 64)


def test_files_are_listed_and_removed(store: BlobStore) -> None:
    assert list(store) == []
    names = sorted(put(store, bytes([value])).name for value in range(20))
    stray = store.root / "lfs" / names[0][:2]
    (stray / "stray").write_bytes(b"")
    (stray / names[0][2:4] / "stray").write_bytes(b"")
    assert list(store) == names
    assert store.remove(names[0])
    assert not store.remove(names[0])
    assert list(store) == names[1:]
    assert store.size(names[0]) is None


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a" * 63, "g" * 64, "A" * 64, "a" * 64 + "\n", "\0" * 64]
)
def test_what_is_no_sha256_reaches_no_path(store: BlobStore, name: str) -> None:
    with pytest.raises(HubContentError, match="is no sha256"):
        store.path(name)


def test_many_threads_put_the_same(store: BlobStore) -> None:
    threads = [threading.Thread(target=put, args=(store,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in everything(store)] == [DATA]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_full_disk_leaves_nothing(store: BlobStore, monkeypatch: pytest.MonkeyPatch, number: int, step: str) -> None:
    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with store.begin() as writer:
        writer.write(DATA)
        if step == "fsync":
            monkeypatch.setattr(os, "fsync", full)
            with pytest.raises(StorageFullError, match="no space left"):
                writer.finish(SHA256, len(DATA))
            monkeypatch.undo()
        else:
            monkeypatch.setattr(writer._staged, "_file", Full(number, writer._staged._file))
            with pytest.raises(StorageFullError, match="no space left"):
                writer.write(DATA)
    assert everything(store) == []
    assert put(store).read_bytes() == DATA


def test_a_real_limit_leaves_nothing(store: BlobStore) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from embedhub.hub.blobs import BlobStore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "with BlobStore(Path(sys.argv[1])).begin() as w: w.write(bytes(1_000_000))"
    )
    command = [sys.executable, "-c", script, str(store.root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "StorageFullError: no space left on the Hub's disk" in ended.stderr
    assert everything(store) == []


class Full:
    """A file on a full disk."""

    def __init__(self, number: int, file: object) -> None:
        self._number = number
        self._file = file

    def write(self, piece: bytes) -> int:
        raise OSError(self._number, os.strerror(self._number))

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_what_cannot_fit_is_refused_before_a_byte_is_sent(store: BlobStore) -> None:
    with pytest.raises(StorageFullError, match="no space left"):
        store.begin(1 << 60)
    assert everything(store) == []


def test_a_folder_that_cannot_be_written_is_one_line_without_a_path(tmp_path: Path) -> None:
    (tmp_path / "hub").write_bytes(b"a file")
    with pytest.raises(HubStorageError, match=r"^the Hub cannot use its files: Not a directory$"):
        BlobStore(tmp_path / "hub").begin()


def test_short_writes_are_continued(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.begin() as writer:
        file = writer._staged._file
        monkeypatch.setattr(writer._staged, "_file", Short(file))
        writer.write(DATA[:50])
        assert writer.finish(None, 50).read_bytes() == DATA[:50]


class Short:
    """A file that takes three bytes at a time."""

    def __init__(self, file: object) -> None:
        self._file = file

    def write(self, piece: bytes) -> int:
        written = self._file.write(bytes(piece[:3]))  # type: ignore[attr-defined]
        assert isinstance(written, int)
        return written

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_what_a_killed_process_left_is_cleaned_and_what_lives_is_not(store: BlobStore) -> None:
    script = (
        "import sys, time; from pathlib import Path; from embedhub.hub.blobs import BlobStore\n"
        "w = BlobStore(Path(sys.argv[1])).begin(); w.write(b'half'); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(store.root)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with store.begin() as mine:
            mine.write(b"also half")
            assert store.staging.clean() == 0
            assert len(everything(store)) == 2
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert store.staging.clean() == 1
            assert mine.finish(None, 9).read_bytes() == b"also half"
    assert len(everything(store)) == 1
    assert store.staging.clean() == 0


def test_who_is_cleaned_between_two_calls_begins_again(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock
    cleaned: list[Path] = []

    def late(descriptor: int, operation: int) -> None:
        if not cleaned:
            cleaned.extend(everything(store))
            cleaned[0].unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with store.begin() as writer:
        writer.write(b"abc")
        assert writer.finish(None, 3).read_bytes() == b"abc"
    assert len(cleaned) == 1


def test_bytes_last_before_the_name_does_and_the_name_before_it_is_told(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append(str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(store.root)))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = put(store)
    first, *rest = seen
    assert first.startswith("tmp/")
    assert rest == [f"lfs/{SHA256[:2]}/{SHA256[2:4]}", f"lfs/{SHA256[:2]}", "lfs", "."]
    assert path.exists()


def test_a_staged_file_can_be_read_while_it_grows(store: BlobStore) -> None:
    with store.staging.begin() as staged:
        assert isinstance(staged, StagedFile)
        staged.write(b"abcdef")
        assert staged.read(3, 2) == b"cde"
        assert staged.read(10, 4) == b"ef"
