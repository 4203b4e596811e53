"""Whether anybody still waits for long work. It asks between its steps; whoever waits says so from outside.

Knows nothing of threads beyond the event that one of them sets, and nothing of what is being done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event

_given_up: ContextVar[Event | None] = ContextVar("given_up", default=None)


class NobodyWaitsError(Exception):
    """Ends work for which nobody waits any more. Nobody is told: it is no error of anybody's."""


def go_on() -> None:
    """Return if somebody waits for the work of this context, or if nobody ever said.

    Raises:
        NobodyWaitsError: whoever waited has given up.
    """
    given_up = _given_up.get()
    if given_up is not None and given_up.is_set():
        raise NobodyWaitsError


@contextmanager
def until(given_up: Event) -> Iterator[None]:
    """Within the block the work goes on until the event is set."""
    token = _given_up.set(given_up)
    try:
        yield
    finally:
        _given_up.reset(token)
