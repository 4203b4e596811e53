"""Which repository holds which large file: a file is kept once for all, but opens only to those that hold it.

Knows links between a repository's uuid and a sha256: to know a sha256 is not to have been given the file. Refuses to
know whether the file itself is there (`blobs`) and who may see the repository (`access`).
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator

from embedhub.errors import RepositoryNotFoundError
from embedhub.hub.database import Connections

# A link that was made or renewed so short a time ago need not be renewed: that is a write to the disk.
RENEWED_SECONDS = 600.0

# Of one statement; the files of a repository may be many.
_FETCHED_ROWS = 1000


class Holdings:
    """The links of a database. They end with their repository.

    Args:
        connections: to the database.

    Each method raises `HubDatabaseError` if the file is damaged or cannot be used.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def link(self, repository: str, files: Iterable[tuple[str, int]]) -> None:
        """Let a repository hold files: all of them or none, and for good once this returns.

        Whoever calls has seen the bytes, or that another repository of theirs holds them.

        Args:
            repository: its uuid.
            files: sha256 and size of each. Those that it holds already count as new, for `older_than`.

        Raises:
            RepositoryNotFoundError: it was deleted meanwhile.
        """
        now = time.time()
        with self._connections.write() as database:
            _demand(database, repository)
            database.executemany(
                "INSERT INTO links (repository, sha256, size, linked_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET size = excluded.size, linked_at = excluded.linked_at",
                [(repository, sha256, size, now) for sha256, size in files],
            )

    def holds(self, repository: str, sha256: str) -> int | None:
        """Bytes of a file that the repository holds; None if it does not."""
        with self._connections.read() as database:
            row = database.execute(
                "SELECT size FROM links WHERE repository = ? AND sha256 = ?", (repository, sha256)
            ).fetchone()
        return None if row is None else int(row[0])

    def renew(self, repository: str, sha256s: Iterable[str]) -> dict[str, int]:
        """Sizes of those files that the repository holds. They count as new from now on, for `older_than`.

        Whoever lets something refer to a file, or tells a client that it need not be sent, asks this before: from then
        on `unlink_old` spares it for as long as that takes.
        """
        held: dict[str, int] = {}
        old = []
        now = time.time()
        with self._connections.read() as database:
            for sha256 in dict.fromkeys(sha256s):
                row = database.execute(
                    "SELECT size, linked_at FROM links WHERE repository = ? AND sha256 = ?", (repository, sha256)
                ).fetchone()
                if row is None:
                    continue
                held[sha256] = int(row[0])
                if row[1] < now - RENEWED_SECONDS:
                    old.append(sha256)
        if old:
            with self._connections.write() as database:
                for sha256 in old:
                    renewed = database.execute(
                        "UPDATE links SET linked_at = ? WHERE repository = ? AND sha256 = ?", (now, repository, sha256)
                    )
                    if not renewed.rowcount:
                        del held[sha256]
        return held

    def of(self, repository: str) -> dict[str, int]:
        """The files that a repository holds: size by sha256."""
        with self._connections.read() as database:
            return dict(database.execute("SELECT sha256, size FROM links WHERE repository = ?", (repository,)))

    def since(self, repository: str) -> dict[str, tuple[int, float]]:
        """The files that a repository holds, oldest first: size, and since when (seconds since 1970), by sha256."""
        with self._connections.read() as database:
            rows = database.execute(
                "SELECT sha256, size, linked_at FROM links WHERE repository = ? ORDER BY linked_at, sha256",
                (repository,),
            )
            return {sha256: (size, since) for sha256, size, since in rows}

    def is_held(self, sha256: str) -> bool:
        """Whether any repository holds the file."""
        with self._connections.read() as database:
            return database.execute("SELECT 1 FROM links WHERE sha256 = ?", (sha256,)).fetchone() is not None

    def holders(self, sha256: str) -> list[str]:
        """The repositories that hold a file, by uuid."""
        with self._connections.read() as database:
            rows = database.execute("SELECT repository FROM links WHERE sha256 = ? ORDER BY repository", (sha256,))
            return [uuid for (uuid,) in rows]

    def all(self) -> Iterator[tuple[str, int]]:
        """Every file that is held, once, in order: sha256 and size. Links may change meanwhile."""
        last = ""
        while True:
            with self._connections.read() as database:
                rows = database.execute(
                    "SELECT sha256, MAX(size) FROM links WHERE sha256 > ? GROUP BY sha256 ORDER BY sha256 LIMIT ?",
                    (last, _FETCHED_ROWS),
                ).fetchall()
            if not rows:
                return
            yield from rows
            last = rows[-1][0]

    def older_than(self, repository: str, seconds: float) -> set[str]:
        """Files that a repository has held for so long, by sha256.

        Of these alone can be said that nothing refers to them: a younger one may be waiting for its commit.
        """
        with self._connections.read() as database:
            rows = database.execute(
                "SELECT sha256 FROM links WHERE repository = ? AND linked_at < ?", (repository, time.time() - seconds)
            )
            return {sha256 for (sha256,) in rows}

    def unlink(self, repository: str, sha256s: Iterable[str]) -> None:
        """Let a repository hold these files no longer."""
        with self._connections.write() as database:
            database.executemany(
                "DELETE FROM links WHERE repository = ? AND sha256 = ?", [(repository, sha256) for sha256 in sha256s]
            )

    def unlink_old(self, repository: str, sha256s: Iterable[str], seconds: float) -> int:
        """As `unlink`, those alone that it has still held for so long, now; gives how many that were.

        Args:
            repository: its uuid.
            sha256s: of `older_than`, some time ago.
            seconds: far more than `RENEWED_SECONDS`.
        """
        before = time.time() - seconds
        with self._connections.write() as database:
            removed = database.executemany(
                "DELETE FROM links WHERE repository = ? AND sha256 = ? AND linked_at < ?",
                [(repository, sha256, before) for sha256 in sha256s],
            )
            return max(removed.rowcount, 0)

    def unlink_repository(self, repository: str) -> None:
        """Let a repository hold nothing. One that is deleted needs no such call."""
        with self._connections.write() as database:
            database.execute("DELETE FROM links WHERE repository = ?", (repository,))

    def copy(self, source: str, target: str) -> None:
        """Let a repository hold what another does, as when it is made of it.

        Raises:
            RepositoryNotFoundError: the target was deleted meanwhile.
        """
        with self._connections.write() as database:
            _demand(database, target)
            database.execute(
                "INSERT INTO links (repository, sha256, size, linked_at)"
                " SELECT ?, sha256, size, ? FROM links WHERE repository = ? ON CONFLICT DO NOTHING",
                (target, time.time(), source),
            )


def _demand(database: sqlite3.Connection, repository: str) -> None:
    if database.execute("SELECT 1 FROM repositories WHERE uuid = ?", (repository,)).fetchone() is None:
        raise RepositoryNotFoundError("Repository not found: it was deleted meanwhile")
