"""Which repositories there are: made, found, listed, renamed, removed. Knows rows and folders, no git objects.

A repository lies in a folder named by a number that it never loses, so that a new name moves no file, and one that is
made anew under an old name shares nothing with its predecessor.
"""

import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from embedhub.errors import HubConflictError, HubError, HubNameError
from embedhub.hub.access import Guarded, repository_not_found
from embedhub.hub.database import Connections
from embedhub.hub.names import Kind, RepositoryName
from embedhub.hub.organisations import VISIBILITIES

GATES = ("", "auto", "manual")

# The end of a folder's name that is about to be gone.
_REMOVED = ".removed"


@dataclass(frozen=True, slots=True)
class Repository:
    """What the Hub knows of a repository beside its files.

    Attributes:
        uuid: 32 hexadecimal digits, its own for ever.
        kind: what it holds.
        namespace: the user or organisation it belongs to.
        name: within that.
        visibility: public or private.
        gated: whether those who read must be let in: empty, `auto` (at once) or `manual` (by its owners).
        created_at: seconds since 1970.
        sdk: of a Space.
    """

    uuid: str
    kind: Kind
    namespace: str
    name: str
    visibility: str
    gated: str
    created_at: float
    sdk: str = ""

    @property
    def id(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def private(self) -> bool:
        """Whether only its owners see it."""
        return self.visibility == "private"

    def guarded(self, *, granted: bool = False) -> Guarded:
        """What access to it depends on."""
        return Guarded(self.id, str(self.kind), self.namespace, self.private, bool(self.gated), granted)


_SELECT = (
    "SELECT uuid, repositories.kind, users.name, repositories.name, visibility, gated, repositories.created_at, sdk"
    " FROM repositories JOIN users ON users.id = namespace_id"
)


class Repositories:
    """The repositories of a database and a folder.

    Args:
        connections: to the database.
        root: the folder that holds theirs.
    """

    def __init__(self, connections: Connections, root: Path) -> None:
        self._connections = connections
        self.root = root

    def folder(self, repository: Repository) -> Path:
        """Where its bare git repository lies."""
        return self.root / repository.uuid[:2] / f"{repository.uuid}.git"

    def find(self, kind: Kind, id: str) -> Repository:
        """The repository of that name, or the one that had it before and was moved.

        Raises:
            RepositoryNotFoundError: there is none.
        """
        namespace, _, name = id.partition("/")
        with self._connections.read() as database:
            row = database.execute(
                f"{_SELECT} WHERE repositories.kind = ? AND users.name = ? AND repositories.name = ?",
                (kind, namespace, name),
            ).fetchone()
            if row is None:
                row = database.execute(
                    f"{_SELECT} JOIN former_names ON former_names.repository = uuid"
                    " WHERE former_names.kind = ? AND former_names.id = ?",
                    (kind, id),
                ).fetchone()
        if row is None:
            raise repository_not_found(str(kind), id[:200])
        return _repository(row)

    def by_uuid(self, uuid: str) -> Repository | None:
        """The repository of that number."""
        with self._connections.read() as database:
            row = database.execute(f"{_SELECT} WHERE uuid = ?", (uuid,)).fetchone()
        return None if row is None else _repository(row)

    def all(self, kind: Kind | None = None, namespace: str = "") -> list[Repository]:
        """Every repository, or those of a kind or a namespace; newest first."""
        with self._connections.read() as database:
            rows = database.execute(
                f"{_SELECT} WHERE (?1 IS NULL OR kind = ?1) AND (?2 = '' OR users.name = ?2)"
                " ORDER BY repositories.created_at DESC",
                (kind, namespace),
            ).fetchall()
        return [_repository(row) for row in rows]

    def create(
        self,
        name: RepositoryName,
        fill: Callable[[Path], None],
        *,
        visibility: str = "",
        gated: str = "",
        sdk: str = "",
    ) -> Repository:
        """A new repository.

        Args:
            name: its name; the namespace must be there.
            fill: makes the git repository in a folder, all of it on the disk when it returns.
            visibility: public or private; empty takes the namespace's own.
            gated: see `Repository`.
            sdk: of a Space.

        Raises:
            HubConflictError: there is one of that name.
            HubNameError: there is no such namespace, visibility or gate.
        """
        with self._connections.read() as database:
            namespace = database.execute(
                "SELECT id, name, default_visibility FROM users WHERE name = ?", (name.namespace,)
            ).fetchone()
            if namespace is None:
                raise HubNameError(f"there is no user or organisation {name.namespace}")
            if _taken(database, name):
                raise _conflict(name)
        made = Repository(
            uuid.uuid4().hex,
            name.kind,
            namespace[1],
            name.name,
            _checked(visibility or namespace[2], VISIBILITIES, "visibility"),
            _checked(gated, GATES, "gate"),
            time.time(),
            sdk,
        )
        folder = self.folder(made)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            fill(folder)
            # The row is what makes it one: a folder without a row is swept up later.
            with self._connections.write() as database:
                _take(database, name)
                database.execute(
                    "INSERT INTO repositories (uuid, kind, namespace_id, name, visibility, gated, created_at, sdk)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (made.uuid, made.kind, namespace[0], made.name, made.visibility, made.gated, made.created_at, sdk),
                )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, sqlite3.IntegrityError):
                raise _conflict(name) from error
            raise
        return made

    def delete(self, repository: Repository) -> None:
        """Remove it: at once for everybody, its folder after that."""
        with self._connections.write() as database:
            database.execute("DELETE FROM repositories WHERE uuid = ?", (repository.uuid,))
        folder = self.folder(repository)
        removed = folder.with_suffix(_REMOVED)
        with suppress(OSError):
            folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def move(self, repository: Repository, to: RepositoryName) -> Repository:
        """Give it another name; the old one leads to it until somebody takes it.

        Raises:
            HubConflictError: the name is taken.
            HubNameError: there is no such namespace.
        """
        try:
            with self._connections.write() as database:
                namespace = database.execute("SELECT id, name FROM users WHERE name = ?", (to.namespace,)).fetchone()
                if namespace is None:
                    raise HubNameError(f"there is no user or organisation {to.namespace}")
                database.execute(
                    "UPDATE repositories SET namespace_id = ?, name = ? WHERE uuid = ?",
                    (namespace[0], to.name, repository.uuid),
                )
                database.execute(
                    "INSERT INTO former_names (kind, id, repository) VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET repository = excluded.repository",
                    (repository.kind, repository.id, repository.uuid),
                )
                # Last, so that another spelling of the same name leads nowhere.
                _take(database, to)
        except sqlite3.IntegrityError as error:
            raise _conflict(to) from error
        return replace(repository, namespace=namespace[1], name=to.name)

    def change(self, repository: Repository, *, visibility: str = "", gated: str | None = None) -> Repository:
        """Change who may see or read it; what is not named stays.

        Raises:
            HubNameError: an impossible value.
        """
        changed = replace(
            repository,
            visibility=_checked(visibility or repository.visibility, VISIBILITIES, "visibility"),
            gated=_checked(repository.gated if gated is None else gated, GATES, "gate"),
        )
        with self._connections.write() as database:
            database.execute(
                "UPDATE repositories SET visibility = ?, gated = ? WHERE uuid = ?",
                (changed.visibility, changed.gated, changed.uuid),
            )
        return changed

    def grant(self, repository: Repository, user_id: int) -> None:
        """Let a user read a gated repository."""
        with self._connections.write() as database:
            database.execute("INSERT INTO grants VALUES (?, ?) ON CONFLICT DO NOTHING", (repository.uuid, user_id))

    def is_granted(self, repository: Repository, user: str) -> bool:
        """Whether a user was let into a gated repository."""
        with self._connections.read() as database:
            found = database.execute(
                "SELECT 1 FROM grants JOIN users ON users.id = user_id WHERE repository = ? AND users.name = ?",
                (repository.uuid, user),
            ).fetchone()
        return found is not None

    def orphans(self) -> Iterator[Path]:
        """Folders of repositories that are not in the database.

        Killed while they were made or removed; or the database is not the one under which they were made.
        """
        # Folders first: one that is made meanwhile has its row by the time the rows are read, or is very young.
        folders = list(self.root.glob("??/*.git"))
        known = {repository.uuid for repository in self.all()}
        return (folder for folder in folders if folder.stem not in known)

    def removed(self) -> list[Path]:
        """Folders whose removal was begun."""
        return list(self.root.glob(f"??/*{_REMOVED}"))


def _taken(database: sqlite3.Connection, name: RepositoryName) -> bool:
    row = database.execute(
        "SELECT 1 FROM repositories JOIN users ON users.id = namespace_id"
        " WHERE kind = ? AND users.name = ? AND repositories.name = ?",
        (name.kind, name.namespace, name.name),
    ).fetchone()
    return row is not None


def _take(database: sqlite3.Connection, name: RepositoryName) -> None:
    """A name that is given again leads no more to who had it before."""
    database.execute("DELETE FROM former_names WHERE kind = ? AND id = ?", (name.kind, str(name)))


def _conflict(name: RepositoryName) -> HubError:
    # Clients of the Hugging Face Hub look for these words.
    return HubConflictError(f"A {name.kind} repository called {name} already exists")


def _checked(value: str, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise HubNameError(f"{what} {value!r:.40}: one of {', '.join(filter(None, known))}")
    return value


def _repository(row: tuple[str, str, str, str, str, str, float, str]) -> Repository:
    uuid, kind, namespace, name, visibility, gated, created_at, sdk = row
    return Repository(uuid, Kind(kind), namespace, name, visibility, gated, created_at, sdk)
