"""What came before: commits as clients see them, and who changed a path last. Knows pygit2's commits.

Refuses to know references.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import pygit2

from embedhub.hub.trees import lookup_all


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its hash, first line, the rest, when (seconds since 1970), who and what came before."""

    id: str
    title: str
    message: str
    date: float
    authors: tuple[str, ...]
    parents: tuple[str, ...]


def as_commit(commit: pygit2.Commit) -> Commit:
    """A commit without libgit2's object."""
    title, _, message = _text(commit.raw_message).partition("\n")
    author = _text(commit.author.raw_name or b"")
    parents = tuple(map(str, commit.parent_ids))
    return Commit(str(commit.id), title, message.strip(), float(commit.commit_time), (author,), parents)


def last_commits(
    repository: pygit2.Repository, commit: pygit2.Commit, paths: Iterable[str], most_commits: int
) -> dict[str, Commit]:
    """For each path the commit that last changed it, along first parents.

    Only the folders on the way to the paths are looked at, whatever else a commit holds.

    Args:
        repository: where the commits lie.
        commit: to start from.
        paths: files and folders of it.
        most_commits: what did not change in so many is said to be of the last one looked at.
    """
    current = commit
    here = _ids(repository, current, list(paths))
    found: dict[str, Commit] = {}
    for _ in range(most_commits):
        if not here or not current.parents:
            break
        parent = current.parents[0]
        if parent.tree_id != current.tree_id:
            before = _ids(repository, parent, here)
            changed = [path for path, id in here.items() if before[path] != id]
            if changed:
                found |= dict.fromkeys(changed, as_commit(current))
                here = {path: id for path, id in here.items() if path not in found}
        current = parent
    return found | dict.fromkeys(here, as_commit(current))


def _ids(repository: pygit2.Repository, commit: pygit2.Commit, paths: Collection[str]) -> dict[str, bytes | None]:
    """What lies at each path, as its hash; None where nothing does."""
    tree = commit.tree_id.raw
    found = lookup_all(repository, tree, paths)
    return {path: found[path].oid if path in found else tree if not path else None for path in paths}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
