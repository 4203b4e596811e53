"""References of pull requests, `refs/pr/N`, and who may move them: one rule for pushes and for commits over the API.

Knows the rows of discussions. Refuses to know git, so that the program which git runs for each push starts quickly.
"""

import re
import sqlite3

_REFERENCE = re.compile(r"refs/pr/([1-9][0-9]{0,8})")


def reference_of(number: int) -> str:
    """Full name of a pull request's reference."""
    return f"refs/pr/{number}"


def number_of(reference: str) -> int | None:
    """The pull request that a reference is of; None if it is of none."""
    found = _REFERENCE.fullmatch(reference)
    return None if found is None else int(found[1])


def why_not(database: sqlite3.Connection, repository: str, reference: str, user: str, *, may_write: bool) -> str:
    """Why somebody may not add commits to a pull request; empty if they may.

    Args:
        database: of the Hub.
        repository: its uuid.
        reference: full name.
        user: who wants to.
        may_write: whether they may write to the repository.
    """
    number = number_of(reference)
    row = database.execute(
        "SELECT author, status FROM discussions WHERE repository = ? AND num = ? AND is_pull_request",
        (repository, number),
    ).fetchone()
    if number is None or row is None:
        return f"there is no pull request {reference}; one is opened over the API"
    author, status = row
    if not may_write and not (user and user.lower() == author.lower()):
        return f"only {author} and those who may write to the repository add commits to {reference}"
    if status not in ("draft", "open"):
        return f"the pull request {reference} is {status}"
    return ""


def has_open(database: sqlite3.Connection, repository: str, user: str) -> bool:
    """Whether somebody has a pull request in a repository that commits can be added to."""
    row = database.execute(
        "SELECT 1 FROM discussions WHERE repository = ? AND is_pull_request AND status IN ('draft', 'open')"
        " AND author = ? COLLATE NOCASE",
        (repository, user),
    ).fetchone()
    return row is not None
