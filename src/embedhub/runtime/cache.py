"""Pooled vectors that were computed before, by everything that decides them.

The key is made of the token ids (so of the text, its prompt and its cut) and their types, of the tokens that the
pooling skips, and of the model's fingerprint (weights, tokenizer, pooling), number type and calibration. What comes
after the pooling (fewer dimensions, length one) is cheap and not part of it. In memory the vector that was not asked
for longest goes first; on disk it is the one that was stored first.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.packing import Job
from embedhub.runtime.disk_cache import DiskCache

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

    Raises:
        SettingError, StorageFullError: the folder cannot be used.
    """

    def __init__(self, memory_bytes: int, folder: Path | None = None, disk_bytes: int = 1 << 30) -> None:
        self._limit = memory_bytes
        self._vectors: OrderedDict[bytes, Floats] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._disk = DiskCache(folder / "vectors.sqlite", disk_bytes) if folder is not None else None

    @property
    def enabled(self) -> bool:
        """Whether anything is kept at all."""
        return self._limit > 0 or self._disk is not None

    @property
    def on_disk(self) -> bool:
        """Whether there is more than `recall` sees."""
        return self._disk is not None

    @property
    def memory_bytes(self) -> int:
        """How much memory the vectors take."""
        return self._bytes

    def get(self, keys: Sequence[bytes], width: int | None = None) -> list[Floats | None]:
        """The vectors of keys, None where there is none; of another width than `width` is none."""
        found = self.recall(keys)
        missing = [place for place, vector in enumerate(found) if vector is None]
        if self._disk is not None and missing:
            found_there = self._disk.get([keys[place] for place in missing])
            stored = {key: vector for key, vector in found_there.items() if width in (None, len(vector))}
            for place in missing:
                found[place] = stored.get(keys[place])
            self._remember(stored)
        return found

    def recall(self, keys: Sequence[bytes]) -> list[Floats | None]:
        """What `get` gives without looking on the disk."""
        with self._lock:
            return [self._remembered(key) for key in keys]

    def put(self, vectors: dict[bytes, Floats]) -> None:
        """Keep vectors."""
        self.store(self.remember(vectors))

    def remember(self, vectors: dict[bytes, Floats]) -> dict[bytes, Floats]:
        """Keep vectors in memory only; gives copies that nobody changes, for `store`."""
        kept = {key: vector.copy() for key, vector in vectors.items()}
        self._remember(kept)
        return kept

    def store(self, vectors: dict[bytes, Floats]) -> None:
        """Keep vectors on the disk only, if there is one."""
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
