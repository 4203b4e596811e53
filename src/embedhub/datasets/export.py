"""A dataset in the formats of other tools.

Knows how to write each a few thousand rows at a time. Refuses to change numbers: float32 goes out as float32,
and printed numbers have as many digits as it takes to read the same number again.
"""

import base64
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv

from embedhub.choices import ExportFormat
from embedhub.datasets.columns import EMBEDDING_COLUMN
from embedhub.datasets.shards import Matrix
from embedhub.datasets.storage import whole_file
from embedhub.datasets.stored import StoredDataset, read_dataset
from embedhub.errors import SettingError


def export(directory: str | Path, to: str, out: Path | None = None, *, replace: bool = False) -> Path:
    """Write a dataset's vectors to one file, which appears once it is whole.

    Args:
        directory: the dataset's folder.
        to: `csv` (the matrix under a header 0, 1, ...; an empty line of cells for a row without a vector),
            `npz` or `safetensors` (`embeddings`, float32, and `rows`, int64: the row each belongs to), or
            `jsonl` (all columns and the vector).
        out: the file; None names it after the folder and puts it beside.
        replace: whether a file of that name may be replaced; it could be the input that the dataset was made from.

    Returns:
        The file's path.

    Raises:
        SettingError: no such format, or a file of that name is there.
        DatasetError: the dataset cannot be read, or the file not be written.
        StorageFullError: no space left.
    """
    if to not in _WRITERS:
        raise SettingError(f"cannot export to {to!r}; known are {', '.join(_WRITERS)}")
    dataset = read_dataset(directory)
    folder = Path(directory).resolve()
    out = out or folder.with_name(f"{folder.name}-embeddings.{to}")
    if out.resolve().is_relative_to(folder):
        raise SettingError(f"{out} lies in the dataset itself; choose a file elsewhere")
    if out.exists() and not replace:
        raise SettingError(f"{out} is there already; --replace writes over it")
    with whole_file(out) as file:
        _WRITERS[to](dataset, file)
    return out


def _write_csv(dataset: StoredDataset, file: BinaryIO) -> None:
    names = [str(number) for number in range(dataset.dimensions)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    file.write((",".join(names) + "\n").encode())
    plain = pyarrow.csv.WriteOptions(include_header=False)
    with pyarrow.csv.CSVWriter(file, schema, write_options=plain) as writer:
        for matrix, present in _row_groups(dataset):
            columns = [pa.array(column, mask=~present) for column in np.ascontiguousarray(matrix.T)]
            writer.write_table(pa.table(columns, schema=schema))


def _write_npz(dataset: StoredDataset, file: BinaryIO) -> None:
    count, rows = _present_rows(dataset)
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("embeddings.npy", "w", force_zip64=True) as member:
            layout = {"descr": "<f4", "fortran_order": False, "shape": (count, dataset.dimensions)}
            np.lib.format.write_array_header_1_0(member, layout)
            for part in dataset.iterate_vectors():
                member.write(part.matrix.astype("<f4", copy=False).tobytes())
        with archive.open("rows.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, rows)


def _write_safetensors(dataset: StoredDataset, file: BinaryIO) -> None:
    # The library's writer wants the whole matrix in memory; the format is a length, a JSON head and the
    # bytes.
    count, rows = _present_rows(dataset)
    size = 4 * count * dataset.dimensions
    head = {
        "__metadata__": {"embedhub": json.dumps(asdict(dataset.provenance))},
        "embeddings": {"dtype": "F32", "shape": [count, dataset.dimensions], "data_offsets": [0, size]},
        "rows": {"dtype": "I64", "shape": [count], "data_offsets": [size, size + rows.nbytes]},
    }
    encoded = json.dumps(head).encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write(len(encoded).to_bytes(8, "little") + encoded)
    for part in dataset.iterate_vectors():
        file.write(part.matrix.astype("<f4", copy=False).tobytes())
    file.write(rows.astype("<i8").tobytes())


def _write_jsonl(dataset: StoredDataset, file: BinaryIO) -> None:
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    first = 0
    for matrix, present in _row_groups(dataset):
        rows = dataset.rows(range(first, first + len(matrix)))
        first += len(matrix)
        for row, vector, there in zip(rows, matrix, present, strict=True):
            row[EMBEDDING_COLUMN] = vector if there else None
            file.write(orjson.dumps(row, default=_as_json, option=options))


def _as_json(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _row_groups(dataset: StoredDataset) -> Iterator[tuple[Matrix, Any]]:
    """Matrices with a line for every row, and which lines hold a vector."""
    first = 0
    sizes = (size for shard in dataset.shards for size in shard.group_sizes)
    for size, part in zip(sizes, dataset.iterate_vectors(), strict=True):
        present = np.zeros(size, np.bool_)
        present[part.rows - first] = True
        matrix = np.zeros((size, dataset.dimensions), np.float32)
        matrix[present] = part.matrix
        yield matrix, present
        first += size


def _present_rows(dataset: StoredDataset) -> tuple[int, Any]:
    # Heads come before the data and tell their length, and only the data tell which rows have a vector.
    rows = np.concatenate([part.rows for part in dataset.iterate_vectors()])
    return len(rows), rows


_WRITERS: dict[str, Callable[[StoredDataset, BinaryIO], None]] = {
    "csv": _write_csv,
    "npz": _write_npz,
    "safetensors": _write_safetensors,
    "jsonl": _write_jsonl,
}
EXPORT_FORMATS = tuple(map(str, ExportFormat))
