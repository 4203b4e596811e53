"""CSV and TSV: a header, then rows of as many cells.

Knows strict quoting and how to tell numbers from words. Refuses to guess separators, quotes or encodings, and
to take for a number what would not be printed again as it stood (`007` is a word).
"""

import csv
import logging
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from embedhub.datasets.readers.opening import opened_text
from embedhub.datasets.readers.scan import Scan, ScannedColumn, in_batches
from embedhub.errors import InputFormatError

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_INT64 = range(-(2**63), 2**63)
# Beyond it a float64 skips integers, so an integer in a column of decimals would change.
_EXACT_IN_FLOAT64 = 2**53

# What else separates cells in files that are called csv, and how it is typed on a command line.
_OTHER_DELIMITERS = {";": "';'", "\t": "'\\t'", "|": "'|'"}

logger = logging.getLogger(__name__)

_CONVERTERS: dict[Any, Callable[[str], Any]] = {
    pa.int64(): lambda cell: int(cell) if cell else None,
    pa.float64(): lambda cell: float(cell) if cell else None,
    pa.string(): str,
}


@dataclass
class _CellTypes:
    """What the cells of one column have been so far."""

    integers: bool = True
    decimals: bool = True
    filled: bool = False

    def observe(self, cell: str) -> None:
        if not cell:
            return
        self.filled = True
        if self.integers and not (_INTEGER.fullmatch(cell) and int(cell) in _INT64):
            self.integers = False
        if self.decimals:
            self.decimals = _is_decimal(cell)

    def type(self) -> Any:
        if not self.filled:
            return pa.string()
        if self.integers:
            return pa.int64()
        return pa.float64() if self.decimals else pa.string()


def _is_decimal(cell: str) -> bool:
    if not _DECIMAL.fullmatch(cell):
        return False
    if cell.lstrip("-").isdigit():
        return len(cell) < 20 and abs(int(cell)) <= _EXACT_IN_FLOAT64
    return math.isfinite(float(cell))


@dataclass(frozen=True)
class DelimitedReader:
    """Reads a CSV or TSV file with the quoting of RFC 4180; blank lines are no rows.

    Attributes:
        path: where it is.
        name: what the user calls it.
        delimiter: what separates cells; None is a comma, unless the header looks as if it were something else.
        quoting: of the csv module.
    """

    path: Path
    name: str
    delimiter: str | None = None
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL

    def scan(self) -> Scan:
        """See `Reader.scan`."""
        with self._rows(tell=True) as (header, rows):
            types = [_CellTypes() for _ in header]
            # A column that is a word already needs no further look: the loop is the price of the first pass.
            undecided = list(enumerate(types))
            count = 0
            for row in rows:
                count += 1
                for index, cell_types in undecided:
                    cell_types.observe(row[index])
                if not count % 1_000:
                    undecided = [(i, seen) for i, seen in undecided if seen.integers or seen.decimals]
        return Scan(count, tuple(map(_scanned, header, types, [count] * len(header))))

    def batches(self, scan: Scan, text_column: str) -> Iterator[Any]:
        """See `Reader.batches`."""
        del text_column  # It is a column of words, and those hold no nulls here.
        with self._rows() as (_, rows):
            for batch in in_batches(rows):
                yield pa.table(
                    {
                        column.name: _to_arrow(cells, column.type, self.name)
                        for column, cells in zip(scan.columns, zip(*batch, strict=True), strict=True)
                    }
                )

    @contextmanager
    def _rows(self, tell: bool = False) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
        # The module's limit is one for the process; a text may well be longer than its default of 131,072.
        csv.field_size_limit(2**31 - 1)
        with opened_text(self.path, self.name) as text:
            reader = csv.reader(text, delimiter=self.delimiter or ",", quoting=self.quoting, strict=True)
            try:
                header = next((row for row in reader if row), [])
                if self.delimiter is None:
                    _check_delimiter(header, self.name)
                yield _unique_header(header, self.name), self._checked(reader, len(header), tell)
            except csv.Error as error:
                raise InputFormatError(f"{self.name}, line {reader.line_num}: {error}") from error

    def _checked(self, reader: Any, width: int, tell: bool) -> Iterator[list[str]]:
        blank, between = 0, 0
        for row in reader:
            if len(row) == width:
                between += blank
                blank = 0
                yield row
            elif "".join(row).strip() or len(row) > 1:
                raise InputFormatError(
                    f"{self.name}, line {reader.line_num}: {len(row)} cells where the header has {width}"
                )
            else:
                blank += 1
        # In a file of one column an empty text may have been meant. At the end, nobody means anything by them.
        if tell and between:
            logger.info("%s: %d blank lines between rows are passed over", self.name, between)


class TabbedReader:
    """Reads a TSV file, whose quotes are those of CSV or, if they cannot be, part of the text.

    Spreadsheets write the one kind and most published collections of texts the other.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._reader = DelimitedReader(path, name, delimiter="\t")

    def scan(self) -> Scan:
        """See `Reader.scan`."""
        try:
            return self._reader.scan()
        except InputFormatError:
            self._reader = replace(self._reader, quoting=csv.QUOTE_NONE)
            return self._reader.scan()

    def batches(self, scan: Scan, text_column: str) -> Iterator[Any]:
        """See `Reader.batches`."""
        return self._reader.batches(scan, text_column)


def _check_delimiter(header: list[str], name: str) -> None:
    if len(header) != 1:
        return
    found = max(_OTHER_DELIMITERS, key=header[0].count)
    if found in header[0]:
        typed = _OTHER_DELIMITERS[found]
        raise InputFormatError(
            f"{name}: the header is a single column, {header[0][:80]!r}; --delimiter {typed} if that separates its "
            "columns, --delimiter , if it is one"
        )


def _unique_header(header: list[str], name: str) -> list[str]:
    # A nameless column is common (pandas writes its index so); two of one name are a mistake nobody can
    # resolve.
    named = [cell or f"column_{number}" for number, cell in enumerate(header, start=1)]
    repeated = {cell for cell in named if named.count(cell) > 1}
    if repeated:
        raise InputFormatError(f"{name}: the header names more than one column {sorted(repeated)[0]!r}")
    return named


def _scanned(name: str, types: _CellTypes, rows: int) -> ScannedColumn:
    kind = types.type()
    texts = rows if kind == pa.string() else 0
    return ScannedColumn(name, kind, texts=texts, non_texts=rows - texts)


def _to_arrow(cells: tuple[str, ...], kind: Any, name: str) -> Any:
    convert = _CONVERTERS[kind]
    try:
        return pa.array([convert(cell) for cell in cells], kind)
    except (ValueError, OverflowError) as error:
        raise InputFormatError(f"{name}: the file changed while it was read") from error
