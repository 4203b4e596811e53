"""Jobs of many callers through one encoder: packs are filled across requests, in turns.

Knows threads and turns; refuses to know sockets, event loops and texts. One thread feeds the encoder for as long as
anything waits: the encoder draws the next pack when it has room, so that a pack holds whoever waits at that moment.
A lone pack is computed by all cores, several side by side (see `backends.openvino`).
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.encoder import Encoder, Planned
from embedhub.engine.packing import Batch, Job
from embedhub.errors import ComputationError, EmbedhubError, OverloadedError, ShuttingDownError
from embedhub.runtime.fair_queue import FairQueue

Floats = NDArray[np.float32]

logger = logging.getLogger(__name__)

# Packs of one kind in a row while jobs of the other kind wait.
_TURN = 4


class Order:
    """Jobs of one caller that are delivered together.

    Args:
        client: who asks; clients have turns.
        jobs: what is to be computed.
        of_tokens: whether the vectors of tokens are wanted.

    Attributes:
        outputs: float32 [jobs, width], or a list of float32 [tokens, H]; complete once delivered without `error`.
        error: why there are no outputs.
        queued_at, started_at, finished_at: seconds of `perf_counter`, 0.0 when it did not happen.
    """

    __slots__ = (
        "client",
        "error",
        "finished_at",
        "jobs",
        "of_tokens",
        "outputs",
        "queued_at",
        "remaining",
        "started_at",
        "waiter",
    )

    def __init__(self, client: str, jobs: Sequence[Job], *, of_tokens: bool = False, waiter: Any = None) -> None:
        self.client = client
        self.jobs = jobs
        self.of_tokens = of_tokens
        self.waiter = waiter
        self.outputs: Any = None
        self.error: EmbedhubError | None = None
        self.remaining = len(jobs)
        self.queued_at = self.started_at = self.finished_at = 0.0


class _Queued(Job):
    """A job with the order it belongs to, its place in it, and whether it is to be computed by itself."""

    __slots__ = ("alone", "order", "place")

    order: Order
    place: int
    alone: bool

    @classmethod
    def of(cls, order: Order, place: int, *, alone: bool = False) -> "_Queued":
        job = order.jobs[place]
        queued = cls(job.ids, job.skipped, job.types)
        # Frozen, so that nobody changes a job on its way; these three belong to the way.
        for name, value in (("order", order), ("place", place), ("alone", alone)):
            object.__setattr__(queued, name, value)
        return queued


@dataclass(frozen=True)
class PackReport:
    """What was computed together: how many jobs of how many tokens, and how many tokens with filler."""

    jobs: int
    tokens: int
    computed_tokens: int


class Scheduler:
    """Computes orders on one encoder, in turns.

    Args:
        encoder: the model's.
        deliver: called with the orders that have just been finished, from any thread.
        report: called for every pack, from any thread.
        capacity: how many jobs may wait.
        name: of the thread.

    Raises:
        OverloadedError: from `submit`, when more would wait than may.
    """

    def __init__(
        self,
        encoder: Encoder,
        deliver: Callable[[list[Order]], None],
        *,
        report: Callable[[PackReport], None] = lambda pack: None,
        capacity: int = 1 << 20,
        name: str = "encoder",
    ) -> None:
        self._encoder = encoder
        self._deliver = deliver
        self._report = report
        self._capacity = capacity
        self._name = name
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # By `of_tokens`: the two kinds are different graphs.
        self._queues: dict[bool, FairQueue[_Queued]] = {False: FairQueue(), True: FairQueue()}
        self._retries: list[_Queued] = []
        self._in_flight: set[_Queued] = set()
        self._computed_at = float("-inf")
        # When something was last finished, or the first of what is to be done came.
        self._moved_at = float("-inf")
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return sum(map(len, self._queues.values()))

    @property
    def waiting_tokens(self) -> int:
        """Tokens of the jobs that wait."""
        return sum(queue.cost for queue in self._queues.values())

    @property
    def computing(self) -> int:
        """Jobs that are being computed."""
        return len(self._in_flight)

    @property
    def computed_at(self) -> float:
        """Seconds of `perf_counter` when a pack was last computed; minus infinity before the first."""
        return self._computed_at

    @property
    def stalled_seconds(self) -> float:
        """For how long nothing was finished although there is something to do; 0.0 when there is nothing."""
        with self._lock:
            busy = self._in_flight or self._retries or self.waiting
            return perf_counter() - self._moved_at if busy else 0.0

    def submit(self, order: Order) -> None:
        """Let an order wait for its turn. It is delivered, also when it fails.

        Raises:
            OverloadedError: too many jobs wait already.
            ShuttingDownError: the scheduler is closed.
        """
        order.queued_at = perf_counter()
        jobs = order.jobs
        order.outputs = (
            [None] * len(jobs) if order.of_tokens else np.empty((len(jobs), self._encoder.width), np.float32)
        )
        # Neighbours of like length make packs with little filler, and the order is delivered as a whole anyway.
        places = (
            sorted(range(len(jobs)), key=lambda place: -len(jobs[place].ids)) if len(jobs) > 1 else range(len(jobs))
        )
        items = [(len(jobs[place].ids), _Queued.of(order, place)) for place in places]
        with self._changed:
            if self._closed:
                raise _stopping()
            if order.remaining < 0:
                # Cancelled while it was being sorted.
                return
            if self.waiting and self.waiting + len(items) > self._capacity:
                raise OverloadedError(
                    f"{self.waiting} texts wait already, {self._capacity} may (EMBEDHUB_QUEUE_TEXTS)", retry_after=1
                )
            if not (self._in_flight or self._retries or self.waiting):
                self._moved_at = order.queued_at
            self._queues[order.of_tokens].push(order.client, id(order), items)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def cancel(self, order: Order) -> None:
        """Drop what still waits of an order; it is not delivered any more."""
        with self._lock:
            order.remaining = -1
            self._queues[order.of_tokens].discard(order.client, id(order))

    def close(self) -> None:
        """Let what waits fail and end the thread."""
        with self._changed:
            self._closed = True
            dropped = [item for queue in self._queues.values() for item in queue.take(queue.cost + 1)]
            self._changed.notify()
        self._fail(dropped, _stopping())
        if self._thread is not None:
            self._thread.join(timeout=30)
        # What the thread could not finish any more: it is stuck, or its last pack went wrong.
        with self._lock:
            lost = [*self._in_flight, *self._retries]
        self._fail(lost, _stopping())

    def _work(self) -> None:
        of_tokens = False
        while True:
            with self._changed:
                while not self._closed and not self._retries and not self.waiting:
                    self._changed.wait()
                if self._closed:
                    return
                of_tokens = self._next_kind(of_tokens)
            try:
                if of_tokens:
                    self._encoder.run_tokens(self._packs(of_tokens), self._take)
                else:
                    self._encoder.run(self._packs(of_tokens), self._take)
            except BaseException as error:
                logger.exception("%s: a pack could not be computed", self._name)
                self._recover(error)

    def _next_kind(self, last: bool) -> bool:
        if self._retries:
            return self._retries[0].order.of_tokens
        return not last if self._queues[not last] else last

    def _packs(self, of_tokens: bool) -> Iterator[Planned]:
        """Packs for as long as jobs of this kind wait, with a break now and then for the other kind."""
        queue, other = self._queues[of_tokens], self._queues[not of_tokens]
        turns = 0
        while True:
            with self._lock:
                if (other and turns >= _TURN) or self._closed:
                    return
                jobs = self._next_jobs(queue, of_tokens)
                # With both lanes at work, an empty queue fills again before they are done. (The encoder asks for two
                # packs before it starts the first, to see whether that one is alone.)
                while not jobs and turns >= 2 and self._in_flight and not self._closed:
                    self._changed.wait()
                    jobs = self._next_jobs(queue, of_tokens)
                if not jobs:
                    return
                self._in_flight.update(jobs)
            turns += 1
            now = perf_counter()
            for job in jobs:
                job.order.started_at = job.order.started_at or now
            for pack in self._encoder.plan_arriving(jobs):
                tokens = sum(len(jobs[place].ids) for place in pack.texts)
                self._report(PackReport(len(pack.texts), tokens, pack.computed_tokens))
                yield pack, jobs
            if jobs[0].alone:
                # Nothing is drawn beside it: whatever is in flight when it fails would fail with it.
                return

    def _next_jobs(self, queue: FairQueue[_Queued], of_tokens: bool) -> list[_Queued]:
        self._retries = [job for job in self._retries if job.order.remaining > 0]
        alone = next((job for job in self._retries if job.order.of_tokens == of_tokens), None)
        if alone is not None:
            self._retries.remove(alone)
            return [alone]
        budget = self._encoder.pack_tokens
        if not self._in_flight:
            # Every lane is idle: a share for each is done sooner than all in one.
            budget = min(budget, -(-queue.cost // self._encoder.lanes))
        return queue.take(budget)

    def _take(self, batch: Batch, outputs: Sequence[Floats] | Floats) -> None:
        finished = []
        with self._lock:
            self._computed_at = self._moved_at = perf_counter()
            for job, output in zip(batch.jobs, outputs, strict=True):
                assert isinstance(job, _Queued)
                if job not in self._in_flight:
                    # Given up for lost when its neighbour failed, and being tried again.
                    continue
                self._in_flight.remove(job)
                order = job.order
                order.outputs[job.place] = output
                order.remaining -= 1
                if order.remaining == 0:
                    order.finished_at = perf_counter()
                    finished.append(order)
            if not self._in_flight:
                self._changed.notify()
        if finished:
            self._deliver(finished)

    def _recover(self, error: BaseException) -> None:
        """One bad text must not spoil its neighbours: each is tried once more by itself, and fails by itself."""
        with self._lock:
            self._moved_at = perf_counter()
            lost = list(self._in_flight)
            self._in_flight.clear()
            self._retries += [_Queued.of(job.order, job.place, alone=True) for job in lost if not job.alone]
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        self._fail([job for job in lost if job.alone], ComputationError(f"the computation failed: {reason}"))

    def _fail(self, jobs: Sequence[_Queued], error: EmbedhubError) -> None:
        failed = []
        with self._lock:
            for order in {id(job.order): job.order for job in jobs}.values():
                if order.remaining > 0:
                    order.remaining = -1
                    order.error = error
                    failed.append(order)
                self._queues[order.of_tokens].discard(order.client, id(order))
        if failed:
            self._deliver(failed)


def _stopping() -> ShuttingDownError:
    return ShuttingDownError("the service is about to stop", retry_after=5)
