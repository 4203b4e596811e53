"""JSON: an object a line (jsonl), or one array of objects, array of texts or object of columns (json).

Knows strict JSON. Refuses NaN, single surrogates and anything nested deeper than a table can be.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from embedhub.datasets.readers.opening import encoding_message, lines, opened
from embedhub.datasets.readers.plain import TEXT_COLUMN
from embedhub.datasets.readers.scan import NonText, Scan, ScannedColumn, in_batches
from embedhub.datasets.readers.shapes import MAX_DEPTH, DepthError, Shape, in_words
from embedhub.errors import InputFormatError

MAX_COLUMNS = 10_000

# orjson makes a decimal of an integer beyond 64 bits, the shortest of which has 19 digits.
_LONG_NUMBER = re.compile(r"[0-9]{19}")

# A row with the line it stands on, which only jsonl has.
_Row = tuple[int | None, dict[str, Any]]


def _loads(text: str) -> Any:
    """Parse strict JSON, integers of any length exactly.

    Raises:
        orjson.JSONDecodeError: not JSON.
        DepthError: nested too deeply.
    """
    value = orjson.loads(text)
    if not _LONG_NUMBER.search(text):
        return value
    try:
        return json.loads(text)
    except RecursionError as error:
        raise DepthError(f"nested deeper than {MAX_DEPTH} levels") from error


def _dumps(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # An integer beyond 64 bits.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass
class _Column:
    """What a column has held so far; a row without its key holds null."""

    shape: Shape = field(default_factory=Shape)
    texts: int = 0
    first_non_text: NonText | None = None

    def observe(self, value: object, row: int, line: int | None) -> None:
        self.shape.observe(value)
        if isinstance(value, str):
            self.texts += 1
        elif self.first_non_text is None:
            self.first_non_text = NonText(row, line, in_words(value))

    def scanned(self, name: str, rows: int) -> ScannedColumn:
        kind = self.shape.type()
        return ScannedColumn(
            name,
            pa.string() if kind is None else kind,
            texts=self.texts,
            non_texts=rows - self.texts,
            first_non_text=self.first_non_text,
            as_json=kind is None,
        )


def _scan(rows: Iterator[_Row], name: str) -> Scan:
    columns: dict[str, _Column] = {}
    count = 0
    for count, (line, row) in enumerate(rows, start=1):
        for key in row:
            if key not in columns:
                columns[key] = _Column(first_non_text=NonText(1, None, "null") if count > 1 else None)
        try:
            for key, column in columns.items():
                column.observe(row.get(key), count, line)
        except DepthError as error:
            raise InputFormatError(f"{_place(name, line, count)}: {error}") from error
        if len(columns) > MAX_COLUMNS:
            raise InputFormatError(f"{_place(name, line, count)}: more than {MAX_COLUMNS} columns")
    return Scan(count, tuple(column.scanned(key, count) for key, column in columns.items()))


def _place(name: str, line: int | None, row: int) -> str:
    return f"{name}, row {row}" if line is None else f"{name}, line {line}"


def _batches(rows: Iterator[_Row], scan: Scan, text_column: str, name: str) -> Iterator[Any]:
    for batch in in_batches(rows):
        arrays = {
            column.name: _to_arrow([row.get(column.name) for _, row in batch], column, text_column, name)
            for column in scan.columns
        }
        yield pa.table(arrays)


def _to_arrow(values: list[Any], column: ScannedColumn, text_column: str, name: str) -> Any:
    if column.name == text_column:
        return pa.array([value if isinstance(value, str) else None for value in values], pa.string())
    if column.as_json:
        values = [None if value is None else _dumps(value) for value in values]
    try:
        return pa.array(values, column.type)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InputFormatError(f"{name}: the file changed while it was read") from error


@dataclass(frozen=True)
class LinesReader:
    """Reads a jsonl file; blank lines are no rows."""

    path: Path
    name: str

    def scan(self) -> Scan:
        """See `Reader.scan`."""
        return _scan(self._rows(), self.name)

    def batches(self, scan: Scan, text_column: str) -> Iterator[Any]:
        """See `Reader.batches`."""
        return _batches(self._rows(), scan, text_column, self.name)

    def _rows(self) -> Iterator[_Row]:
        for number, line in lines(self.path, self.name):
            if not line.strip():
                continue
            try:
                row = _loads(line)
            except orjson.JSONDecodeError as error:
                raise InputFormatError(f"{self.name}, line {number}: not JSON: {error.msg}") from error
            except DepthError as error:
                raise InputFormatError(f"{self.name}, line {number}: {error}") from error
            if not isinstance(row, dict):
                raise InputFormatError(f"{self.name}, line {number}: {in_words(row)} where an object should be")
            yield number, row


class ArrayReader:
    """Reads a json file, which has to be in memory as a whole."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name

    def scan(self) -> Scan:
        """See `Reader.scan`."""
        return _scan(iter(self._rows), self.name)

    def batches(self, scan: Scan, text_column: str) -> Iterator[Any]:
        """See `Reader.batches`."""
        return _batches(iter(self._rows), scan, text_column, self.name)

    @cached_property
    def _rows(self) -> list[_Row]:
        with opened(self.path, self.name) as stream:
            content = stream.read().removeprefix(b"\xef\xbb\xbf")
        try:
            value = _loads(content.decode())
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise InputFormatError(encoding_message(self.name, line, content[:2])) from error
        except orjson.JSONDecodeError as error:
            raise InputFormatError(f"{self.name}, line {error.lineno}: not JSON: {error.msg}") from error
        except DepthError as error:
            raise InputFormatError(f"{self.name}: {error}") from error
        return [(None, row) for row in _table_rows(value, self.name)]


def _table_rows(value: object, name: str) -> list[dict[str, Any]]:
    if isinstance(value, list):
        texts = isinstance(next(iter(value), None), str)
        wanted, words = (str, "a text") if texts else (dict, "an object")
        for row, item in enumerate(value, start=1):
            if not isinstance(item, wanted):
                raise InputFormatError(f"{name}, row {row}: {in_words(item)} where {words} should be")
        return [{TEXT_COLUMN: text} for text in value] if texts else value
    if isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        lengths = {key: len(column) for key, column in value.items()}
        if len(set(lengths.values())) > 1:
            raise InputFormatError(f"{name}: its columns differ in length: {lengths}")
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    raise InputFormatError(
        f"{name}: {in_words(value)} that is no table: wanted an array of objects, an array of texts or "
        "an object of columns (--format jsonl if it has an object a line)"
    )
