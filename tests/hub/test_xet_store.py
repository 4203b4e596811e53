"""Xorbs that wait and shards that make files of them; what does not fit starts from nothing."""

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.hub import xet_files as write

from embedhub.errors import EmbedhubError, HubContentError, StorageFullError, XetError
from embedhub.hub import xet_store
from embedhub.hub.blobs import BlobStore
from embedhub.hub.xet_store import EPOCH_SECONDS, GRACE_SECONDS, XetStore

HERE = "0b5d7b9e-1111-4222-8333-0123456789ab"
THERE = "ffffffff-1111-4222-8333-0123456789ab"

CHUNKS = [random.Random(seed).randbytes(500 * seed) for seed in range(1, 5)]
XORB = write.name(*CHUNKS)
WHOLE = b"".join(CHUNKS)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.fixture
def store(blobs: BlobStore) -> XetStore:
    return XetStore(blobs)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store: XetStore, epoch: str, name: str, data: bytes) -> bool:
    with store.begin(HERE, epoch, name) as writer:
        for start in range(0, len(data), 1000):
            writer.write(data[start : start + 1000])
        return writer.finish()


def shard_of(data: bytes, *segments: tuple[str, int, int, int]) -> bytes:
    return write.shard(write.file(segments, sha256(data)))


def files(blobs: BlobStore) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_files_are_put_together(store: XetStore, blobs: BlobStore, scheme: int) -> None:
    epoch = store.epoch(HERE, "alice")
    assert put(store, epoch, XORB, write.xorb(*CHUNKS, scheme=scheme))
    other = write.name(b"b")
    assert put(store, epoch, other, write.xorb(b"b" * 700, b"c") + b"XETBLOB...")
    first = CHUNKS[1] + CHUNKS[2] + b"c" + CHUNKS[0] + b"b" * 700
    segments = [(XORB, 2500, 1, 3), (other, 1, 1, 2), (XORB, 500, 0, 1), (other, 700, 0, 1)]
    shard = write.shard(write.file(segments, sha256(first)), write.file([(XORB, 5000, 0, 4)], verified=False))
    assert store.ingest(HERE, epoch, shard) == [(sha256(first), 3701), (sha256(WHOLE), 5000)]
    assert blobs.path(sha256(first)).read_bytes() == first
    assert blobs.path(sha256(WHOLE)).read_bytes() == WHOLE
    assert store.epoch(HERE, "alice") == epoch
    assert len(files(blobs)) == 4
    assert store.ingest(HERE, epoch, shard) == [(sha256(first), 3701), (sha256(WHOLE), 5000)]


def test_a_xorb_is_kept_once_and_replaced_by_another(store: XetStore, blobs: BlobStore) -> None:
    epoch = store.epoch(HERE, "alice")
    data = write.xorb(*CHUNKS)
    assert [put(store, epoch, XORB, data), put(store, epoch, XORB, data)] == [True, False]
    for other in (data + b"XETBLOB", data, write.xorb(*CHUNKS, scheme=2), write.xorb(*CHUNKS[::-1])):
        assert put(store, epoch, XORB, other)
        assert [path.read_bytes() for path in files(blobs)] == [other]


def test_what_is_no_xorb_is_not_kept(store: XetStore, blobs: BlobStore) -> None:
    epoch = store.epoch(HERE, "alice")
    for data in (b"", b"nonsense" * 100, write.xorb(*CHUNKS)[:-1]):
        with pytest.raises(XetError):
            put(store, epoch, XORB, data)
    assert files(blobs) == []


def test_a_xorb_is_no_larger_than_allowed(store: XetStore, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xet_store, "MAX_XORB_BYTES", 3000)
    with pytest.raises(HubContentError, match="more than the 3000 bytes"):
        put(store, store.epoch(HERE, "alice"), XORB, write.xorb(*CHUNKS, scheme=0))
    assert files(blobs) == []


@pytest.mark.parametrize("name", ["", "..", "../x", "A" * 64, "a" * 63, "a" * 64 + "/", "\0"])
def test_names_reach_no_other_path(store: XetStore, blobs: BlobStore, name: str) -> None:
    epoch = store.epoch(HERE, "alice")
    with pytest.raises(XetError, match="no xorb's hash"):
        store.begin(HERE, epoch, name)
    with pytest.raises(XetError, match="no repository's id"):
        store.begin(f"/{name}", epoch, XORB)
    with pytest.raises(XetError, match="no longer in use"):
        store.begin(HERE, name, XORB)
    with pytest.raises(XetError, match="no repository's id"):
        store.drop(f"../{name}")
    assert files(blobs) == []


def test_what_one_sent_is_not_there_for_others(store: XetStore, blobs: BlobStore) -> None:
    mine = store.epoch(HERE, "alice")
    put(store, mine, XORB, write.xorb(*CHUNKS))
    shard = shard_of(WHOLE, (XORB, 5000, 0, 4))
    for repository, user in ((HERE, "bob"), (THERE, "alice")):
        with pytest.raises(XetError, match=f"xorb {XORB} is not here"):
            store.ingest(repository, store.epoch(repository, user), shard)
    with pytest.raises(XetError, match="no longer in use"):
        store.ingest(THERE, mine, shard)
    assert list(blobs) == []


@pytest.mark.parametrize(
    ("shard", "words"),
    [
        (shard_of(WHOLE, (XORB, 5000, 0, 5)), "are not in a xorb of 4 chunks"),
        (shard_of(WHOLE, (XORB, 5000, 4, 0)), "are not in a xorb of 4 chunks"),
        (shard_of(WHOLE, (XORB, 4999, 0, 4)), "do not have the 4999 bytes"),
        (shard_of(WHOLE, (XORB, 2500, 1, 3)), "a file put together has sha256"),
        (shard_of(WHOLE, ("1" * 64, 5000, 0, 4)), f"xorb {'1' * 64} is not here"),
        (shard_of(WHOLE, *[(XORB, 0xFFFFFFFF, 0, 4)] * 100), "bytes at most"),
        (b"nonsense", "no shard"),
        (shard_of(WHOLE, (XORB, 5000, 0, 4))[:-70], "ends within"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_shard_that_does_not_fit_keeps_nothing_and_begins_an_epoch(
    store: XetStore, blobs: BlobStore, shard: bytes, words: str
) -> None:
    epoch = store.epoch(HERE, "alice")
    put(store, epoch, XORB, write.xorb(*CHUNKS))
    with pytest.raises(XetError, match=words):
        store.ingest(HERE, epoch, shard)
    assert list(blobs) == []
    assert len(files(blobs)) == 1
    after = store.epoch(HERE, "alice")
    assert after > epoch
    # What runs beside it still finds its xorbs.
    assert store.ingest(HERE, epoch, shard_of(WHOLE, (XORB, 5000, 0, 4))) == [(sha256(WHOLE), 5000)]
    assert store.epoch(HERE, "alice") == after


@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, None, "truncated"])
def test_a_damaged_xorb_is_sent_again_to_the_next_epoch(store: XetStore, blobs: BlobStore, damage: object) -> None:
    data, shard = write.xorb(*CHUNKS, scheme=2), shard_of(WHOLE, (XORB, 5000, 0, 4))
    epoch = store.epoch(HERE, "alice")
    put(store, epoch, XORB, data)
    (path,) = files(blobs)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage if isinstance(damage, bytes) else data[:-9])
    with pytest.raises(XetError):
        store.ingest(HERE, epoch, shard)
    epoch = store.epoch(HERE, "alice")
    assert put(store, epoch, XORB, data)
    assert store.ingest(HERE, epoch, shard) == [(sha256(WHOLE), 5000)]


def test_more_xorbs_than_may_be_open_are_read_in_turn(
    store: XetStore, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xet_store, "_OPEN_XORBS", 2)
    epoch = store.epoch(HERE, "alice")
    names = [write.name(bytes([value])) for value in range(5)]
    for value, name in enumerate(names):
        put(store, epoch, name, write.xorb(bytes([value])))
    order = [0, 1, 2, 0, 3, 4, 1, 0]
    before = len(list(Path("/proc/self/fd").iterdir()))
    shard = shard_of(bytes(order), *[(names[value], 1, 0, 1) for value in order])
    assert store.ingest(HERE, epoch, shard) == [(sha256(bytes(order)), 8)]
    with pytest.raises(XetError):
        store.ingest(HERE, epoch, shard_of(b"no", *[(names[value], 1, 0, 1) for value in order]))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_large_file_takes_little_memory(store: XetStore, blobs: BlobStore) -> None:
    data = random.Random(1).randbytes(100_000)
    epoch = store.epoch(HERE, "alice")
    put(store, epoch, XORB, write.xorb(data, data, scheme=1))
    shard = shard_of(data * 400, *[(XORB, 200_000, 0, 2)] * 200)
    expected = [(sha256(data * 400), 40_000_000)]
    tracemalloc.start()
    assert store.ingest(HERE, epoch, shard) == expected
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_full_disk_keeps_the_epoch(store: XetStore, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = store.epoch(HERE, "alice")
    put(store, epoch, XORB, write.xorb(*CHUNKS))
    shard = shard_of(WHOLE, (XORB, 5000, 0, 4))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFullError):
        store.ingest(HERE, epoch, shard)
    monkeypatch.undo()
    assert len(files(blobs)) == 1
    assert store.epoch(HERE, "alice") == epoch
    assert store.ingest(HERE, epoch, shard) == [(sha256(WHOLE), 5000)]
    huge = shard_of(WHOLE, *[(XORB, 0xFFFFFFFF, 0, 4)] * 50_000)
    with pytest.raises(StorageFullError):
        store.ingest(HERE, epoch, huge, max_bytes=1 << 60)


def test_an_epoch_is_used_for_a_while_and_works_longer(store: XetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    first = store.epoch(HERE, "alice")
    assert store.epoch(HERE, "alice") == first
    assert len({store.epoch(HERE, "bob"), store.epoch(HERE, "alice"), store.epoch(HERE, "Alice")}) == 3
    now += EPOCH_SECONDS - 1
    assert store.epoch(HERE, "alice") == first
    assert store.expire() == 0
    now += 2
    second = store.epoch(HERE, "alice")
    assert second > first
    assert put(store, first, XORB, write.xorb(*CHUNKS))
    now += GRACE_SECONDS
    assert store.expire() == 3
    assert put(store, second, XORB, write.xorb(*CHUNKS))
    with pytest.raises(XetError, match="no longer in use"):
        store.begin(HERE, first, XORB)
    now += 10 * EPOCH_SECONDS
    assert store.expire() == 1
    assert not any((store._folder).iterdir())
    assert store.expire() == 0


def test_who_fails_for_ever_fills_no_disk(store: XetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    for _ in range(50):
        with pytest.raises(XetError):
            store.ingest(HERE, store.epoch(HERE, "alice"), b"nonsense")
        now += GRACE_SECONDS / 5
    assert len(list((store._folder / HERE).iterdir())) < 10


def test_a_deleted_repository_has_no_xorbs(store: XetStore, blobs: BlobStore) -> None:
    epoch = store.epoch(HERE, "alice")
    put(store, epoch, XORB, write.xorb(*CHUNKS))
    store.drop(HERE)
    store.drop(HERE)
    assert files(blobs) == []
    with pytest.raises(XetError, match="no longer in use"):
        store.begin(HERE, epoch, XORB)


class Gateway(ThreadingHTTPServer):
    """The few answers that a client needs, over a store."""

    daemon_threads = True

    def __init__(self, store: XetStore) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.store = store
        self.xorbs = 0
        self.made: list[tuple[str, int]] = []
        self.errors: list[EmbedhubError] = []

    def address(self, epoch: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{epoch}"


class _Answers(BaseHTTPRequestHandler):
    server: Gateway
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # Telemetry goes to an address that is shorter.
        epoch, version, kind, *rest = f"{self.path.strip('/')}//".split("/")
        try:
            if (version, kind) == ("v1", "xorbs"):
                self.server.xorbs += 1
                with self.server.store.begin(HERE, epoch, rest[1]) as writer:
                    writer.write(body)
                    self._answer(200, b'{"was_inserted":true}' if writer.finish() else b'{"was_inserted":false}')
            elif (version, kind) == ("v1", "shards"):
                self.server.made += self.server.store.ingest(HERE, epoch, body)
                self._answer(200, b'{"result":1}')
            else:
                self._answer(404, b"{}")
        except EmbedhubError as error:
            self.server.errors.append(error)
            self._answer(400, b"{}")

    def do_GET(self) -> None:
        self._answer(404, b"{}")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def gateway(store: XetStore) -> Iterator[Gateway]:
    pytest.importorskip("hf_xet", reason="Hugging Face's library is not made for this machine")
    with Gateway(store) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(gateway: Gateway, epoch: str, cache: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(__file__).with_name("xet_client.py")), gateway.address(epoch)]
    environment = {**os.environ, "HF_XET_CACHE": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*"}
    return subprocess.run(
        [*command, *map(str, paths)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_what_the_real_client_sends_becomes_its_files(
    gateway: Gateway, blobs: BlobStore, store: XetStore, tmp_path: Path
) -> None:
    import numpy as np

    generator = np.random.default_rng(1)
    contents = [
        generator.standard_normal(700_001).astype("<f4").tobytes() + b"end",
        b"".join(f"row {number}, a text\n".encode() for number in range(100_000)),
        generator.bytes(300_001),
        b"small",
    ]
    paths = [tmp_path / f"file{number}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    epoch, cache = store.epoch(HERE, "alice"), tmp_path / "cache"

    answer = client(gateway, epoch, cache, *paths)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == [sha256(content) for content in contents]
    assert sorted(gateway.made) == sorted((sha256(content), len(content)) for content in contents)
    assert all(blobs.path(sha256(content)).read_bytes() == content for content in contents)
    assert gateway.xorbs == 1

    # It remembers what it has sent, and sends a shard only.
    shutil.rmtree(tmp_path / "lfs")
    assert client(gateway, epoch, cache, paths[0]).returncode == 0
    assert gateway.xorbs == 1
    assert list(blobs) == [sha256(contents[0])]

    # It does so when the xorbs are gone, too; the next epoch mends that.
    shutil.rmtree(tmp_path / "lfs")
    for xorb in (tmp_path / "xorbs" / HERE / epoch).iterdir():
        xorb.unlink()
    assert client(gateway, epoch, cache, paths[0]).returncode != 0
    assert [type(error) for error in gateway.errors] == [XetError]
    assert list(blobs) == []
    epoch = store.epoch(HERE, "alice")
    assert client(gateway, epoch, cache, paths[0]).returncode == 0
    assert gateway.xorbs == 2
    assert list(blobs) == [sha256(contents[0])]
