"""Passwords that were tried and were wrong: who has tried too often waits.

Knows addresses and names, for a while and in memory only. May be used by many threads.
"""

import threading
from collections import OrderedDict
from time import monotonic

from embedhub.errors import RateLimitedError
from embedhub.server.quota import network_of

_SECONDS = 900.0
# From one network; and for one name, from wherever: many networks guess together, and who owns the name is to get in.
_MOST_OF_ADDRESS = 10
_MOST_OF_NAME = 100
_REMEMBERED = 10_000


class Attempts:
    """What was tried in the last quarter of an hour."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # When the counting began, and how many there were since.
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, address: str, name: str) -> None:
        """Count an attempt before it is looked at, so that those at the same time count too.

        Raises:
            RateLimitedError: there were too many; `retry_after` says when there is room.
        """
        limits = {f"address {network_of(address)}": _MOST_OF_ADDRESS, f"name {name.lower()[:200]}": _MOST_OF_NAME}
        now = monotonic()
        with self._lock:
            found = {}
            for key, most in limits.items():
                began, count = self._counts.get(key, (now, 0))
                if now - began >= _SECONDS:
                    began, count = now, 0
                if count >= most:
                    wait = began + _SECONDS - now
                    raise RateLimitedError(
                        f"too many passwords were tried; wait {max(1, round(wait / 60))} minutes, or sign in with a "
                        "token",
                        retry_after=wait,
                    )
                found[key] = (began, count + 1)
            for key, counted in found.items():
                self._counts[key] = counted
                self._counts.move_to_end(key)
            while len(self._counts) > _REMEMBERED:
                self._counts.popitem(last=False)

    def forgive(self, address: str, name: str) -> None:
        """Take back one attempt: it was right. Others stay, or whoever has an account could guess without end."""
        with self._lock:
            for key in (f"address {network_of(address)}", f"name {name.lower()[:200]}"):
                began, count = self._counts.get(key, (0.0, 0))
                if count:
                    self._counts[key] = (began, count - 1)
