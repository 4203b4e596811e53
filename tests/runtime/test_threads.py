"""Work in threads: its result, its error, and that giving up ends it and waits for its end."""

import asyncio
import gc
import threading

import pytest

from embedhub.engine.patience import NobodyWaitsError, go_on
from embedhub.runtime.threads import Threads


def test_results_and_errors_come_back() -> None:
    async def work() -> None:
        threads = Threads(1, "test")
        assert await threads.run(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        threads.close()

    asyncio.run(work())


def test_giving_up_ends_the_work_and_waits_for_its_end(caplog: pytest.LogCaptureFixture) -> None:
    began, ended = threading.Event(), threading.Event()

    def endless() -> None:
        began.set()
        try:
            while True:
                go_on()
        except NobodyWaitsError:
            ended.set()
            raise

    async def work() -> None:
        threads = Threads(1, "test")
        task = asyncio.create_task(threads.run(endless))
        await asyncio.to_thread(began.wait, 10)
        waiting = asyncio.create_task(threads.run(lambda: pytest.fail("nobody waits for this")))
        await asyncio.sleep(0)
        waiting.cancel()
        task.cancel()
        for each in (task, waiting):
            with pytest.raises(asyncio.CancelledError):
                await each
        assert ended.is_set()
        # What was never begun is not begun later.
        assert await threads.run(lambda: 1) == 1
        threads.close()

    asyncio.run(work())
    gc.collect()
    assert not caplog.records


def test_work_outside_goes_on() -> None:
    go_on()
