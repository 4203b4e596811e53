"""One bare git repository, to read: its revisions, its references, its files. Knows git by way of pygit2.

Knows neither who owns it nor who asks, and changes nothing.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pygit2
from pygit2.enums import Option, SortMode

from embedhub.errors import EntryNotFoundError, HubError, RevisionNotFoundError
from embedhub.hub.history import Commit, as_commit
from embedhub.hub.last_changes import last_commits
from embedhub.hub.names import is_reference
from embedhub.hub.pointers import LONGEST_POINTER, Pointer, read_pointer
from embedhub.hub.tree_bytes import FOLDER
from embedhub.hub.trees import (
    Entry,
    Item,
    entry_of,
    file_paths,
    large_files,
    lookup,
    lookup_all,
    tree_size,
    walk,
)

# The folders are the Hub's own, also where a backup was brought back by another user.
pygit2.option(Option.SET_OWNER_VALIDATION, False)

_HASH = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A full name such as `refs/heads/main`, and the commit it stands for."""

    name: str
    commit: str


class GitReader:
    """An open repository. One thread at a time; opening is cheap.

    Args:
        folder: of a bare repository.

    Attributes:
        folder: see above.
        repository: libgit2's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.repository = pygit2.Repository(str(folder))
        except pygit2.GitError as error:
            raise HubError(f"{folder} is no repository ({error}); `embedhub hub check` tells more") from error

    def close(self) -> None:
        """Let go of its files."""
        self.repository.free()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- revisions

    def resolve(self, revision: str) -> str:
        """The commit that a branch, a tag, a full reference, HEAD (the main branch) or a (shortened) hash stands for.

        Raises:
            RevisionNotFoundError: none of them.
        """
        if revision == "HEAD":
            revision = "main"
        names = [f"refs/heads/{revision}", f"refs/tags/{revision}"]
        for name in [revision] if revision.startswith("refs/") else names:
            found = self.target(name)
            if found is not None:
                return found
        if _HASH.fullmatch(revision):
            try:
                return str(self.repository.revparse_single(revision).peel(pygit2.Commit).id)
            except (KeyError, ValueError, pygit2.GitError):
                pass
        # Clients look for these words.
        raise RevisionNotFoundError(f"Invalid rev id: {revision[:200]}")

    def target(self, reference: str) -> str | None:
        """The commit of a full reference; None if there is no such reference."""
        if not is_reference(reference):
            return None
        try:
            # Not by `lookup_reference`, which keeps each name that it is asked for as long as the process lives.
            found, by = self.repository.revparse_ext(reference)
            # Other names, such as that of a tag that begins with refs, are tried behind it.
            if by is None or by.name.endswith(f"/{reference}"):
                return None
            return str(found.peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError):
            return None

    def references(self) -> list[Reference]:
        """Every reference that stands for a commit, by name."""
        found = []
        for name in sorted(self.repository.references):
            commit = self.target(name)
            if commit is not None:
                found.append(Reference(name, commit))
        return found

    def log(self, revision: str, skip: int = 0, limit: int | None = None) -> Iterator[Commit]:
        """Commits that led to a revision, newest first."""
        walker = self.repository.walk(_oid(self.resolve(revision)), SortMode.TOPOLOGICAL | SortMode.TIME)
        for position, commit in enumerate(walker):
            if limit is not None and position >= skip + limit:
                return
            if position >= skip:
                yield as_commit(commit)

    def count(self, revision: str) -> int:
        """How many commits led to a revision."""
        return sum(1 for _ in self.repository.walk(_oid(self.resolve(revision))))

    def read_commit(self, id: str) -> Commit:
        """A commit by its full hash."""
        return as_commit(self._pygit_commit(id))

    # -- files

    def entry(self, commit: str, path: str) -> Entry | None:
        """What lies at a path; the empty one is the folder of everything."""
        tree = self._tree(commit)
        if not path:
            return Entry("", tree.hex(), is_folder=True)
        found = lookup(self.repository, tree, path)
        return None if found is None else entry_of(self.repository, found, path)

    def entries_at(self, commit: str, paths: Iterable[str]) -> dict[str, Entry]:
        """What lies at those of some paths where something does; much quicker than one after the other."""
        found = lookup_all(self.repository, self._tree(commit), paths)
        return {path: entry_of(self.repository, item, path) for path, item in found.items()}

    def existing(self, commit: str, paths: Iterable[str]) -> frozenset[str]:
        """Those of some paths where something lies, whatever it is."""
        return frozenset(lookup_all(self.repository, self._tree(commit), paths))

    def file(self, commit: str, path: str) -> Entry:
        """The file at a path.

        Raises:
            EntryNotFoundError: there is none, or it is a folder.
        """
        found = self.entry(commit, path)
        if found is None or found.is_folder:
            raise EntryNotFoundError(f"Entry not found: there is no file {path[:300]} at {commit}")
        return found

    def entries(self, commit: str, path: str = "", *, recursive: bool = False, after: str = "") -> Iterator[Entry]:
        """What lies in a folder, in git's order.

        Args:
            commit: full hash.
            path: of the folder; a file is listed by itself.
            recursive: folders' contents behind them.
            after: a path; what comes before it and itself are passed over without being read.

        Raises:
            EntryNotFoundError: nothing lies there.
        """
        found = self._at(commit, path)
        if found.is_folder:
            yield from walk(self.repository, found.oid, path, recursive=recursive, after=after)
        elif not after:
            yield entry_of(self.repository, found, path)

    def files(self, commit: str) -> Iterator[Entry]:
        """Every file of a commit."""
        return (entry for entry in self.entries(commit, recursive=True) if not entry.is_folder)

    def paths(self, commit: str) -> Iterator[str]:
        """The path of every file of a commit; much quicker than `files`."""
        return file_paths(self.repository, self._tree(commit))

    def large_files(self, commit: str, seen: set[bytes]) -> Iterator[tuple[str, Pointer]]:
        """Path and pointer of each large file of a commit.

        Args:
            commit: full hash.
            seen: folders that are passed over; those that were looked at are added, so that a history costs what
                changed in it.
        """
        return large_files(self.repository, self._tree(commit), seen)

    def size(self, commit: str, path: str = "") -> int:
        """Bytes of a file, or of all files in a folder.

        Raises:
            EntryNotFoundError: nothing lies there.
        """
        found = self._at(commit, path)
        if found.is_folder:
            return tree_size(self.repository, found.oid)
        return entry_of(self.repository, found, path).size

    def read(self, entry: Entry) -> bytes:
        """The content that git keeps of a file; of a large one its pointer."""
        blob = self.repository[_oid(entry.oid)]
        assert isinstance(blob, pygit2.Blob)
        return bytes(blob.data)

    def read_text(self, commit: str, path: str, longest: int = 1 << 20) -> str:
        """A small file as text, with what is no UTF-8 replaced; empty if it is not there or too long."""
        entry = self.entry(commit, path)
        if entry is None or entry.is_folder or entry.pointer is not None or entry.size > longest:
            return ""
        return self.read(entry).decode("utf-8", "replace")

    def read_text_of(self, blob: str) -> str:
        """A blob's content as text, with what is no UTF-8 replaced."""
        return self.read(Entry("", blob)).decode("utf-8", "replace")

    def pointer(self, blob: str) -> Pointer | None:
        """What a blob says of a large file, if it does; a long one is not read."""
        oid = _oid(blob)
        if self.repository.odb.read_header(oid)[1] > LONGEST_POINTER:
            return None
        return read_pointer(self.repository.odb.read(oid)[1])

    def last_commits(self, commit: str, paths: Iterable[str], most_commits: int = 2000) -> dict[str, Commit]:
        """For each path the commit that last changed it, looking back over so many commits at most."""
        return last_commits(self.repository, self.folder, self._pygit_commit(commit), paths, most_commits)

    # -- inside

    def _pygit_commit(self, id: str) -> pygit2.Commit:
        try:
            return self.repository[_oid(id)].peel(pygit2.Commit)
        except (KeyError, ValueError) as error:
            raise RevisionNotFoundError(f"Invalid rev id: {id[:200]}") from error

    def _tree(self, commit: str) -> bytes:
        return self._pygit_commit(commit).tree_id.raw

    def _at(self, commit: str, path: str) -> Item:
        tree = self._tree(commit)
        found = lookup(self.repository, tree, path) if path else Item(FOLDER, tree)
        if found is None:
            raise EntryNotFoundError(f"Entry not found: {path[:300]} does not exist at {commit}")
        return found


def _oid(hash: str) -> pygit2.Oid:
    return pygit2.Oid(hex=hash)
