"""What a pull request would change, and that change made. Knows git by way of pygit2.

Refuses to know whose pull request it is, and what was said about it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pygit2
from pygit2.enums import DeltaStatus, SortMode

from embedhub.errors import HubConflictError, StaleParentError
from embedhub.hub.git import GitRepository
from embedhub.hub.history import Commit
from embedhub.hub.reading import GitReader

# Shown of a pull request.
_MOST_COMMITS = 1000
_LONGEST_DIFF = 1 << 20
_MOST_CONFLICTS = 1000

# How often somebody else may move the branch while a merge is computed.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Merge:
    """What became of a merge: where the branch stands now, and which commits it brought, oldest first."""

    commit: str
    brought: tuple[Commit, ...]


def commits(git: GitReader, head: str, target: str) -> list[Commit]:
    """Commits that led to a head and not to the target, oldest first."""
    walker = git.repository.walk(pygit2.Oid(hex=head), SortMode.TOPOLOGICAL | SortMode.REVERSE)
    walker.hide(pygit2.Oid(hex=target))
    return [git.read_commit(str(commit.id)) for commit in islice(walker, _MOST_COMMITS)]


def difference(git: GitReader, head: str, target: str) -> str:
    """What a head changed since it left the target, as `git diff` writes it; what is too long is left out and said."""
    repository = git.repository
    base = _base(git, head, target)
    after = repository[pygit2.Oid(hex=head)].peel(pygit2.Tree)
    before = None if base is None else repository[pygit2.Oid(hex=base)].peel(pygit2.Tree)
    diff = after.diff_to_tree(swap=True) if before is None else before.diff_to_tree(after)
    parts: list[str] = []
    left = _LONGEST_DIFF
    for patch in _patches(diff):
        text = patch.data.decode("utf-8", "replace")
        left -= len(text)
        if left < 0:
            parts.append(f"\\ {len(diff) - len(parts)} more files are not shown: the diff is too long\n")
            break
        parts.append(text)
    return "".join(parts)


def conflicts(git: GitReader, head: str, target: str) -> list[str]:
    """Paths that both sides changed, each in its own way."""
    return _conflicts(_merged(git, head, target))


def merge(git: GitRepository, head: str, reference: str, message: str, author: str) -> Merge:
    """Bring a head into a branch: by moving it on where nothing else happened there, else by a commit with two parents.

    Args:
        git: the repository.
        head: hash of the commit.
        reference: full name of the branch.
        message: of the commit, if one is made.
        author: a user's name.

    Raises:
        HubConflictError: both changed the same places; the message lists the files.
        RevisionNotFoundError: there is no such branch.
        StaleParentError: somebody moved the branch each time that the merge was ready.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        target = git.resolve(reference)
        brought = tuple(commits(git, head, target))
        try:
            return Merge(_merge(git, head, reference, target, message, author), brought)
        except StaleParentError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError


def _merge(git: GitRepository, head: str, reference: str, target: str, message: str, author: str) -> str:
    repository = git.repository
    base = _base(git, head, target)
    if base == head:
        # Such as after a merge whose answer was lost.
        return target
    if base == target:
        git.set_reference(reference, head, expected=target)
        return head
    index = _merged(git, head, target)
    paths = _conflicts(index)
    if paths:
        raise HubConflictError(
            f"the pull request conflicts with {reference} in {', '.join(paths[:20])}"
            f"{' …' if len(paths) > 20 else ''}: merge {reference} into it first"
        )
    before = repository[pygit2.Oid(hex=target)].peel(pygit2.Tree)
    changes: dict[str, tuple[str, int] | None] = {}
    for delta in before.diff_to_index(index).deltas:
        if delta.status == DeltaStatus.DELETED:
            changes[delta.old_file.path] = None
            continue
        blob = repository[delta.new_file.id]
        # Written once more: what libgit2 joined of two versions is not known to be on the disk.
        oid = git.write_blob(blob.data) if isinstance(blob, pygit2.Blob) else str(delta.new_file.id)
        changes[delta.new_file.path] = oid, int(delta.new_file.mode)
    tree = git.edit_tree(str(before.id), changes)
    return git.commit(reference, tree, (target, head), message, author, expected=target)


def _base(git: GitReader, head: str, target: str) -> str | None:
    """Hash of the last commit that both have; None if they share nothing."""
    found: Any = git.repository.merge_base(pygit2.Oid(hex=target), pygit2.Oid(hex=head))
    return None if found is None else str(found)


def _merged(git: GitReader, head: str, target: str) -> pygit2.Index:
    return git.repository.merge_commits(pygit2.Oid(hex=target), pygit2.Oid(hex=head))


def _conflicts(index: pygit2.Index) -> list[str]:
    found: dict[str, None] = {}
    for sides in islice(index.conflicts or (), _MOST_CONFLICTS):
        found |= dict.fromkeys(side.path for side in sides if side is not None)
    return list(found)


def _patches(diff: pygit2.Diff) -> Iterator[pygit2.Patch]:
    """The files of a diff, one after the other, so that no more than one is in memory."""
    for patch in diff:
        if patch is not None:
            yield patch
