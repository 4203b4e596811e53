"""One Parquet file of rows with their vectors, which says itself what it is.

Knows the layout of a shard: the input's columns, then `embedding`, a list of fixed size; the provenance in
the schema's metadata, the shard's counts and which of its texts were cut in the file's. Refuses to know the folder
it lies in.

Which texts were cut is no column: whoever loads the rows gets those that were handed in, and their vectors.
"""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embedhub.datasets.columns import EMBEDDING_COLUMN
from embedhub.datasets.provenance import METADATA_KEY, Provenance
from embedhub.datasets.storage import whole_file
from embedhub.errors import DatasetError, DatasetNotFoundError

VectorType = Literal["float32", "float16"]
Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Small enough that showing ten hits does not read a whole shard, large enough for Parquet to compress.
ROW_GROUP_ROWS = 2_000

_COUNTS_KEY = b"embedhub.shard"
_TRUNCATED_KEY = b"embedhub.truncated"
_ARROW_TYPES = {"float32": pa.float32(), "float16": pa.float16()}


@dataclass(frozen=True)
class Facts:
    """What every shard of a dataset says of the whole.

    Attributes:
        provenance: which model made the vectors.
        text_column: the column that was embedded.
        vectors: number type of the stored vectors.
        job: fingerprint of the input, the parameters and the provenance.
        skipped: rows of the input that were left out.
    """

    provenance: Provenance
    text_column: str
    vectors: VectorType
    job: str
    skipped: int

    def to_json(self) -> str:
        """One flat JSON object: the provenance's fields, then the others."""
        others = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        return json.dumps(asdict(self.provenance) | others, sort_keys=True)

    @classmethod
    def from_json(cls, text: bytes) -> "Facts":
        """Read what `to_json` wrote.

        Raises:
            DatasetError: not JSON, or a field is missing.
        """
        provenance = Provenance.from_json(text)
        stored = json.loads(text)
        try:
            return cls(provenance, **{field.name: stored[field.name] for field in fields(cls)[1:]})
        except KeyError as error:
            raise DatasetError(f"the dataset's metadata lacks {error}") from error


@dataclass(frozen=True)
class Counts:
    """Where the vectors of a shard's rows came from; rows = embedded + reused + duplicates + nulls.

    Attributes:
        embedded: texts that were embedded for this shard.
        reused: texts whose vector an earlier dataset or interrupted run had.
        duplicates: rows whose text stands further up in the dataset.
        nulls: rows without a text.
        tokens: tokens of the embedded texts.
        truncated: embedded texts that were longer than the model reads.
    """

    embedded: int = 0
    reused: int = 0
    duplicates: int = 0
    nulls: int = 0
    tokens: int = 0
    truncated: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Vectors:
    """Vectors of those rows that have one.

    Attributes:
        matrix: float32, shape (n, dimensions).
        rows: int64, shape (n,): the row each belongs to, counted from 0, ascending.
    """

    matrix: Matrix
    rows: Rows


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise DatasetError(f"{path} unfolds to more memory than there is for it") from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DatasetError(f"{path} is broken: {reason}") from error


@dataclass(frozen=True)
class Shard:
    """A shard on the disk, of which only the footer was read.

    Attributes:
        path: the Parquet file.
        footer: pyarrow's FileMetaData.
        schema: the pyarrow schema, `embedding` included.
        facts: what it says of the dataset.
        counts: where its vectors came from.
        stamp: tells the file from another one that is put in its place.
        truncated: bool, shape (rows,): whose text was longer than the model reads, so that its vector tells of the
            beginning only; None in files of versions that did not keep it.
    """

    path: Path
    footer: Any
    schema: Any
    facts: Facts
    counts: Counts
    stamp: tuple[int, ...]
    truncated: Flags | None = field(default=None, compare=False)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.footer.num_rows)

    @cached_property
    def starts(self) -> list[int]:
        """First row of each row group."""
        return list(accumulate(self.group_sizes, initial=0))[:-1]

    @cached_property
    def group_sizes(self) -> list[int]:
        """Rows of each row group."""
        return [self.footer.row_group(i).num_rows for i in range(self.footer.num_row_groups)]

    def column(self, name: str) -> Iterator[list[Any]]:
        """A column's values, a row group at a time.

        Raises:
            DatasetError: the file is broken.
        """
        for group in range(len(self.starts)):
            yield self.read(group, [name])[name].to_pylist()

    def vectors(self, group: int) -> Vectors:
        """The vectors of one row group, with their rows counted from the shard's first.

        Raises:
            DatasetError: the file is broken.
        """
        column = self.read(group, [EMBEDDING_COLUMN])[EMBEDDING_COLUMN].combine_chunks()
        with _parquet_errors(self.path):
            present = column.drop_null()
            flat = present.flatten().to_numpy(zero_copy_only=False)
            matrix = flat.reshape(len(present), self.facts.provenance.dimensions).astype(np.float32, copy=False)
            rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        return Vectors(matrix, rows.astype(np.int64) + self.starts[group])

    def take(self, group: int, columns: Sequence[str], places: Sequence[int]) -> list[dict[str, Any]]:
        """Some columns of some rows of one row group, as Python values.

        Args:
            group: of the file.
            columns: their names.
            places: of the rows in the group, in the order wanted.

        Raises:
            DatasetError: the file is broken.
        """
        table = self.read(group, columns)
        with _parquet_errors(self.path):
            # A table without columns has no rows.
            return list(table.take(places).to_pylist()) if columns else [{} for _ in places]

    def read(self, group: int, columns: Sequence[str]) -> Any:
        """Some columns of one row group, as a pyarrow Table.

        Raises:
            DatasetError: the file is broken.
        """
        with _parquet_errors(self.path), self.path.open("rb") as opened, _parquet_file(opened) as file:
            # Looked at through the open file: what is read is what was looked at.
            if _stamp(os.fstat(opened.fileno())) != self.stamp:
                raise DatasetError(f"{self.path} was replaced since it was opened; load the dataset again")
            return file.read_row_group(group, columns=list(columns))


def _parquet_file(opened: Any) -> Any:
    """A Parquet file whose pages are compared with their checksums as they are read."""
    return pq.ParquetFile(opened, page_checksum_verification=True)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns


def read_shard(path: Path) -> Shard:
    """Read a shard's footer.

    Raises:
        DatasetError: the file is broken.
        DatasetNotFoundError: a Parquet file that embedhub did not write.
    """
    with _parquet_errors(path), path.open("rb") as opened, _parquet_file(opened) as file:
        footer, schema, stamp = file.metadata, file.schema_arrow, _stamp(os.fstat(opened.fileno()))
    stored = footer.metadata or {}
    if METADATA_KEY not in stored or EMBEDDING_COLUMN not in schema.names:
        raise DatasetNotFoundError(f"{path} was not written by embedhub: it does not say which model made its vectors")
    facts = Facts.from_json(stored[METADATA_KEY])
    _check_schema(path, schema, facts)
    counts = _counts(path, stored.get(_COUNTS_KEY, b"{}"))
    truncated = _flags(path, stored.get(_TRUNCATED_KEY), footer.num_rows)
    return Shard(path, footer, schema, facts, counts, stamp, truncated)


def read_through(files: Sequence[Path]) -> None:
    """Read everything in shards, a row group at a time, and keep nothing of it.

    Raises:
        DatasetError: a file is broken, or unfolds to more memory than this process has.
    """
    for path in files:
        shard = read_shard(path)
        for group in range(len(shard.starts)):
            shard.read(group, shard.schema.names)


def _counts(path: Path, text: bytes) -> Counts:
    try:
        counts = json.loads(text)
        known = {field.name: counts[field.name] for field in fields(Counts) if field.name in counts}
    except (ValueError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path} is broken: its counts cannot be read") from error
    if not all(isinstance(count, int) and count >= 0 for count in known.values()):
        raise DatasetError(f"{path} is broken: its counts are {known}")
    return Counts(**known)


def _flags(path: Path, text: bytes | None, rows: int) -> Flags | None:
    if text is None:
        return None
    if not text:
        return np.zeros(rows, np.bool_)
    try:
        packed = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except ValueError as error:
        raise DatasetError(f"{path} is broken: which texts were cut cannot be read") from error
    if len(packed) != -(-rows // 8):
        raise DatasetError(f"{path} is broken: it says for {8 * len(packed)} texts whether they were cut, not {rows}")
    return np.unpackbits(packed, count=rows).astype(np.bool_)


def _flags_text(flags: Flags) -> bytes:
    """A bit a row in base64; nothing where no flag is set, which is nearly always."""
    return base64.b64encode(np.packbits(flags).tobytes()) if flags.any() else b""


def _check_schema(path: Path, schema: Any, facts: Facts) -> None:
    """What the file says of itself must be so: anybody may have written it."""
    found = schema.field(EMBEDDING_COLUMN).type
    wanted = {"float32": pa.float32(), "float16": pa.float16()}.get(facts.vectors)
    dimensions = facts.provenance.dimensions
    fixed = pa.types.is_fixed_size_list(found) and (found.list_size, found.value_type) == (dimensions, wanted)
    if dimensions < 1 or not fixed:
        raise DatasetError(f"{path} is broken: {EMBEDDING_COLUMN!r} is {found}, not {dimensions} numbers a row")
    if facts.text_column not in schema.names:
        raise DatasetError(f"{path} is broken: it has no column {facts.text_column!r}")


@dataclass(frozen=True)
class RowVectors:
    """What is added to the rows of a shard.

    Attributes:
        matrix: float32, shape (rows, dimensions).
        present: bool, shape (rows,): which rows have a vector.
        truncated: bool, shape (rows,): whose text was longer than the model reads.
    """

    matrix: Matrix
    present: Flags
    truncated: Flags


def write_shard(path: Path, table: Any, vectors: RowVectors, facts: Facts, counts: Counts) -> None:
    """Write a shard, whole or not at all.

    Args:
        path: the file.
        table: pyarrow Table of the rows.
        vectors: of its rows.
        facts: what the shard says of the dataset.
        counts: where its vectors came from.

    Raises:
        DatasetError: a vector is too large for float16.
        StorageFullError: no space left.
    """
    column = _embedding_array(vectors.matrix, vectors.present, facts)
    kind = pa.field(EMBEDDING_COLUMN, column.type)
    table = table.append_column(kind, column).replace_schema_metadata({METADATA_KEY: facts.to_json().encode()})
    words = [name for name in table.column_names if name != EMBEDDING_COLUMN]
    with (
        whole_file(path) as file,
        # Numbers of a vector hardly repeat: a dictionary of them would be as long as they are.
        pq.ParquetWriter(
            file, table.schema, compression="zstd", use_dictionary=words, write_page_checksum=True
        ) as writer,
    ):
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata(
            {
                _COUNTS_KEY: json.dumps(asdict(counts)).encode(),
                _TRUNCATED_KEY: _flags_text(vectors.truncated),
            }
        )


def _embedding_array(vectors: Matrix, present: Flags, facts: Facts) -> Any:
    with np.errstate(over="ignore"):
        stored = vectors.astype(facts.vectors)
    if not np.isfinite(stored[present]).all():
        raise DatasetError(f"the model's vectors do not fit {facts.vectors} numbers (or are not finite)")
    mask = None if present.all() else pa.array(~present)
    flat = pa.array(stored.reshape(-1), _ARROW_TYPES[facts.vectors])
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=mask)
