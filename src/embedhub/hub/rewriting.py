"""A history as if some large files had never been in it. Knows trees as bytes and commits of pygit2.

What is rewritten stands beside what was, until the branches are moved to it, one after the other.
"""

from collections.abc import Set

import pygit2
from pygit2.enums import SortMode

from embedhub.hub.durable import full_disk
from embedhub.hub.editing import write_tree
from embedhub.hub.git import GitRepository
from embedhub.hub.pointers import LONGEST_POINTER, read_pointer
from embedhub.hub.tree_bytes import FOLDER, SUBMODULE, Entry, edited, entries
from embedhub.hub.trees import read_tree, readable


def forget(git: GitRepository, removed: Set[str]) -> None:
    """Let no branch, tag or pull request lead to some large files any more.

    Args:
        git: the repository.
        removed: checksums of the files.

    Raises:
        StaleParentError: somebody moved a branch meanwhile; those before it were rewritten.
        StorageFullError: the disk is full.
    """
    rewriting = _Rewriting(git.repository, removed, git.written)
    for reference in git.references():
        with full_disk(git.folder):
            commit = rewriting.commit(reference.commit)
        if commit != reference.commit:
            git.set_reference(reference.name, commit, expected=reference.commit)


class _Rewriting:
    """Commits without some large files; what several branches share is rewritten once.

    Args:
        repository: where the objects lie.
        removed: checksums of the files.
        written: the hash of each object that is written is added to it.
    """

    def __init__(self, repository: pygit2.Repository, removed: Set[str], written: list[str]) -> None:
        self._repository = repository
        self._removed = removed
        self._written = written
        self._commits: dict[str, str] = {}
        self._trees: dict[bytes, bytes | None] = {}
        self._is_removed: dict[bytes, bool] = {}

    def commit(self, tip: str) -> str:
        """The commit that stands for another from now on: itself, if nothing of its history has such a file."""
        order = self._repository.walk(pygit2.Oid(hex=tip), SortMode.TOPOLOGICAL | SortMode.REVERSE)
        for commit in order:
            if str(commit.id) not in self._commits:
                self._commits[str(commit.id)] = self._rewritten(commit)
        return self._commits[tip]

    def _rewritten(self, commit: pygit2.Commit) -> str:
        tree = self._tree(commit.tree_id.raw) or write_tree(self._repository, b"", self._written)
        parents = [self._commits[str(parent)] for parent in commit.parent_ids]
        if tree == commit.tree_id.raw and parents == [str(parent) for parent in commit.parent_ids]:
            return str(commit.id)
        made = self._repository.create_commit(
            None,
            commit.author,
            commit.committer,
            commit.message,
            pygit2.Oid(raw=tree),
            [pygit2.Oid(hex=parent) for parent in parents],
        )
        self._written.append(str(made))
        return str(made)

    def _tree(self, top: bytes) -> bytes | None:
        """The tree without such files; None if nothing is left. Folders wait on a stack for those within them."""
        waiting = [top]
        while waiting:
            id = waiting[-1]
            content = read_tree(self._repository, id)
            with readable(self._repository, id):
                items = list(entries(content))
            inner = [oid for mode, _, oid in items if mode == FOLDER and oid not in self._trees]
            if inner:
                waiting.extend(inner)
                continue
            if id not in self._trees:
                self._trees[id] = self._without(id, content, items)
            waiting.pop()
        return self._trees[top]

    def _without(self, tree: bytes, content: bytes, items: list[Entry]) -> bytes | None:
        changes: dict[bytes, tuple[bytes, bytes] | None] = {}
        for mode, name, oid in items:
            if mode == FOLDER:
                kept = self._trees[oid]
                if kept != oid:
                    changes[name] = (FOLDER, kept) if kept is not None else None
            elif mode != SUBMODULE and self._is_one(oid):
                changes[name] = None
        if not changes:
            return tree
        after = edited(content, changes)
        return write_tree(self._repository, after, self._written) if after else None

    def _is_one(self, blob: bytes) -> bool:
        known = self._is_removed.get(blob)
        if known is None:
            oid = pygit2.Oid(raw=blob)
            pointer = None
            if self._repository.odb.read_header(oid)[1] <= LONGEST_POINTER:
                pointer = read_pointer(self._repository.odb.read(oid)[1])
            known = self._is_removed[blob] = pointer is not None and pointer.sha256 in self._removed
        return known
