"""Embedded datasets that are hosted here, opened for questions: the rooms `hub`, `datasets`, `search` and the service.

Knows how the files of a commit become a dataset without being copied, which of them are kept open, and which model a
question needs. Refuses to know HTTP, and who may ask. Lives in one event loop; reading and searching happen in threads.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings
from embedhub.datasets import Provenance, StoredDataset, read_dataset
from embedhub.datasets.conditions import read_conditions, rows_that_fulfil
from embedhub.engine.prompts import QUERY, first_prompt
from embedhub.errors import DatasetError, ModelNotFoundError, RequestTimeoutError, SettingError
from embedhub.hub.derived import Derived
from embedhub.hub.repositories import Repository
from embedhub.models.wanted import is_model_id
from embedhub.runtime.answers import Answer, Caller
from embedhub.runtime.apart import Apart
from embedhub.runtime.collection import EmbeddedDataset, Hit, check_model, made_by, revision_here
from embedhub.runtime.hosted_files import dataset_files, named, see_through
from embedhub.runtime.loaded import LoadedModel
from embedhub.runtime.service import Service
from embedhub.search import EXACT_ROWS
from embedhub.tasks import EmbedTexts

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# Indexes that are built side by side: each takes every core.
_BUILDS = 2
_SEARCHES = 4

# What a dataset takes beside its vectors: footers, row numbers.
_FIXED_BYTES = 1 << 20
_BYTES_A_ROW = 16

_ANYBODY = Caller()

_INDEX = "index"


@dataclass(frozen=True)
class Question:
    """What is asked of a dataset.

    Attributes:
        texts: questions in words; empty where `vectors` are given.
        vectors: float32 [n, dimensions], questions that were embedded already.
        top_k: hits a question.
        columns: of the hits; None are all but the vectors.
        conditions: as `datasets.conditions` reads them; rows that do not fulfil them are no hits.
    """

    texts: Sequence[str] = ()
    vectors: NDArray[np.float32] | None = None
    top_k: int = 10
    columns: Sequence[str] | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        commit: the full hash of the commit that was asked.
        model: what made the dataset's vectors.
        hits: a list a question, as `EmbeddedDataset.search` gives them.
        answer: how the questions were embedded; None where they were.
    """

    commit: str
    model: str
    hits: list[list[Hit]]
    answer: Answer | None


@dataclass(frozen=True)
class _Opened:
    dataset: EmbeddedDataset
    folder: Path
    memory_bytes: int


_Key = tuple[str, str]


class HostedDatasets:
    """The datasets of a Hub that are asked.

    Args:
        derived: the files of commits, and where indexes are kept.
        apart: where files are read that nobody has read before.
        config: the settings.
    """

    def __init__(self, derived: Derived, apart: Apart, config: Settings) -> None:
        self._derived = derived
        self._apart = apart
        self._config = config
        # By uuid and commit, the one that was not used for longest first.
        self._opens: dict[_Key, asyncio.Task[_Opened]] = {}
        self._builds = ThreadPoolExecutor(_BUILDS, "index")
        self._searches = ThreadPoolExecutor(_SEARCHES, "search")

    def close(self) -> None:
        """Begin nothing any more."""
        for task in self._opens.values():
            task.cancel()
        self._builds.shutdown(wait=False, cancel_futures=True)
        self._searches.shutdown(wait=False, cancel_futures=True)

    async def search(
        self, repository: Repository, commit: str, question: Question, service: Service, caller: Caller = _ANYBODY
    ) -> Found:
        """The rows of a commit nearest to questions.

        Args:
            repository: which the caller may read.
            commit: its full hash.
            question: what is asked.
            service: embeds it, with the models that the caller may use.
            caller: who asks.

        Raises:
            DatasetError: there is no embedded dataset in that commit, or it is broken.
            ModelMismatchError: the model that is here by the name of the dataset's has other weights.
            ModelError: the dataset's model cannot be had.
            EmbedhubError: something is wrong with the question.
        """
        limit = asyncio.timeout(self._config.answer_seconds)
        try:
            async with limit:
                return await self._search(repository, commit, question, service, caller)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise RequestTimeoutError(
                f"no answer within {self._config.answer_seconds} s (EMBEDHUB_ANSWER_SECONDS); an index that is being "
                "built goes on: ask again",
                retry_after=10,
            ) from error

    async def _search(
        self, repository: Repository, commit: str, question: Question, service: Service, caller: Caller
    ) -> Found:
        conditions = read_conditions(question.conditions)
        opened = await self._open(repository, commit)
        provenance = opened.dataset.provenance
        answer: Answer | None = None
        vectors = question.vectors
        if vectors is None:
            answer = await self._embed(provenance, question.texts, service, caller)
            vectors = answer.result
        elif vectors.shape[1] != provenance.dimensions:
            raise SettingError(
                f"the vector has {vectors.shape[1]} numbers, those of {repository.id} have {provenance.dimensions}: it "
                f"is to be made by {provenance.model}"
            )

        def find(opened: _Opened) -> list[list[Hit]]:
            with named(opened.folder, repository):
                dataset = opened.dataset
                among = rows_that_fulfil(dataset.stored, conditions) if conditions else None
                return dataset.search_vectors(vectors, question.top_k, columns=question.columns, among=among)

        try:
            hits = await self._in(self._searches, find, opened)
        except DatasetError:
            # Its files were removed or touched since they were opened, as whoever tidies up may do.
            self._opens.pop((repository.uuid, commit), None)
            hits = await self._in(self._searches, find, await self._open(repository, commit))
        return Found(commit, provenance.model, hits, answer)

    async def _open(self, repository: Repository, commit: str) -> _Opened:
        """The dataset of a commit; who asks for one that is being opened waits for the same opening."""
        key = repository.uuid, commit
        task = self._opens.pop(key, None)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._opening(repository, commit))
            task.add_done_callback(lambda done: self._opened(key, done))
        self._opens[key] = task
        # Shielded: one caller who gives up must not end the work of the others.
        return await asyncio.shield(task)

    async def _opening(self, repository: Repository, commit: str) -> _Opened:
        return await self._in(self._builds, self._read, repository, commit)

    def _opened(self, key: _Key, done: asyncio.Task[_Opened]) -> None:
        if done.cancelled() or done.exception() is not None:
            # A failure is forgotten, so that the next request tries again.
            if self._opens.get(key) is done:
                del self._opens[key]
            return
        budget = self._config.search_memory_mb << 20
        ready = {
            each: task.result().memory_bytes
            for each, task in self._opens.items()
            if task.done() and not task.cancelled() and task.exception() is None
        }
        taken = sum(ready.values())
        for each, size in ready.items():
            if taken > budget and each != key:
                logger.info("%s at %s is no longer kept in memory", *each)
                del self._opens[each]
                taken -= size

    def _read(self, repository: Repository, commit: str) -> _Opened:
        files = self._derived.files(repository, commit, dataset_files)
        with named(files, repository):
            stored = read_dataset(files)
            memory = _memory_bytes(stored)
            if memory > self._config.search_memory_mb << 20:
                raise DatasetError(
                    f"{repository.id} takes {memory >> 20} MB to be searched, {self._config.search_memory_mb} are "
                    "allowed (EMBEDHUB_SEARCH_MEMORY_MB)"
                )
            see_through(stored, self._apart, self._derived.folder(repository, commit))
            index_folder = self._derived.folder(repository, commit) / _INDEX
            dataset = EmbeddedDataset(stored, self._config, index_folder=index_folder)
            # A question should not wait for what can be made before it comes.
            dataset.index()
        self._derived.make_room(keep=index_folder.parent)
        return _Opened(dataset, files, memory)

    async def _embed(self, provenance: Provenance, texts: Sequence[str], service: Service, caller: Caller) -> Answer:
        """Vectors of questions by the model that made the dataset, float32 [n, dimensions]."""
        for name in await self._names(provenance, service):
            try:
                async with service.loaded.use(name) as loaded:
                    check_model(provenance, loaded.model.spec)
                    request = _request(provenance, loaded, texts)
                    return await service.run(name, request, caller)
            except ModelNotFoundError as error:
                miss = error
        raise _no_model(provenance) from miss

    async def _names(self, provenance: Provenance, service: Service) -> list[str]:
        """What the dataset's model may be called here: loaded models first, under whatever name."""
        for loaded in service.loaded.ready:
            # Both checksums were computed when it was loaded.
            if made_by(provenance, loaded.model.spec):
                return [loaded.name]
        revision = await self._in(self._searches, revision_here, provenance, self._config)
        # What there is under the name may be the same: the checksum decides, not the name of the revision.
        return [*([f"{provenance.model}@{revision}"] if revision else []), provenance.model]

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, work: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


def _memory_bytes(stored: StoredDataset) -> int:
    """What it takes to be kept open. Codes are mapped, their pages are the system's to keep or not."""
    vectors = stored.row_count * stored.dimensions * 4 if stored.row_count <= EXACT_ROWS else 0
    return _FIXED_BYTES + stored.row_count * _BYTES_A_ROW + vectors


def _request(provenance: Provenance, loaded: LoadedModel, texts: Sequence[str]) -> EmbedTexts:
    spec = loaded.model.spec
    return EmbedTexts(
        texts,
        prompt_name=first_prompt(spec, QUERY),
        normalize=provenance.normalized,
        dimensions=None if provenance.dimensions == spec.dimensions else provenance.dimensions,
    )


def _no_model(provenance: Provenance) -> ModelNotFoundError:
    name = provenance.model
    way_out = (
        f"run `embedhub models pull {name}` there, or let requests download it with EMBEDHUB_ALLOW_MODELS={name}"
        if is_model_id(name)
        else "start it with that folder as its model (EMBEDHUB_MODEL), or push the folder to this Hub"
    )
    return ModelNotFoundError(
        f"the dataset was made by {name:.200} (weights {provenance.weights_sha256[:12]:.12}), which is not on this "
        f"server: {way_out}; or send a vector of that model instead of a query"
    )
