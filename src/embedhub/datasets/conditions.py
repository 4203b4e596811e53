"""Which rows of a dataset fulfil conditions on their columns, such as `{"language": "en", "year": {"gte": 2000}}`.

Knows how a condition is written and what may be compared with what. Refuses to know what rows are asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedhub.datasets.shards import Rows
from embedhub.datasets.stored import StoredDataset
from embedhub.errors import ColumnError, SettingError

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": pc.equal,
    "ne": pc.not_equal,
    "gt": pc.greater,
    "gte": pc.greater_equal,
    "lt": pc.less,
    "lte": pc.less_equal,
}
"""Every comparison by the name it is asked for by; beside them there is `in`, which takes a list."""

MOST_CONDITIONS = 20
MOST_VALUES = 1000

_IN = "in"


@dataclass(frozen=True)
class Condition:
    """One comparison: rows fulfil it whose column compares so with the value, or with one of the values of `in`.

    A row without a value fulfils none but equality with null.
    """

    column: str
    comparison: str
    value: Any


def read_conditions(wanted: Mapping[str, Any]) -> list[Condition]:
    """Conditions, all of which are to be fulfilled.

    Args:
        wanted: by column a value that it must have, a list of values, or comparisons by name, as `{"gte": 2000}`.

    Raises:
        SettingError: it is written otherwise, or is too much.
    """
    found = []
    for column, said in wanted.items():
        if isinstance(said, Mapping):
            if not said:
                raise SettingError(f"filter: {column!r:.100} has no comparison; there are {_names()}")
            found += [_condition(column, name, value) for name, value in said.items()]
        else:
            found.append(_condition(column, _IN if isinstance(said, list) else "eq", said))
    if len(found) > MOST_CONDITIONS:
        raise SettingError(f"filter: {len(found)} comparisons, {MOST_CONDITIONS} are allowed")
    return found


def rows_that_fulfil(dataset: StoredDataset, conditions: Sequence[Condition]) -> Rows:
    """The numbers of those rows, ascending: int64, shape (n,). Reads the columns that are compared.

    Raises:
        ColumnError: there is no such column, or it holds what cannot be compared with the value.
        DatasetError: a shard is broken.
    """
    columns = dataset.check_columns([condition.column for condition in conditions])
    found: list[Rows] = []
    first = 0
    for shard in dataset.shards:
        for group, start in enumerate(shard.starts):
            table = shard.read(group, columns)
            fulfilled = np.ones(shard.group_sizes[group], np.bool_)
            for condition in conditions:
                fulfilled &= _mask(table[condition.column], condition)
            found.append(np.flatnonzero(fulfilled).astype(np.int64) + start + first)
        first += shard.rows
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _condition(column: str, name: str, value: Any) -> Condition:
    if name == _IN:
        if not isinstance(value, list) or not all(_is_plain(each) for each in value):
            raise SettingError(f"filter: {column!r:.100}: `in` takes a list of texts, numbers, true, false or null")
        if len(value) > MOST_VALUES:
            raise SettingError(f"filter: {column!r:.100} has a list of {len(value)} values, {MOST_VALUES} are allowed")
    elif name not in COMPARISONS:
        raise SettingError(f"filter: {column!r:.100}: there is no comparison {name!r:.40}; there are {_names()}")
    elif not _is_plain(value):
        raise SettingError(f"filter: {column!r:.100}: {name} takes a text, a number, true, false or null")
    elif value is None and name not in ("eq", "ne"):
        raise SettingError(f"filter: {column!r:.100}: null is neither greater nor less than anything")
    return Condition(column, name, value)


def _names() -> str:
    return ", ".join([*COMPARISONS, _IN])


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _mask(column: Any, condition: Condition) -> Any:
    """Which values fulfil a condition, bool [rows]."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if condition.comparison == _IN:
        masks = [_compared(column, "eq", condition.column, value) for value in condition.value]
        return np.any(masks, axis=0) if masks else np.zeros(len(column), np.bool_)
    return _compared(column, condition.comparison, condition.column, condition.value)


def _compared(column: Any, comparison: str, name: str, value: Any) -> Any:
    try:
        if value is None:
            mask = column.is_null() if comparison == "eq" else column.is_valid()
        else:
            mask = COMPARISONS[comparison](column, _scalar(value, column.type)).fill_null(False)
        return mask.to_numpy(zero_copy_only=False) if isinstance(mask, pa.Array) else mask.to_numpy()
    except (pa.ArrowException, OverflowError, TypeError, ValueError, NotImplementedError) as error:
        raise ColumnError(
            f"filter: column {name!r:.100} holds {column.type!s:.60}, which cannot be compared with {value!r:.60}"
        ) from error


def _scalar(value: Any, kind: Any) -> Any:
    """The value as the column's type, or as one that Arrow compares with it.

    Raises:
        TypeError: they have nothing to do with each other.
    """
    if pa.types.is_boolean(kind):
        fits = isinstance(value, bool)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        # Times are written as texts.
        fits = isinstance(value, str) and (_is_text(kind) or pa.types.is_temporal(kind))
    if not fits:
        raise TypeError
    if pa.types.is_temporal(kind):
        return pa.scalar(value).cast(kind)
    if isinstance(value, float) and not pa.types.is_floating(kind):
        return pa.scalar(value, pa.float64())
    if pa.types.is_floating(kind):
        # Compared as it is kept: 0.1 in float32 is not 0.1 in float64.
        return pa.scalar(float(value), kind) if not pa.types.is_float16(kind) else pa.scalar(float(value))
    try:
        return pa.scalar(value, kind)
    except (pa.ArrowException, OverflowError):
        if isinstance(value, int):
            # Wider than what the column can hold, and still greater or less than that.
            return pa.scalar(float(value))
        raise


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
