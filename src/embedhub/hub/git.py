"""One bare git repository, to change: blobs, trees, commits, and what stands for them. Knows git by way of pygit2.

Objects are written first and a reference last, under git's own lock, so that what dies half-way leaves nothing but
objects that nobody refers to.
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType

from embedhub.errors import HubConflictError, RevisionNotFoundError, StaleParentError
from embedhub.hub.durable import GIT_ERRORS, full_disk, sync_objects, synced
from embedhub.hub.editing import Changes, edit_tree
from embedhub.hub.names import check_reference
from embedhub.hub.reading import GitReader
from embedhub.hub.trees import FILE, remember
from embedhub.storage import storage_errors, sync

MAIN = "refs/heads/main"

# How libgit2 says that somebody else holds a reference's lock, and that somebody else was a moment faster.
_LOCKED = re.compile(r"failed to lock file|failed to create locked file .*: File exists")

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


class GitRepository(GitReader):
    """An open repository that may be changed.

    Attributes:
        written: hashes of objects that are not known to be on the disk yet; `set_reference` puts them there.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.written: list[str] = []

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

    def misconfigured(self) -> list[str]:
        """Names of what git is told otherwise than it should be."""
        config = self.repository.config
        return [name for name, value in _CONFIG.items() if name not in config or config[name] != value]

    def configure(self) -> None:
        """Tell git what it should be told."""
        for name in self.misconfigured():
            self.repository.config[name] = _CONFIG[name]

    def write_blob(self, content: bytes) -> str:
        """Keep a file's content; gives git's hash of it."""
        with full_disk(self.folder):
            made = self.repository.create_blob(content)
        remember(made.raw, content)
        self.written.append(str(made))
        return self.written[-1]

    def edit_tree(self, tree: str | None, changes: Changes) -> str:
        """A tree that differs from another in some paths.

        Only the folders on the way to them are written anew, so that the cost does not grow with the repository.

        Args:
            tree: the one to start from; None is an empty one.
            changes: for each path its blob or tree and its mode, or None to remove it.

        Raises:
            HubContentError: a path is to be a file and a folder at once.
            HubPathError: a name that git would not have.
        """
        with full_disk(self.folder):
            return edit_tree(self.repository, tree, changes, self.written)

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
        made = self.commit_object(tree, parents, message, author)
        self.set_reference(reference, made, expected=expected)
        return made

    def commit_object(self, tree: str, parents: Iterable[str], message: str, author: str) -> str:
        """A commit that nothing stands for yet; see `commit`."""
        signature = _signature(author)
        # To git a message ends there.
        message = message.replace("\0", "")
        with full_disk(self.folder):
            made = self.repository.create_commit(
                None,
                signature,
                signature,
                message,
                pygit2.Oid(hex=tree),
                [pygit2.Oid(hex=parent) for parent in parents],
            )
        self.written.append(str(made))
        return str(made)

    def set_reference(self, reference: str, commit: str, *, expected: str | None) -> None:
        """Let a reference stand for a commit, if it is still where the caller believes it to be.

        Raises:
            StaleParentError: it is not.
            HubConflictError: somebody else holds its lock for too long.
        """
        sync_objects(self.repository, self.written)
        self.written.clear()
        self._move(reference, commit, expected)

    def delete_reference(self, reference: str, *, expected: str | None = None) -> None:
        """Remove a branch or tag; if a commit is named, only if it still stands for that.

        Raises:
            RevisionNotFoundError: there is none.
            StaleParentError: it is elsewhere by now.
            HubConflictError: somebody else holds its lock for too long.
        """
        if self.target(reference) is None:
            raise RevisionNotFoundError(f"Invalid rev id: {reference[:200]}")
        self._move(reference, None, expected or self.target(reference))
        sync(self.folder / "refs")

    def _move(self, reference: str, commit: str | None, expected: str | None) -> None:
        """Let a reference stand for a commit, or go, under git's own lock."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                with synced(self.repository) as transaction:
                    transaction.lock_ref(reference)
                    if self.target(reference) != expected:
                        raise StaleParentError(
                            "The branch was updated since you opened this page. Please refresh and try again."
                        )
                    if commit is None:
                        transaction.remove(reference)
                    else:
                        transaction.set_target(reference, commit)
                return
            except GIT_ERRORS as error:
                # libgit2 says no more than this of a lock that is held.
                if not _LOCKED.search(str(error)):
                    raise HubConflictError(f"{reference} cannot be there: another name lies in its way") from error
                if time.monotonic() > deadline:
                    raise HubConflictError(f"{reference} cannot be changed now: it is locked; try again") from error
                time.sleep(0.01)

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
            try:
                with synced(self.repository):
                    self.repository.create_tag(
                        name, pygit2.Oid(hex=commit), ObjectType.COMMIT, _signature(author), message
                    )
            except GIT_ERRORS as error:
                raise HubConflictError(f"{reference} cannot be there: another name lies in its way") from error
        else:
            self.set_reference(reference, commit, expected=None)


def _signature(author: str) -> pygit2.Signature:
    return pygit2.Signature(author or "anonymous", f"{author or 'anonymous'}@users.noreply.embedhub")
