"""Which model a request means: names, aliases, what may be downloaded, and what was not there a moment ago.

Knows who may have which model and where to look, in threads of its own: a download, or a crowd of wrong names, holds
back no model that is here. Refuses to load any.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from time import monotonic

from embedhub.config import Settings
from embedhub.errors import ModelNotFoundError
from embedhub.models import ModelSpec, find_model, installed_models
from embedhub.models.wanted import is_model_id, is_revision, read_wanted

logger = logging.getLogger(__name__)

# A name that was not there is taken for not there that long, and of so many names this is remembered. To look costs
# milliseconds, and a Hub seconds; what is pulled meanwhile shall not be missed for long.
_MISS_SECONDS = 2.0
_MISSES = 1024

# Names in a message; more would not be read.
_LISTED = 20

# Looks at the disk side by side, and downloads.
_LOOKS = 2
_DOWNLOADS = 4


def _find(name: str, settings: Settings) -> ModelSpec:
    return find_model(name, settings=settings)


HOSTED = "hosted:"
"""What the names of models of our own Hub begin with, which no request can spell: whoever uses one has been let in."""


@dataclass(frozen=True)
class Sources:
    """Where models come from.

    Attributes:
        find: the model of a name, also with `@revision`; from the network only where the settings allow it. Raises
            ModelNotFoundError, and other ModelErrors for what is there and of no use.
        installed: every model that is here.
    """

    find: Callable[[str, Settings], ModelSpec] = _find
    installed: Callable[[Settings], Iterable[ModelSpec]] = installed_models


class ModelFinder:
    """Finds the models that requests name.

    Args:
        config: the settings.
        preloaded: names that the server was started with: they may be folders, and may be downloaded.
        sources: where models come from.
    """

    def __init__(self, config: Settings, preloaded: Sequence[str], sources: Sources) -> None:
        self._config = config
        self._here = replace(config, offline=True)
        self._preloaded = preloaded
        self._aliases = folder_names(preloaded) | dict(config.model_aliases)
        self._sources = sources
        # By name: until when it is taken for not there, and what is said of it.
        self._misses: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._looks = ThreadPoolExecutor(_LOOKS, thread_name_prefix="find")
        self._downloads = ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="download")

    @property
    def aliases(self) -> dict[str, str]:
        """Models by their other names: those of the settings, and folders by the last part of their path."""
        return self._aliases

    def resolve(self, name: str | None) -> str:
        """The model's own name for what a request calls it.

        Raises:
            ModelNotFoundError: it is not spelled like a model.
        """
        chosen = self._aliases.get(name, name) if name else self._preloaded[0]
        id, at, revision = chosen.partition("@")
        if (
            chosen in self._preloaded
            or chosen.startswith(HOSTED)
            or (is_model_id(id) and (not at or is_revision(revision)))
        ):
            return chosen
        raise not_here(chosen, list(dict.fromkeys([*self._preloaded, *self._aliases])))

    def installed(self) -> dict[str, ModelSpec]:
        """Every model that is here, by its id; of several revisions the first. Reads the disk."""
        found: dict[str, ModelSpec] = {}
        for spec in self._sources.installed(self._config):
            found.setdefault(spec.id, spec)
        return found

    async def find(self, name: str) -> ModelSpec:
        """The model of a resolved name, downloaded if it may be.

        Raises:
            ModelError: it cannot be found, or is damaged.
        """
        found = await self.look(name)
        if found is not None:
            return found
        logger.info("%s is not here: looking for it at %s", name, self._config.endpoint)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._downloads, self._search, name, self._config)
        except ModelNotFoundError as miss:
            self._remember(name, miss)
            raise

    async def look(self, name: str) -> ModelSpec | None:
        """The model of a resolved name if it is here; None if it is not, but may be downloaded.

        Raises:
            ModelError: it cannot be had, or is damaged.
        """
        until, told = self._misses.get(name, (0.0, ""))
        if monotonic() < until:
            raise ModelNotFoundError(told)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._looks, self._look, name)
        except ModelNotFoundError as miss:
            if self._may_download(name):
                return None
            self._remember(name, miss)
            raise

    def close(self) -> None:
        """Begin no look and no download any more."""
        self._looks.shutdown(wait=False, cancel_futures=True)
        self._downloads.shutdown(wait=False, cancel_futures=True)

    def _look(self, name: str) -> ModelSpec:
        try:
            return self._search(name, self._here)
        except ModelNotFoundError as miss:
            if name in self._preloaded or self._may_download(name):
                raise
            raise self._not_here(name) from miss

    def _search(self, name: str, config: Settings) -> ModelSpec:
        # A folder of the server that happens to be called so is nothing that a client may load, or learn of.
        is_known = name in self._preloaded or name.startswith(HOSTED)
        if not is_known and read_wanted(name, None, config).folder is not None:
            raise self._not_here(name)
        return self._sources.find(name, config)

    def _may_download(self, name: str) -> bool:
        patterns = self._config.allow_models
        allowed = name in self._preloaded or any(fnmatchcase(name, pattern) for pattern in patterns)
        return allowed and not self._config.offline

    def _not_here(self, name: str) -> ModelNotFoundError:
        return not_here(name, list(dict.fromkeys([*self._preloaded, *self.installed(), *self._aliases])))

    def _remember(self, name: str, miss: ModelNotFoundError) -> None:
        self._misses[name] = (monotonic() + _MISS_SECONDS, str(miss))
        self._misses.move_to_end(name)
        while len(self._misses) > _MISSES:
            self._misses.popitem(last=False)


def folder_names(names: Sequence[str]) -> dict[str, str]:
    """Folders among these names by what the last part of their path is, where that means one of them only."""
    folders = [name for name in names if Path(name).is_dir()]
    found = [Path(name).resolve().name for name in folders]
    return {
        short: name
        for short, name in zip(found, folders, strict=True)
        if found.count(short) == 1 and short not in names and is_model_id(short)
    }


def not_here(name: str, available: Sequence[str]) -> ModelNotFoundError:
    """Why a model cannot be had: what there is instead, and how to have more."""
    names = ", ".join([*available[:_LISTED], "…"] if len(available) > _LISTED else available)
    return ModelNotFoundError(
        f"model {name:.100} is not here; there is: {names or 'none'}. To serve one of them under another name set "
        f"EMBEDHUB_MODEL_ALIASES={name:.100}={available[0] if available else 'MODEL'}; EMBEDHUB_ALLOW_MODELS lets "
        "requests download models"
    )
