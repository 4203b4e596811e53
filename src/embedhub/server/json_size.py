"""How much a JSON text makes of itself: its values are counted before anything is made of them.

A decoder of JSON lets no other thread run until it has finished, and a byte or two can be a value that takes a hundred.
Pure. Knows where strings begin and end; refuses to know whether the text is valid.
"""

from dataclasses import dataclass

import numpy as np

# Looked at together. Between two lots other threads have their turn.
_LOT = 1 << 18

# Containers are counted where they end: one that never does is not decoded to its end either.
_COMMA, _QUOTE, _BRACKET, _BRACE = b',"]}'


@dataclass(frozen=True, slots=True)
class JsonSize:
    """What a text holds outside of its strings.

    Attributes:
        commas: one less than there are values in each list or object, added up.
        containers: lists and objects.
    """

    commas: int
    containers: int


def most_json_size(text: bytes) -> JsonSize:
    """At most that much; quick. What stands in strings counts too."""
    return JsonSize(text.count(b","), text.count(b"]") + text.count(b"}"))


def json_size(text: bytes) -> JsonSize:
    """Exactly that much, of a text that is valid."""
    commas = containers = 0
    inside = 0
    start = 0
    while start < len(text):
        lot = text[start : start + _LOT]
        # The end of the lot must not part an escape from its character.
        if (len(lot) - len(lot.rstrip(b"\\"))) % 2:
            lot = text[start : start + _LOT + 1]
        start += len(lot)
        found = np.frombuffer(lot.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
        # A sum that overflows is still even or odd.
        within = np.cumsum(found == _QUOTE, dtype=np.uint8)
        outside = ((within + np.uint8(inside)) & 1) == 0
        commas += int(np.count_nonzero(outside & (found == _COMMA)))
        containers += int(np.count_nonzero(outside & ((found == _BRACKET) | (found == _BRACE))))
        if len(within):
            inside = (inside + int(within[-1])) & 1
    return JsonSize(commas, containers)
