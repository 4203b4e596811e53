"""Vectors on disk, in one SQLite file that other processes may use too.

Knows which of SQLite's errors mean that the file is damaged, which then becomes an empty one. Any other trouble, such
as a file that somebody keeps locked, is none of a request's: nothing is found and nothing kept for a moment.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from embedhub.errors import SettingError
from embedhub.storage import storage_errors

Floats = NDArray[np.float32]
Result = TypeVar("Result")

logger = logging.getLogger(__name__)

# Rows read or written at once; in between others have their turn. SQLite allows 999 keys in a question.
_LOT = 500

# How long an answer may wait for a file that others use, and how long the file is left alone when that was not enough.
_PATIENCE_SECONDS = 0.05
_PAUSE_SECONDS = 1.0

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class DiskCache:
    """Vectors float32 [width] by key. Safe for several threads.

    Args:
        path: the file.
        limit: its bytes at most.

    Raises:
        SettingError: the file or its folder cannot be used at all.
        StorageFullError: no space left to make it.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._left_alone_until = float("-inf")
        self._closed = False
        way_out = "let EMBEDHUB_HOME name another folder, or keep no vectors on disk (EMBEDHUB_CACHE_DISK_MB=0)"
        with storage_errors(
            f"no space left for {path}; {way_out}", (SettingError, f"{path} cannot be used; {way_out}")
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._opened()
            except sqlite3.Error as error:
                if _code(error) not in _BUSY:
                    raise SettingError(f"{path} cannot be used ({error}); {way_out}") from error
                logger.warning("%s is locked by another process; it is used once it is free", path)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """The vectors that are there."""
        found: dict[bytes, Floats] = {}

        def read(connection: sqlite3.Connection, some: Sequence[bytes]) -> None:
            marks = ",".join("?" * len(some))
            for key, vector in connection.execute(
                f"SELECT key, vector FROM vectors WHERE key IN ({marks})", tuple(some)
            ):
                # A row that is damaged where SQLite does not notice.
                if isinstance(vector, bytes) and len(vector) % 4 == 0:
                    found[key] = np.frombuffer(vector, "<f4")

        self._in_lots(keys, read)
        return found

    def put(self, vectors: Mapping[bytes, Floats]) -> None:
        """Keep vectors; those that were kept first go when there is no room."""

        def write(connection: sqlite3.Connection, some: Sequence[tuple[bytes, Floats]]) -> None:
            rows = [(key, np.asarray(vector, "<f4").tobytes()) for key, vector in some]
            with connection:
                connection.executemany("INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows)
                self._make_room(connection)

        self._in_lots(list(vectors.items()), write)

    def close(self) -> None:
        """Close the file for good."""
        with self._lock:
            self._closed = True
            self._let_go()

    def _in_lots(self, values: Sequence[Result], work: Callable[[sqlite3.Connection, Sequence[Result]], None]) -> None:
        """Work on some values at a time, for as long as the file can be used."""
        for start in range(0, len(values), _LOT):
            if monotonic() < self._left_alone_until or not self._lock.acquire(timeout=_PATIENCE_SECONDS):
                return
            try:
                if self._closed:
                    return
                if self._connection is None:
                    self._connection = self._opened()
                work(self._connection, values[start : start + _LOT])
            except (sqlite3.Error, OSError) as error:
                self._in_trouble(error)
                return
            finally:
                self._lock.release()

    def _in_trouble(self, error: Exception) -> None:
        if _code(error) in _DAMAGED:
            logger.warning("%s is damaged (%s) and begun anew", self._path, error)
            try:
                self._remove()
            except OSError as refusal:
                error = refusal
            else:
                return
        logger.warning("%s is left alone for a moment (%s)", self._path, error)
        self._left_alone_until = monotonic() + _PAUSE_SECONDS

    def _make_room(self, connection: sqlite3.Connection) -> None:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        if (pages - free) * size > self._limit:
            connection.execute(
                "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM vectors ORDER BY rowid LIMIT "
                "(SELECT 1 + count(*) / 8 FROM vectors))"
            )

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.DatabaseError as error:
            if _code(error) not in _DAMAGED:
                raise
        self._remove()
        return self._connected()

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, timeout=_PATIENCE_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB UNIQUE NOT NULL, vector BLOB NOT NULL)")
        except BaseException:
            connection.close()
            raise
        return connection

    def _remove(self) -> None:
        self._let_go()
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _code(error: Exception) -> int:
    """SQLite's primary code of an error; 0 for any other."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
