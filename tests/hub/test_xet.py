"""Xorbs and shards: read as they are written, and whatever else comes is one line."""

import contextlib
import random
import time
import tracemalloc

import lz4.frame
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.hub import xet_files as write

from embedhub.errors import XetError
from embedhub.hub import xet

WORDS = [b"one", b"two two", b"3" * 1000, bytes(range(256)) * 500]
NAME = "0123456789abcdef" * 4
SHA256 = "fedcba9876543210" * 4


def read(data: bytes) -> list[bytes]:
    return [bytes(chunk) for chunk in xet.xorb_chunks(data)]


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_chunks_come_back(scheme: int) -> None:
    chunks = [*WORDS, b"x", b"xy", b"xyz", b"wxyz", random.Random(1).randbytes(xet.MAX_CHUNK_BYTES)]
    assert read(write.xorb(*chunks, scheme=scheme)) == chunks


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.sampled_from([0, 1, 2])), min_size=1))
def test_any_chunks_come_back(chunks: list[tuple[bytes, int]]) -> None:
    data = b"".join(write.chunk(data, scheme) for data, scheme in chunks)
    assert read(data) == [data for data, _ in chunks]
    assert read(data + b"XETBLOB" + b"any footer") == [data for data, _ in chunks]


def test_the_index_knows_places_and_sizes() -> None:
    data = write.xorb(*WORDS)
    index = xet.index_xorb(lambda count, place: data[place : place + count], len(data))
    assert len(index) == 4
    assert index.starts.tolist() == [0, 3, 10, 1010, 129_010]
    assert index.size(1, 3) == 1007
    for first, end in [(0, 5), (2, 2), (3, 2), (-1, 2), (4, 5)]:
        with pytest.raises(XetError, match="are not in a xorb of 4 chunks"):
            index.size(first, end)


def test_frames_of_other_writers_are_read() -> None:
    data = b"some text " * 5000
    for options in ({"store_size": True}, {"block_linked": False, "content_checksum": True}, {"block_size": 7}):
        assert read(write.chunk_of(lz4.frame.compress(data, **options), 1, len(data))) == [data]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "has no chunks"),
        (b"XETBLOB", "has no chunks"),
        (b"\0" * 7, "ends within chunk 0"),
        (write.chunk(b"a") + b"XETB", "ends within chunk 1"),
        (write.chunk_of(b"a", 0, 1, version=1), "of version 1"),
        (write.chunk_of(b"a", 3, 1), "by scheme 3"),
        (write.chunk_of(b"a", 99, 1), "by scheme 99"),
        (write.chunk_of(b"", 0, 0), "has 0 bytes"),
        (write.chunk_of(b"a" * (xet.MAX_CHUNK_BYTES + 1), 0, xet.MAX_CHUNK_BYTES + 1), "are allowed"),
        (write.chunk_of(b"a" * (2 * xet.MAX_CHUNK_BYTES + 1), 1, 100), "are allowed"),
        (write.chunk_of(b"abc", 0, 2), "of which 3 are stored"),
        (write.chunk_of(b"not a frame", 1, 3), "cannot be decompressed"),
        (write.chunk_of(b"", 1, 3), "other bytes"),
        (write.chunk_of(lz4.frame.compress(b"abc"), 1, 2), "other bytes|has 3"),
        (write.chunk_of(lz4.frame.compress(b"abc"), 1, 4), "of 4 bytes has 3"),
        (write.chunk_of(lz4.frame.compress(b"abc")[:-2], 1, 3), "other bytes"),
        (write.chunk_of(lz4.frame.compress(b"abc") + b"more", 1, 3), "other bytes"),
        (write.chunk_of(lz4.frame.compress(b"abc"), 2, 4), "of 4 bytes has 3"),
        (write.chunk(b"a") * (xet.MAX_XORB_CHUNKS + 1), "chunks at most"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_xorb_is_one_line(data: bytes, words: str) -> None:
    with pytest.raises(XetError, match=words) as raised:
        read(data)
    assert "\n" not in str(raised.value)


def test_a_xorb_cut_short_is_noticed_unless_it_ends_with_a_chunk() -> None:
    data = write.xorb(b"one" * 20, b"two" * 20)
    first = len(write.chunk(b"one" * 20, 1))
    for length in range(len(data)):
        if length == first:
            assert read(data[:length]) == [b"one" * 20]
        else:
            with pytest.raises(XetError):
                read(data[:length])


def test_a_bomb_costs_nothing() -> None:
    # A frame of 64 MB that says nothing of its length, and one that says it has an exabyte.
    frame = lz4.frame.compress(bytes(64 << 20), store_size=False)
    assert len(frame) > 2 * xet.MAX_CHUNK_BYTES
    cut = write.chunk_of(frame[: 2 * xet.MAX_CHUNK_BYTES], 1, 1000)
    sized = bytearray(lz4.frame.compress(b"abc", store_size=True))
    sized[6:14] = (1 << 60).to_bytes(8, "little")
    tracemalloc.start()
    began = time.perf_counter()
    for data in (cut, write.chunk_of(bytes(sized), 1, 3), write.chunk_of(bytes(sized), 1, xet.MAX_CHUNK_BYTES)):
        with pytest.raises(XetError):
            read(data)
    assert time.perf_counter() - began < 2
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_a_full_xorb_of_chunks_that_do_not_shrink_is_larger_than_its_chunks() -> None:
    # As a client fills one: it counts the chunks alone, and describes each in the footer.
    count = 8192
    data = write.chunk(bytes(8192)) * count + b"XETBLOB" + bytes(52 * count)
    assert len(data) > 64 << 20
    index = xet.index_xorb(lambda length, place: data[place : place + length], len(data))
    assert index.size(0, count) == 64 << 20


def test_a_xorb_that_is_too_large_is_not_read() -> None:
    def never(count: int, place: int) -> bytes:
        raise AssertionError

    with pytest.raises(XetError, match="bytes at most"):
        xet.index_xorb(never, xet.MAX_XORB_BYTES + 1)


GOOD_XORB = write.chunk(b"a" * 50) + write.chunk(b"b" * 50, 1) + write.chunk(b"c" * 50, 2)


@settings(max_examples=200)
@given(st.integers(0, len(GOOD_XORB) - 1), st.binary(min_size=1, max_size=6))
@example(0, b"XETBLOB")
def test_an_altered_xorb_is_read_or_refused(place: int, change: bytes) -> None:
    data = GOOD_XORB[:place] + change + GOOD_XORB[place + len(change) :]
    with contextlib.suppress(XetError):
        assert sum(map(len, read(data))) <= 3 * xet.MAX_CHUNK_BYTES


@given(st.binary(max_size=200))
def test_noise_is_no_xorb_or_a_small_one(data: bytes) -> None:
    with contextlib.suppress(XetError):
        assert sum(map(len, read(data))) <= 25 * xet.MAX_CHUNK_BYTES


def test_a_hash_is_written_as_clients_do() -> None:
    assert xet.hash_text(bytes(range(32))) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert xet.hash_text(write.hash_bytes(NAME)) == NAME


def parse(data: bytes) -> list[tuple[str | None, int, list[xet.Segment]]]:
    return [(file.sha256, file.size, list(file.segments())) for file in xet.parse_shard(data)]


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("sha256", [SHA256, None])
def test_files_of_a_shard_come_back(verified: bool, sha256: str | None) -> None:
    segments = [(NAME, 1000, 0, 4), (SHA256, 4_000_000_000, 7, 70_000), (NAME, 3, 4, 5)]
    file = write.file(segments, sha256, verified=verified)
    expected = (sha256, 4_000_001_003, [xet.Segment(*segment) for segment in segments])
    for data in (write.shard(file, file), memoryview(write.shard(file, file)), bytearray(write.shard(file, file))):
        assert parse(data) == [expected, expected]  # type: ignore[arg-type]
        assert list(next(xet.parse_shard(data)).xorbs()) == [NAME, SHA256]


def test_a_shard_without_files_has_none() -> None:
    assert parse(write.shard()) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no shard"),
        (write.shard(tag=b"x" * 32), "no shard"),
        (write.shard(version=3), "version 3"),
        (write.shard()[:48], "ends within its files"),
        (write.shard()[:90], "ends within its files"),
        (write.shard(write.file([])), "empty files"),
        (write.shard(bytes(32) + b"\0\0\0\xc0" + b"\xff" * 4 + bytes(8)), "ends within a file"),
        (write.shard(write.file([(NAME, 1, 0, 1)], SHA256)[:-48]), "ends within"),
    ],
)
def test_what_is_no_shard_is_one_line(data: bytes, words: str) -> None:
    with pytest.raises(XetError, match=words):
        parse(data)


def test_a_shard_cut_short_is_noticed() -> None:
    data = write.shard(write.file([(NAME, 1, 0, 1)] * 3, SHA256))
    whole = len(data) - len(b"what follows")
    for length in range(whole):
        with pytest.raises(XetError):
            parse(data[:length])
    assert len(parse(data[:whole])) == 1


def test_a_shard_that_is_too_large_is_not_read() -> None:
    with pytest.raises(XetError, match="bytes at most"):
        next(xet.parse_shard(bytes(xet.MAX_SHARD_BYTES + 1)))


@settings(max_examples=200)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=60))
def test_an_altered_shard_is_read_or_refused(place: int, change: bytes) -> None:
    data = write.shard(write.file([(NAME, 1, 0, 1)] * 2, SHA256), write.file([(NAME, 1, 0, 1)]))
    data = data[:place] + change + data[place + len(change) :]
    with contextlib.suppress(XetError):
        assert len(parse(data)) <= len(data) // 96


def test_a_shard_of_a_million_segments_costs_little_memory() -> None:
    data = write.shard(write.file([(NAME, 1, 0, 1)] * 3, SHA256, verified=False))
    start = data.index(write.hash_bytes(NAME))
    record = data[start : start + 48]
    count = 300_000
    data = data[:84] + count.to_bytes(4, "little") + data[88:start] + record * count + data[start + 3 * 48 :]
    tracemalloc.start()
    (file,) = xet.parse_shard(data)
    assert file.size == count
    assert next(file.segments()) == xet.Segment(NAME, 1, 0, 1)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert list(file.xorbs()) == [NAME]
