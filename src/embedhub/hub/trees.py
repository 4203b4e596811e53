"""Folders of a git repository: what lies in them and where. Knows how objects are read.

Refuses to know revisions and references, and changes nothing.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import takewhile
from typing import NamedTuple

import pygit2
from pygit2.enums import FileMode, ObjectType

from embedhub.errors import HubError
from embedhub.hub import tree_bytes
from embedhub.hub.pointers import LONGEST_POINTER, Pointer, read_pointer

FILE = int(FileMode.BLOB)

# What stands for a byte that is no UTF-8.
_UNREADABLE = "\ufffd"

# Nothing longer is looked for or looked into: it came by git, and no client could write it.
_LONGEST_PATH = 4096

# For so many names it is quicker to look each up than to know all that lies in a folder.
_FEW_NAMES = 4

# Size of a file, its pointer if it is a large one, and the length of what git keeps of it.
_Facts = tuple[int, Pointer | None, int]

# What is known of blobs, by their hash: it never changes, and a listing asks for a thousand at once.
_known_facts: dict[bytes, _Facts] = {}
_MOST_KNOWN = 100_000


class Item(NamedTuple):
    """What an entry of a tree leads to: its mode as git writes it, without zeros in front, and its hash."""

    mode: bytes
    oid: bytes

    @property
    def is_folder(self) -> bool:
        """Whether it is a tree; else it is a blob, or lies elsewhere."""
        return self.mode == tree_bytes.FOLDER


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


def lookup(repository: pygit2.Repository, tree: bytes, path: str) -> Item | None:
    """What lies at a path below a folder, a path as `walk` shows it; None is nothing, or a submodule.

    Raises:
        HubError: a folder on the way is missing or damaged.
    """
    if not _may_lie(path):
        return None
    found = Item(tree_bytes.FOLDER, tree)
    for part in path.split("/"):
        if not found.is_folder:
            return None
        content = read_tree(repository, found.oid)
        with readable(repository, found.oid):
            inner = tree_bytes.find(content, part.encode()) or _find_shown(content, part)
        if inner is None or inner[0] == tree_bytes.SUBMODULE:
            return None
        found = Item(*inner)
    return found


def lookup_all(repository: pygit2.Repository, tree: bytes, paths: Iterable[str]) -> dict[str, Item]:
    """What lies at those of some paths where something does, as of `lookup`; each folder on the way is read once."""
    found: dict[str, Item] = {}
    # The way to the path before this one, with what lies in its folders.
    way: list[str] = []
    folders = [_Folder(repository, tree)]
    # What lies in one folder stands together.
    for path in sorted({path for path in paths if _may_lie(path)}, key=lambda path: path.replace("/", "\0")):
        parts = path.split("/")
        pairs = zip(way, parts[:-1], strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        del way[shared:], folders[shared + 1 :]
        while len(way) < len(parts) - 1:
            inner = folders[-1].get(parts[len(way)])
            if inner is None or not inner.is_folder:
                break
            way.append(parts[len(way)])
            folders.append(_Folder(repository, inner.oid))
        else:
            item = folders[-1].get(parts[-1])
            if item is not None:
                found[path] = item
    return found


class _Folder:
    """What lies in a folder, for those who may ask for much of it."""

    def __init__(self, repository: pygit2.Repository, tree: bytes) -> None:
        self._content = read_tree(repository, tree)
        self._readable = partial(readable, repository, tree)
        self._asked = 0

    @cached_property
    def _items(self) -> dict[bytes, tuple[bytes, bytes]]:
        return {name: (mode, oid) for mode, name, oid in tree_bytes.entries(self._content)}

    def get(self, name: str) -> Item | None:
        self._asked += 1
        with self._readable():
            if self._asked <= _FEW_NAMES:
                found = tree_bytes.find(self._content, name.encode())
            else:
                found = self._items.get(name.encode())
            found = found or _find_shown(self._content, name)
        return None if found is None or found[0] == tree_bytes.SUBMODULE else Item(*found)


def is_plain(path: str) -> bool:
    """Whether something can be at a path, and each name of it stands for one."""
    return _may_lie(path) and _UNREADABLE not in path


def _may_lie(path: str) -> bool:
    """Whether something can be at a path."""
    if not path or "\0" in path or len(path) > _LONGEST_PATH:
        return False
    try:
        return bool(path.encode())
    except UnicodeEncodeError:
        return False


def _find_shown(content: bytes, name: str) -> tuple[bytes, bytes] | None:
    """What is shown by a name in which something could not be read, the first if there are several."""
    if _UNREADABLE not in name:
        return None
    return next(
        (
            (mode, oid)
            for mode, raw, oid in tree_bytes.entries(content)
            if mode != tree_bytes.SUBMODULE and raw.decode("utf-8", "replace") == name
        ),
        None,
    )


def walk(
    repository: pygit2.Repository, tree: bytes, prefix: str, *, recursive: bool, after: str = ""
) -> Iterator[Entry]:
    """What lies in a folder, in git's order.

    Args:
        repository: where the objects lie.
        tree: the folder.
        prefix: its path.
        recursive: folders' contents behind them.
        after: a path in the folder; what comes before it, and itself, is not read.
    """
    for path, mode, oid in _listed(repository, tree, prefix, recursive=recursive, after=after):
        if mode == tree_bytes.FOLDER:
            yield Entry(path, oid.hex(), is_folder=True)
        else:
            yield file_entry(repository, path, oid)


def file_paths(repository: pygit2.Repository, tree: bytes) -> Iterator[str]:
    """The path of each file, without a look at what it holds."""
    for path, mode, _ in _listed(repository, tree, "", recursive=True, after=""):
        if mode != tree_bytes.FOLDER:
            yield path


def large_files(repository: pygit2.Repository, tree: bytes, seen: set[bytes]) -> Iterator[tuple[str, Pointer]]:
    """Path and pointer of each large file; of folders that were not seen before, to which those found are added."""
    waiting = [("", tree)]
    while waiting:
        folder, oid = waiting.pop()
        if oid in seen or len(folder) > _LONGEST_PATH:
            continue
        seen.add(oid)
        for name, mode, item in _items(repository, oid):
            path = f"{folder}/{name}" if folder else name
            if mode == tree_bytes.FOLDER:
                waiting.append((path, item))
            elif (pointer := _facts(repository, item)[1]) is not None:
                yield path, pointer


def tree_size(repository: pygit2.Repository, tree: bytes) -> int:
    """Bytes of all files; of large files their own, not their pointers'.

    A folder that lies in many places is looked at once, so that the cost follows what is stored.
    """
    sizes: dict[bytes, int] = {}
    waiting = [tree]
    while waiting:
        oid = waiting[-1]
        items = list(_items(repository, oid))
        inner = {item for _, mode, item in items if mode == tree_bytes.FOLDER and item not in sizes}
        if inner:
            waiting.extend(inner)
            continue
        sizes[oid] = sum(
            sizes[item] if mode == tree_bytes.FOLDER else _facts(repository, item)[0] for _, mode, item in items
        )
        waiting.pop()
    return sizes[tree]


def entry_of(repository: pygit2.Repository, item: Item, path: str) -> Entry:
    """What a path is, of what lies there."""
    if item.is_folder:
        return Entry(path, item.oid.hex(), is_folder=True)
    return file_entry(repository, path, item.oid)


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
        if recursive and mode == tree_bytes.FOLDER and len(path) <= _LONGEST_PATH:
            stack.append((path, _items(repository, oid, *sought[:1])))


def _items(repository: pygit2.Repository, tree: bytes, sought: str = "") -> Iterator[tuple[str, bytes, bytes]]:
    """Name, mode and hash of what lies in a folder itself, but no submodule: that is a commit kept elsewhere.

    A name that is no UTF-8 is shown as well as it can be, and the first of two that are shown alike stands for both.

    Args:
        repository: where the objects lie.
        tree: hash of the folder.
        sought: a name whose predecessors may be left out.
    """
    content = read_tree(repository, tree)
    shown: set[str] = set()
    with readable(repository, tree):
        start = tree_bytes.place(content, sought.encode()) or 0
        for mode, raw, oid in tree_bytes.entries(content, start):
            if mode == tree_bytes.SUBMODULE:
                continue
            name = raw.decode("utf-8", "replace")
            if _UNREADABLE in name:
                if name in shown:
                    continue
                shown.add(name)
            yield name, mode, oid


def remember(blob: bytes, content: bytes) -> None:
    """Know a file that was just written without a look at the disk."""
    pointer = read_pointer(content) if len(content) <= LONGEST_POINTER else None
    _know(blob, len(content), pointer)


def _facts(repository: pygit2.Repository, blob: bytes) -> _Facts:
    known = _known_facts.get(blob)
    if known is None:
        try:
            # Without its content, which may be large.
            kind, stored = repository.odb.read_header(pygit2.Oid(raw=blob))
        except (KeyError, pygit2.GitError) as error:
            raise missing(repository, blob) from error
        if kind != ObjectType.BLOB:
            raise missing(repository, blob)
        content = _content(repository, blob, ObjectType.BLOB) if stored <= LONGEST_POINTER else None
        known = _know(blob, stored, read_pointer(content) if content is not None else None)
    return known


def _know(blob: bytes, stored: int, pointer: Pointer | None) -> _Facts:
    if len(_known_facts) >= _MOST_KNOWN:
        _known_facts.clear()
    known = _known_facts[blob] = (stored if pointer is None else pointer.size), pointer, stored
    return known


def read_tree(repository: pygit2.Repository, tree: bytes) -> bytes:
    """A folder as git keeps it.

    Raises:
        HubError: it is missing or damaged.
    """
    return _content(repository, tree, ObjectType.TREE)


@contextmanager
def readable(repository: pygit2.Repository, tree: bytes | None) -> Iterator[None]:
    """Whoever reads a tree's bytes does so inside this: a ValueError says that it is damaged."""
    try:
        yield
    except ValueError as error:
        raise missing(repository, tree or b"") from error


def _content(repository: pygit2.Repository, oid: bytes, kind: ObjectType) -> bytes:
    try:
        found, content = repository.odb.read(pygit2.Oid(raw=oid))
    except (KeyError, pygit2.GitError) as error:
        raise missing(repository, oid) from error
    if found != kind:
        raise missing(repository, oid)
    return bytes(content)


def missing(repository: pygit2.Repository, oid: bytes) -> HubError:
    """The error of an object that cannot be read."""
    return HubError(f"{oid.hex()} is missing in {repository.path} or damaged; `embedhub hub check` tells more")
