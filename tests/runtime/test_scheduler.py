"""The scheduler: what is right alone is right together, and what goes wrong goes wrong alone."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.checkpoints import WORDS
from tests.runtime.workers import Desk, Watched, jobs_of, pooled_alone

from embedhub import Model
from embedhub.errors import ComputationError, OverloadedError, ShuttingDownError
from embedhub.runtime.scheduler import Order, PackReport, Scheduler


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of 1 to 60 words."""
    generator = random.Random(seed)
    words = WORDS.split()
    return [" ".join(generator.choices(words, k=generator.randint(1, 60))) for _ in range(count)]


def pooled(model: Model, of: list[str]) -> Any:
    """Pooled vectors, computed one by one."""
    return pooled_alone(model.encoder, jobs_of(model, of))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def scheduler(tiny: Model, desk: Desk) -> Iterator[Scheduler]:
    scheduler = Scheduler(tiny.encoder, desk.deliver)
    yield scheduler
    scheduler.close()


def test_many_clients_get_what_each_would_alone(tiny: Model, scheduler: Scheduler, desk: Desk) -> None:
    sizes = [1, 1, 200, 3, 1, 40, 1, 7]
    asked = {client: [texts(size, seed=client * 10 + turn) for turn in range(3)] for client, size in enumerate(sizes)}
    orders: dict[tuple[int, int], Order] = {}

    def ask(client: int) -> None:
        for turn, mine in enumerate(asked[client]):
            order = orders[client, turn] = Order(str(client % 5), jobs_of(tiny, mine))
            scheduler.submit(order)
            if client % 2:
                desk.wait_for(order)

    threads = [threading.Thread(target=ask, args=(client,)) for client in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.wait_for(*orders.values())
    assert len(desk.delivered) == len(orders)
    for (client, turn), order in orders.items():
        assert order.error is None
        np.testing.assert_allclose(order.outputs, pooled(tiny, asked[client][turn]), atol=1e-5)
        assert order.queued_at <= order.started_at <= order.finished_at
    assert scheduler.waiting == scheduler.waiting_tokens == scheduler.computing == 0
    assert scheduler.stalled_seconds == 0


def test_tokens_and_pooled_vectors_take_turns(tiny: Model, scheduler: Scheduler, desk: Desk) -> None:
    some = texts(150)
    whole = Order("a", jobs_of(tiny, some))
    tokens = Order("b", jobs_of(tiny, some), of_tokens=True)
    scheduler.submit(whole)
    scheduler.submit(tokens)
    desk.wait_for(whole, tokens)
    np.testing.assert_allclose(whole.outputs, pooled(tiny, some), atol=1e-5)
    # Mean pooling: the mean of the tokens' vectors is the pooled vector.
    for job, found, mean in zip(tokens.jobs, tokens.outputs, whole.outputs, strict=True):
        assert found.shape == (len(job.ids), tiny.encoder.width)
        np.testing.assert_allclose(found.mean(axis=0), mean, atol=1e-5)


class Door:
    """Holds the first pack until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.packs: list[list[Any]] = []

    def __call__(self, jobs: Any) -> None:
        self.packs.append(list(jobs))
        self.reached.set()
        assert self.open.wait(60)


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.open.set()


def test_what_is_cancelled_is_neither_computed_nor_delivered(tiny: Model, desk: Desk, door: Door) -> None:
    scheduler = Scheduler(Watched(tiny.encoder, door), desk.deliver)  # type: ignore[arg-type]
    first, unwanted, last = (
        Order(client, jobs_of(tiny, texts(size))) for client, size in (("a", 1), ("b", 50), ("c", 2))
    )
    scheduler.submit(first)
    assert door.reached.wait(60)
    scheduler.submit(unwanted)
    scheduler.submit(last)
    assert scheduler.waiting == 52
    scheduler.cancel(unwanted)
    assert scheduler.waiting == 2
    door.open.set()
    desk.wait_for(first, last)
    scheduler.close()
    assert unwanted not in desk.delivered
    assert sum(len(pack) for pack in door.packs) == 3


def test_an_order_cancelled_while_it_is_computed_is_not_delivered(tiny: Model, desk: Desk, door: Door) -> None:
    scheduler = Scheduler(Watched(tiny.encoder, door), desk.deliver)  # type: ignore[arg-type]
    unwanted, last = Order("a", jobs_of(tiny, ["the"])), Order("a", jobs_of(tiny, ["a"]))
    scheduler.submit(unwanted)
    assert door.reached.wait(60)
    scheduler.cancel(unwanted)
    scheduler.submit(last)
    door.open.set()
    desk.wait_for(last)
    scheduler.close()
    assert desk.delivered == [last]


def test_more_than_may_wait_is_refused(tiny: Model, desk: Desk, door: Door) -> None:
    scheduler = Scheduler(Watched(tiny.encoder, door), desk.deliver, capacity=10)  # type: ignore[arg-type]
    # Nothing waits: a large order is taken however large, else nobody could ever ask it.
    large = Order("a", jobs_of(tiny, texts(40)))
    scheduler.submit(large)
    assert door.reached.wait(60)
    refused = Order("b", jobs_of(tiny, ["the"]))
    with pytest.raises(OverloadedError, match="EMBEDHUB_QUEUE_TEXTS") as error:
        scheduler.submit(refused)
    assert error.value.retry_after
    door.open.set()
    desk.wait_for(large)
    scheduler.submit(refused)
    desk.wait_for(refused)
    scheduler.close()
    np.testing.assert_allclose(refused.outputs, pooled(tiny, ["the"]), atol=1e-5)


def test_a_poisoned_text_fails_alone(tiny: Model, desk: Desk) -> None:
    poison = jobs_of(tiny, ["this is poison ?"])[0]

    def check(jobs: Any) -> None:
        if any(tuple(job.ids) == tuple(poison.ids) for job in jobs):
            raise RuntimeError("the text\nis poison")

    scheduler = Scheduler(Watched(tiny.encoder, check), desk.deliver)  # type: ignore[arg-type]
    good = [Order(str(number), jobs_of(tiny, texts(3, seed=number))) for number in range(8)]
    bad = Order("bad", [jobs_of(tiny, ["the"])[0], poison])
    for order in [*good[:4], bad, *good[4:]]:
        scheduler.submit(order)
    desk.wait_for(bad, *good)
    assert isinstance(bad.error, ComputationError)
    assert "\n" not in str(bad.error)
    for number, order in enumerate(good):
        assert order.error is None
        np.testing.assert_allclose(order.outputs, pooled(tiny, texts(3, seed=number)), atol=1e-5)
    assert desk.delivered.count(bad) == 1
    assert scheduler.waiting == scheduler.computing == 0
    # The next works as if nothing had been.
    after = Order("a", jobs_of(tiny, texts(20)))
    scheduler.submit(after)
    desk.wait_for(after)
    np.testing.assert_allclose(after.outputs, pooled(tiny, texts(20)), atol=1e-5)
    scheduler.close()


def test_a_text_tried_again_beside_a_poisoned_one_does_not_fail_with_it(tiny: Model, desk: Desk) -> None:
    poison = jobs_of(tiny, ["this is poison ?"])[0]
    begin = threading.Event()

    def check(jobs: Any) -> None:
        assert begin.wait(60)
        if any(tuple(job.ids) == tuple(poison.ids) for job in jobs):
            raise RuntimeError("poison")

    scheduler = Scheduler(Watched(tiny.encoder, check), desk.deliver)  # type: ignore[arg-type]
    orders = [Order(str(number), jobs_of(tiny, ["the"])) for number in range(6)]
    bad = Order("bad", [poison])
    for order in (*orders[:3], bad, *orders[3:]):
        scheduler.submit(order)
    begin.set()
    desk.wait_for(bad, *orders)
    scheduler.close()
    assert [order.error for order in orders] == [None] * 6
    assert bad.error is not None


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(1), KeyboardInterrupt()])
def test_whatever_is_raised_the_next_orders_work(tiny: Model, desk: Desk, error: BaseException) -> None:
    failing = [True, True]

    def fail(jobs: Any) -> None:
        if failing:
            failing.pop()
            raise error

    scheduler = Scheduler(Watched(tiny.encoder, fail), desk.deliver)  # type: ignore[arg-type]
    first, second = Order("a", jobs_of(tiny, ["the"])), Order("a", jobs_of(tiny, ["this"]))
    scheduler.submit(first)
    desk.wait_for(first)
    assert isinstance(first.error, ComputationError)
    scheduler.submit(second)
    desk.wait_for(second)
    assert second.error is None
    scheduler.close()


def test_closing_fails_what_waits_and_finishes_what_is_computed(tiny: Model, desk: Desk, door: Door) -> None:
    scheduler = Scheduler(Watched(tiny.encoder, door), desk.deliver)  # type: ignore[arg-type]
    computed, waiting = Order("a", jobs_of(tiny, ["the"])), Order("b", jobs_of(tiny, texts(5)))
    scheduler.submit(computed)
    assert door.reached.wait(60)
    scheduler.submit(waiting)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    desk.wait_for(waiting)
    door.open.set()
    closing.join(60)
    desk.wait_for(computed)
    assert computed.error is None
    assert isinstance(waiting.error, ShuttingDownError)
    with pytest.raises(ShuttingDownError):
        scheduler.submit(Order("a", jobs_of(tiny, ["the"])))


def test_closing_fails_what_went_wrong_on_the_last_metres(tiny: Model, desk: Desk) -> None:
    reached, closed = threading.Event(), threading.Event()

    def fail(jobs: Any) -> None:
        reached.set()
        assert closed.wait(60)
        raise RuntimeError("too late")

    scheduler = Scheduler(Watched(tiny.encoder, fail), desk.deliver)  # type: ignore[arg-type]
    order = Order("a", jobs_of(tiny, ["the"]))
    scheduler.submit(order)
    assert reached.wait(60)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    # Closed as soon as it refuses.
    while True:
        try:
            scheduler.submit(Order("b", jobs_of(tiny, ["a"])))
        except ShuttingDownError:
            break
    closed.set()
    closing.join(60)
    desk.wait_for(order)
    assert isinstance(order.error, ShuttingDownError)


def test_a_text_is_in_the_next_pack_that_is_drawn_behind_a_large_order(tiny: Model, desk: Desk) -> None:
    packs: list[PackReport] = []
    # For every pack that was drawn, in this order, whether the single text is in it.
    drawn: list[bool] = []
    single = Order("small", jobs_of(tiny, ["this is that"]))
    large = Order("large", jobs_of(tiny, texts(500)) * 20)

    def before(jobs: Any) -> None:
        drawn.append(any(job.order is single for job in jobs))
        # In the midst of the large order, from another client.
        if len(drawn) == 20:
            mixed.submit(single)

    mixed = Scheduler(Watched(tiny.encoder, before), desk.deliver, report=packs.append)  # type: ignore[arg-type]
    mixed.submit(large)
    desk.wait_for(single, large)
    mixed.close()
    assert len(large.jobs) == 10_000
    # What it waits for is what was drawn before: a pack on each lane and one that is ready.
    assert drawn.index(True) == 20
    assert desk.delivered == [single, large]
    assert len(packs) > 100
    assert sum(pack.jobs for pack in packs) == 10_001
    assert all(pack.tokens <= pack.computed_tokens for pack in packs)


def test_a_computation_that_does_not_move_on_is_noticed(tiny: Model, desk: Desk, door: Door) -> None:
    scheduler = Scheduler(Watched(tiny.encoder, door), desk.deliver)  # type: ignore[arg-type]
    assert scheduler.stalled_seconds == 0
    order = Order("a", jobs_of(tiny, ["the"]))
    scheduler.submit(order)
    assert door.reached.wait(60)
    first = scheduler.stalled_seconds
    assert 0 < first < scheduler.stalled_seconds
    assert scheduler.computed_at == float("-inf")
    door.open.set()
    desk.wait_for(order)
    assert scheduler.computed_at > order.queued_at
    scheduler.close()
    assert scheduler.stalled_seconds == 0


def test_where_a_row_holds_one_text_a_long_one_does_not_make_short_ones_long(tiny_folder: Path, desk: Desk) -> None:
    model = Model(tiny_folder, dtype="f32")
    model.encoder.backend.packs_rows = False
    reports: list[PackReport] = []
    scheduler = Scheduler(model.encoder, desk.deliver, report=reports.append)
    mixed = ["the one " * 30, *["the"] * 20, "this is that " * 8, "which is not " * 30]
    order = Order("a", jobs_of(model, mixed))
    scheduler.submit(order)
    desk.wait_for(order)
    scheduler.close()
    assert order.error is None
    np.testing.assert_allclose(order.outputs, pooled(model, mixed), atol=1e-5)
    assert sum(report.jobs for report in reports) == len(mixed)
    assert sum(report.tokens for report in reports) == sum(len(job.ids) for job in order.jobs)
    # Padded to the longest it would be 23 times 48.
    assert sum(report.computed_tokens for report in reports) < 300
