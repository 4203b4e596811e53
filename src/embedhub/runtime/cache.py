"""Pooled vectors that were computed before, by everything that decides them.

The key is made of the token ids (so of the text, its prompt and its cut) and their types, of the tokens that the
pooling skips, and of the model's fingerprint (weights, tokenizer, pooling), number type and calibration. What comes
after the pooling (fewer dimensions, length one) is cheap and not part of it. In memory the vector that was not asked
for longest goes first; on disk it is the one that was stored first.
"""

import contextlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.packing import Job

Floats = NDArray[np.float32]

# What an entry takes beside its vector: the key, the array's head and the places in two tables.
_OVERHEAD = 300


def job_key(job: Job, namespace: bytes) -> bytes:
    """16 bytes that stand for a job of a model.

    Args:
        job: token ids, their types and skipped tokens.
        namespace: stands for the model and how it computes, at most 64 bytes.
    """
    ids = np.asarray([job.skipped, len(job.ids), *job.ids, *(job.types or ())], np.int32)
    return blake2b(ids.tobytes(), digest_size=16, key=namespace).digest()


def model_namespace(*parts: str) -> bytes:
    """A namespace of everything that decides a model's vectors beside the job."""
    return blake2b("\0".join(parts).encode(), digest_size=32).digest()


class VectorCache:
    """Vectors float32 [width] by key, in memory and, if there is a folder, on disk. Safe for several threads.

    Args:
        memory_bytes: of memory at most; 0 keeps nothing there.
        folder: where to keep them on disk; None does not.
        disk_bytes: on disk at most.
    """

    def __init__(self, memory_bytes: int, folder: Path | None = None, disk_bytes: int = 1 << 30) -> None:
        self._limit = memory_bytes
        self._vectors: OrderedDict[bytes, Floats] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._disk = _DiskCache(folder / "vectors.sqlite", disk_bytes) if folder is not None else None

    @property
    def enabled(self) -> bool:
        """Whether anything is kept at all."""
        return self._limit > 0 or self._disk is not None

    @property
    def on_disk(self) -> bool:
        """Whether looking something up may read the disk."""
        return self._disk is not None

    @property
    def memory_bytes(self) -> int:
        """How much memory the vectors take."""
        return self._bytes

    def get(self, keys: Sequence[bytes], width: int | None = None) -> list[Floats | None]:
        """The vectors of keys, None where there is none; of another width than `width` is none."""
        with self._lock:
            found = [self._remembered(key) for key in keys]
        missing = [place for place, vector in enumerate(found) if vector is None]
        if self._disk is not None and missing:
            found_there = self._disk.get([keys[place] for place in missing])
            stored = {key: vector for key, vector in found_there.items() if width in (None, len(vector))}
            for place in missing:
                found[place] = stored.get(keys[place])
            self._remember(stored)
        return found

    def put(self, vectors: dict[bytes, Floats]) -> None:
        """Keep vectors."""
        self._remember({key: vector.copy() for key, vector in vectors.items()})
        if self._disk is not None:
            self._disk.put(vectors)

    def close(self) -> None:
        """Close what is on disk."""
        if self._disk is not None:
            self._disk.close()

    def _remembered(self, key: bytes) -> Floats | None:
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def _remember(self, vectors: dict[bytes, Floats]) -> None:
        with self._lock:
            for key, vector in vectors.items():
                if key not in self._vectors:
                    self._vectors[key] = vector
                    self._bytes += vector.nbytes + _OVERHEAD
            while self._bytes > self._limit:
                _, dropped = self._vectors.popitem(last=False)
                self._bytes -= dropped.nbytes + _OVERHEAD


class _DiskCache:
    """Vectors in one SQLite file. Whatever is wrong with the file makes it empty, never an error of a request."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._connection = self._open()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        found: dict[bytes, Floats] = {}
        with self._lock, contextlib.suppress(sqlite3.Error, ValueError):
            for start in range(0, len(keys), 500):
                some = keys[start : start + 500]
                marks = ",".join("?" * len(some))
                rows = self._connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)
                found.update((key, np.frombuffer(vector, "<f4")) for key, vector in rows)
        return found

    def put(self, vectors: dict[bytes, Floats]) -> None:
        rows = [(key, np.asarray(vector, "<f4").tobytes()) for key, vector in vectors.items()]
        with self._lock, contextlib.suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows)
            names = ("page_count", "freelist_count", "page_size")
            pages, free, size = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
            if (pages - free) * size > self._limit:
                self._connection.execute(
                    "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM vectors ORDER BY rowid LIMIT "
                    "(SELECT 1 + count(*) / 8 FROM vectors))"
                )

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._connected()
        except sqlite3.DatabaseError:
            for path in self._path.parent.glob(f"{self._path.name}*"):
                path.unlink(missing_ok=True)
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, timeout=5)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB UNIQUE NOT NULL, vector BLOB NOT NULL)")
        return connection
