"""What the first pass over an input finds out, in the same words for every format.

Knows rows, columns and where a text is missing. Refuses to know files.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

BATCH_ROWS = 1_000

T = TypeVar("T")


def in_batches(rows: Iterable[T]) -> Iterator[list[T]]:
    """The rows in lists of `BATCH_ROWS`, the last one shorter."""
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH_ROWS)):
        yield batch


@dataclass(frozen=True)
class NonText:
    """The first value of a column that is not a text.

    Attributes:
        row: the row, counted from 1.
        line: the line in the file, counted from 1, where the format has lines.
        found: what stands there, in words: `null`, `a number`.
    """

    row: int
    line: int | None
    found: str


@dataclass(frozen=True)
class ScannedColumn:
    """A column as a whole.

    Attributes:
        name: its name.
        type: the pyarrow type its values are kept in.
        texts: rows that hold a text.
        non_texts: rows that hold anything else, null included.
        first_non_text: the first of those.
        as_json: values of several types that are kept as JSON, because no column type holds them all.
    """

    name: str
    type: Any
    texts: int
    non_texts: int
    first_non_text: NonText | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Scan:
    """A whole file, once read."""

    rows: int
    columns: tuple[ScannedColumn, ...]

    def column(self, name: str) -> ScannedColumn | None:
        """The column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)


class Reader(Protocol):
    """One input file in one format. Both passes need memory for a batch, not for the file."""

    def scan(self) -> Scan:
        """Read and validate everything.

        Raises:
            InputFormatError: the file is broken; the message names the file and, where there are lines, the
                line.
        """

    def batches(self, scan: Scan, text_column: str) -> Iterator[Any]:
        """Read again, as pyarrow Tables of any length with the scan's columns.

        The text column is of type string there, and null where the file holds no text.

        Raises:
            InputFormatError: the file has changed since and is broken now.
        """
