"""Xorbs and shards as a client writes them, by another hand than the one that reads them."""

import hashlib
import struct
from collections.abc import Sequence

import lz4.frame

TAG = b"HFRepoMetaData\0" + bytes([85, 105, 103, 69, 106, 123, 129, 87, 131, 165, 189, 217, 92, 205, 209, 74, 169])


def chunk(data: bytes, scheme: int = 0) -> bytes:
    stored = data
    if scheme == 2:
        stored = b"".join(data[start::4] for start in range(4))
    if scheme:
        stored = lz4.frame.compress(stored, store_size=False)
    return chunk_of(stored, scheme, len(data))


def chunk_of(stored: bytes, scheme: int, length: int, version: int = 0) -> bytes:
    return (
        struct.pack("<B", version)
        + struct.pack("<I", len(stored))[:3]
        + struct.pack("<BI", scheme, length)[:4]
        + stored
    )


def xorb(*chunks: bytes, scheme: int = 1) -> bytes:
    return b"".join(chunk(data, scheme) for data in chunks)


def name(*chunks: bytes) -> str:
    """Some hash; the real one is another, and nobody looks at it."""
    return hashlib.sha256(b"xorb" + b"".join(chunks)).hexdigest()


def hash_bytes(text: str) -> bytes:
    return struct.pack("<4Q", *(int(text[start : start + 16], 16) for start in range(0, 64, 16)))


def file(segments: Sequence[tuple[str, int, int, int]], sha256: str | None = None, *, verified: bool = True) -> bytes:
    """A file's records; a segment is the xorb's hash, bytes, first chunk and end."""
    flags = (verified << 31) | ((sha256 is not None) << 30)
    records = [bytes(range(32)) + struct.pack("<IIQ", flags, len(segments), 0)]
    records += [hash_bytes(xorb) + struct.pack("<IIII", 0, size, first, end) for xorb, size, first, end in segments]
    if verified:
        records += [b"v" * 48 for _ in segments]
    if sha256 is not None:
        records.append(hash_bytes(sha256) + bytes(16))
    return b"".join(records)


def shard(*files: bytes, version: int = 2, tag: bytes = TAG) -> bytes:
    return tag + struct.pack("<QQ", version, 0) + b"".join(files) + b"\xff" * 32 + bytes(16) + b"what follows"
