"""One bare git repository: its revisions, its files, its references. Knows git by way of pygit2.

Knows neither who owns it nor who asks. Objects are written first and a reference last, under git's own lock, so that
what dies half-way leaves nothing but objects that nobody refers to.
"""

import errno
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import ObjectType, Option, SortMode

from embedhub.errors import (
    EntryNotFoundError,
    HubConflictError,
    HubError,
    RevisionNotFoundError,
    StaleParentError,
)
from embedhub.hub.names import check_reference
from embedhub.hub.pointers import LONGEST_POINTER, Pointer, read_pointer
from embedhub.hub.trees import FILE, Changes, Entry, changed_paths, edit_tree, entry_of, walk
from embedhub.storage import storage_errors, sync

MAIN = "refs/heads/main"

# Objects are put on the disk together, not by libgit2 one by one; references by libgit2, while this is on.
_FSYNC = threading.Lock()
_SYNCING = ThreadPoolExecutor(8, "fsync")
# The folders are the Hub's own, also where a backup was brought back by another user.
pygit2.option(Option.SET_OWNER_VALIDATION, False)

_HASH = re.compile(r"[0-9a-f]{7,40}")

# What libgit2 passes on of the system's words, and below how many bytes a disk is full whatever it says.
_FULL_WORDS = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_FULL_BYTES = 256 << 10

# How long somebody else, such as a push, may hold a branch's lock.
_LOCK_SECONDS = 5.0

# What git itself is told in each repository: as careful as we are, no hooks, partial clones for who wants them.
_CONFIG = {
    "core.fsync": "all",
    "core.hooksPath": "/dev/null",
    "core.logAllRefUpdates": "false",
    "receive.fsckObjects": "true",
    "receive.autogc": "false",
    "gc.auto": "0",
    "http.receivepack": "true",
    "uploadpack.allowFilter": "true",
    "uploadpack.allowReachableSHA1InWant": "true",
}


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its hash, first line, the rest, when (seconds since 1970), who and what came before."""

    id: str
    title: str
    message: str
    date: float
    authors: tuple[str, ...]
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A full name such as `refs/heads/main`, and the commit it stands for."""

    name: str
    commit: str


class GitRepository:
    """An open repository. One thread at a time; opening is cheap.

    Args:
        folder: of a bare repository.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Hashes of objects that are not known to be on the disk yet.
        self._written: list[str] = []
        try:
            self.repository = pygit2.Repository(str(folder))
        except pygit2.GitError as error:
            raise HubError(f"{folder} is no repository ({error}); `embedhub hub check` tells more") from error

    @classmethod
    def create(cls, folder: Path, files: dict[str, bytes], author: str) -> "GitRepository":
        """A new repository whose branch `main` has one commit, all of it on the disk.

        Args:
            folder: where; not there yet.
            files: of the commit.
            author: a user's name.
        """
        with storage_errors("the disk is full; nothing was made"):
            pygit2.init_repository(str(folder), bare=True, initial_head="main")
            for sample in (folder / "hooks").glob("*.sample"):
                sample.unlink()
            repository = cls(folder)
            repository.configure()
            blobs = {path: (repository.write_blob(content), FILE) for path, content in files.items()}
            tree = repository.edit_tree(None, blobs)
            repository.commit(MAIN, tree, (), "initial commit", author, expected=None)
            for path in (folder / "config", folder / "HEAD", folder, folder.parent):
                sync(path)
        return repository

    def close(self) -> None:
        """Let go of its files."""
        self.repository.free()

    def __enter__(self) -> "GitRepository":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- what git is told

    def misconfigured(self) -> list[str]:
        """Names of what git is told otherwise than it should be."""
        config = self.repository.config
        return [name for name, value in _CONFIG.items() if name not in config or config[name] != value]

    def configure(self) -> None:
        """Tell git what it should be told."""
        for name in self.misconfigured():
            self.repository.config[name] = _CONFIG[name]

    # -- revisions

    def resolve(self, revision: str) -> str:
        """The commit that a branch, a tag, a full reference or a (shortened) hash stands for.

        Raises:
            RevisionNotFoundError: none of them.
        """
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
        try:
            return str(self.repository.lookup_reference(reference).peel(pygit2.Commit).id)
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
        walker = self.repository.walk(self._oid(self.resolve(revision)), SortMode.TOPOLOGICAL | SortMode.TIME)
        for position, commit in enumerate(walker):
            if limit is not None and position >= skip + limit:
                return
            if position >= skip:
                yield _commit(commit)

    def count(self, revision: str) -> int:
        """How many commits led to a revision."""
        return sum(1 for _ in self.repository.walk(self._oid(self.resolve(revision))))

    def read_commit(self, id: str) -> Commit:
        """A commit by its full hash."""
        return _commit(self._pygit_commit(id))

    # -- files

    def entry(self, commit: str, path: str) -> Entry | None:
        """What lies at a path; the empty one is the folder of everything."""
        tree = self._pygit_commit(commit).tree
        if not path:
            return Entry("", str(tree.id), is_folder=True)
        try:
            return entry_of(tree[path], path)
        except (KeyError, ValueError):
            return None

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
        tree = self._pygit_commit(commit).tree
        try:
            found = tree[path] if path else tree
        except (KeyError, ValueError):
            raise EntryNotFoundError(f"Entry not found: {path[:300]} does not exist at {commit}") from None
        if not isinstance(found, pygit2.Tree):
            if not after:
                yield entry_of(found, path)
            return
        yield from walk(found, path, recursive=recursive, after=after)

    def files(self, commit: str) -> Iterator[Entry]:
        """Every file of a commit."""
        return (entry for entry in self.entries(commit, recursive=True) if not entry.is_folder)

    def read(self, entry: Entry) -> bytes:
        """The content that git keeps of a file; of a large one its pointer."""
        blob = self.repository[self._oid(entry.oid)]
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
        oid = self._oid(blob)
        if self.repository.odb.read_header(oid)[1] > LONGEST_POINTER:
            return None
        return read_pointer(self.repository.odb.read(oid)[1])

    def last_commits(self, commit: str, paths: Iterable[str], most_commits: int = 10_000) -> dict[str, Commit]:
        """For each path the commit that last changed it, looking back over so many commits at most."""
        current = self._pygit_commit(commit)
        wanted = set(paths)
        found: dict[str, Commit] = {}
        for _ in range(most_commits):
            parent = current.parents[0] if current.parents else None
            changed = wanted & changed_paths(current.tree, parent and parent.tree)
            found |= dict.fromkeys(changed, _commit(current))
            wanted -= changed
            if parent is None or not wanted:
                break
            current = parent
        return found | dict.fromkeys(wanted, _commit(current))

    # -- changes

    def write_blob(self, content: bytes) -> str:
        """Keep a file's content; gives git's hash of it."""
        with storage_errors("the disk is full; nothing was changed"), _git_errors(self.folder):
            self._written.append(str(self.repository.create_blob(content)))
        return self._written[-1]

    def edit_tree(self, tree: str | None, changes: Changes) -> str:
        """A tree that differs from another in some paths.

        Only the folders on the way to them are written anew, so that the cost does not grow with the repository.

        Args:
            tree: the one to start from; None is an empty one.
            changes: for each path its blob or tree and its mode, or None to remove it.

        Raises:
            HubContentError: a path is to be a file and a folder at once.
        """
        with storage_errors("the disk is full; nothing was changed"), _git_errors(self.folder):
            return edit_tree(self.repository, tree, changes, self._written)

    def commit(
        self,
        reference: str,
        tree: str,
        parents: Iterable[str],
        message: str,
        author: str,
        *,
        expected: str | None,
    ) -> str:
        """A commit that a reference stands for from now on.

        Args:
            reference: full name; it is made if it is not there.
            tree: hash.
            parents: hashes.
            message: first line, and more behind an empty one.
            author: a user's name.
            expected: where the reference must be still; None: it must not be there.

        Raises:
            StaleParentError: it is elsewhere by now.
            HubConflictError: somebody else holds its lock for too long.
        """
        signature = pygit2.Signature(author or "anonymous", f"{author or 'anonymous'}@users.noreply.embedhub")
        with storage_errors("the disk is full; nothing was changed"), _git_errors(self.folder):
            made = self.repository.create_commit(
                None, signature, signature, message, self._oid(tree), [self._oid(parent) for parent in parents]
            )
        self._written.append(str(made))
        self.set_reference(reference, str(made), expected=expected)
        return str(made)

    def set_reference(self, reference: str, commit: str, *, expected: str | None) -> None:
        """Let a reference stand for a commit, if it is still where the caller believes it to be.

        Raises:
            StaleParentError: it is not.
            HubConflictError: somebody else holds its lock for too long.
        """
        self._sync_written()
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                with (
                    storage_errors("the disk is full; nothing was changed"),
                    _git_errors(self.folder),
                    _synced(self.repository) as transaction,
                ):
                    transaction.lock_ref(reference)
                    if self.target(reference) != expected:
                        raise StaleParentError(
                            "The branch was updated since you opened this page. Please refresh and try again."
                        )
                    transaction.set_target(reference, commit)
                return
            except (pygit2.GitError, ValueError, KeyError) as error:
                # libgit2 says no more than this of a lock that is held.
                if "lock" not in str(error) or time.monotonic() > deadline:
                    raise HubConflictError(f"{reference} cannot be changed now ({error}); try again") from error
                time.sleep(0.01)

    def delete_reference(self, reference: str) -> None:
        """Remove a branch or tag.

        Raises:
            RevisionNotFoundError: there is none.
        """
        try:
            with _git_errors(self.folder):
                self.repository.references.delete(reference)
        except KeyError as error:
            raise RevisionNotFoundError(f"Invalid rev id: {reference}") from error
        sync(self.folder / "refs")

    def create_branch(self, name: str, commit: str, *, overwrite: bool = False) -> None:
        """A new branch.

        Raises:
            HubNameError: an impossible name.
            HubConflictError: there is one of that name, or one that it would lie within.
        """
        reference = f"refs/heads/{check_reference(name)}"
        before = self.target(reference)
        if before is not None and not overwrite:
            raise HubConflictError(f"Reference {reference} already exists")
        self.set_reference(reference, commit, expected=before)

    def create_tag(self, name: str, commit: str, message: str, author: str) -> None:
        """A new tag, annotated if it has a message.

        Raises:
            HubNameError: an impossible name.
            HubConflictError: there is one of that name.
        """
        reference = f"refs/tags/{check_reference(name)}"
        if self.target(reference) is not None:
            raise HubConflictError(f"Tag reference exists already: {reference}")
        if message:
            signature = pygit2.Signature(author or "anonymous", f"{author or 'anonymous'}@users.noreply.embedhub")
            with _git_errors(self.folder), _synced(self.repository):
                self.repository.create_tag(name, self._oid(commit), ObjectType.COMMIT, signature, message)
        else:
            self.set_reference(reference, commit, expected=None)

    # -- inside

    def _sync_written(self) -> None:
        """Put every object written so far on the disk. At once, because a disk takes several as fast as one."""
        objects = self.folder / "objects"
        paths = {objects / hash[:2] / hash[2:] for hash in self._written}
        with storage_errors("the disk is full; nothing was changed"):
            list(_SYNCING.map(_sync_if_there, [*paths, *{path.parent for path in paths}, objects]))
        self._written.clear()

    def _pygit_commit(self, id: str) -> pygit2.Commit:
        try:
            return self.repository[self._oid(id)].peel(pygit2.Commit)
        except (KeyError, ValueError) as error:
            raise RevisionNotFoundError(f"Invalid rev id: {id[:200]}") from error

    @staticmethod
    def _oid(hash: str) -> pygit2.Oid:
        return pygit2.Oid(hex=hash)


@contextmanager
def _synced(repository: pygit2.Repository) -> Iterator[Any]:
    """A transaction over references that is on the disk at its end."""
    with _FSYNC:
        pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)
        try:
            with repository.transaction() as transaction:
                yield transaction
        finally:
            pygit2.option(Option.ENABLE_FSYNC_GITDIR, False)


def _sync_if_there(path: Path) -> None:
    # An object that was there before may lie in a pack.
    with suppress(FileNotFoundError):
        if not path.stat().st_size and path.is_file():
            # What a power cut has left of an object; libgit2 takes it for one that is there already.
            path.unlink()
            raise HubError("the disk had lost a part of this: send it again")
        sync(path)


class _git_errors:  # noqa: N801 - reads as what it is, a `with`
    """Turn what libgit2 says of a full disk into the system's own error; other words of it stay."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Some of its errors are OSErrors without a number, and some say `no error`.
        if not isinstance(error, pygit2.GitError | OSError) or getattr(error, "errno", None):
            return
        words = str(error)
        if any(full in words for full in _FULL_WORDS) or shutil.disk_usage(self._folder).free < _FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _commit(commit: pygit2.Commit) -> Commit:
    title, _, message = commit.message.partition("\n")
    names = (commit.author.name or "",)
    return Commit(
        str(commit.id), title, message.strip(), float(commit.commit_time), names, tuple(map(str, commit.parent_ids))
    )
