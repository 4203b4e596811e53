"""Models that are kept loaded: loaded when first asked for, dropped when memory or patience runs out.

Knows which names stand for one model and which model was not used for longest. Lives in one event loop: only the
loading itself happens in a thread, and whoever asks for a model that is being loaded waits for the same load. Refuses
to know where models come from (`finding`).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Protocol, TypeVar

from embedhub.config import Settings
from embedhub.errors import ModelLoadingError
from embedhub.machine import available_memory
from embedhub.models import ModelSpec
from embedhub.runtime.finding import HOSTED, ModelFinder, Sources, not_here
from embedhub.runtime.loading import load_ready
from embedhub.runtime.parity import Parity
from embedhub.runtime.scheduler import Order, PackReport, Scheduler
from embedhub.tasks import AnyModel

logger = logging.getLogger(__name__)

# A load that was never measured takes about so long; a measured one is the better estimate.
_USUAL_LOAD_SECONDS = 5.0

# Who does not wait for a load waits so long all the same: an unknown name is refused as such within it, and a client
# that repeats a request at once, as huggingface.js does for ever, does so a few times instead of thousands.
_IMPATIENT_SECONDS = 1.0

# Weights take their size in the graph, about as much again packed for the CPU, and what computing needs.
_MEMORY_FACTOR = 2.5

# Names of one model that are remembered: a commit alone can be shortened in 33 ways.
_MOST_SPELLINGS = 64

_K = TypeVar("_K")
_V = TypeVar("_V")

# An id, and the revision or, of a folder, the place: what tells models apart.
Key = tuple[str, str]


@dataclass(eq=False)
class Spelling:
    """A name that requests call a model by.

    Attributes:
        name: the name.
        opening: finds the model and loads it, if no other name has it loaded.
        users: requests that use the model by this name, or wait for it: as long as there is one, it stays.
        slot: the model, once it is found.
    """

    name: str
    opening: "asyncio.Task[LoadedModel]"
    users: int = 0
    slot: "_Slot | None" = None


@dataclass(eq=False)
class LoadedModel:
    """A model that is ready, and what is known of its use.

    Attributes:
        name: what answers and metrics call it.
        model: the model.
        scheduler: computes for it.
        namespace: stands for it in the cache.
        memory_bytes: estimate of what it takes.
        load_seconds: how long loading took.
        parity: how close it comes to sentence-transformers.
        used_at: seconds of `monotonic` when it was last used.
        spellings: the names it was asked for by.
    """

    name: str
    model: AnyModel
    scheduler: Scheduler
    namespace: bytes
    memory_bytes: int
    load_seconds: float
    parity: Parity
    used_at: float
    spellings: list[Spelling]

    @property
    def users(self) -> int:
        """Requests that use it now."""
        return sum(spelling.users for spelling in self.spellings)


@dataclass(eq=False)
class _Slot:
    """A model that is loaded or being loaded, with every name it was asked for by."""

    name: str
    load: "asyncio.Task[LoadedModel]"
    spellings: list[Spelling]


class Models(Protocol):
    """Models as whoever asks sees them."""

    @property
    def default(self) -> str:
        """The model of requests that name none."""
        ...

    @property
    def ready(self) -> list[LoadedModel]:
        """Models that are loaded."""
        ...

    def available(self) -> dict[str, ModelSpec]:
        """See `LoadedModels`."""
        ...

    def find_available(self, name: str) -> ModelSpec:
        """See `LoadedModels`."""
        ...

    def use(self, name: str | None, *, wait: bool = True) -> contextlib.AbstractAsyncContextManager[LoadedModel]:
        """See `LoadedModels`."""
        ...

    async def describe(self, name: str) -> ModelSpec | None:
        """See `LoadedModels`."""
        ...


class LoadedModels:
    """The models of a service.

    Args:
        config: the settings.
        preloaded: names that `preload` loads and that are never dropped; the first is the default model.
        deliver: see `Scheduler`.
        report: see `Scheduler`, with the model's name.
        forget: called with the name of a model that was dropped.
        sources: where models come from.
    """

    def __init__(
        self,
        config: Settings,
        preloaded: Iterable[str],
        deliver: Callable[[list[Order]], None],
        report: Callable[[str, PackReport], None],
        *,
        forget: Callable[[str], None],
        sources: Sources,
    ) -> None:
        self._config = config
        self._preloaded = tuple(preloaded) or (config.model,)
        self._finder = ModelFinder(config, self._preloaded, sources)
        self._deliver = deliver
        self._report = report
        self._forget = forget
        self._spellings: dict[str, Spelling] = {}
        self._slots: dict[Key, _Slot] = {}
        self._load_seconds: dict[str, float] = {}
        self._background: set[asyncio.Future[None]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    @property
    def default(self) -> str:
        """The model of requests that name none."""
        return self._preloaded[0]

    @property
    def ready(self) -> list[LoadedModel]:
        """Models that are loaded, first those that always are, in the order in which they were named."""
        # A copy first, because other threads look too.
        found = [slot.load.result() for slot in list(self._slots.values()) if _is_ready(slot.load)]
        places = {name: place for place, name in enumerate(self._preloaded)}
        return sorted(found, key=lambda loaded: places.get(loaded.name, len(places)))

    @property
    def aliases(self) -> dict[str, str]:
        """Models by the other names that the settings give them."""
        return self._finder.aliases

    @property
    def preloaded(self) -> tuple[str, ...]:
        """Names that the server was started with."""
        return self._preloaded

    def available(self) -> dict[str, ModelSpec]:
        """What a request may ask for without a download, by name: models, then aliases. Reads the disk."""
        found = self._finder.installed() | {loaded.name: loaded.model.spec for loaded in self.ready}
        return found | {alias: found[name] for alias, name in self._finder.aliases.items() if name in found}

    def find_available(self, name: str) -> ModelSpec:
        """The available model of that name. Reads the disk.

        Raises:
            ModelNotFoundError: there is none.
        """
        found = self.available()
        if name not in found:
            raise not_here(name, list(found))
        return found[name]

    async def preload(self) -> None:
        """Load the models that are always there.

        Raises:
            EmbedhubError: one cannot be loaded.
        """
        try:
            # All at once: what the first leaves for later comes behind the loads of the others.
            for spelling in [self._spelling(name) for name in self._preloaded]:
                await spelling.opening
        except BaseException:
            await self.close()
            raise

    @contextlib.asynccontextmanager
    async def use(self, name: str | None, *, wait: bool = True) -> AsyncIterator[LoadedModel]:
        """A model, loaded if need be, that is not dropped while it is used.

        Args:
            name: what the request calls it; None is the default model.
            wait: wait for it to be loaded.

        Raises:
            ModelLoadingError: it is not loaded yet and `wait` is false; loading has begun.
            ModelError: it cannot be had.
        """
        spelling = self._spelling(self._finder.resolve(name))
        spelling.users += 1
        try:
            if not _is_ready(spelling.opening):
                await self._opened(spelling, wait=wait)
            loaded = spelling.opening.result()
            try:
                yield loaded
            finally:
                loaded.used_at = monotonic()
        finally:
            spelling.users -= 1

    async def describe(self, name: str) -> ModelSpec | None:
        """What is known of a model without loading it; None if it is not here, but a request may have it downloaded.

        Raises:
            ModelNotFoundError: a request for it would find none.
            ModelError: it is damaged or cannot be used.
        """
        chosen = self._finder.resolve(name)
        spelling = self._spellings.get(chosen)
        if spelling is not None and _is_ready(spelling.opening):
            return spelling.opening.result().model.spec
        return await self._finder.look(chosen)

    def drop_idle(self) -> None:
        """Drop models that were not used for as long as the settings allow."""
        patience = self._config.model_idle_seconds
        for loaded in self.ready:
            if patience and monotonic() - loaded.used_at > patience:
                self._drop(loaded, "idle")

    async def close(self) -> None:
        """Drop every model; what waits for one fails."""
        for task in (
            *(spelling.opening for spelling in self._spellings.values()),
            *(slot.load for slot in self._slots.values()),
        ):
            task.cancel()
        self._finder.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
        for loaded in self.ready:
            await asyncio.to_thread(loaded.scheduler.close)
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _opened(self, spelling: Spelling, *, wait: bool) -> None:
        opening = spelling.opening
        if not wait:
            await asyncio.wait({opening}, timeout=_IMPATIENT_SECONDS)
            if not opening.done():
                name = spelling.slot.name if spelling.slot else spelling.name
                seconds = self._load_seconds.get(name, _USUAL_LOAD_SECONDS)
                raise ModelLoadingError(f"Model {spelling.name} is currently loading", retry_after=seconds)
        # Shielded: one caller who gives up must not end the load of the others.
        await asyncio.shield(opening)

    def _spelling(self, name: str) -> Spelling:
        spelling = self._spellings.get(name)
        if spelling is None:
            opening = asyncio.get_running_loop().create_task(self._open(name))
            spelling = self._spellings[name] = Spelling(name, opening)
            # A failure is forgotten, so that the next request tries again.
            opening.add_done_callback(lambda done: None if _is_ready(done) else _remove(self._spellings, spelling))
        return spelling

    async def _open(self, name: str) -> LoadedModel:
        spelling = self._spellings[name]
        spec = await self._finder.find(name)
        key = (spec.id, spec.revision or str(spec.folder))
        slot = self._slots.get(key)
        if slot is None:
            # Found by a name that says less, it is called by what it is.
            is_itself = name in self._preloaded or "@" not in name or name.startswith(HOSTED)
            shown = name if is_itself else f"{spec.id}@{spec.revision}"
            spellings = [spelling]
            load = asyncio.get_running_loop().create_task(self._loading(shown, spec, spellings))
            slot = self._slots[key] = _Slot(shown, load, spellings)
            load.add_done_callback(lambda done: None if _is_ready(done) else _remove(self._slots, slot))
        else:
            self._name_too(slot, spelling)
        spelling.slot = slot
        return await asyncio.shield(slot.load)

    def _name_too(self, slot: _Slot, spelling: Spelling) -> None:
        """One more name of a model; the oldest that nobody uses go when there are too many."""
        idle = [each for each in slot.spellings[1:] if not each.users and each.name not in self._preloaded]
        slot.spellings.append(spelling)
        for oldest in idle[: max(len(slot.spellings) - _MOST_SPELLINGS, 0)]:
            slot.spellings.remove(oldest)
            _remove(self._spellings, oldest)

    async def _loading(self, name: str, spec: ModelSpec, spellings: list[Spelling]) -> LoadedModel:
        logger.info("loading %s", name)
        loop = asyncio.get_running_loop()
        loaded = await loop.run_in_executor(self._thread, self._load_in_thread, name, spec, spellings)
        self._load_seconds[name] = loaded.load_seconds
        logger.info("loaded %s in %.1f s (%s, %s)", name, loaded.load_seconds, loaded.model.dtype, loaded.model.backend)
        self._make_room(loaded)
        self._in_background(loop.run_in_executor(self._thread, self._warm, loaded))
        return loaded

    def _load_in_thread(self, name: str, spec: ModelSpec, spellings: list[Spelling]) -> LoadedModel:
        start = perf_counter()
        ready = load_ready(spec, self._config)
        return LoadedModel(
            name=name,
            model=ready.model,
            scheduler=Scheduler(
                ready.model.encoder,
                self._deliver,
                report=lambda pack: self._report(name, pack),
                capacity=self._config.queue_texts,
                name=f"encoder {name}",
            ),
            namespace=ready.namespace,
            memory_bytes=int(sum(path.stat().st_size for path in spec.weights_files) * _MEMORY_FACTOR),
            load_seconds=perf_counter() - start,
            parity=ready.parity,
            used_at=monotonic(),
            spellings=spellings,
        )

    def _warm(self, loaded: LoadedModel) -> None:
        """Compile what several packs at once need, behind the loads that wait: the first burst should not."""
        if self._slot_of(loaded) is not None:
            try:
                loaded.model.encoder.prepare()
            except Exception:
                logger.exception("%s: could not be prepared for many requests at once", loaded.name)

    def _make_room(self, newest: LoadedModel) -> None:
        budget = self._config.model_memory_mb << 20 or available_memory() // 2
        others = sorted(self.ready, key=lambda each: each.used_at)
        taken = newest.memory_bytes + sum(each.memory_bytes for each in others)
        for each in others:
            if taken > budget and self._drop(each, "memory"):
                taken -= each.memory_bytes

    def _drop(self, loaded: LoadedModel, reason: str) -> bool:
        if loaded.users or any(spelling.name in self._preloaded for spelling in loaded.spellings):
            return False
        logger.info("dropping %s (%s)", loaded.name, reason)
        slot = self._slot_of(loaded)
        assert slot is not None
        _remove(self._slots, slot)
        for spelling in loaded.spellings:
            _remove(self._spellings, spelling)
        self._in_background(asyncio.get_running_loop().create_task(self._close(loaded)))
        return True

    async def _close(self, loaded: LoadedModel) -> None:
        # Waits for a thread to end, which the loop must not.
        await asyncio.to_thread(loaded.scheduler.close)
        if all(slot.name != loaded.name for slot in self._slots.values()):
            self._forget(loaded.name)

    def _slot_of(self, loaded: LoadedModel) -> _Slot | None:
        return next((slot for slot in list(self._slots.values()) if slot.spellings is loaded.spellings), None)

    def _in_background(self, work: asyncio.Future[None]) -> None:
        self._background.add(work)
        work.add_done_callback(self._background.discard)


def _remove(table: dict[_K, _V], value: _V) -> None:
    """Take a value out of a table; a newer one under the same key stays."""
    for key in [key for key, each in table.items() if each is value]:
        del table[key]


def _is_ready(load: "asyncio.Task[LoadedModel]") -> bool:
    return load.done() and not load.cancelled() and load.exception() is None
