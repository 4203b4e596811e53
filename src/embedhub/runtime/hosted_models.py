"""Models of our own Hub, served to those who may read them.

Knows which repository and commit a request's name means now, and who may use it: the one place where that is decided.
To everybody else the name means what it would mean without the repository. Refuses to know HTTP.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from embedhub.config import Settings
from embedhub.errors import HubError, ModelError, ModelIntegrityError, ModelNotFoundError
from embedhub.hub.access import Action, Actor
from embedhub.hub.derived import Derived
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.models import ModelSpec, ModelStore, find_model
from embedhub.models.hosted import read_hosted
from embedhub.models.wanted import is_model_id, is_revision
from embedhub.runtime.finding import HOSTED
from embedhub.runtime.loaded import LoadedModel, LoadedModels

_Value = TypeVar("_Value")

# A new commit, a new name and a new owner count after so long at the latest; to look costs a millisecond.
_LOOK_EVERY_SECONDS = 1.0
_MOST_REMEMBERED = 1024

# Models in a list: each has its files laid out.
_MOST_LISTED = 200

_MAIN = "main"


@dataclass(frozen=True)
class Located:
    """A commit of a repository that holds a model."""

    repository: Repository
    commit: str

    @property
    def name(self) -> str:
        """What it is called where models are loaded. The name of a private one is nobody's to read in metrics."""
        repository = self.repository
        return f"{HOSTED}{repository.uuid if repository.private else repository.id}@{self.commit}"


class HostedModels:
    """The models of a Hub.

    Args:
        hub: holds them.
        derived: where their files are laid out.
        config: the settings.
        started_with: names of models that the server loads first.
    """

    def __init__(self, hub: Hub, derived: Derived, config: Settings, started_with: Iterable[str] = ()) -> None:
        self._hub = hub
        self._derived = derived
        self._started_with = frozenset(started_with) or frozenset({config.model})
        self._store = ModelStore(config.home)
        # By the name of a request: until when that holds, and what it means.
        self._known: OrderedDict[str, tuple[float, Located | None]] = OrderedDict()
        # By the name where models are loaded.
        self._located: OrderedDict[str, Located] = OrderedDict()

    def remembered(self, name: str) -> tuple[bool, Located | None]:
        """Whether it is known what a name means, and what. Looks at nothing."""
        until, located = self._known.get(name, (0.0, None))
        return monotonic() < until, located

    def locate(self, name: str) -> Located | None:
        """The repository and commit that a request's name means now, if it means any. Reads the disk."""
        is_known, located = self.remembered(name)
        if not is_known:
            located = self._look(name)
            _remember(self._known, name, (monotonic() + _LOOK_EVERY_SECONDS, located))
        if located is not None:
            _remember(self._located, located.name, located)
        return located

    def may_use(self, actor: Actor, located: Located) -> bool:
        """Whether somebody may read the repository. Reads the database."""
        try:
            # Looked for by its name, so that what it was allowed under another owner does not count.
            return self._hub.find(actor, Kind.MODEL, located.repository.id, Action.READ).uuid == located.repository.uuid
        except HubError:
            return False

    def all_of(self, actor: Actor) -> list[Located]:
        """Every model that somebody may use, at its newest commit; newest repositories first. Reads the disk."""
        if not self._hub.root.is_dir():
            return []
        found = []
        for repository in self._hub.repositories.all(Kind.MODEL):
            located = self.locate(repository.id)
            if located is not None and self.may_use(actor, located):
                found.append(located)
            if len(found) == _MOST_LISTED:
                break
        return found

    def read(self, located: Located) -> ModelSpec:
        """What a model is.

        Raises:
            ModelError: it is none, or damaged.
        """
        try:
            return read_hosted(self._derived, located.repository, located.commit)
        except HubError as error:
            raise ModelIntegrityError(f"{located.repository.id}: {error}") from error

    def find(self, name: str, settings: Settings) -> ModelSpec:
        """The model of a name, for `runtime.finding`.

        Of our Hub only where whoever asks was let in, or where the server was started with that name.

        Raises:
            ModelError: it cannot be had.
        """
        if name.startswith(HOSTED):
            located = self._located.get(name)
            if located is None:
                raise ModelNotFoundError(f"{name:.200} is not located any more; ask again")
            return self.read(located)
        try:
            return find_model(name, settings=settings, hosted=False)
        except ModelNotFoundError:
            if name not in self._started_with:
                raise
        return find_model(name, settings=settings)

    def _look(self, name: str) -> Located | None:
        id, at, revision = name.partition("@")
        if not is_model_id(id) or "/" not in id or (at and not is_revision(revision)) or not self._hub.root.is_dir():
            return None
        try:
            # What was installed on purpose is not replaced by what somebody pushed under its name.
            if self._store.find(id, revision if at else None) is not None:
                return None
            repository = self._hub.repositories.find(Kind.MODEL, id)
            with self._hub.open(repository) as git:
                return Located(repository, git.resolve(revision if at else _MAIN))
        except (HubError, ModelError):
            return None


class ModelsOf:
    """A service's models as somebody sees them: `runtime.loaded.Models`.

    Args:
        loaded: of the service.
        hosted: of the Hub.
        actor: gives who asks; called only where it matters.
    """

    def __init__(self, loaded: LoadedModels, hosted: HostedModels, actor: Callable[[], Actor]) -> None:
        self._loaded = loaded
        self._hosted = hosted
        self._actor = actor

    @property
    def default(self) -> str:
        """The model of requests that name none."""
        return self._loaded.default

    @property
    def ready(self) -> list[LoadedModel]:
        """Models that are loaded; of those of the Hub none, because they are listed elsewhere."""
        return [loaded for loaded in self._loaded.ready if not loaded.name.startswith(HOSTED)]

    def available(self) -> dict[str, ModelSpec]:
        """What a request may ask for without a download, by name. Reads the disk."""
        found = {name: spec for name, spec in self._loaded.available().items() if not name.startswith(HOSTED)}
        for located in self._hosted.all_of(self._actor()):
            # A repository may hold anything.
            with contextlib.suppress(ModelError):
                found.setdefault(located.repository.id, self._hosted.read(located))
        return found

    def find_available(self, name: str) -> ModelSpec:
        """The available model of that name. Reads the disk.

        Raises:
            ModelNotFoundError: there is none.
        """
        located = self._let_in(name)
        return self._loaded.find_available(name) if located is None else self._hosted.read(located)

    @contextlib.asynccontextmanager
    async def use(self, name: str | None, *, wait: bool = True) -> AsyncIterator[LoadedModel]:
        """A model, as `LoadedModels.use` gives it."""
        async with self._loaded.use(await self._meant(name), wait=wait) as loaded:
            yield loaded

    async def describe(self, name: str) -> ModelSpec | None:
        """What is known of a model, as `LoadedModels.describe` gives it."""
        return await self._loaded.describe(await self._meant(name) or name)

    async def _meant(self, name: str | None) -> str | None:
        """What a request's name means to whoever asks."""
        if not name or name in self._loaded.preloaded:
            return name
        is_known, located = self._hosted.remembered(self._loaded.aliases.get(name, name))
        if is_known and located is None:
            return _spelled(name)
        located = await asyncio.to_thread(self._let_in, name)
        return _spelled(name) if located is None else located.name

    def _let_in(self, name: str) -> Located | None:
        if name in self._loaded.preloaded:
            return None
        located = self._hosted.locate(self._loaded.aliases.get(name, name))
        return located if located is not None and self._hosted.may_use(self._actor(), located) else None


def _spelled(name: str) -> str:
    """The name as a request may spell it: nobody spells what only those are given who were let in."""
    return name if not name.startswith(HOSTED) else f"?{name}"


def _remember(table: OrderedDict[str, _Value], name: str, value: _Value) -> None:
    table[name] = value
    table.move_to_end(name)
    while len(table) > _MOST_REMEMBERED:
        table.popitem(last=False)
