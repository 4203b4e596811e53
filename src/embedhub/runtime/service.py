"""The service: what every door calls. One request in, one answer out, whichever dialect it came in.

Knows the way of a request: model, limits, plan, cache, queue, result. Refuses to know HTTP. Lives in one event loop;
computing happens in the schedulers' threads.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings
from embedhub.engine.packing import Job
from embedhub.errors import EmbedhubError, RequestTimeoutError, RequestTooLargeError
from embedhub.models import ModelSpec
from embedhub.runtime.aliases import alias_told
from embedhub.runtime.answers import Answer, Caller, Timings, Totals
from embedhub.runtime.cache import VectorCache, job_key
from embedhub.runtime.finding import Sources
from embedhub.runtime.loaded import LoadedModel, LoadedModels, Models
from embedhub.runtime.scheduler import Order, PackReport
from embedhub.runtime.threads import Threads
from embedhub.tasks import ClassifyTexts, DecodeTokens, EmbedTexts, Plan, Request, RerankTexts, TokenizeTexts, prepare

_Result = TypeVar("_Result")

Floats = NDArray[np.float32]

# Requests of more characters are tokenised in a thread, so that others need not wait for them.
_SMALL_CHARACTERS = 20_000
_SMALL_JOBS = 500
_CHARACTERS_OF_A_TEXT = 100

# Vectors that may wait to be written to the disk; what comes meanwhile is kept in memory only.
_MOST_UNWRITTEN = 40_000

# More threads would only take turns.
_THREADS = 4

# What one request may make a tokeniser read, and the share of its tokens whose vectors it may ask for one by one: of
# 384 numbers each, as JSON, 62,500 are a quarter of a gigabyte.
_MOST_CHARACTERS = 1 << 28
_TOKEN_VECTOR_SHARE = 128

# What may be shown token by token: each takes twenty times the time of one that is only counted.
_MOST_CHARACTERS_SHOWN = 1_000_000

# A computation younger than this proves that the service works, and one that does not move on for so long is stuck.
_HEALTHY_SECONDS = 10.0

# A text computed to see whether the service works must be there within so many seconds: who asks has time-outs too.
_PROBE_SECONDS = 5.0

# How often models that nobody uses are looked for.
_IDLE_CHECK_SECONDS = 5.0


@dataclass
class Service:
    """Answers requests with the models of one process.

    Args:
        config: the settings.
        models: names to load first; the first is the default model.
        sources: where models come from.

    Attributes:
        totals: what was done, by model.
        json_threads: for whoever reads long requests and writes long answers.

    Use `start` and `close`, both in the loop that asks.
    """

    config: Settings
    models: Iterable[str] = ()
    totals: dict[str, Totals] = field(default_factory=dict)
    json_threads: Threads = field(default_factory=lambda: Threads(_THREADS, "json"))
    sources: Sources = Sources()

    def __post_init__(self) -> None:
        folder = self.config.home / "cache" if self.config.cache_disk_mb else None
        self.cache = VectorCache(self.config.cache_mb << 20, folder, self.config.cache_disk_mb << 20)
        self.every_model = LoadedModels(
            self.config, self.models, self._deliver, self._count_pack, forget=self._forget, sources=self.sources
        )
        # What a request sees of them; `seen_through` gives others.
        self.loaded: Models = self.every_model
        self._bulk_threads = Threads(_THREADS, "bulk")
        # Nothing that is computed waits for what is only shown.
        self._token_threads = Threads(1, "tokens")
        # The disk may be slow or locked: nothing else waits for it, and what is looked up not for what is written.
        self._reading, self._writing = Threads(1, "cache reader"), Threads(1, "cache writer")
        self._unwritten: dict[asyncio.Task[None], int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle_check: asyncio.Task[None] | None = None

    async def start(self, *, preload: bool = True) -> None:
        """Begin, and load the models that are always there.

        Raises:
            EmbedhubError: one of them cannot be loaded.
        """
        self._loop = asyncio.get_running_loop()
        if preload:
            await self.every_model.preload()
        if self.config.model_idle_seconds:
            self._idle_check = self._loop.create_task(self._drop_idle())

    async def close(self) -> None:
        """Drop every model. What still waits fails."""
        if self._idle_check is not None:
            self._idle_check.cancel()
        await self.every_model.close()
        if self._unwritten:
            await asyncio.wait(self._unwritten)
        for threads in (self.json_threads, self._bulk_threads, self._token_threads, self._reading, self._writing):
            threads.close()
        self.cache.close()

    def seen_through(self, models: Models) -> "Service":
        """This service, started or not, for somebody who sees its models so."""
        view = copy(self)
        view.loaded = models
        return view

    async def run(self, model: str | None, request: Request, caller: Caller = Caller()) -> Answer:
        """Answer a request.

        Args:
            model: what the request calls its model; None is the default one.
            request: one of `tasks.REQUESTS`.
            caller: who asks.

        Raises:
            EmbedhubError: something is wrong with the request, the model or the service.
            asyncio.CancelledError: the caller went away; nothing is computed for it any more.
        """
        start = perf_counter()
        characters = self._check_size(request.texts)
        limit = asyncio.timeout(self.config.answer_seconds)
        try:
            with alias_told(model, self.config):
                async with limit, self.loaded.use(model, wait=caller.wait) as loaded:
                    return await self._answer(loaded, request, caller, characters, start)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise RequestTimeoutError(
                f"no answer within {self.config.answer_seconds} s (EMBEDHUB_ANSWER_SECONDS)", retry_after=1
            ) from error

    async def describe(self, name: str | None) -> ModelSpec | None:
        """What is known of a model, or of the default one, without loading it; None if it is to be downloaded first.

        Raises:
            ModelError: it cannot be had, or is damaged.
        """
        with alias_told(name, self.config):
            return await self.loaded.describe(name or self.loaded.default)

    @property
    def computes(self) -> bool:
        """Whether a model is at work now."""
        return any(loaded.scheduler.computing for loaded in self.every_model.ready)

    def computed_within(self, seconds: float) -> bool:
        """Whether a model is at work now, or was so long ago at most."""
        schedulers = [loaded.scheduler for loaded in self.every_model.ready]
        return any(each.computing or perf_counter() - each.computed_at < seconds for each in schedulers)

    async def healthy(self, name: str | None = None) -> bool:
        """Whether the service computes: it did within the last seconds, or does so now, and nothing is stuck.

        Args:
            name: of a model that is to do so; it is loaded if need be. None: any will do.

        Raises:
            ModelError: that model cannot be had.
        """
        if name is None:
            schedulers = [loaded.scheduler for loaded in self.loaded.ready]
        else:
            async with self.loaded.use(name) as loaded:
                schedulers = [loaded.scheduler]
        if any(scheduler.stalled_seconds > _HEALTHY_SECONDS for scheduler in schedulers):
            return False
        if any(perf_counter() - scheduler.computed_at < _HEALTHY_SECONDS for scheduler in schedulers):
            return True
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                async with self.loaded.use(name) as loaded:
                    embeds = loaded.model.spec.kind == "embedding"
                probe: Request = EmbedTexts(["health"]) if embeds else ClassifyTexts(["health"])
                await self.run(name, probe, Caller(client="health", use_cache=False))
        except Exception:  # noqa: BLE001 - whatever the reason, it does not compute
            return False
        return True

    async def _answer(
        self, loaded: LoadedModel, request: Request, caller: Caller, characters: int, start: float
    ) -> Answer:
        ready = perf_counter()
        # A text costs something by itself, however short it is.
        size = self._characters_read(request, characters) + _CHARACTERS_OF_A_TEXT * len(request.texts)
        threads = self._token_threads if isinstance(request, TokenizeTexts | DecodeTokens) else self._bulk_threads
        plan, read = await _in(threads, size > _SMALL_CHARACTERS, lambda: _planned(loaded, request))
        tokenized = perf_counter()
        total = int(plan.tokens.sum())
        if total > self.config.max_tokens:
            raise RequestTooLargeError(
                f"the request has {total} tokens, {self.config.max_tokens} are allowed (EMBEDHUB_MAX_TOKENS)"
            )
        if plan.of_tokens and total > self.config.max_tokens // _TOKEN_VECTOR_SHARE:
            raise RequestTooLargeError(
                f"the vectors of {total} tokens are asked for, {self.config.max_tokens // _TOKEN_VECTOR_SHARE} are "
                "allowed (a share of EMBEDHUB_MAX_TOKENS): send fewer texts at once"
            )
        # Before it is computed: others of the same caller that come meanwhile find it charged.
        caller.charge(read)
        try:
            outputs, order, cached = await self._outputs(loaded, plan, caller)
        except EmbedhubError:
            caller.charge(-read)
            raise
        result = await _in(self._bulk_threads, len(plan.jobs) > _SMALL_JOBS, lambda: plan.finish(outputs))
        timings = Timings(load=ready - start, tokenization=tokenized - ready, total=perf_counter() - start)
        if order is not None:
            timings.queue = order.started_at - order.queued_at
            timings.inference = order.finished_at - order.started_at
        return Answer(
            result=result,
            loaded=loaded,
            tokens=plan.tokens,
            read_tokens=read,
            truncated=np.flatnonzero(plan.truncated).tolist(),
            characters=characters,
            cached=cached,
            jobs=len(plan.jobs),
            method=plan.method,
            query_truncated=plan.query_truncated,
            timings=timings,
        )

    async def _outputs(self, loaded: LoadedModel, plan: Plan[Any], caller: Caller) -> tuple[Any, Order | None, int]:
        """Outputs of a plan's jobs, the order that computed them, and how many were computed before."""
        if not plan.jobs:
            return (), None, 0
        if plan.of_tokens or not self.cache.enabled or not caller.use_cache:
            order = await self._compute(loaded, Order(caller.client, plan.jobs, of_tokens=plan.of_tokens))
            return order.outputs, order, 0
        many = len(plan.jobs) > _SMALL_JOBS
        keys, known = await _in(self._bulk_threads, many, lambda: self._remembered(loaded, plan.jobs))
        if self.cache.on_disk and any(vector is None for vector in known):
            known = await self._reading.run(lambda: self.cache.get(keys, loaded.model.encoder.width))
        # A text that comes several times in a request is computed once.
        missing = {key: place for place, key in enumerate(keys) if known[place] is None}
        hits = len(keys) - len(missing)
        totals = self._totals(loaded.name)
        totals.cache_hits += hits
        totals.cache_misses += len(missing)
        if not missing:
            return np.stack(known), None, hits  # type: ignore[arg-type]
        order = await self._compute(loaded, Order(caller.client, [plan.jobs[place] for place in missing.values()]))
        fresh = dict(zip(missing, order.outputs, strict=True))
        kept = await _in(self._bulk_threads, many, lambda: self.cache.remember(fresh))
        self._store(kept)
        if hits == 0:
            return order.outputs, order, 0
        outputs = [fresh[key] if vector is None else vector for key, vector in zip(keys, known, strict=True)]
        return np.stack(outputs), order, hits

    def _remembered(self, loaded: LoadedModel, jobs: Sequence[Job]) -> tuple[list[bytes], list[Floats | None]]:
        keys = [job_key(job, loaded.namespace) for job in jobs]
        return keys, self.cache.recall(keys)

    def _store(self, vectors: dict[bytes, Floats]) -> None:
        """Have vectors written to the disk, if there is one, for which nobody waits; not if too many wait already."""
        if self.cache.on_disk and sum(self._unwritten.values()) < _MOST_UNWRITTEN:
            writing = asyncio.get_running_loop().create_task(self._writing.run(lambda: self.cache.store(vectors)))
            self._unwritten[writing] = len(vectors)
            writing.add_done_callback(self._unwritten.pop)

    async def _compute(self, loaded: LoadedModel, order: Order) -> Order:
        order.waiter = asyncio.get_running_loop().create_future()
        try:
            await _in(self._bulk_threads, len(order.jobs) > _SMALL_JOBS, lambda: loaded.scheduler.submit(order))
            await order.waiter
        except asyncio.CancelledError:
            loaded.scheduler.cancel(order)
            raise
        if order.error is not None:
            raise order.error
        return order

    async def _drop_idle(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_CHECK_SECONDS)
            self.every_model.drop_idle()

    def _deliver(self, orders: list[Order]) -> None:
        """From a scheduler's thread into the loop."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_wake, orders)

    def _check_size(self, texts: Sequence[Any]) -> int:
        if len(texts) > self.config.max_texts:
            raise RequestTooLargeError(
                f"the request has {len(texts)} texts, {self.config.max_texts} are allowed (EMBEDHUB_MAX_TEXTS)"
            )
        longest = max(map(len, texts), default=0)
        if longest > self.config.max_text_characters:
            number = next(number for number, text in enumerate(texts) if len(text) == longest)
            raise RequestTooLargeError(
                f"text {number} has {longest} characters, {self.config.max_text_characters} are allowed "
                "(EMBEDHUB_MAX_TEXT_CHARACTERS)"
            )
        return sum(map(len, texts))

    def _characters_read(self, request: Request, characters: int) -> int:
        read = request.characters_read if isinstance(request, RerankTexts) else characters
        if read > _MOST_CHARACTERS:
            raise RequestTooLargeError(
                f"query and documents together are {read} characters to read, {_MOST_CHARACTERS} are allowed: shorten "
                "the query or send fewer documents at once"
            )
        if isinstance(request, TokenizeTexts) and read > _MOST_CHARACTERS_SHOWN:
            raise RequestTooLargeError(
                f"the tokens of {read} characters are asked for, {_MOST_CHARACTERS_SHOWN} are allowed: send fewer"
            )
        return read

    def _totals(self, name: str) -> Totals:
        return self.totals.setdefault(name, Totals())

    def _forget(self, name: str) -> None:
        self.totals.pop(name, None)

    def _count_pack(self, name: str, pack: PackReport) -> None:
        totals = self._totals(name)
        totals.pack_jobs.add(pack.jobs)
        totals.pack_tokens.add(pack.tokens)
        totals.pack_computed_tokens += pack.computed_tokens


def _wake(orders: list[Order]) -> None:
    for order in orders:
        if not order.waiter.done():
            order.waiter.set_result(None)


def _planned(loaded: LoadedModel, request: Request) -> tuple[Plan[Any], int]:
    """The request's plan, and how many tokens it reads."""
    plan = prepare(loaded.model, request)
    return plan, plan.read_tokens


async def _in(threads: Threads, large: bool, work: Callable[[], _Result]) -> _Result:
    """Large work in a thread, small work at once: a thread costs more than tokenising a sentence."""
    return await threads.run(work) if large else work()
