"""How often a number had which size: counts in buckets, their sum, nothing else.

Knows Prometheus' idea of a histogram, and none of its library, so that the rooms that count need not know who asks.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SIZES = tuple(float(1 << power) for power in range(15))

# From so many numbers on, NumPy is quicker than a loop.
_MANY = 16


class Distribution:
    """Counts of numbers.

    Args:
        bounds: upper ends of the buckets, ascending; a number that equals one belongs to it.

    Attributes:
        bounds: the same.
        counts: numbers in each bucket; one more for those above all bounds.
        total: the sum of all numbers.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    @classmethod
    def merged(cls, parts: Iterable["Distribution"]) -> "Distribution":
        """The numbers of several, at least one, that have the same bounds."""
        first, *others = parts
        whole = cls(first.bounds)
        for part in (first, *others):
            whole.counts = [mine + more for mine, more in zip(whole.counts, part.counts, strict=True)]
            whole.total += part.total
        return whole

    @property
    def count(self) -> int:
        """How many numbers there were."""
        return sum(self.counts)

    def add(self, value: float) -> None:
        """Count a number."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, values: NDArray[Any]) -> None:
        """Count the numbers of an array [n]."""
        if len(values) < _MANY:
            for value in values.tolist():
                self.add(value)
            return
        places = np.searchsorted(self.bounds, values, side="left")
        for place, count in enumerate(np.bincount(places, minlength=len(self.counts)).tolist()):
            self.counts[place] += count
        self.total += float(values.sum())

    @property
    def cumulative(self) -> list[tuple[str, int]]:
        """For each bound, and `+Inf` last, how many numbers were no greater: the buckets of Prometheus."""
        running = 0
        found = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, running))
        return found
