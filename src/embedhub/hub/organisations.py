"""Organisations and who belongs to them, and the names that users and organisations share.

Knows roles as words; what a role allows is `access`.
"""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from embedhub.errors import AccountError, HubConflictError
from embedhub.hub.database import Connections
from embedhub.hub.names import check_namespace

ROLES = ("read", "contributor", "write", "admin")
VISIBILITIES = ("public", "private")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A user or an organisation.

    Attributes:
        id: in the database.
        name: as it was first written.
        full_name: for people; may be empty.
        is_organisation: whether it has members.
        default_visibility: of repositories made in it without a word about that.
        created_at: seconds since 1970.
    """

    id: int
    name: str
    full_name: str
    is_organisation: bool
    default_visibility: str
    created_at: float


_COLUMNS = "id, name, full_name, is_organisation, default_visibility, created_at"


class Organisations:
    """The namespaces of a database.

    Args:
        connections: to its file.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def find(self, name: str) -> Namespace | None:
        """The user or organisation of that name."""
        with self._connections.read() as database:
            return _found(database, name)

    def namespaces(self) -> list[Namespace]:
        """All of them, by name."""
        with self._connections.read() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM users ORDER BY name").fetchall()
        return [_namespace(row) for row in rows]

    def create_user(self, name: str, full_name: str = "") -> Namespace:
        """A new user, who has no token yet.

        Raises:
            HubNameError: an impossible name.
            HubConflictError: there is a user or an organisation of that name.
        """
        return self._create(name, full_name, is_organisation=False)

    def create_organisation(self, name: str, full_name: str = "", default_visibility: str = "public") -> Namespace:
        """A new organisation, without members.

        Raises:
            HubNameError: an impossible name.
            AccountError: an impossible visibility.
            HubConflictError: there is a user or an organisation of that name.
        """
        if default_visibility not in VISIBILITIES:
            raise AccountError(f"visibility {default_visibility!r}: one of {', '.join(VISIBILITIES)}")
        return self._create(name, full_name, is_organisation=True, default_visibility=default_visibility)

    def ensure_user(self, name: str) -> Namespace:
        """The user of that name, made if there is none."""
        found = self.find(name)
        if found is not None:
            return found
        try:
            return self.create_user(name)
        except HubConflictError:
            found = self.find(name)
            assert found is not None
            return found

    def add_member(self, organisation: str, user: str, role: str) -> None:
        """Let a user in, or change the role.

        Raises:
            AccountError: no such organisation, user or role.
        """
        if role not in ROLES:
            raise AccountError(f"role {role!r}: one of {', '.join(ROLES)}")
        with self._connections.write() as database:
            database.execute(
                "INSERT INTO members (organisation_id, user_id, role) VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET role = excluded.role",
                (_organisation(database, organisation).id, _user(database, user).id, role),
            )

    def remove_member(self, organisation: str, user: str) -> None:
        """Let a user go.

        Raises:
            AccountError: no such organisation or user, or the user is no member.
        """
        with self._connections.write() as database:
            parts = _organisation(database, organisation).id, _user(database, user).id
            gone = database.execute("DELETE FROM members WHERE organisation_id = ? AND user_id = ?", parts)
            if not gone.rowcount:
                raise AccountError(f"{user} is no member of {organisation}")

    def members(self, organisation: str) -> Mapping[str, str]:
        """Role of each member, by name.

        Raises:
            AccountError: no such organisation.
        """
        with self._connections.read() as database:
            return dict(
                database.execute(
                    "SELECT users.name, role FROM members JOIN users ON users.id = user_id WHERE organisation_id = ?"
                    " ORDER BY users.name",
                    (_organisation(database, organisation).id,),
                )
            )

    def roles(self, user: str) -> Mapping[str, str]:
        """A user's role in each organisation, by the organisation's name."""
        with self._connections.read() as database:
            return dict(
                database.execute(
                    "SELECT organisations.name, role FROM members JOIN users ON users.id = user_id"
                    " JOIN users AS organisations ON organisations.id = organisation_id WHERE users.name = ?"
                    " ORDER BY organisations.name",
                    (user,),
                )
            )

    def _create(
        self, name: str, full_name: str, *, is_organisation: bool, default_visibility: str = "public"
    ) -> Namespace:
        check_namespace(name)
        try:
            with self._connections.write() as database:
                database.execute(
                    "INSERT INTO users (name, full_name, is_organisation, default_visibility, created_at)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (name, full_name, int(is_organisation), default_visibility, time.time()),
                )
                made = _found(database, name)
        except sqlite3.IntegrityError as error:
            raise HubConflictError(f"there is a user or an organisation {name} already") from error
        assert made is not None
        return made


def _found(database: sqlite3.Connection, name: str) -> Namespace | None:
    row = database.execute(f"SELECT {_COLUMNS} FROM users WHERE name = ?", (name,)).fetchone()
    return None if row is None else _namespace(row)


def _namespace(row: tuple[int, str, str, int, str, float]) -> Namespace:
    return Namespace(row[0], row[1], row[2], bool(row[3]), row[4], row[5])


def _organisation(database: sqlite3.Connection, name: str) -> Namespace:
    found = _found(database, name)
    if found is None or not found.is_organisation:
        raise AccountError(f"there is no organisation {name}; `embedhub org create` makes one")
    return found


def _user(database: sqlite3.Connection, name: str) -> Namespace:
    found = _found(database, name)
    if found is None or found.is_organisation:
        raise AccountError(f"there is no user {name}; `embedhub user create` makes one")
    return found
