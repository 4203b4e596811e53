"""Folders of a git repository: what lies in them, and the same with some paths changed. Knows pygit2's objects.

Refuses to know revisions and references.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pygit2
from pygit2.enums import FileMode

from embedhub.errors import HubContentError, HubError
from embedhub.hub.pointers import LONGEST_POINTER, Pointer, read_pointer

FILE = int(FileMode.BLOB)

# As they are written in a tree, of which an entry is `mode name NUL hash`.
_TREE, _SUBMODULE = b"40000", b"160000"
_HASH_BYTES = 20
_ITEM = re.compile(rb"([0-7]+) ([^\0]+)\0(.{%d})" % _HASH_BYTES, re.DOTALL)

# What stands for a byte that is no UTF-8.
_UNREADABLE = "\ufffd"

# Nothing longer is looked for or looked into: it came by git, and no client could write it.
_LONGEST_PATH = 4096

# Size of a file, its pointer if it is a large one, and the length of what git keeps of it.
_Facts = tuple[int, Pointer | None, int]

# What is known of blobs, by their hash: it never changes, and a listing asks for a thousand at once.
_known_facts: dict[bytes, _Facts] = {}
_MOST_KNOWN = 100_000

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


def lookup(repository: pygit2.Repository, tree: pygit2.Tree, path: str) -> pygit2.Object | None:
    """What lies at a path of a tree, a path as `walk` shows it; None is nothing, or a submodule."""
    if "\0" in path or path.endswith("/") or len(path) > _LONGEST_PATH:
        return None
    found: pygit2.Object | None
    try:
        found = tree[path]
    except (KeyError, ValueError, TypeError):
        found = _lookup_shown(repository, tree, path) if _UNREADABLE in path else None
    return found if isinstance(found, pygit2.Tree | pygit2.Blob) else None


def _lookup_shown(repository: pygit2.Repository, tree: pygit2.Tree, path: str) -> pygit2.Object | None:
    oid, mode = tree.id.raw, _TREE
    for part in path.split("/"):
        if mode != _TREE:
            return None
        same = next((item for item in _items(repository, oid) if item[0] == part), None)
        if same is None:
            return None
        _, mode, oid = same
    return repository[pygit2.Oid(raw=oid)]


def walk(
    repository: pygit2.Repository, tree: pygit2.Tree, prefix: str, *, recursive: bool, after: str = ""
) -> Iterator[Entry]:
    """What lies in a folder, in git's order.

    Args:
        repository: where the objects lie.
        tree: the folder.
        prefix: its path.
        recursive: folders' contents behind them.
        after: a path in the folder; what comes before it, and itself, is not read.
    """
    for path, mode, oid in _listed(repository, tree.id.raw, prefix, recursive=recursive, after=after):
        if mode == _TREE:
            yield Entry(path, oid.hex(), is_folder=True)
        else:
            yield file_entry(repository, path, oid)


def file_paths(repository: pygit2.Repository, tree: pygit2.Tree) -> Iterator[str]:
    """The path of each file, without a look at what it holds."""
    for path, mode, _ in _listed(repository, tree.id.raw, "", recursive=True, after=""):
        if mode != _TREE:
            yield path


def large_files(repository: pygit2.Repository, tree: pygit2.Tree, seen: set[bytes]) -> Iterator[tuple[str, Pointer]]:
    """Path and pointer of each large file; of folders that were not seen before, to which those found are added."""
    waiting = [("", tree.id.raw)]
    while waiting:
        folder, oid = waiting.pop()
        if oid in seen or len(folder) > _LONGEST_PATH:
            continue
        seen.add(oid)
        for name, mode, item in _items(repository, oid):
            path = f"{folder}/{name}" if folder else name
            if mode == _TREE:
                waiting.append((path, item))
            elif (pointer := _facts(repository, item)[1]) is not None:
                yield path, pointer


def tree_size(repository: pygit2.Repository, tree: pygit2.Tree) -> int:
    """Bytes of all files; of large files their own, not their pointers'.

    A folder that lies in many places is looked at once, so that the cost follows what is stored.
    """
    sizes: dict[bytes, int] = {}
    waiting = [tree.id.raw]
    while waiting:
        oid = waiting[-1]
        items = list(_items(repository, oid))
        inner = {item for _, mode, item in items if mode == _TREE and item not in sizes}
        if inner:
            waiting.extend(inner)
            continue
        sizes[oid] = sum(sizes[item] if mode == _TREE else _facts(repository, item)[0] for _, mode, item in items)
        waiting.pop()
    return sizes[tree.id.raw]


def entry_of(repository: pygit2.Repository, item: pygit2.Object, path: str) -> Entry:
    """What a path is, of the object that lies there."""
    if isinstance(item, pygit2.Tree):
        return Entry(path, str(item.id), is_folder=True)
    return file_entry(repository, path, item.id.raw)


def file_entry(repository: pygit2.Repository, path: str, oid: bytes) -> Entry:
    """The file whose content git keeps as a blob of that hash."""
    size, pointer, stored = _facts(repository, oid)
    return Entry(path, oid.hex(), size, pointer=pointer, pointer_size=stored if pointer is not None else 0)


def _listed(
    repository: pygit2.Repository, tree: bytes, prefix: str, *, recursive: bool, after: str
) -> Iterator[tuple[str, bytes, bytes]]:
    """Path, mode and hash of what lies in a folder. Keeps its own stack: others choose how deep folders lie."""
    # What follows `after` begins with the parts of it, one a folder.
    sought = after[len(prefix) + 1 if prefix else 0 :].split("/") if after else []
    stack = [(prefix, _items(repository, tree, *sought[:1]))]
    while stack:
        folder, items = stack[-1]
        item = next(items, None)
        if item is None:
            stack.pop()
            continue
        name, mode, oid = item
        path = f"{folder}/{name}" if folder else name
        if sought:
            if name != sought[0]:
                continue
            del sought[0]
        else:
            yield path, mode, oid
        if recursive and mode == _TREE and len(path) <= _LONGEST_PATH:
            stack.append((path, _items(repository, oid, *sought[:1])))


def _items(repository: pygit2.Repository, tree: bytes, sought: str = "") -> Iterator[tuple[str, bytes, bytes]]:
    """Name, mode and hash of what lies in a folder itself, but no submodule: that is a commit kept elsewhere.

    A name that is no UTF-8 is shown as well as it can be, and the first of two that are shown alike stands for both.

    Args:
        repository: where the objects lie.
        tree: hash of the folder.
        sought: a name whose predecessors may be left out.
    """
    content = _content(repository, pygit2.Oid(raw=tree))
    shown: set[str] = set()
    for found in _ITEM.finditer(content, _place(content, sought.encode()) if sought else 0):
        padded, raw, oid = found.groups()
        # Old programs wrote folders with a zero before.
        mode = padded.lstrip(b"0")
        if mode == _SUBMODULE:
            continue
        name = raw.decode("utf-8", "replace")
        if _UNREADABLE in name:
            if name in shown:
                continue
            shown.add(name)
        yield name, mode, oid


def _place(content: bytes, name: bytes) -> int:
    """Where in a tree's bytes the entry of that name begins; the beginning, if there is none."""
    at = 0
    behind = -len(name) - 1
    wanted = b" " + name
    while True:
        end = content.find(b"\0", at)
        if end < 0:
            return 0
        if content[end + behind : end] == wanted:
            return at
        at = end + 1 + _HASH_BYTES


def remember(blob: bytes, content: bytes) -> None:
    """Know a file that was just written without a look at the disk."""
    pointer = read_pointer(content) if len(content) <= LONGEST_POINTER else None
    _know(blob, len(content), pointer)


def _facts(repository: pygit2.Repository, blob: bytes) -> _Facts:
    known = _known_facts.get(blob)
    if known is None:
        oid = pygit2.Oid(raw=blob)
        try:
            # Without its content, which may be large.
            _, stored = repository.odb.read_header(oid)
        except (KeyError, pygit2.GitError) as error:
            raise _missing(repository, oid) from error
        pointer = read_pointer(_content(repository, oid)) if stored <= LONGEST_POINTER else None
        known = _know(blob, stored, pointer)
    return known


def _know(blob: bytes, stored: int, pointer: Pointer | None) -> _Facts:
    if len(_known_facts) >= _MOST_KNOWN:
        _known_facts.clear()
    known = _known_facts[blob] = (stored if pointer is None else pointer.size), pointer, stored
    return known


def _content(repository: pygit2.Repository, oid: pygit2.Oid) -> bytes:
    try:
        return bytes(repository.odb.read(oid)[1])
    except (KeyError, pygit2.GitError) as error:
        raise _missing(repository, oid) from error


def _missing(repository: pygit2.Repository, oid: pygit2.Oid) -> HubError:
    return HubError(f"{oid} is missing in {repository.path} or damaged; `embedhub hub check` tells more")
