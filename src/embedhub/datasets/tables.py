"""Rows of any table, a few at a time, and what their columns are: for people who look, not for programs that compute.

Knows Parquet, and how csv and lines of JSON become Parquet. Refuses to know models and vectors: a list of many numbers
is shown by its first few.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embedhub.datasets.storage import whole_file
from embedhub.errors import DatasetError

# Longer texts are cut, longer lists of numbers shown by their first few.
MOST_CHARACTERS = 10_000
MOST_NUMBERS = 16
SHOWN_NUMBERS = 4

# Read at a time, of rows and of a file.
_BATCH_ROWS = 1000
_BUFFER_BYTES = 1 << 20

_MOST_COLUMNS = 5000

# Of a file that is not Parquet: it is read whole.
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Table:
    """Parquet files with the same columns, one behind the other; `open_table` makes it.

    Attributes:
        files: their places.
        footers: pyarrow's FileMetaData of each.
        schema: the pyarrow schema.
    """

    files: tuple[Path, ...]
    footers: tuple[Any, ...]
    schema: Any

    @property
    def row_count(self) -> int:
        """Rows of all files."""
        return sum(footer.num_rows for footer in self.footers)

    def rows(self, offset: int, length: int) -> list[tuple[dict[str, Any], list[str]]]:
        """Rows from `offset` on, as many as there are of `length`: the values, and which columns were cut.

        Raises:
            DatasetError: a file is broken.
        """
        found: list[tuple[dict[str, Any], list[str]]] = []
        for first, size, place, group in self._groups:
            begin, end = max(offset, first) - first, min(offset + length, first + size) - first
            if begin < end:
                found.extend(_shown(row) for row in self._read(place, group, begin, end))
        return found

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """The rows in order, some at a time, as pyarrow RecordBatches; None are all columns.

        Raises:
            DatasetError: a file is broken.
        """
        for path in self.files:
            with _errors(path), _opened(path) as file:
                yield from file.iter_batches(_BATCH_ROWS, columns=columns)

    def column(self, name: str, rows: NDArray[np.int64]) -> Any:
        """One column at some rows as a pyarrow ChunkedArray; other columns are not read.

        Args:
            name: of the column.
            rows: their numbers from 0, int64 [n], ascending.

        Raises:
            DatasetError: a file is broken.
        """
        parts, first = [], 0
        for batch in self.batches([name]):
            here = rows[slice(*np.searchsorted(rows, [first, first + len(batch)]))]
            parts.append(batch.column(0).take(pa.array(here - first)))
            first += len(batch)
        return pa.chunked_array(parts, self.schema.field(name).type)

    def features(self) -> list[dict[str, Any]]:
        """What the columns hold, in the words of the library `datasets`."""
        return [
            {"feature_idx": place, "name": field.name, "type": _feature(field.type)}
            for place, field in enumerate(self.schema)
        ]

    @cached_property
    def _groups(self) -> list[tuple[int, int, int, int]]:
        """First row and size of each row group, the file's place, and the group's place in it."""
        places = [(place, group) for place, footer in enumerate(self.footers) for group in range(footer.num_row_groups)]
        sizes = [self.footers[place].row_group(group).num_rows for place, group in places]
        firsts = list(accumulate(sizes, initial=0))
        return [(first, size, *at) for first, size, at in zip(firsts, sizes, places, strict=False)]

    def _read(self, place: int, group: int, begin: int, end: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        first = 0
        with _errors(self.files[place]), _opened(self.files[place]) as file:
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group]):
                low = max(begin - first, 0)
                found.extend(batch.slice(low, max(end - first - low, 0)).to_pylist())
                first += len(batch)
                if first >= end:
                    break
        return found


@dataclass(frozen=True)
class Page:
    """Some rows of a table, and what its columns are.

    Attributes:
        row_count: rows of the whole table.
        names: of the columns.
        features: what the columns hold, in the words of the library `datasets`.
        rows: the values, and which columns were cut.
    """

    row_count: int
    names: list[str]
    features: list[dict[str, Any]]
    rows: list[tuple[dict[str, Any], list[str]]]


def page_of(files: Sequence[Path], offset: int, length: int) -> Page:
    """Rows from `offset` on, as many as there are of `length`, of a table of Parquet files.

    Raises:
        DatasetError: there is none, one is broken, or their columns differ.
    """
    table = open_table(files)
    return Page(table.row_count, table.schema.names, table.features(), table.rows(offset, length))


def open_table(files: Sequence[Path]) -> Table:
    """A table of Parquet files; reads their footers.

    Raises:
        DatasetError: there is none, one is broken, or their columns differ.
    """
    footers, schema = [], None
    for path in files:
        with _errors(path), _opened(path) as file:
            footers.append(file.metadata)
            own = file.schema_arrow.remove_metadata()
        if schema is not None and not own.equals(schema):
            raise DatasetError(f"{path} has other columns than {files[0]}")
        schema = own
    if schema is None:
        raise DatasetError("there is no file with rows")
    if len(schema.names) > _MOST_COLUMNS:
        raise DatasetError(f"{files[0]} has {len(schema.names)} columns; up to {_MOST_COLUMNS} are shown")
    if len(set(schema.names)) < len(schema.names):
        raise DatasetError(f"{files[0]} has two columns of one name")
    return Table(tuple(files), tuple(footers), schema)


def convert(source: Path, target: Path) -> None:
    """Write a csv, tsv, jsonl or json file (perhaps gzipped) as Parquet, whole or not at all.

    Raises:
        DatasetError: it is broken or too large.
        OSError: the disk refuses.
    """
    if source.stat().st_size > _MOST_BYTES:
        raise DatasetError(f"{source} is too large to be shown: push it as Parquet")
    name = source.name.lower()
    with _errors(source):
        if ".csv" in name or ".tsv" in name:
            parsing = pa_csv.ParseOptions(delimiter="\t" if ".tsv" in name else ",", newlines_in_values=True)
            table = pa_csv.read_csv(source, parse_options=parsing)
        else:
            parsing = pa_json.ParseOptions(newlines_in_values=True)
            table = pa_json.read_json(source, parse_options=parsing)
        if table.num_columns > _MOST_COLUMNS:
            raise DatasetError(f"{source} has {table.num_columns} columns; up to {_MOST_COLUMNS} are shown")
        with whole_file(target) as file:
            pq.write_table(table, file, row_group_size=2_000)


def _opened(path: Path) -> pq.ParquetFile:
    """A Parquet file of which no more lies in memory than it takes."""
    return pq.ParquetFile(path, buffer_size=_BUFFER_BYTES)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise DatasetError(f"{path} unfolds to more memory than there is for it") from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DatasetError(f"{path} is broken: {reason:.300}") from error


def _shown(row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A row as it is shown, and the columns of which only a part is."""
    shown = {name: _cut(value) for name, value in row.items()}
    return shown, [name for name, value in row.items() if shown[name] is not value]


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return value[:MOST_CHARACTERS]
    if isinstance(value, bytes) and len(value) > MOST_CHARACTERS:
        return {"bytes": len(value)}
    if isinstance(value, list) and len(value) > MOST_NUMBERS:
        return {"first": [_cut(each) for each in value[:SHOWN_NUMBERS]], "dims": len(value)}
    if isinstance(value, dict):
        cut = {name: _cut(each) for name, each in value.items()}
        return cut if any(cut[name] is not each for name, each in value.items()) else value
    return value


def _feature(kind: Any) -> Any:
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        length = kind.list_size if pa.types.is_fixed_size_list(kind) else -1
        return {"feature": _feature(kind.value_type), "length": length, "_type": "List"}
    if pa.types.is_dictionary(kind):
        return _feature(kind.value_type)
    # The library's own names, where they are not Arrow's.
    names = {"double": "float64", "float": "float32", "halffloat": "float16"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}
