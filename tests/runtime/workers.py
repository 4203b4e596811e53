"""Encoders that go wrong in a chosen way, around one that is right, and orders that can be waited for."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from embedhub.engine.encoder import Encoder, Planned
from embedhub.engine.model import EncodeOptions
from embedhub.engine.packing import Job, Pack
from embedhub.runtime.scheduler import Order


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

    def plan_arriving(self, jobs: Sequence[Job]) -> Pack:
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


def jobs_of(model: Any, texts: Sequence[str]) -> list[Job]:
    """Jobs of texts."""
    return list(model.prepare(list(texts), EncodeOptions()).jobs)
