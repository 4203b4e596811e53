"""One SQLite file for what is small and has owners: made, brought up to date, opened by several processes.

Knows the tables; what their rows mean is for the files beside this one.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from embedhub.errors import HubDatabaseError, StorageFullError

# Another process that writes needs milliseconds.
_BUSY_SECONDS = 10.0

# The schema grows by a step at the end; `PRAGMA user_version` counts the steps a file has taken.
_STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE users (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE COLLATE NOCASE,
            created_at REAL NOT NULL
        ) STRICT""",
        """CREATE TABLE tokens (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            sha256 BLOB NOT NULL UNIQUE,
            user_id INTEGER NOT NULL REFERENCES users,
            scope TEXT NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
            name TEXT NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL,
            revoked_at REAL,
            rate INTEGER,
            daily_tokens INTEGER
        ) STRICT""",
        """CREATE TABLE usage (
            day TEXT NOT NULL,
            consumer TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            PRIMARY KEY (day, consumer)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        # Users and organisations share their names: a namespace is one or the other.
        "ALTER TABLE users ADD COLUMN is_organisation INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE users ADD COLUMN full_name TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE users ADD COLUMN default_visibility TEXT NOT NULL DEFAULT 'public'",
        """CREATE TABLE members (
            organisation_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
            user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
            role TEXT NOT NULL CHECK (role IN ('read', 'contributor', 'write', 'admin')),
            PRIMARY KEY (organisation_id, user_id)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE repositories (
            uuid TEXT NOT NULL PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('model', 'dataset', 'space')),
            namespace_id INTEGER NOT NULL REFERENCES users,
            name TEXT NOT NULL COLLATE NOCASE,
            visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
            gated TEXT NOT NULL CHECK (gated IN ('', 'auto', 'manual')),
            created_at REAL NOT NULL,
            sdk TEXT NOT NULL,
            UNIQUE (kind, namespace_id, name)
        ) STRICT, WITHOUT ROWID""",
        # Where a repository that was moved was found before.
        """CREATE TABLE former_names (
            kind TEXT NOT NULL,
            id TEXT NOT NULL COLLATE NOCASE,
            repository TEXT NOT NULL REFERENCES repositories ON DELETE CASCADE,
            PRIMARY KEY (kind, id)
        ) STRICT, WITHOUT ROWID""",
        # Who was let into a gated repository.
        """CREATE TABLE grants (
            repository TEXT NOT NULL REFERENCES repositories ON DELETE CASCADE,
            user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
            PRIMARY KEY (repository, user_id)
        ) STRICT, WITHOUT ROWID""",
        # Which repository holds which large file: knowing a checksum opens nothing.
        """CREATE TABLE links (
            repository TEXT NOT NULL REFERENCES repositories ON DELETE CASCADE,
            sha256 TEXT NOT NULL,
            size INTEGER NOT NULL,
            linked_at REAL NOT NULL,
            PRIMARY KEY (repository, sha256)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX links_by_sha256 ON links (sha256)",
        """CREATE TABLE discussions (
            repository TEXT NOT NULL REFERENCES repositories ON DELETE CASCADE,
            num INTEGER NOT NULL,
            title TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('draft', 'open', 'closed', 'merged')),
            is_pull_request INTEGER NOT NULL,
            author TEXT NOT NULL,
            created_at REAL NOT NULL,
            target TEXT NOT NULL,
            merge_commit TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (repository, num)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE discussion_events (
            repository TEXT NOT NULL,
            num INTEGER NOT NULL,
            id TEXT NOT NULL,
            position INTEGER NOT NULL,
            kind TEXT NOT NULL,
            author TEXT NOT NULL,
            created_at REAL NOT NULL,
            data TEXT NOT NULL,
            PRIMARY KEY (repository, num, id),
            FOREIGN KEY (repository, num) REFERENCES discussions ON DELETE CASCADE
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        # Clients that wait until somebody says who they are.
        """CREATE TABLE devices (
            sha256 BLOB NOT NULL PRIMARY KEY,
            code TEXT NOT NULL UNIQUE,
            address TEXT NOT NULL,
            expires_at REAL NOT NULL,
            asked_at REAL NOT NULL,
            user TEXT NOT NULL DEFAULT '',
            scope TEXT NOT NULL DEFAULT '',
            token_days REAL
        ) STRICT, WITHOUT ROWID""",
    ),
    # What scrypt makes of a user's password; empty without one.
    ("ALTER TABLE users ADD COLUMN password TEXT NOT NULL DEFAULT ''",),
)


def open_database(path: Path) -> sqlite3.Connection:
    """A connection to the file, which is made if it is not there, readable by its owner only.

    Statements commit by themselves, unless between BEGIN and COMMIT.

    Raises:
        HubDatabaseError: it is damaged, of a newer version, or cannot be written.
    """
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # SQLite gives the two files beside it the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # One thread at a time, but not always the one that opened it.
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _bring_up_to_date(connection, path)
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection


class Connections:
    """A connection for each thread that asks, to one file; they end with the object.

    Args:
        path: the file, which is made when the first connection is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The thread's connection.

        Raises:
            HubDatabaseError: the file is damaged or cannot be used.
        """
        with readable_errors(self.path):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = open_database(self.path)
                with self._lock:
                    self._all.append(connection)
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """The thread's connection, inside a transaction that is on the disk when the block has ended.

        Raises:
            HubDatabaseError: the file is damaged or cannot be used.
            StorageFullError: the disk is full.
        """
        with self.read() as connection, transaction(connection):
            yield connection

    def close(self) -> None:
        """Let go of the file. No thread may be at work."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._local = threading.local()


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block's statements or none; other writers wait."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextlib.contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Raise what SQLite says in words of ours, and with a way out; a rule of a table that is broken passes."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StorageFullError(f"{path}: no space left on the device") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise HubDatabaseError(
                f"{path} is damaged ({error}): bring back a copy, or move it away and create tokens anew"
            ) from error
        raise HubDatabaseError(f"{path} cannot be used ({error})") from error
    except OSError as error:
        raise HubDatabaseError(f"{path} cannot be used ({error.strerror}); EMBEDHUB_HOME names its folder") from error


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) == len(_STEPS):
        return
    try:
        # One process at a time: SQLite's own lock does not cover the change of the journal's mode.
        with FileLock(f"{path}.lock", timeout=_BUSY_SECONDS, mode=0o600):
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection):
                for statements in _STEPS[_version(connection, path) :]:
                    for statement in statements:
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {len(_STEPS)}")
    except Timeout as error:
        raise HubDatabaseError(f"another process keeps {path}.lock; end it and try again") from error


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(_STEPS):
        raise HubDatabaseError(f"{path} was made by a newer embedhub (schema {version}, this one knows {len(_STEPS)})")
    return version
