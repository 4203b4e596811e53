"""Which column type holds all the JSON values that were seen.

Knows how types of values unite: integers and decimals become decimals, objects become structs of all their
keys, null fits everything. Refuses to convert what does not fit: such a column is kept as JSON text.
"""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

MAX_DEPTH = 32
# An object used as a dictionary has new keys in every row; as a struct it would have a column for each.
MAX_KEYS = 1_000

_EXACT_IN_FLOAT64 = 2**53
_INT64 = range(-(2**63), 2**63)

_SCALARS: dict[frozenset[str], Any] = {
    # Only nulls: a text is as good as any other type, and every reader of Parquet knows it.
    frozenset(): pa.string(),
    frozenset({"bool"}): pa.bool_(),
    frozenset({"int"}): pa.int64(),
    frozenset({"wide"}): pa.int64(),
    frozenset({"int", "wide"}): pa.int64(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),
    frozenset({"str"}): pa.string(),
}

_WORDS = {
    "bool": "a truth value",
    "int": "a number",
    "wide": "a number",
    "huge": "a number",
    "float": "a number",
}


class DepthError(ValueError):
    """A value is nested deeper than `MAX_DEPTH`."""


def scalar_kind(value: object) -> str:
    """The kind of a JSON scalar; `wide` integers do not fit a float64 exactly, `huge` ones no int64."""
    if isinstance(value, int) and not isinstance(value, bool):
        if -_EXACT_IN_FLOAT64 <= value <= _EXACT_IN_FLOAT64:
            return "int"
        return "wide" if value in _INT64 else "huge"
    return type(value).__name__


def in_words(value: object) -> str:
    """What a value is, for a message to the user: `null`, `a number`, `a list`."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return _WORDS.get(scalar_kind(value), "a text")


@dataclass
class Shape:
    """What the values of one place (a column, a key, a list's items) have been so far."""

    scalars: set[str] = field(default_factory=set)
    items: "Shape | None" = None
    keys: "dict[str, Shape] | None" = None
    too_many_keys: bool = False

    def observe(self, value: object, depth: int = 1) -> None:
        """Take one more value into account.

        Raises:
            DepthError: it is nested too deeply.
        """
        if value is None:
            return
        if depth > MAX_DEPTH:
            raise DepthError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, list):
            self.items = self.items or Shape()
            for item in value:
                self.items.observe(item, depth + 1)
        elif isinstance(value, dict):
            self.keys = {} if self.keys is None else self.keys
            for key, member in value.items():
                self.keys.setdefault(key, Shape()).observe(member, depth + 1)
            if len(self.keys) > MAX_KEYS:
                self.too_many_keys = True
                self.keys = {}
        else:
            self.scalars.add(scalar_kind(value))

    def type(self) -> Any | None:
        """The pyarrow type that holds every value unchanged, or None if there is none."""
        if (bool(self.scalars) + (self.items is not None) + (self.keys is not None)) > 1 or self.too_many_keys:
            return None
        if self.items is not None:
            inner = self.items.type()
            return None if inner is None else pa.list_(inner)
        if self.keys is not None:
            members = {key: shape.type() for key, shape in self.keys.items()}
            # Parquet knows no struct without members.
            if not members or None in members.values():
                return None
            return pa.struct(list(members.items()))
        return _SCALARS.get(frozenset(self.scalars))
