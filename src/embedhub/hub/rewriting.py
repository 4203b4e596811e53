"""A history as if some large files had never been in it. Knows trees and commits of pygit2.

What is rewritten stands beside what was, until the branches are moved to it, one after the other.
"""

from collections.abc import Set

import pygit2
from pygit2.enums import FileMode, SortMode

from embedhub.hub.durable import full_disk
from embedhub.hub.git import GitRepository
from embedhub.hub.pointers import LONGEST_POINTER, read_pointer
from embedhub.hub.trees import edit_tree


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
        self._trees: dict[str, str | None] = {}
        self._is_removed: dict[str, bool] = {}

    def commit(self, tip: str) -> str:
        """The commit that stands for another from now on: itself, if nothing of its history has such a file."""
        order = self._repository.walk(pygit2.Oid(hex=tip), SortMode.TOPOLOGICAL | SortMode.REVERSE)
        for commit in order:
            if str(commit.id) not in self._commits:
                self._commits[str(commit.id)] = self._rewritten(commit)
        return self._commits[tip]

    def _rewritten(self, commit: pygit2.Commit) -> str:
        tree = self._tree(str(commit.tree.id)) or edit_tree(self._repository, None, {}, self._written)
        parents = [self._commits[str(parent)] for parent in commit.parent_ids]
        if tree == str(commit.tree.id) and parents == [str(parent) for parent in commit.parent_ids]:
            return str(commit.id)
        made = self._repository.create_commit(
            None,
            commit.author,
            commit.committer,
            commit.message,
            pygit2.Oid(hex=tree),
            [pygit2.Oid(hex=parent) for parent in parents],
        )
        self._written.append(str(made))
        return str(made)

    def _tree(self, top: str) -> str | None:
        """The tree without such files; None if nothing is left. Folders wait on a stack for those within them."""
        waiting = [top]
        while waiting:
            id = waiting[-1]
            tree = self._repository[pygit2.Oid(hex=id)]
            assert isinstance(tree, pygit2.Tree)
            inner = [
                str(item.id) for item in tree if item.filemode == FileMode.TREE and str(item.id) not in self._trees
            ]
            if inner:
                waiting.extend(inner)
                continue
            if id not in self._trees:
                self._trees[id] = self._without(tree)
            waiting.pop()
        return self._trees[top]

    def _without(self, tree: pygit2.Tree) -> str | None:
        builder = self._repository.TreeBuilder(tree)
        for item in tree:
            name, id = item.name or "", str(item.id)
            if item.filemode == FileMode.TREE:
                kept = self._trees[id]
                if kept is None:
                    builder.remove(name)
                elif kept != id:
                    builder.insert(name, pygit2.Oid(hex=kept), int(FileMode.TREE))
            elif item.filemode != FileMode.COMMIT and self._is_one(id):
                builder.remove(name)
        if len(builder) == len(tree) and not len(tree):
            return str(tree.id)
        if not len(builder):
            return None
        made = str(builder.write())
        if made != str(tree.id):
            self._written.append(made)
        return made

    def _is_one(self, blob: str) -> bool:
        known = self._is_removed.get(blob)
        if known is None:
            oid = pygit2.Oid(hex=blob)
            pointer = None
            if self._repository.odb.read_header(oid)[1] <= LONGEST_POINTER:
                pointer = read_pointer(self._repository.odb.read(oid)[1])
            known = self._is_removed[blob] = pointer is not None and pointer.sha256 in self._removed
        return known
