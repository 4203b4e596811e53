"""Models that are kept loaded: loaded when first asked for, dropped when memory or patience runs out.

Knows which names may be asked for and which model was not used for longest. Lives in one event loop: only the loading
itself happens in a thread, and whoever asks for a model that is being loaded waits for the same load.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from time import monotonic, perf_counter

from embedhub import __version__
from embedhub.config import Settings
from embedhub.engine.classifier import Classifier
from embedhub.engine.model import Model
from embedhub.errors import ModelLoadingError, ModelNotFoundError
from embedhub.models import ModelSpec, find_model, installed_models
from embedhub.models.wanted import is_model_id, read_wanted
from embedhub.runtime.cache import model_namespace
from embedhub.runtime.parity import Parity, measure_parity
from embedhub.runtime.scheduler import Order, PackReport, Scheduler
from embedhub.tasks import AnyModel

logger = logging.getLogger(__name__)

# A load that was never measured takes about so long; a measured one is the better estimate.
_USUAL_LOAD_SECONDS = 5.0

# Who does not wait for a load waits so long all the same: an unknown name is refused as such within it, and a client
# that repeats a request at once, as huggingface.js does for ever, does so a few times instead of thousands.
_IMPATIENT_SECONDS = 1.0

# Names in a message; more would not be read.
_LISTED = 20

# Weights take their size in the graph, about as much again packed for the CPU, and what computing needs.
_MEMORY_FACTOR = 2.5


@dataclass(eq=False)
class LoadedModel:
    """A model that is ready, and what is known of its use.

    Attributes:
        name: the name it is asked for by.
        model: the model.
        scheduler: computes for it.
        namespace: stands for it in the cache.
        memory_bytes: estimate of what it takes.
        load_seconds: how long loading took.
        parity: how close it comes to sentence-transformers.
        used_at: seconds of `monotonic` when it was last used.
        users: requests that use it now.
    """

    name: str
    model: AnyModel
    scheduler: Scheduler
    namespace: bytes
    memory_bytes: int
    load_seconds: float
    parity: Parity
    used_at: float
    users: int = 0


class LoadedModels:
    """The models of a service.

    Args:
        config: the settings.
        preloaded: names that `preload` loads and that are never dropped; the first is the default model.
        deliver: see `Scheduler`.
        report: see `Scheduler`, with the model's name.
    """

    def __init__(
        self,
        config: Settings,
        preloaded: Iterable[str],
        deliver: Callable[[list[Order]], None],
        report: Callable[[str, PackReport], None],
    ) -> None:
        self._config = config
        self._preloaded = tuple(preloaded) or (config.model,)
        self._aliases = dict(config.model_aliases)
        self._deliver = deliver
        self._report = report
        self._loads: dict[str, asyncio.Task[LoadedModel]] = {}
        self._load_seconds: dict[str, float] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    @property
    def default(self) -> str:
        """The model of requests that name none."""
        return self._preloaded[0]

    @property
    def ready(self) -> list[LoadedModel]:
        """Models that are loaded."""
        # A copy first, because other threads look too.
        return [load.result() for load in list(self._loads.values()) if _is_ready(load)]

    @property
    def names(self) -> list[str]:
        """Names of models that are loaded or always there, and aliases."""
        return list(dict.fromkeys([*self._preloaded, *(loaded.name for loaded in self.ready), *self._aliases]))

    def available(self) -> dict[str, ModelSpec]:
        """What a request may ask for without a download, by name: models, then aliases. Reads the disk."""
        found = {loaded.name: loaded.model.spec for loaded in self.ready}
        for spec in installed_models(self._config):
            found.setdefault(spec.id, spec)
        return found | {alias: found[name] for alias, name in self._aliases.items() if name in found}

    def find_available(self, name: str) -> ModelSpec:
        """The available model of that name. Reads the disk.

        Raises:
            ModelNotFoundError: there is none.
        """
        found = self.available()
        if name not in found:
            raise _not_here(name, list(found))
        return found[name]

    def resolve(self, name: str | None) -> str:
        """The model's own name for what a request calls it.

        Raises:
            ModelNotFoundError: it is not spelled like a model.
        """
        chosen = self._aliases.get(name, name) if name else self.default
        if chosen in self._preloaded or chosen in self._loads or is_model_id(chosen.partition("@")[0]):
            return chosen
        raise _not_here(chosen, self.names)

    async def preload(self) -> None:
        """Load the models that are always there.

        Raises:
            EmbedhubError: one cannot be loaded.
        """
        for name in self._preloaded:
            await self._load(name)

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
        chosen = self.resolve(name)
        load = self._load(chosen)
        if not _is_ready(load):
            if not wait:
                await asyncio.wait({load}, timeout=_IMPATIENT_SECONDS)
            if not wait and not load.done():
                seconds = self._load_seconds.get(chosen, _USUAL_LOAD_SECONDS)
                raise ModelLoadingError(f"Model {chosen} is currently loading", retry_after=seconds)
            # Shielded: one caller who gives up must not end the load of the others.
            await asyncio.shield(load)
        loaded = load.result()
        loaded.users += 1
        try:
            yield loaded
        finally:
            loaded.users -= 1
            loaded.used_at = monotonic()

    async def describe(self, name: str) -> ModelSpec | None:
        """What is known of a model without loading it; None if it is not here, but a request may have it downloaded.

        Raises:
            ModelNotFoundError: a request for it would find none.
            ModelError: it is damaged or cannot be used.
        """
        chosen = self.resolve(name)
        load = self._loads.get(chosen)
        if load is not None and _is_ready(load):
            return load.result().model.spec
        try:
            return await asyncio.to_thread(self._servable, chosen, replace(self._config, offline=True))
        except ModelNotFoundError:
            if self._may_download(chosen):
                return None
            raise

    def drop_idle(self) -> None:
        """Drop models that were not used for as long as the settings allow."""
        patience = self._config.model_idle_seconds
        for loaded in self.ready:
            if patience and monotonic() - loaded.used_at > patience:
                self._drop(loaded, "idle")

    async def close(self) -> None:
        """Drop every model; what waits for one fails."""
        for load in self._loads.values():
            load.cancel()
        for loaded in self.ready:
            await asyncio.to_thread(loaded.scheduler.close)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _load(self, name: str) -> asyncio.Task[LoadedModel]:
        load = self._loads.get(name)
        if load is None:
            load = self._loads[name] = asyncio.get_running_loop().create_task(self._loading(name))
            # A failed load is forgotten, so that the next request tries again.
            load.add_done_callback(lambda done: None if _is_ready(done) else self._loads.pop(name, None))
        return load

    async def _loading(self, name: str) -> LoadedModel:
        logger.info("loading %s", name)
        loaded = await asyncio.get_running_loop().run_in_executor(self._thread, self._load_in_thread, name)
        self._load_seconds[name] = loaded.load_seconds
        logger.info("loaded %s in %.1f s (%s, %s)", name, loaded.load_seconds, loaded.model.dtype, loaded.model.backend)
        self._make_room(loaded)
        return loaded

    def _load_in_thread(self, name: str) -> LoadedModel:
        start = perf_counter()
        config = self._config if self._may_download(name) else replace(self._config, offline=True)
        if name not in self._preloaded:
            self._servable(name, config)
        model = _load_model(name, config)
        # The first computation compiles; nobody should wait for that in a request.
        model.encoder.compute(model.prepare(["ready"]).jobs)
        parity = measure_parity(model)
        spec = model.spec
        return LoadedModel(
            name=name,
            model=model,
            scheduler=Scheduler(
                model.encoder,
                self._deliver,
                report=lambda pack: self._report(name, pack),
                capacity=config.queue_texts,
                name=f"encoder {name}",
            ),
            namespace=model_namespace(__version__, spec.fingerprint, model.dtype, model.backend, model.calibration),
            memory_bytes=int(sum(path.stat().st_size for path in spec.weights_files) * _MEMORY_FACTOR),
            load_seconds=perf_counter() - start,
            parity=parity,
            used_at=monotonic(),
        )

    def _may_download(self, name: str) -> bool:
        patterns = self._config.allow_models
        return name in self._preloaded or any(fnmatchcase(name, pattern) for pattern in patterns)

    def _servable(self, name: str, config: Settings) -> ModelSpec:
        """What a request may have loaded.

        Raises:
            ModelError: it cannot be found, or is damaged.
        """
        # A folder of the server that happens to be called so is nothing that a client may load, or learn of.
        if name in self._preloaded or read_wanted(name, None, config).folder is None:
            try:
                return find_model(name, settings=config)
            except ModelNotFoundError:
                if not config.offline:
                    raise
        raise _not_here(name, list(self.available()))

    def _make_room(self, newest: LoadedModel) -> None:
        budget = self._config.model_memory_mb << 20 or _machine_memory() // 2
        others = sorted((each for each in self.ready if each is not newest), key=lambda each: each.used_at)
        taken = newest.memory_bytes + sum(each.memory_bytes for each in others)
        for each in others:
            if taken > budget and self._drop(each, "memory"):
                taken -= each.memory_bytes

    def _drop(self, loaded: LoadedModel, reason: str) -> bool:
        if loaded.users or loaded.name in self._preloaded:
            return False
        logger.info("dropping %s (%s)", loaded.name, reason)
        del self._loads[loaded.name]
        loaded.scheduler.close()
        return True


def _load_model(name: str, config: Settings) -> AnyModel:
    """The model by its kind. A classifier is not computed in int8: where that is the setting, it takes what it can."""
    if find_model(name, settings=config).kind != "classifier":
        return Model(name, config=config)
    return Classifier(name, dtype="auto" if config.dtype == "int8" else None, config=config)


def _not_here(name: str, available: Sequence[str]) -> ModelNotFoundError:
    """Why a model cannot be had: what there is instead, and how to have more."""
    names = ", ".join([*available[:_LISTED], "…"] if len(available) > _LISTED else available)
    return ModelNotFoundError(
        f"model {name:.100} is not here; there is: {names or 'none'}. To serve one of them under another name set "
        f"EMBEDHUB_MODEL_ALIASES={name:.100}={available[0] if available else 'MODEL'}; EMBEDHUB_ALLOW_MODELS lets "
        "requests download models"
    )


def _is_ready(load: "asyncio.Task[LoadedModel]") -> bool:
    return load.done() and not load.cancelled() and load.exception() is None


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
