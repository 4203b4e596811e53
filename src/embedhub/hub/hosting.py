"""The Hub of a home folder: everything beneath it opened together, and what takes more than one of its parts.

Knows the order in which parts are changed. Refuses to know HTTP.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from embedhub.errors import EntryNotFoundError, HubConflictError, HubContentError, HubError, RepositoryNotFoundError
from embedhub.hub.access import Action, Actor, demand, demand_namespace, repository_not_found
from embedhub.hub.accounts import DATABASE
from embedhub.hub.attributes import NEW_REPOSITORY
from embedhub.hub.blobs import BlobStore
from embedhub.hub.commits import ATTRIBUTES
from embedhub.hub.database import Connections
from embedhub.hub.discussions import Discussions
from embedhub.hub.git import GitRepository
from embedhub.hub.holdings import Holdings
from embedhub.hub.locks import alone, at_work, remove_stale_locks
from embedhub.hub.multipart import PartUploads
from embedhub.hub.names import Kind, RepositoryName, check_namespace, repository_name
from embedhub.hub.organisations import Organisations
from embedhub.hub.reading import GitReader
from embedhub.hub.repositories import Repositories, Repository
from embedhub.hub.signing import Signer
from embedhub.hub.transport import Transport
from embedhub.hub.trees import Entry
from embedhub.hub.xet_store import XetStore

FOLDER = "hub"

# How long a start waits for a push whose server was killed: it ends as soon as it misses its other end.
_LOCK_SECONDS = 5.0


class Hub:
    """Repositories, the files in them, and who owns them. May be used by many threads.

    Args:
        home: the folder of everything (EMBEDHUB_HOME); nothing is made in it before it is needed.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / FOLDER
        self.connections = Connections(home / DATABASE)
        self.organisations = Organisations(self.connections)
        self.repositories = Repositories(self.connections, self.root / "repositories")
        self.blobs = BlobStore(self.root)
        self.uploads = PartUploads(self.blobs)
        self.xet = XetStore(self.blobs)
        self.holdings = Holdings(self.connections)
        self.discussions = Discussions(self.connections)
        self.transport = Transport(self.root / "git")
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    @cached_property
    def signer(self) -> Signer:
        """Signs the addresses and tokens that are given out for uploads and downloads."""
        return Signer.of(self.home)

    def close(self) -> None:
        """Let go of the database."""
        self.connections.close()

    # -- who and what

    def actor(self, user: str, scope: str) -> Actor:
        """Somebody who asks, with the roles they have now."""
        return Actor(user, scope, self.organisations.roles(user) if user else {})

    def find(self, actor: Actor, kind: Kind, id: str, action: Action) -> Repository:
        """The repository, if the actor may do that with it.

        Raises:
            RepositoryNotFoundError: it is not there, or they may not know of it.
            GatedRepositoryError: they were not let in.
            UnauthorizedError: a token may help.
            ForbiddenError: they may not.
        """
        repository = self.repositories.find(kind, id)
        granted = bool(repository.gated and actor.user) and self.repositories.is_granted(repository, actor.user)
        try:
            demand(actor, repository.guarded(granted=granted), action)
        except HubError as error:
            if error.code == "repository_not_found":
                # In the words of who asked: a former name must not betray the present one.
                raise repository_not_found(str(kind), id[:200]) from None
            raise
        return repository

    def create(
        self,
        actor: Actor,
        kind: Kind,
        id: str,
        *,
        visibility: str = "",
        sdk: str = "",
        files: dict[str, bytes] | None = None,
    ) -> Repository:
        """A new repository with a first commit.

        Args:
            actor: who makes it.
            kind: what it will hold.
            id: `namespace/name`.
            visibility: public or private; empty takes the namespace's own.
            sdk: of a Space.
            files: of the first commit, beside `.gitattributes`.

        Raises:
            HubNameError: an impossible name.
            HubConflictError: there is one of that name.
            UnauthorizedError: a token may help.
            ForbiddenError: not in that namespace.
        """
        name: RepositoryName = repository_name(kind, id)
        check_namespace(name.namespace)
        demand_namespace(actor, name.namespace)
        if actor.is_administrator and self.organisations.find(name.namespace) is None:
            self.organisations.ensure_user(name.namespace)
        content = {ATTRIBUTES: NEW_REPOSITORY.encode(), **(files or {})}

        def fill(folder: Path) -> None:
            GitRepository.create(folder, content, actor.user).close()

        return self.repositories.create(name, fill, visibility=visibility, sdk=sdk)

    def move(self, actor: Actor, repository: Repository, to: str) -> Repository:
        """Give a repository another name, perhaps in another namespace; the old one leads there.

        Raises:
            HubNameError: an impossible name, or there is no such namespace.
            HubConflictError: there is one of that name.
            ForbiddenError: the actor may not make repositories there.
        """
        name = repository_name(repository.kind, to)
        check_namespace(name.namespace)
        demand_namespace(actor, name.namespace)
        return self.repositories.move(repository, name)

    # -- files

    def demand_reference(self, actor: Actor, repository: Repository, reference: str) -> None:
        """Nothing, if the actor may move that branch or pull request; errors as of `Discussions.demand_change`."""
        self.discussions.demand_change(actor, repository, reference)

    def large_file(self, repository: Repository, entry: Entry) -> Path:
        """Where a large file lies, if the repository holds it: a pointer alone opens nothing.

        Args:
            repository: whose file it is.
            entry: of a file with a pointer.

        Raises:
            EntryNotFoundError: it was never uploaded.
            HubContentError: it is missing.
        """
        assert entry.pointer is not None
        if self.holdings.holds(repository.uuid, entry.pointer.sha256) != entry.pointer.size:
            raise EntryNotFoundError(f"Entry not found: the large file behind {entry.path[:300]} was never uploaded")
        path = self.blobs.path(entry.pointer.sha256)
        if not path.is_file():
            raise HubContentError(
                f"the large file behind {entry.path[:300]} is missing; `embedhub hub check` tells more"
            )
        return path

    @contextmanager
    def open(self, repository: Repository) -> Iterator[GitReader]:
        """Its git repository, to read."""
        with GitReader(self.repositories.folder(repository)) as git:
            yield git

    @contextmanager
    def change(self, repository: Repository) -> Iterator[GitRepository]:
        """Its git repository, to change: one thread at a time. Other processes are held off by git's own locks."""
        with self._locks_lock:
            lock = self._locks.setdefault(repository.uuid, threading.Lock())
        with lock, self.at_work(repository), GitRepository(self.repositories.folder(repository)) as git:
            yield git

    @contextmanager
    def at_work(self, repository: Repository) -> Iterator[int]:
        """Whoever writes to its git repository does so inside this; gives a descriptor for children that do.

        Raises:
            RepositoryNotFoundError: its folder is not there.
        """
        with ExitStack() as stack:
            try:
                descriptor = stack.enter_context(at_work(self.repositories.folder(repository)))
            except FileNotFoundError as error:
                raise RepositoryNotFoundError(
                    "Repository not found: its files are gone. If it was not deleted, `embedhub hub check` tells more"
                ) from error
            yield descriptor

    # -- keeping

    @contextmanager
    def maintenance(self) -> Iterator[None]:
        """One process at a time: whoever removes garbage, or copies what must not be removed meanwhile.

        Raises:
            HubConflictError: another one is at it.
        """
        with alone(self.root) as is_alone:
            if not is_alone:
                raise HubConflictError("`embedhub hub gc` or `hub backup` is at work on this folder: wait for its end")
            yield

    def start(self) -> int:
        """Clear away what killed processes have left in the way of living ones; gives how many things that were.

        Several servers may share a home: what is removed is known to belong to none of them.
        """
        if not self.root.is_dir():
            return 0
        removed = self.blobs.staging.clean()
        for folder in self.repositories.root.glob("??/*.git"):
            removed += remove_stale_locks(folder, _LOCK_SECONDS)
        return removed
