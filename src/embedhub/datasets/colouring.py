"""A column as colours need it: numbers, or the few labels that get a colour each. Knows arrays of pyarrow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from embedhub.datasets.tables import open_table

# Labels that have a colour of their own: people tell no more apart. The others share one.
MOST_LABELS = 8

_LONGEST_LABEL = 100


def colours_at(files: Sequence[Path], name: str, rows: NDArray[np.int64]) -> dict[str, Any] | None:
    """What a column of Parquet files says at some rows, as `colours_of` gives it.

    Args:
        files: their places.
        name: of the column.
        rows: int64 [n], ascending.

    Raises:
        DatasetError: a file is broken.
    """
    return colours_of(open_table(files).column(name, rows))


def colours_of(column: Any) -> dict[str, Any] | None:
    """What a column says.

    Args:
        column: a pyarrow ChunkedArray.

    Returns:
        `{"kind": "number", "values": […]}`, or `{"kind": "category", "labels": […], "codes": […], "others": n}` where
        a code is a label's place, the number of labels stands for the n labels that have no place, and null is null.
        None where it holds neither numbers nor words.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if not gives_colours(kind):
        return None
    if _is_number(kind):
        numbers = column.cast(pa.float64(), safe=False).to_numpy()
        return {"kind": "number", "values": [_short(number) for number in numbers]}
    words = column.cast(pa.string())
    counts = pc.value_counts(words.drop_null()).to_pylist()
    # Equally frequent ones in the order of the alphabet, so that colours stay what they are.
    counts.sort(key=lambda each: (-each["counts"], each["values"]))
    labels = [str(each["values"]) for each in counts[:MOST_LABELS]]
    places = pc.index_in(words, value_set=pa.array(labels, pa.string())).fill_null(len(labels))
    codes = pc.if_else(words.is_valid(), places, None).to_pylist()
    shown = [label[:_LONGEST_LABEL] for label in labels]
    return {"kind": "category", "labels": shown, "codes": codes, "others": len(counts) - len(labels)}


def gives_colours(kind: Any) -> bool:
    """Whether a column of this pyarrow type is one to colour by."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return _is_number(kind) or _is_word(kind)


def _short(number: float) -> float | None:
    return float(f"{number:.6g}") if np.isfinite(number) else None


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_word(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))
