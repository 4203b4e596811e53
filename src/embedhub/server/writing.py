"""Long answers as JSON, some values at a time: an encoder lets no other thread run until it has finished. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson

from embedhub.engine.patience import go_on

# Numbers that are written at once, a hundred vectors or so: a few milliseconds.
_LOT = 40_000

# What a value that is no array counts as: it may be a token, or hold a vector.
_WEIGHT = 400


def json_list(values: Iterable[Any]) -> bytes:
    """The values as a JSON array. Arrays must be contiguous; other values are any that orjson writes."""
    return b"".join(list_parts(values))


def list_parts(values: Iterable[Any]) -> list[bytes]:
    """The same, not joined."""
    parts = [b"["]
    for lot in _lots(values):
        go_on()
        if len(parts) > 1:
            parts.append(b",")
        parts.append(orjson.dumps(lot, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1])
    return [*parts, b"]"]


def nested_list(values: Iterable[Iterable[Any]]) -> bytes:
    """Lists of values as a JSON array of arrays, each of which may be long by itself."""
    parts = [b"["]
    for value in values:
        if len(parts) > 1:
            parts.append(b",")
        parts += list_parts(value)
    return b"".join([*parts, b"]"])


def _lots(values: Iterable[Any]) -> Iterator[list[Any]]:
    lot: list[Any] = []
    weight = 0
    for value in values:
        lot.append(value)
        weight += value.size if isinstance(value, np.ndarray) else _WEIGHT
        if weight >= _LOT:
            yield lot
            lot, weight = [], 0
    if lot:
        yield lot
