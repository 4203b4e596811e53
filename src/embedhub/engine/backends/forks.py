"""What becomes of compiled graphs when the process forks (multiprocessing's fork, a server that loads first).

Knows that OpenVINO's threads stay behind in the parent: in the child, what was compiled waits for them, both when it
computes and when it is freed. So the child compiles anew, and what came from the parent is left where it is.
"""

import ctypes
import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """Something that holds compiled graphs and can make them again."""

    def renew(self) -> object:
        """Let go of locks and of everything compiled, and give back what was compiled."""
        ...


_HOLDERS: WeakSet[Renewable] = WeakSet()


def renew_in_forks(holder: Renewable) -> None:
    """See to it that a child process compiles its own graphs."""
    _HOLDERS.add(holder)


def _in_child() -> None:
    for holder in tuple(_HOLDERS):
        # One reference more than there are: freeing it, at the latest at exit, would wait for ever.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(holder.renew()))


os.register_at_fork(after_in_child=_in_child)
