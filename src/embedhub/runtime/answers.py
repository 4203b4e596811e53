"""Who asks the service and what is answered, as plain values. Knows no way from one to the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedhub.runtime.distribution import SIZES, Distribution
from embedhub.runtime.loaded import LoadedModel


@dataclass(frozen=True)
class Caller:
    """Who asks and how.

    Attributes:
        client: requests of one client wait for each other's turns as one.
        use_cache: take vectors that were computed before.
        wait: wait for a model that is not loaded yet.
        charge: told how many tokens a request has before they are computed, and may refuse; told as many less than none
            when the service fails to compute them.
    """

    client: str = ""
    use_cache: bool = True
    wait: bool = True
    charge: Callable[[int], None] = lambda tokens: None


@dataclass(slots=True)
class Timings:
    """Seconds a request spent: until its model was there, tokenising, waiting, computing, and in all."""

    load: float = 0.0
    tokenization: float = 0.0
    queue: float = 0.0
    inference: float = 0.0
    total: float = 0.0


@dataclass(slots=True)
class Answer:
    """The result of a request, and what became of it.

    Attributes:
        result: as the task's plan gives it.
        loaded: the model that made it.
        tokens: tokens of each input, whole.
        read_tokens: tokens that were read of all inputs, computed now or before.
        truncated: numbers of the inputs of which only a part was read; what they are compared with is none of them.
        query_truncated: whether only a part of that was read.
        characters: characters of all inputs.
        cached: jobs that were computed before.
        jobs: jobs in all.
        method: how the result came about, where there are several ways.
        timings: seconds.
    """

    result: Any
    loaded: LoadedModel
    tokens: np.ndarray[Any, np.dtype[np.int64]]
    read_tokens: int
    truncated: list[int]
    characters: int
    cached: int
    jobs: int
    method: str
    query_truncated: bool
    timings: Timings


@dataclass(slots=True)
class Totals:
    """What the service has done since it began, for metrics; per model where a model is named."""

    pack_jobs: Distribution = field(default_factory=lambda: Distribution(SIZES))
    pack_tokens: Distribution = field(default_factory=lambda: Distribution(SIZES))
    pack_computed_tokens: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
