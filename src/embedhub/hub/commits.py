"""A commit as clients of the Hub ask for it: files added and removed, all of it or nothing.

Knows operations, and which contents they need. Refuses to know how they came over the wire. Contents are kept first, a
reference is moved last, so that a commit that was answered for is there, and one that was not leaves no trace.
"""

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
    changes: dict[str, tuple[str, int] | None] = {}
    attributes: str | None = None
    large: list[str] = []
    for operation in operations:
        path = check_path(operation.path)
        if isinstance(operation, AddFile):
            changes[path] = operation.blob, FILE
            pointer = git.pointer(operation.blob)
            if pointer is not None and size_of(pointer.sha256) != pointer.size:
                raise _never_sent(pointer.sha256, path)
            if path == ATTRIBUTES:
                attributes = git.read_text_of(operation.blob)
        elif isinstance(operation, AddLargeFile):
            size = size_of(operation.sha256)
            if size is None:
                raise _never_sent(operation.sha256, path)
            changes[path] = git.write_blob(bytes(Pointer(operation.sha256, size))), FILE
            large.append(path)
        else:
            _delete(git, base, path, isinstance(operation, DeleteFolder), changes)
    if attributes is None:
        attributes = git.read_text(base, ATTRIBUTES)
    is_large = large_file_rule(attributes)
    missing = [path for path in large if changes.get(path) is not None and not is_large(path)]
    if missing:
        changes[ATTRIBUTES] = git.write_blob(with_large_files(attributes, missing).encode()), FILE
    return changes


def _never_sent(sha256: str, path: str) -> HubContentError:
    # In the words of the Hugging Face Hub.
    return HubContentError(f"LFS pointer pointed to a file that does not exist: {sha256} ({path}): send it first")


def _delete(git: GitRepository, base: str, path: str, folder: bool, changes: dict[str, tuple[str, int] | None]) -> None:
    added = [known for known in changes if known == path or known.startswith(f"{path}/")]
    entry = git.entry(base, path)
    if entry is None and not added:
        # Clients look for these words.
        what = "folder" if folder else "file"
        raise EntryNotFoundError(f"A {what} with this name doesn't exist: {path}")
    for known in added:
        del changes[known]
    if entry is not None:
        changes[path] = None
