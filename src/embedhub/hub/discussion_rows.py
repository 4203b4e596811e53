"""Discussions, pull requests and what happened in them, as rows. Knows SQL.

Refuses to know who may do what. Each function works within the caller's transaction.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from embedhub.errors import DiscussionNotFoundError
from embedhub.hub.pull_requests import reference_of
from embedhub.hub.repositories import Repository


@dataclass(frozen=True, slots=True)
class Discussion:
    """A discussion or a pull request.

    Attributes:
        number: within its repository, from 1.
        title: one line.
        status: draft, open, closed or merged; the first and the last of pull requests only.
        is_pull_request: which of the two it is.
        author: a user's name.
        created_at: seconds since 1970.
        target: full name of the branch that a pull request is for.
        merge_commit: hash; where that branch stood after the merge.
    """

    number: int
    title: str
    status: str
    is_pull_request: bool
    author: str
    created_at: float
    target: str
    merge_commit: str

    @property
    def reference(self) -> str:
        """Full name of a pull request's own reference."""
        return reference_of(self.number)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a discussion.

    Attributes:
        id: hexadecimal digits.
        kind: comment, status-change, title-change or commit.
        author: a user's name; of commits who is named there.
        created_at: seconds since 1970.
        data: by kind. Of a comment `raw`, `at` and `by`, `hidden`, and `versions`: what it was before, latest first,
            each with the first three; the first of a pull request has its `base` too. Of others `status`; `from` and
            `to`; `subject` and `oid`.
    """

    id: str
    kind: str
    author: str
    created_at: float
    data: Mapping[str, Any] = field(default_factory=dict)


_COLUMNS = "num, title, status, is_pull_request, author, created_at, target, merge_commit"
_EVENTS = "SELECT id, kind, author, created_at, data FROM discussion_events WHERE repository = ? AND num = ?"


def find(database: sqlite3.Connection, repository: Repository, number: int) -> Discussion:
    """The discussion of that number.

    Raises:
        DiscussionNotFoundError: there is none.
    """
    row = database.execute(
        f"SELECT {_COLUMNS} FROM discussions WHERE repository = ? AND num = ?", (repository.uuid, number)
    ).fetchone()
    if row is None:
        raise DiscussionNotFoundError(f"there is no discussion or pull request {number} of {repository.id}")
    return _discussion(row)


def select(
    database: sqlite3.Connection,
    repository: Repository,
    *,
    pull_requests: bool | None,
    is_open: bool | None,
    author: str,
    skip: int,
    limit: int,
) -> tuple[list[Discussion], int]:
    """Some discussions, newest first, and how many there are in all; see `Discussions.select`."""
    matching = (
        " FROM discussions WHERE repository = ?1 AND (?2 IS NULL OR is_pull_request = ?2)"
        " AND (?3 IS NULL OR (status IN ('draft', 'open')) = ?3) AND (?4 = '' OR author = ?4 COLLATE NOCASE)"
    )
    wanted = (repository.uuid, pull_requests, is_open, author)
    (count,) = database.execute(f"SELECT count(*){matching}", wanted).fetchone()
    rows = database.execute(
        f"SELECT {_COLUMNS}{matching} ORDER BY num DESC LIMIT ?5 OFFSET ?6", (*wanted, limit, skip)
    ).fetchall()
    return [_discussion(row) for row in rows], int(count)


def begin(
    database: sqlite3.Connection,
    repository: Repository,
    author: str,
    title: str,
    text: str,
    *,
    target: str = "",
    base: str = "",
    status: str = "open",
) -> Discussion:
    """A new discussion with its first comment; with a target it is a pull request, upon a base."""
    (number,) = database.execute(
        "SELECT coalesce(max(num), 0) + 1 FROM discussions WHERE repository = ?", (repository.uuid,)
    ).fetchone()
    now = time.time()
    database.execute(
        f"INSERT INTO discussions (repository, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '')",
        (repository.uuid, number, title, status, bool(target), author, now, target),
    )
    comment(database, repository, author, number, text, base=base)
    return Discussion(number, title, status, bool(target), author, now, target, "")


def delete(database: sqlite3.Connection, repository: Repository, number: int) -> None:
    """Remove a discussion, as if it had never been."""
    database.execute("DELETE FROM discussions WHERE repository = ? AND num = ?", (repository.uuid, number))


def update(database: sqlite3.Connection, repository: Repository, number: int, column: str, value: str) -> None:
    """Change one column of a discussion."""
    assert column in ("title", "status", "merge_commit")
    database.execute(
        f"UPDATE discussions SET {column} = ? WHERE repository = ? AND num = ?", (value, repository.uuid, number)
    )


def events(database: sqlite3.Connection, repository: Repository, number: int) -> list[Event]:
    """What happened, in order."""
    rows = database.execute(f"{_EVENTS} ORDER BY position", (repository.uuid, number)).fetchall()
    return [_event(row) for row in rows]


def find_comment(database: sqlite3.Connection, repository: Repository, number: int, id: str) -> Event:
    """A comment.

    Raises:
        DiscussionNotFoundError: there is none.
    """
    find(database, repository, number)
    row = database.execute(f"{_EVENTS} AND id = ? AND kind = 'comment'", (repository.uuid, number, id)).fetchone()
    if row is None:
        raise DiscussionNotFoundError(f"discussion {number} of {repository.id} has no comment {id:.100}")
    return _event(row)


def comment(
    database: sqlite3.Connection, repository: Repository, author: str, number: int, text: str, *, base: str = ""
) -> Event:
    """One more comment."""
    data = {"raw": text, "at": time.time(), "by": author, "hidden": False, "versions": []}
    return add(database, repository, number, new_event("comment", author, data | ({"base": base} if base else {})))


def change_comment(
    database: sqlite3.Connection, repository: Repository, number: int, event: Event, **changes: Any
) -> Event:
    """A comment with some of its data changed."""
    changed = replace(event, data={**event.data, **changes})
    database.execute(
        "UPDATE discussion_events SET data = ? WHERE repository = ? AND num = ? AND id = ?",
        (json.dumps(changed.data), repository.uuid, number, event.id),
    )
    return changed


def new_event(kind: str, author: str, data: Mapping[str, Any]) -> Event:
    """Something that happens now."""
    return Event(secrets.token_hex(12), kind, author, time.time(), data)


def add(database: sqlite3.Connection, repository: Repository, number: int, event: Event) -> Event:
    """Keep what happened; gives it back."""
    database.execute(
        "INSERT INTO discussion_events (repository, num, id, position, kind, author, created_at, data)"
        " SELECT ?1, ?2, ?3, coalesce(max(position), 0) + 1, ?4, ?5, ?6, ?7 FROM discussion_events"
        " WHERE repository = ?1 AND num = ?2",
        (repository.uuid, number, event.id, event.kind, event.author, event.created_at, json.dumps(event.data)),
    )
    return event


def _discussion(row: tuple[int, str, str, int, str, float, str, str]) -> Discussion:
    number, title, status, is_pull_request, author, created_at, target, merge_commit = row
    return Discussion(number, title, status, bool(is_pull_request), author, created_at, target, merge_commit)


def _event(row: tuple[str, str, str, float, str]) -> Event:
    id, kind, author, created_at, data = row
    return Event(id, kind, author, created_at, json.loads(data))
