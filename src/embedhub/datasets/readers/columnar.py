"""Parquet and Arrow files.

Knows the many ways in which these keep texts (large, viewed, dictionary-encoded) and brings them to one.
Refuses what is broken: everything is decoded and checked in the first pass.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embedhub.datasets.readers.scan import BATCH_ROWS, NonText, Scan, ScannedColumn
from embedhub.errors import InputFormatError

_PLAIN_TYPES: dict[Any, Any] = {
    pa.large_string(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.null(): pa.string(),
}


def plain_type(kind: Any) -> Any:
    """The type a column is kept in: one that every reader of Parquet understands."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    return _PLAIN_TYPES.get(kind, kind)


@contextmanager
def _parquet(path: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    with pq.ParquetFile(path) as file:
        yield file.schema_arrow, file.iter_batches(BATCH_ROWS)


@contextmanager
def _arrow(path: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    with pa.OSFile(str(path)) as file:
        if file.read(6) == b"ARROW1":
            with pa.ipc.open_file(file) as table:
                yield table.schema, (table.get_batch(i) for i in range(table.num_record_batches))
        else:
            file.seek(0)
            with pa.ipc.open_stream(file) as stream:
                yield stream.schema, iter(stream)


@dataclass(frozen=True)
class ColumnarReader:
    """Reads a Parquet file (`ParquetReader`) or an Arrow file or stream (`ArrowReader`)."""

    path: Path
    name: str
    open: Callable[[Path], Any]

    def scan(self) -> Scan:
        """See `Reader.scan`."""
        rows = 0
        with self._opened() as (schema, batches):
            names = schema.names
            repeated = sorted(name for name in set(names) if names.count(name) > 1)
            if repeated:
                raise InputFormatError(f"{self.name}: there is more than one column {repeated[0]!r}")
            kinds = [plain_type(kind) for kind in schema.types]
            nulls = [0] * len(kinds)
            first_null: list[NonText | None] = [None] * len(kinds)
            for batch in batches:
                batch.validate(full=True)
                for index, column in enumerate(batch.columns):
                    plain = _plain(column, kinds[index])
                    if plain.null_count and not nulls[index]:
                        at = pc.index(plain.is_null(), True).as_py()
                        first_null[index] = NonText(rows + at + 1, None, "null")
                    nulls[index] += plain.null_count
                rows += batch.num_rows
        return Scan(rows, tuple(map(_scanned, names, kinds, [rows] * len(names), nulls, first_null)))

    def batches(self, scan: Scan, text_column: str) -> Iterator[Any]:
        """See `Reader.batches`."""
        del text_column  # Its nulls are nulls here already.
        with self._opened() as (_, batches):
            for batch in batches:
                columns = [_plain(array, known.type) for array, known in zip(batch.columns, scan.columns, strict=True)]
                yield pa.table(columns, names=[known.name for known in scan.columns])

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with self.open(self.path) as content:
                yield content
        except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InputFormatError(f"{self.name}: broken, or not of this format: {reason}") from error


def parquet_reader(path: Path, name: str) -> ColumnarReader:
    """A reader of a Parquet file."""
    return ColumnarReader(path, name, _parquet)


def arrow_reader(path: Path, name: str) -> ColumnarReader:
    """A reader of an Arrow (IPC, Feather) file or stream."""
    return ColumnarReader(path, name, _arrow)


def _plain(array: Any, kind: Any) -> Any:
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    return array if array.type == kind else array.cast(kind)


def _scanned(name: str, kind: Any, rows: int, nulls: int, first_null: NonText | None) -> ScannedColumn:
    if kind == pa.string():
        return ScannedColumn(name, kind, texts=rows - nulls, non_texts=nulls, first_non_text=first_null)
    return ScannedColumn(
        name, kind, texts=0, non_texts=rows, first_non_text=NonText(1, None, f"a value of type {kind}")
    )
