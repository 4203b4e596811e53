"""Work that would hold up an event loop, in threads of its own kind: one kind of work never waits for another's.

Knows that a thread cannot be ended from outside: whoever gives up tells the work (`engine.patience`), and waits until
it has noticed, because what the work holds is not free before.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from embedhub.engine.patience import until

Result = TypeVar("Result")


class Threads:
    """A few threads for one kind of work.

    Args:
        count: how many; more work waits.
        name: of the threads.
    """

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[[], Result]) -> Result:
        """The work's result.

        Raises:
            asyncio.CancelledError: the caller gave up. The work has not begun, or has ended where it next asked.
        """
        given_up = Event()

        def within() -> Result:
            with until(given_up):
                return work()

        running = self._pool.submit(within)
        result = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            given_up.set()
            if not running.cancel():
                await asyncio.wait({result})
                # Looked at, or the loop would tell that nobody did.
                _ = result.cancelled() or result.exception()
            raise

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
