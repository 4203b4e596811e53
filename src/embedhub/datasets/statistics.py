"""What the columns of a table hold, in numbers: nulls, least and greatest, histograms, most frequent values.

Knows arithmetic over columns, one pass, with a number a row in memory and no texts. The shape is that of the
statistics of the Hugging Face dataset viewer (its public documentation).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from embedhub.datasets.tables import open_table
from embedhub.errors import DatasetError

BINS = 10

# A column of so few different texts holds labels.
MOST_LABELS = 30

# What lies behind is not counted, and the answer says so.
MOST_ROWS = 5_000_000
MOST_CELLS = 32_000_000


def statistics_of(files: Sequence[Path]) -> dict[str, Any]:
    """Statistics of every column of Parquet files, as JSON.

    Raises:
        DatasetError: there is none, one is broken, or their columns differ.
    """
    table = open_table(files)
    columns = [_Column(field.name, field.type) for field in table.schema]
    most_rows = min(MOST_ROWS, MOST_CELLS // max(len(columns), 1))
    counted = 0
    for batch in table.batches():
        if counted >= most_rows:
            break
        counted += batch.num_rows
        for column in columns:
            try:
                column.add(batch.column(column.name))
            except MemoryError:
                raise
            except pa.ArrowException as error:
                raise DatasetError(f"column {column.name!r:.100} cannot be counted: {error}") from error
    return {
        "num_examples": counted,
        "statistics": [column.told(counted) for column in columns],
        "partial": counted < table.row_count,
    }


class _Column:
    """One column, added up."""

    def __init__(self, name: str, kind: Any) -> None:
        self.name = name
        self._kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        self._nulls = 0
        self._numbers: list[NDArray[Any]] = []
        # None once there are too many different ones.
        self._labels: Counter[str] | None = Counter()

    def add(self, values: Any) -> None:
        """The values of some more rows."""
        if pa.types.is_dictionary(values.type):
            values = values.cast(self._kind)
        self._nulls += values.null_count
        present = values.drop_null()
        if _is_number(self._kind):
            self._numbers.append(present.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        elif pa.types.is_boolean(self._kind):
            self._count(present.cast(pa.string()))
        elif _is_text(self._kind):
            self._numbers.append(pc.utf8_length(present).to_numpy(zero_copy_only=False).astype(np.float64))
            self._count(present)
        elif _is_list(self._kind):
            self._numbers.append(pc.list_value_length(present).to_numpy(zero_copy_only=False).astype(np.float64))

    def told(self, rows: int) -> dict[str, Any]:
        """What is told of it."""
        kind, more = self._type_and_more()
        nulls = {"nan_count": self._nulls, "nan_proportion": round(self._nulls / rows, 5) if rows else 0.0}
        return {"column_name": self.name, "column_type": kind, "column_statistics": nulls | more}

    def _count(self, texts: Any) -> None:
        if self._labels is None:
            return
        counts = pc.value_counts(texts)
        if len(counts) + len(self._labels) > 2 * MOST_LABELS:
            self._labels = None
            return
        for each in counts.to_pylist():
            self._labels[str(each["values"])] += each["counts"]
        if len(self._labels) > MOST_LABELS:
            self._labels = None

    def _type_and_more(self) -> tuple[str, dict[str, Any]]:
        if pa.types.is_boolean(self._kind):
            return "bool", {"frequencies": {name.capitalize(): count for name, count in self._most_common()}}
        if _is_text(self._kind):
            if self._labels is not None:
                frequencies = dict(self._most_common())
                return "string_label", {"n_unique": len(frequencies), "frequencies": frequencies}
            return "string_text", _numbers(self._numbers, whole=True)
        if _is_list(self._kind):
            return "list", _numbers(self._numbers, whole=True)
        if _is_number(self._kind):
            whole = bool(pa.types.is_integer(self._kind))
            return "int" if whole else "float", _numbers(self._numbers, whole=whole)
        return str(self._kind), {}

    def _most_common(self) -> list[tuple[str, int]]:
        return self._labels.most_common() if self._labels is not None else []


def _numbers(parts: list[NDArray[Any]], *, whole: bool) -> dict[str, Any]:
    """Least, greatest, mean, median, deviation and histogram of the numbers that are finite."""
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return {"min": None, "max": None, "mean": None, "median": None, "std": None, "histogram": None}
    low, high = float(values.min()), float(values.max())
    # Whole numbers that are few have a bin each.
    bins = min(BINS, int(high - low) + 1) if whole else BINS
    with np.errstate(over="ignore", invalid="ignore"):
        hist, edges = _histogram(values, low, high, bins)
        told = {
            "mean": float(values.mean()),
            "median": float(np.median(values)),
            "std": float(values.std(ddof=1)) if values.size > 1 else 0.0,
        }
    ends = {"min": int(low), "max": int(high)} if whole else {"min": low, "max": high}
    return ends | told | {"histogram": {"hist": hist, "bin_edges": edges}}


def _histogram(values: NDArray[Any], low: float, high: float, bins: int) -> tuple[list[int], list[float]]:
    if high == low or not np.isfinite(high - low):
        return [int(values.size)], [low, high]
    hist, edges = np.histogram(values, bins=bins, range=(low, high))
    return hist.tolist(), edges.tolist()


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
