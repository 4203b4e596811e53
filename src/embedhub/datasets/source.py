"""An input of texts: a file or the standard input, validated before anything is embedded.

Knows the table of formats, which column holds the text and what to do where no text stands. Refuses to know
how a format is read (`readers/` does) and what becomes of the texts.
"""

import hashlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedhub.choices import InputFormat
from embedhub.datasets.columns import choose_text_column
from embedhub.datasets.readers.columnar import arrow_reader, parquet_reader
from embedhub.datasets.readers.delimited import DelimitedReader, TabbedReader
from embedhub.datasets.readers.objects import ArrayReader, LinesReader
from embedhub.datasets.readers.opening import is_gzipped, opened, reading
from embedhub.datasets.readers.plain import PlainReader
from embedhub.datasets.readers.scan import Reader, Scan
from embedhub.datasets.storage import storage_errors
from embedhub.errors import (
    EmptyInputError,
    InputError,
    InputFormatError,
    InputNotFoundError,
    SettingError,
    TextTypeError,
)

OnError = Literal["fail", "skip", "null"]

_READERS: dict[str, Callable[[Path, str], Reader]] = {
    "csv": DelimitedReader,
    "tsv": TabbedReader,
    "jsonl": LinesReader,
    "json": ArrayReader,
    "parquet": parquet_reader,
    "arrow": arrow_reader,
    "txt": PlainReader,
}
FORMATS = tuple(map(str, InputFormat))

# These need to seek, so a compressed one is unpacked to a file first.
_SEEKING = frozenset({"parquet", "arrow"})

# The format that a name's ending stands for.
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "txt",
}

_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow", b"{": "jsonl", b"[": "json"}

STANDARD_INPUT = "-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InputRequest:
    r"""What the user says of an input.

    Attributes:
        path: a file, or `-` for the standard input. Gzipped content is recognised by its first bytes.
        format: one of `FORMATS`; None goes by the name's ending, for the standard input by the content.
        column: the column with the texts; None takes the only one that holds texts.
        on_error: what to do with a row without a text: `fail`, `skip` the row, or keep it with a `null`
            vector.
        delimiter: what separates the cells of a csv, one character or `\t`; None is a comma.
    """

    path: str | Path
    format: str | None = None
    column: str | None = None
    on_error: OnError = "fail"
    delimiter: str | None = None


class Source:
    """An input that can be read twice; made by `open_source`. Whatever it says is found out when first asked.

    Attributes:
        name: what the user calls it.
        format: one of `FORMATS`.
        request: what the user said.
    """

    def __init__(self, request: InputRequest, path: Path, name: str, format: str) -> None:
        self.request = request
        self.name = name
        self.format = format
        self._path = path
        self._reader = _reader(request, path, name, format)
        self._stamp = _stamp(path)

    @cached_property
    def digest(self) -> str:
        """Checksum of the file's bytes, in hex; found without parsing them."""
        with reading(self.name), self._path.open("rb") as file:
            return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()

    @cached_property
    def scan(self) -> Scan:
        """The first pass: every row read and validated.

        Raises:
            InputFormatError: broken, ragged or wrongly encoded.
            EmptyInputError: no rows.
        """
        scan = self._reader.scan()
        if not scan.rows:
            raise EmptyInputError(f"{self.name} holds no rows")
        return scan

    @cached_property
    def text_column(self) -> str:
        """Name of the column with the texts, every row of which is a text or may be missing one.

        Raises:
            ColumnError: none, several, or not the one asked for.
            TextTypeError: something else stands in a row, and `on_error` is `fail`.
            EmptyInputError: every row is to be skipped.
        """
        column = choose_text_column(self.scan, self.request.column, self.name)
        if column.non_texts and self.request.on_error == "fail":
            first = column.first_non_text
            place = "" if first is None else f", row {first.row}"
            place += "" if first is None or first.line is None else f" (line {first.line})"
            found = "no text" if first is None else first.found
            raise TextTypeError(
                f"{self.name}{place}: {found} where a text should be in column {column.name!r} "
                f"({column.non_texts} such rows); --on-error skip leaves such rows out, --on-error null "
                "keeps them without a vector"
            )
        if self.request.on_error == "skip" and not column.texts:
            raise EmptyInputError(f"{self.name}: no row holds a text in column {column.name!r}")
        return column.name

    @property
    def non_texts(self) -> int:
        """Rows without a text: skipped, or kept as null, as the request says."""
        column = self.scan.column(self.text_column)
        return 0 if column is None else column.non_texts

    @property
    def skipped(self) -> int:
        """Rows that are left out."""
        return self.non_texts if self.request.on_error == "skip" else 0

    @property
    def rows(self) -> int:
        """Rows that `tables` yields."""
        return self.scan.rows - self.skipped

    @cached_property
    def schema(self) -> Any:
        """The pyarrow schema of `tables`.

        Raises:
            InputFormatError: a column has a type that Parquet cannot hold.
        """
        text_column = self.text_column
        schema = pa.schema(
            [(known.name, pa.string() if known.name == text_column else known.type) for known in self.scan.columns]
        )
        try:
            pq.write_table(schema.empty_table(), pa.BufferOutputStream())
        except pa.ArrowException as error:
            raise InputFormatError(f"{self.name}: a column cannot be kept in Parquet: {error}") from error
        return schema

    def tables(self, rows: int) -> Generator[Any, None, None]:
        """The second pass: pyarrow Tables of exactly `rows` rows, the last one shorter.

        The text column is a string, null where `on_error` keeps a row without one.

        Raises:
            InputFormatError: the file is not what it was in the first pass.
        """
        text_column, schema = self.text_column, self.schema
        skip = self.request.on_error == "skip"
        count = 0
        for table in _in_tables_of(rows, self._parsed(text_column, skip)):
            count += table.num_rows
            yield table.cast(schema)
        if count != self.rows or _stamp(self._path) != self._stamp:
            raise InputFormatError(f"{self.name} changed while it was read; run the same again")

    def first_rows(self, count: int) -> list[dict[str, Any]]:
        """The first rows as they are, for people to look at before they choose a column.

        Raises:
            InputFormatError: broken, ragged or wrongly encoded.
        """
        columns = self.scan.columns
        # Where there is one column, it is the one that every value of is wanted as a text.
        tables = self._reader.batches(self.scan, columns[0].name if len(columns) == 1 else "")
        first = next(iter(tables), None)
        return [] if first is None else list(first.slice(0, count).to_pylist())

    def place(self, number: int) -> str:
        """Where a text stands, for a message: the input, the row there, the column.

        Args:
            number: row of `tables`, counted from 0; the input's is another one where rows are skipped.
        """
        row, seen = number, 0
        if self.request.on_error == "skip":
            for table in self._reader.batches(self.scan, self.text_column):
                present = np.flatnonzero(table[self.text_column].is_valid().to_numpy())
                if number < len(present):
                    row = seen + int(present[number])
                    break
                number -= len(present)
                seen += table.num_rows
        return f"{self.name}, row {row + 1}, column {self.text_column!r}"

    def _parsed(self, text_column: str, skip: bool) -> Iterator[Any]:
        for table in self._reader.batches(self.scan, text_column):
            yield table.filter(table[text_column].is_valid()) if skip else table


def _in_tables_of(rows: int, tables: Iterable[Any]) -> Iterator[Any]:
    held: list[Any] = []
    count = 0
    for table in tables:
        while count + table.num_rows >= rows:
            cut = rows - count
            yield pa.concat_tables([*held, table.slice(0, cut)]).combine_chunks()
            held, count, table = [], 0, table.slice(cut)
        if table.num_rows:
            held.append(table)
            count += table.num_rows
    if held:
        yield pa.concat_tables(held).combine_chunks()


@contextmanager
def open_source(request: InputRequest, spool: Path | None = None) -> Iterator[Source]:
    """Open an input. Nothing is parsed yet: ask the source.

    Args:
        request: what the user says of it.
        spool: folder for a copy of what cannot be read twice (the standard input, a pipe, compressed
            Parquet); None is the system's folder for temporary files. The copy has no name there, and is gone when
            the context or the process ends.

    Raises:
        InputNotFoundError: no such file.
        InputFormatError: the format is unknown.
        SettingError: a delimiter for something that is no csv, or one that is none.
        StorageFullError: no space for the copy.
    """
    if request.format is not None and request.format not in FORMATS:
        raise InputFormatError(f"unknown format {request.format!r}; known are {', '.join(FORMATS)}")
    with ExitStack() as copies:

        def copy(stream: BinaryIO) -> Path:
            return copies.enter_context(_copied(stream, spool))

        path, name, copied = _seekable(request.path, copy)
        format = request.format or _format_of(path, name, sniff=copied)
        if format in _SEEKING and is_gzipped(path):
            with opened(path, name) as stream:
                path = copy(stream)
        yield Source(request, path, name, format)


def _reader(request: InputRequest, path: Path, name: str, format: str) -> Reader:
    if request.delimiter is None:
        return _READERS[format](path, name)
    if format != "csv":
        raise SettingError(f"a delimiter is for csv, and {name} is read as {format}")
    delimiter = request.delimiter.replace("\\t", "\t")
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise SettingError(f"the delimiter {request.delimiter!r} is not one character that can separate cells")
    return DelimitedReader(path, name, delimiter)


def _seekable(path: str | Path, copy: Callable[[BinaryIO], Path]) -> tuple[Path, str, bool]:
    """Where the input can be read twice, what the user calls it, and whether that is a copy."""
    if str(path) == STANDARD_INPUT:
        return copy(sys.stdin.buffer), "standard input", True
    path = Path(path)
    if path.is_dir():
        raise InputFormatError(f"{path} is a folder; name a file in it")
    if not path.exists():
        raise InputNotFoundError(f"there is no file {path}")
    if path.is_file():
        try:
            path.open("rb").close()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        return path, str(path), False
    # A pipe, such as the shell's <(...).
    with path.open("rb") as stream:
        return copy(stream), str(path), True


@contextmanager
def _copied(stream: BinaryIO, spool: Path | None) -> Iterator[Path]:
    """A copy without a name in any folder: nothing is left of it however this process ends."""
    with ExitStack() as kept:
        with storage_errors(spool or Path(tempfile.gettempdir())):
            file = kept.enter_context(tempfile.TemporaryFile(dir=spool))
            shutil.copyfileobj(stream, file, 1 << 20)
            file.flush()
        yield Path(f"/proc/self/fd/{file.fileno()}")


def _format_of(path: Path, name: str, sniff: bool) -> str:
    plain = name.lower().removesuffix(".gz")
    known = SUFFIXES.get(Path(plain).suffix)
    if known is not None:
        return known
    if not sniff:
        raise InputFormatError(f"{name}: unknown kind of file; say which with --format ({', '.join(FORMATS)})")
    with opened(path, name) as stream:
        start = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    format = next((format for magic, format in _MAGIC.items() if start.startswith(magic)), "txt")
    logger.info("%s is read as %s; --format says otherwise", name, format)
    return format


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
