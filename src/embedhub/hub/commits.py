"""A commit as clients of the Hub ask for it: files added and removed, all of it or nothing.

Knows operations, and which contents they need. Refuses to know how they came over the wire. Contents are kept first, a
reference is moved last, so that a commit that was answered for is there, and one that was not leaves no trace.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from embedhub.errors import EntryNotFoundError, HubContentError, StaleParentError
from embedhub.hub.attributes import large_file_rule, with_large_files
from embedhub.hub.editing import Changes
from embedhub.hub.git import GitRepository
from embedhub.hub.names import check_path
from embedhub.hub.pointers import Pointer
from embedhub.hub.trees import FILE

ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True, slots=True)
class AddFile:
    """A file whose content git keeps; `blob` is its hash, written before."""

    path: str
    blob: str


@dataclass(frozen=True, slots=True)
class AddLargeFile:
    """A file whose content was sent before, or is in the repository already under another path."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """A file, or a folder with all that is in it."""

    path: str


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    """A folder with all that is in it."""

    path: str


Operation = AddFile | AddLargeFile | DeleteFile | DeleteFolder


@dataclass(frozen=True, slots=True)
class Wanted:
    """A commit that somebody asks for.

    Attributes:
        operations: in order; a later one on the same path wins.
        message: first line, and more behind an empty one.
        author: a user's name.
        parent: the hash (perhaps shortened) that the branch must have; empty takes it as it is.
    """

    operations: tuple[Operation, ...]
    message: str
    author: str
    parent: str = ""


def apply(
    git: GitRepository,
    wanted: Wanted,
    reference: str,
    *,
    base: str,
    expected: str | None,
    size_of: Callable[[str], int | None],
) -> str:
    """Make the commit; gives its hash, or the base's if nothing would change.

    Args:
        git: the repository.
        wanted: what is asked for.
        reference: full name of what is to stand for it.
        base: hash of the commit it builds upon.
        expected: see `GitRepository.commit`.
        size_of: size in bytes of a large file that the repository holds, by its checksum; None: it does not.

    Raises:
        HubPathError: an impossible path.
        EntryNotFoundError: what is to be deleted is not there.
        HubContentError: a large file was not sent before.
        StaleParentError: the branch is not at the parent any more.
    """
    if wanted.parent and not base.startswith(wanted.parent):
        raise StaleParentError("The branch was updated since you opened this page. Please refresh and try again.")
    before = git.entry(base, "")
    assert before is not None
    tree = git.edit_tree(before.oid, _changes(git, base, wanted.operations, size_of))
    if tree == before.oid and expected == base:
        # A client that repeats a commit which it believes failed is told of the one that is there.
        return base
    return git.commit(reference, tree, [base], wanted.message, wanted.author, expected=expected)


def _changes(
    git: GitRepository, base: str, operations: Iterable[Operation], size_of: Callable[[str], int | None]
) -> Changes:
    checked = [(check_path(operation.path), operation) for operation in operations]
    # Looked up together: what each by itself costs grows with the folder it lies in.
    gone = [path for path, operation in checked if isinstance(operation, DeleteFile | DeleteFolder)]
    existing = git.existing(base, gone) if gone else frozenset()
    changes = _Changes()
    attributes: str | None = None
    large: list[str] = []
    for path, operation in checked:
        if isinstance(operation, AddFile):
            changes.set(path, (operation.blob, FILE))
            pointer = git.pointer(operation.blob)
            if pointer is not None and size_of(pointer.sha256) != pointer.size:
                raise _never_sent(pointer.sha256, path)
            if path == ATTRIBUTES:
                attributes = git.read_text_of(operation.blob)
        elif isinstance(operation, AddLargeFile):
            size = size_of(operation.sha256)
            if size is None:
                raise _never_sent(operation.sha256, path)
            changes.set(path, (git.write_blob(bytes(Pointer(operation.sha256, size))), FILE))
            large.append(path)
        else:
            was_changed = changes.forget(path)
            if path in existing:
                changes.set(path, None)
            elif not was_changed:
                # Clients look for these words.
                what = "folder" if isinstance(operation, DeleteFolder) else "file"
                raise EntryNotFoundError(f"A {what} with this name doesn't exist: {path}")
    if attributes is None:
        attributes = git.read_text(base, ATTRIBUTES)
    is_large = large_file_rule(attributes)
    missing = [path for path in large if changes.by_path.get(path) is not None and not is_large(path)]
    if missing:
        changes.set(ATTRIBUTES, (git.write_blob(with_large_files(attributes, missing).encode()), FILE))
    return changes.by_path


class _Changes:
    """What a commit changes so far, from which a folder can be taken without a look at all of it."""

    def __init__(self) -> None:
        self.by_path: dict[str, tuple[str, int] | None] = {}
        self._sorted: list[str] = []

    def set(self, path: str, new: tuple[str, int] | None) -> None:
        """A path is to be that, whatever was said of it before."""
        if path not in self.by_path:
            insort(self._sorted, path)
        self.by_path[path] = new

    def forget(self, path: str) -> bool:
        """Change neither a path nor what lies in it; gives whether anything of that would have been changed."""
        # What lies in a folder stands together; the path itself need not stand beside it.
        start, end = bisect_left(self._sorted, f"{path}/"), bisect_left(self._sorted, f"{path}0")
        known = self._sorted[start:end]
        del self._sorted[start:end]
        if path in self.by_path:
            known.append(path)
            del self._sorted[bisect_left(self._sorted, path)]
        for each in known:
            del self.by_path[each]
        return bool(known)


def _never_sent(sha256: str, path: str) -> HubContentError:
    # In the words of the Hugging Face Hub.
    return HubContentError(f"LFS pointer pointed to a file that does not exist: {sha256} ({path}): send it first")
