"""Long answers written in lots are what they would be in one piece, and end when nobody waits for them."""

import threading
from typing import Any

import numpy as np
import orjson
import pytest

from embedhub.engine.patience import NobodyWaitsError, until
from embedhub.server.writing import json_list, nested_list


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1000])
def test_lots_make_one_list(count: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((count, 500)).astype(np.float32)
    assert json_list(vectors) == orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY)
    values = [{"number": number, "text": "é"} for number in range(count)]
    assert json_list(iter(values)) == orjson.dumps(values)


def test_lists_of_lists() -> None:
    values: list[list[Any]] = [[], [1], ["a"] * 250, [None]]
    assert nested_list(values) == orjson.dumps(values)
    assert nested_list([]) == b"[]"


def test_what_nobody_waits_for_is_not_written() -> None:
    given_up = threading.Event()
    made = []

    def values() -> Any:
        for number in range(1000):
            made.append(number)
            if number == 10:
                given_up.set()
            yield number

    with until(given_up), pytest.raises(NobodyWaitsError):
        json_list(values())
    assert len(made) <= 100
