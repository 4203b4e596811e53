"""Folders of a git repository with some paths changed. Knows how trees are written, and each of them once.

Refuses to know what the files are, and revisions and references.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

import pygit2
from pygit2.enums import ObjectType

from embedhub.errors import HubContentError
from embedhub.hub import tree_bytes
from embedhub.hub.trees import read_tree, readable

# For each path its blob or tree and its mode, or None to remove it.
Changes = Mapping[str, tuple[str, int] | None]

# The same by a path's parts: they are in order, so that what changes in one folder stands together.
_Change = tuple[list[str], tuple[str, int] | None]


def edit_tree(repository: pygit2.Repository, tree: str | None, changes: Changes, written: list[str]) -> str:
    """A tree that differs from another in some paths.

    Only the folders on the way to them are written anew, each once, so that the cost does not grow with the repository,
    nor faster than the number of changes.

    Args:
        repository: where the objects lie.
        tree: the one to start from; None is an empty one.
        changes: what differs.
        written: the hash of each tree that is written is added to it.

    Raises:
        HubContentError: a path is to be a file and a folder at once.
        HubPathError: a name that git would not have.
        HubError: a folder on the way is missing or damaged.
    """
    parts = sorted(((path.split("/"), new) for path, new in changes.items()), key=lambda change: change[0])
    made = _edit(repository, bytes.fromhex(tree) if tree is not None else None, parts, 0, written)
    return (made if made is not None else write_tree(repository, b"", written)).hex()


def write_tree(repository: pygit2.Repository, content: bytes, written: list[str]) -> bytes:
    """Keep a tree; gives its hash, which is added to those that were written."""
    made = repository.write(ObjectType.TREE, content)
    written.append(str(made))
    return made.raw


def _edit(
    repository: pygit2.Repository, tree: bytes | None, changes: Sequence[_Change], depth: int, written: list[str]
) -> bytes | None:
    """The tree after the changes, whose parts from a depth on are its own; None if nothing is left in it."""
    content = read_tree(repository, tree) if tree is not None else b""
    groups = {_raw(name): list(same) for name, same in groupby(changes, key=lambda change: change[0][depth])}
    # What lies in a folder stands behind what is said of the folder itself.
    within = [name for name, same in groups.items() if len(same[-1][0]) > depth + 1]
    with readable(repository, tree):
        known = tree_bytes.find_all(content, within)
    new: dict[bytes, tuple[bytes, bytes] | None] = {}
    for name, same in groups.items():
        mode, oid = known.get(name, (b"", b""))
        path, file = same[0]
        if len(path) == depth + 1:
            new[name] = (b"%o" % file[1], bytes.fromhex(file[0])) if file is not None else None
            mode = b""
            del same[0]
            if file is not None and any(change[1] is not None for change in same):
                raise HubContentError(f"{path[-1]} cannot be a file and a folder at once")
        # As in git: a file makes way for a folder, but not for nothing.
        if mode == tree_bytes.FOLDER or any(change[1] is not None for change in same):
            made = _edit(repository, oid if mode == tree_bytes.FOLDER else None, same, depth + 1, written)
            new[name] = (tree_bytes.FOLDER, made) if made is not None else None
    with readable(repository, tree):
        after = tree_bytes.edited(content, new)
    if not after:
        return None
    return tree if after == content else write_tree(repository, after, written)


def _raw(name: str) -> bytes:
    # As pygit2 gives names that are no UTF-8.
    return name.encode("utf-8", "surrogateescape")
