"""Services and schedulers for tests: encoders that go wrong in a chosen way, orders that can be waited for."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings
from embedhub.engine.encoder import Encoder, Planned
from embedhub.engine.model import EncodeOptions
from embedhub.engine.packing import Job, Pack
from embedhub.runtime.finding import Sources
from embedhub.runtime.scheduler import Order
from embedhub.runtime.service import Service

T = TypeVar("T")


class Watched:
    """An encoder that calls a function with every pack before it is computed.

    Args:
        encoder: what computes.
        before: gets the pack's jobs; may raise or wait.
    """

    def __init__(self, encoder: Encoder, before: Callable[[Sequence[Job]], None], pack_tokens: int = 0) -> None:
        self._encoder = encoder
        self._before = before
        self.width = encoder.width
        self.pack_tokens = pack_tokens or encoder.pack_tokens
        self.lanes = encoder.lanes

    def plan_arriving(self, jobs: Sequence[Job]) -> list[Pack]:
        return self._encoder.plan_arriving(jobs)

    def run(self, planned: Iterable[Planned], take: Callable[..., None]) -> None:
        self._encoder.run(self._watched(planned), take)

    def run_tokens(self, planned: Iterable[Planned], take: Callable[..., None]) -> None:
        self._encoder.run_tokens(self._watched(planned), take)

    def _watched(self, planned: Iterable[Planned]) -> Iterable[Planned]:
        for pack, jobs in planned:
            self._before(jobs)
            yield pack, jobs


class Desk:
    """Takes delivered orders and lets tests wait for them."""

    def __init__(self) -> None:
        self.delivered: list[Order] = []
        self._changed = threading.Condition()

    def deliver(self, orders: list[Order]) -> None:
        with self._changed:
            self.delivered += orders
            self._changed.notify_all()

    def wait_for(self, *orders: Order) -> None:
        """Until all have been delivered; a minute is never needed."""
        with self._changed:
            assert self._changed.wait_for(lambda: all(order in self.delivered for order in orders), timeout=60)


def pooled_alone(encoder: Encoder, jobs: Sequence[Job]) -> NDArray[np.float32]:
    """Pooled vectors of jobs, each computed by itself."""
    found: list[NDArray[np.float32]] = []
    for job in jobs:
        (pack,) = encoder.plan_arriving([job])
        encoder.run([(pack, [job])], lambda batch, vectors: found.append(vectors.copy()))
    return np.concatenate(found)


def jobs_of(model: Any, texts: Sequence[str]) -> list[Job]:
    """Jobs of texts."""
    return list(model.prepare(list(texts), EncodeOptions()).jobs)


def serve(config: Settings, work: Callable[[Service], Awaitable[T]], sources: Sources | None = None) -> T:
    """What the work gives, with a service that is started before and closed behind it."""

    async def run() -> T:
        service = Service(config, sources=sources or Sources())
        await service.start()
        try:
            return await work(service)
        finally:
            await service.close()

    return asyncio.run(asyncio.wait_for(run(), 60))
