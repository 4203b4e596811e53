"""Folders of a git repository: what lies in them, and the same with some paths changed. Knows pygit2's objects.

Refuses to know revisions and references.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pygit2
from pygit2.enums import FileMode

from embedhub.errors import HubContentError
from embedhub.hub.pointers import LONGEST_POINTER, Pointer, read_pointer

FILE = int(FileMode.BLOB)

# For each path its blob or tree and its mode, or None to remove it.
Changes = Mapping[str, tuple[str, int] | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder.

    Attributes:
        path: from the top.
        oid: of git: of the blob (of a large file's pointer too) or of the tree.
        size: in bytes, of a large file its own; 0 of a folder.
        is_folder: whether it is one.
        pointer: of a large file.
        pointer_size: its length in bytes.
    """

    path: str
    oid: str
    size: int = 0
    is_folder: bool = False
    pointer: Pointer | None = None
    pointer_size: int = 0

    @property
    def etag(self) -> str:
        """What identifies the content to clients: the checksum of a large file, else git's."""
        return self.pointer.sha256 if self.pointer is not None else self.oid


def edit_tree(repository: pygit2.Repository, tree: str | None, changes: Changes, written: list[str]) -> str:
    """A tree that differs from another in some paths.

    Only the folders on the way to them are written anew, so that the cost does not grow with the repository.

    Args:
        repository: where the objects lie.
        tree: the one to start from; None is an empty one.
        changes: what differs.
        written: the hash of each tree that is written is added to it.

    Raises:
        HubContentError: a path is to be a file and a folder at once.
    """
    parts = [(path.split("/"), new) for path, new in changes.items()]
    made = _edit(repository, tree, parts, written)
    if made is None:
        made = str(repository.TreeBuilder().write())
        written.append(made)
    return made


def _edit(
    repository: pygit2.Repository,
    tree: str | None,
    changes: list[tuple[list[str], tuple[str, int] | None]],
    written: list[str],
) -> str | None:
    """The tree after the changes; None if nothing is left in it."""
    builder = repository.TreeBuilder(tree) if tree is not None else repository.TreeBuilder()
    below: dict[str, list[tuple[list[str], tuple[str, int] | None]]] = {}
    here: set[str] = set()
    for parts, new in changes:
        name = parts[0]
        if len(parts) > 1:
            below.setdefault(name, []).append((parts[1:], new))
        elif new is not None:
            here.add(name)
            builder.insert(name, pygit2.Oid(hex=new[0]), new[1])
        elif builder.get(name) is not None:
            builder.remove(name)
    for name, inner in below.items():
        if name in here:
            raise HubContentError(f"{name} cannot be a file and a folder at once")
        old = builder.get(name)
        # As in git: a file makes way for a folder.
        is_folder = isinstance(old, pygit2.Tree)
        if not is_folder and all(new is None for _, new in inner):
            continue
        made = _edit(repository, str(old.id) if old is not None and is_folder else None, inner, written)
        if made is not None:
            builder.insert(name, pygit2.Oid(hex=made), int(FileMode.TREE))
        elif old is not None:
            builder.remove(name)
    if not len(builder):
        return None
    written.append(str(builder.write()))
    return written[-1]


def walk(tree: pygit2.Tree, prefix: str, *, recursive: bool, after: str) -> Iterator[Entry]:
    """What lies in a folder, in git's order; what comes before the path `after`, and itself, is not read."""
    # What follows `after` begins with the part of it that lies in this folder.
    rest = after[len(prefix) + 1 if prefix else 0 :] if after else ""
    skipping, _, deeper = rest.partition("/")
    for item in tree:
        name = item.name or ""
        path = f"{prefix}/{name}" if prefix else name
        if skipping:
            if name != skipping:
                continue
            skipping = ""
            if recursive and isinstance(item, pygit2.Tree):
                yield from walk(item, path, recursive=True, after=after if deeper else "")
            continue
        yield entry_of(item, path)
        if recursive and isinstance(item, pygit2.Tree):
            yield from walk(item, path, recursive=True, after="")


def entry_of(item: pygit2.Object, path: str) -> Entry:
    """What a path is, of the object that lies there."""
    if isinstance(item, pygit2.Tree):
        return Entry(path, str(item.id), is_folder=True)
    if not isinstance(item, pygit2.Blob):
        # A submodule is a commit of a repository that is not here.
        return Entry(path, str(item.id))
    size = item.size
    pointer = read_pointer(item.data) if size <= LONGEST_POINTER else None
    if pointer is not None:
        return Entry(path, str(item.id), pointer.size, pointer=pointer, pointer_size=size)
    return Entry(path, str(item.id), size)


def changed_paths(tree: pygit2.Tree, before: pygit2.Tree | None) -> set[str]:
    """The files that differ between two trees, and every folder above one of them."""
    diff = tree.diff_to_tree(before) if before is not None else tree.diff_to_tree()
    found = {""}
    for delta in diff.deltas:
        path = delta.new_file.path
        while path:
            found.add(path)
            path = path.rpartition("/")[0]
    return found
