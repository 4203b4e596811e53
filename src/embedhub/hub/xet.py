"""How Hugging Face's clients upload large files: xorbs hold chunks, shards say how files are made of them.

Pure: bytes in, bytes out. Every length that is read is checked before it is used, so whatever comes in, what comes out
is bounded, or a `XetError`. Refuses to know where xorbs are kept, and believes no hash: who puts a file together checks
its sha256, the only one that is shown to anybody.

    xorb    chunks, each: version u8 = 0, stored length u24, scheme u8, length u24, the stored bytes;
            perhaps a footer, which begins with XETBLOB and is not needed
    shard   a header of 48 bytes, then records of 48 bytes: for each file its head, its segments, as many verifications
            if bit 31 of its flags is set, its sha256 if bit 30 is; a head of all ones ends the files

Numbers are little-endian. A segment is a run of chunks of one xorb. Source: https://huggingface.co/docs/xet and
draft-denis-xet.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import lz4.frame
import numpy as np
from numpy.typing import NDArray

from embedhub.errors import XetError

# The specification's.
MAX_CHUNK_BYTES = 128 << 10

# The specification has no such limit; its clients stop at an eighth of this. It bounds what an index costs.
MAX_XORB_CHUNKS = 64 << 10

# Clients count 64 MiB of chunks, and of bytes that do not shrink a xorb is as large and larger: beside each chunk are a
# header of 8 bytes and, in the footer, some 50 that describe it.
MAX_XORB_BYTES = (64 << 20) + 64 * MAX_XORB_CHUNKS

# Clients begin another at half of this.
MAX_SHARD_BYTES = 128 << 20

# Clients store a chunk as it is if it does not shrink. The specification's own reader allows this much.
_MAX_STORED_BYTES = 2 * MAX_CHUNK_BYTES

_CHUNK_HEADER = 8
_FOOTER = b"XETBLOB"
_STORED, _LZ4, _GROUPED_LZ4 = range(3)

_SHARD_TAG = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
_SHARD_VERSION = 2
_RECORD = 48
_END = b"\xff" * 32
_WITH_VERIFICATION = 1 << 31
_WITH_SHA256 = 1 << 30

_SEGMENT = np.dtype(
    [("xorb", "V32"), ("flags", "<u4"), ("bytes", "<u4"), ("first", "<u4"), ("end", "<u4")],
)

Data = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class XorbIndex:
    """Where the chunks of a xorb are.

    Attributes:
        offsets: of the stored bytes, uint32 `[chunks]`.
        stored: how many bytes are stored, uint32 `[chunks]`.
        schemes: how, uint8 `[chunks]`.
        starts: bytes of all chunks before each, and of all at the end, int64 `[chunks + 1]`.
    """

    offsets: NDArray[np.uint32]
    stored: NDArray[np.uint32]
    schemes: NDArray[np.uint8]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets)

    def size(self, first: int, end: int) -> int:
        """Bytes of the chunks from `first` to before `end`.

        Raises:
            XetError: there are no such chunks.
        """
        if not 0 <= first < end <= len(self):
            raise XetError(f"chunks {first} to {end} are not in a xorb of {len(self)} chunks")
        return int(self.starts[end] - self.starts[first])


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of chunks.

    Attributes:
        xorb: hash of the xorb, as text.
        size: bytes of the chunks.
        first: the first chunk.
        end: the one after the last.
    """

    xorb: str
    size: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class ShardFile:
    """How a file is made of chunks.

    Attributes:
        sha256: what it is said to have; None if nothing is said.
        records: its segments as they are in the shard, `[segments]` of `xorb`, `flags`, `bytes`, `first`, `end`.
    """

    sha256: str | None
    records: NDArray[np.void]

    @property
    def size(self) -> int:
        """Bytes of the file, as the shard says."""
        return int(self.records["bytes"].sum(dtype=np.int64))

    def xorbs(self) -> Iterator[str]:
        """Hashes of the xorbs it is made of, each once, one after the other: only who wants all pays for a million."""
        seen: set[bytes] = set()
        for xorb in self.records["xorb"]:
            value: bytes = xorb.tobytes()
            if value not in seen:
                seen.add(value)
                yield hash_text(value)

    def segments(self) -> Iterator[Segment]:
        """Its segments in order, one after the other: there may be more than a million."""
        for record in self.records:
            yield Segment(
                hash_text(record["xorb"].tobytes()), int(record["bytes"]), int(record["first"]), int(record["end"])
            )


def hash_text(value: bytes) -> str:
    """A hash of 32 bytes as clients write it: four little-endian numbers of 16 digits each."""
    return "".join(f"{int.from_bytes(value[start : start + 8], 'little'):016x}" for start in range(0, 32, 8))


def index_xorb(read: Callable[[int, int], bytes], size: int) -> XorbIndex:
    """Find the chunks of a xorb, and check all of them but for the stored bytes.

    Args:
        read: gives so many bytes from a place on, fewer only at the end.
        size: bytes of the xorb.

    Raises:
        XetError: it is not a xorb, or larger than a xorb may be.
    """
    if size > MAX_XORB_BYTES:
        raise XetError(f"a xorb has {MAX_XORB_BYTES} bytes at most")
    offsets: list[int] = []
    stored_lengths: list[int] = []
    schemes: list[int] = []
    lengths: list[int] = []
    place = 0
    while place < size:
        header = read(_CHUNK_HEADER, place)
        if header.startswith(_FOOTER):
            break
        place += _CHUNK_HEADER
        stored, length = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
        if len(header) < _CHUNK_HEADER or place + stored > size:
            raise XetError(f"the xorb ends within chunk {len(offsets)}")
        if len(offsets) == MAX_XORB_CHUNKS:
            raise XetError(f"a xorb has {MAX_XORB_CHUNKS} chunks at most")
        _check_chunk(len(offsets), header[0], header[4], stored, length)
        offsets.append(place)
        stored_lengths.append(stored)
        schemes.append(header[4])
        lengths.append(length)
        place += stored
    if not offsets:
        raise XetError("the xorb has no chunks")
    return XorbIndex(
        np.array(offsets, np.uint32),
        np.array(stored_lengths, np.uint32),
        np.array(schemes, np.uint8),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
    )


def decode_chunk(scheme: int, stored: bytes, length: int) -> Data:
    """The bytes of a chunk.

    Args:
        scheme: of the index, like the length.
        stored: what the xorb has of it.
        length: bytes of the chunk.

    Raises:
        XetError: it does not decompress, or not to so many bytes.
    """
    if scheme == _STORED:
        data: bytes = stored
    else:
        data = _decompress(stored, length)
    if len(data) != length:
        raise XetError(f"a chunk of {length} bytes has {len(data)}")
    return _regroup(data) if scheme == _GROUPED_LZ4 else data


def xorb_chunks(xorb: bytes) -> Iterator[Data]:
    """The chunks of a whole xorb.

    Raises:
        XetError: it is not a xorb.
    """
    index = index_xorb(lambda count, place: xorb[place : place + count], len(xorb))
    for chunk in range(len(index)):
        place = int(index.offsets[chunk])
        stored = xorb[place : place + int(index.stored[chunk])]
        yield decode_chunk(int(index.schemes[chunk]), stored, index.size(chunk, chunk + 1))


def parse_shard(shard: Data) -> Iterator[ShardFile]:
    """The files of a shard, in order. Its other parts, which help to find chunks, are not needed.

    Raises:
        XetError: it is not a shard, or larger than a shard may be.
    """
    if len(shard) > MAX_SHARD_BYTES:
        raise XetError(f"a shard has {MAX_SHARD_BYTES} bytes at most")
    if bytes(shard[:32]) != _SHARD_TAG:
        raise XetError("this is no shard")
    version = int.from_bytes(shard[32:40], "little")
    if version != _SHARD_VERSION:
        raise XetError(f"a shard of version {version} cannot be read, only {_SHARD_VERSION}")
    place = _RECORD
    while True:
        head = bytes(shard[place : place + _RECORD])
        place += _RECORD
        if len(head) < _RECORD:
            raise XetError("the shard ends within its files")
        if head.startswith(_END):
            return
        flags, count = int.from_bytes(head[32:36], "little"), int.from_bytes(head[36:40], "little")
        verifications = count if flags & _WITH_VERIFICATION else 0
        end = place + _RECORD * (count + verifications + bool(flags & _WITH_SHA256))
        if end > len(shard):
            raise XetError("the shard ends within a file")
        if count == 0:
            raise XetError("a file of a shard has no bytes; empty files are not sent this way")
        records = np.frombuffer(shard, _SEGMENT, count, place)
        sha256 = hash_text(bytes(shard[end - _RECORD : end - _RECORD + 32])) if flags & _WITH_SHA256 else None
        yield ShardFile(sha256, records)
        place = end


def _check_chunk(number: int, version: int, scheme: int, stored: int, length: int) -> None:
    if version != 0:
        raise XetError(f"chunk {number} of the xorb is of version {version}, which cannot be read")
    if scheme not in (_STORED, _LZ4, _GROUPED_LZ4):
        raise XetError(f"chunk {number} of the xorb is compressed by scheme {scheme}, which cannot be read")
    if not 0 < length <= MAX_CHUNK_BYTES or stored > _MAX_STORED_BYTES:
        raise XetError(f"chunk {number} of the xorb has {length} bytes; 1 to {MAX_CHUNK_BYTES} are allowed")
    if scheme == _STORED and stored != length:
        raise XetError(f"chunk {number} of the xorb has {length} bytes, of which {stored} are stored")


def _decompress(stored: bytes, length: int) -> bytes:
    """At most one byte more than `length`, whatever the frame says of itself."""
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        data: bytes = decompressor.decompress(stored, max_length=length + 1)
    except (RuntimeError, ValueError, EOFError, MemoryError) as error:
        raise XetError("a chunk cannot be decompressed") from error
    if not decompressor.eof or decompressor.unused_data:
        raise XetError("a chunk is compressed to other bytes than its header says")
    return data


def _regroup(data: bytes) -> memoryview:
    """Undo a grouping: first the bytes at 0, 4, 8 and so on, then those at 1, 5, 9, then those at 2 and at 3."""
    grouped = np.frombuffer(data, np.uint8)
    chunk = np.empty_like(grouped)
    place = 0
    for start in range(4):
        target = chunk[start::4]
        target[:] = grouped[place : place + len(target)]
        place += len(target)
    return chunk.data
