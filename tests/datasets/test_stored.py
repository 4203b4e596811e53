"""Reading a dataset back: by row, by vector, from a hub's copy, and what is said of one that cannot be read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.datasets.fake_embedder import DIMENSIONS, provenance, text_vector

from embedhub.datasets import BuildReport, Provenance, read_dataset
from embedhub.errors import DatasetError, DatasetNotFoundError, DatasetUnfinishedError

Build = Callable[..., BuildReport]


@pytest.fixture
def out(tmp_path: Path, run_build: Build) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("id,text\n" + "".join(f"{n},text {n}\n" for n in range(5_000)))
    run_build(path, shard_rows=2_300, slice_texts=1_000)
    return tmp_path / "out"


def test_what_it_says_of_itself(out: Path) -> None:
    dataset = read_dataset(out)
    assert (dataset.row_count, dataset.dimensions, dataset.text_column) == (5_000, DIMENSIONS, "text")
    assert dataset.columns == ["id", "text"]
    assert dataset.provenance == provenance()
    assert len(dataset.shards) == 3


def test_rows_in_the_order_asked_for(out: Path) -> None:
    indices = [4_999, 0, 2_299, 2_300, 0, 1_999, 2_000, 4_600]
    rows = read_dataset(out).rows(indices)
    assert rows == [{"id": n, "text": f"text {n}"} for n in indices]
    rows[1]["text"] = "changed"
    assert rows[4]["text"] == "text 0"
    assert read_dataset(out).rows([]) == []
    assert read_dataset(out).rows(np.array([3])) == [{"id": 3, "text": "text 3"}]  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [-1, 5_000])
def test_no_such_row(out: Path, index: int) -> None:
    with pytest.raises(IndexError, match="of 5000"):
        read_dataset(out).rows([0, index])


def test_vectors_whole_and_in_parts(out: Path) -> None:
    dataset = read_dataset(out)
    whole = dataset.vectors()
    parts = list(dataset.iterate_vectors())
    assert max(len(part.rows) for part in parts) <= 2_000
    np.testing.assert_array_equal(np.concatenate([part.matrix for part in parts]), whole.matrix)
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), np.arange(5_000))
    np.testing.assert_array_equal(whole.rows, np.arange(5_000))
    np.testing.assert_array_equal(whole.matrix[4_321], text_vector("text 4321"))


def test_copy_from_a_hub(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy, ignore=shutil.ignore_patterns(".embedhub"))
    (copy / ".gitattributes").write_text("")
    assert read_dataset(copy).fingerprint == read_dataset(out).fingerprint
    assert read_dataset(copy).rows([7]) == read_dataset(out).rows([7])


def test_fingerprint_changes_with_the_data(out: Path, tmp_path: Path, run_build: Build) -> None:
    before = read_dataset(out).fingerprint
    path = tmp_path / "in.csv"
    # Of the same length, so that no size gives it away.
    path.write_text(path.read_text().replace("text 2500\n", "text 250x\n"))
    run_build(path, shard_rows=2_300, slice_texts=1_000)
    assert read_dataset(out).fingerprint != before


def test_not_found(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="there is no folder"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetNotFoundError, match="not an embedded dataset"):
        read_dataset(tmp_path)
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(DatasetNotFoundError, match="was not written by embedhub"):
        read_dataset(tmp_path)


def test_unfinished(tmp_path: Path) -> None:
    (tmp_path / ".embedhub" / "build").mkdir(parents=True)
    with pytest.raises(DatasetUnfinishedError, match="run the command again"):
        read_dataset(tmp_path)


def test_missing_shard(out: Path) -> None:
    (out / "data" / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(DatasetError, match=r"train-00001-of-00003\.parquet is missing"):
        read_dataset(out)


def test_shard_of_another_dataset(out: Path, tmp_path: Path, run_build: Build) -> None:
    path = tmp_path / "other.txt"
    path.write_text("".join(f"text {n}\n" for n in range(5_000)))
    run_build(path, into=tmp_path / "other", shard_rows=2_300, slice_texts=1_000)
    name = "data/train-00001-of-00003.parquet"
    shutil.copy(tmp_path / "other" / name, out / name)
    with pytest.raises(DatasetError, match="several datasets"):
        read_dataset(out)


@pytest.mark.parametrize("kept", [0, 10, 20_000])
def test_truncated_shard(out: Path, kept: int) -> None:
    shard = out / "data" / "train-00000-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[:kept])
    with pytest.raises(DatasetError, match=r"train-00000-of-00003\.parquet is broken") as raised:
        read_dataset(out)
    assert "\n" not in str(raised.value)


def test_damaged_pages_are_a_dataset_error(out: Path) -> None:
    shard = out / "data" / "train-00000-of-00003.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[:4] + b"\xff" * 30_000 + content[30_004:])
    dataset = read_dataset(out)
    with pytest.raises(DatasetError, match="broken"):
        dataset.rows([0])


def test_provenance_comes_back_and_tolerates_more() -> None:
    made = provenance(prompt="passage: ", revision=None)
    assert Provenance.from_json(made.to_json()) == made
    assert Provenance.from_json(made.to_json()[:-1] + ', "later": {"x": 1}}') == made


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": 5}'])
def test_provenance_that_is_none(text: str) -> None:
    with pytest.raises(DatasetError, match="provenance"):
        Provenance.from_json(text)


def rewritten(shard: Path, column: pa.Array | None = None, without: str = "", **metadata: str) -> None:
    """The shard written anew, with another embedding column or other metadata."""
    table = pq.read_table(shard)
    with pq.ParquetFile(shard) as file:
        kept = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    if column is not None:
        table = table.set_column(table.schema.get_field_index("embedding"), "embedding", column)
    wanted = {key: value for key, value in (kept | metadata).items() if key not in ("ARROW:schema", without)}
    pq.write_table(table.replace_schema_metadata(wanted), shard)


@pytest.mark.parametrize(
    "metadata",
    [
        {"embedhub": "[" * 100_000},
        {"embedhub.shard": "{"},
        {"embedhub.shard": '{"embedded": "x"}'},
        {"embedhub.shard": '{"embedded": -1}'},
        {"embedhub.truncated": "no base64"},
        {"embedhub.truncated": "AAAA"},
    ],
    ids=["deep", "cut", "text", "negative", "flags", "few flags"],
)
def test_metadata_written_by_a_stranger(out: Path, metadata: dict[str, str]) -> None:
    rewritten(next((out / "data").glob("*.parquet")), **metadata)
    with pytest.raises(DatasetError):
        read_dataset(out)


def test_a_dataset_of_a_version_without_flags_is_read(out: Path) -> None:
    whole = read_dataset(out).truncated_rows()
    assert whole is not None
    assert whole.tolist() == []
    shard = next((out / "data").glob("*.parquet"))
    rewritten(shard, without="embedhub.truncated")
    dataset = read_dataset(out)
    assert dataset.truncated_rows() is None
    assert len(dataset.rows(range(dataset.row_count))) == dataset.row_count == len(dataset.vectors().rows)


@pytest.mark.parametrize(
    "changes",
    [{"dimensions": 0}, {"dimensions": -1}, {"text_column": "zz"}, {"text_column": 5}, {"vectors": "float99"}],
)
def test_facts_that_are_not_so(out: Path, changes: dict[str, object]) -> None:
    shard = next((out / "data").glob("*.parquet"))
    with pq.ParquetFile(shard) as file:
        facts = json.loads(file.metadata.metadata[b"embedhub"])
    rewritten(shard, embedhub=json.dumps(facts | changes))
    with pytest.raises(DatasetError):
        read_dataset(out)


def test_vectors_of_uneven_length_are_refused(out: Path) -> None:
    shard = next((out / "data").glob("*.parquet"))
    rows = pq.read_metadata(shard).num_rows
    lengths = [DIMENSIONS + 1, DIMENSIONS - 1, *[DIMENSIONS] * (rows - 2)]
    rewritten(shard, pa.array([[0.5] * length for length in lengths], pa.list_(pa.float32())))
    with pytest.raises(DatasetError, match="numbers a row"):
        read_dataset(out)


def test_a_flipped_bit_is_noticed(out: Path) -> None:
    shard = next((out / "data").glob("*.parquet"))
    whole = shard.read_bytes()
    matrix, rows = read_dataset(out).vectors().matrix, read_dataset(out).rows(range(5))
    pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    silent = 0
    for place in range(4, pages, 499):
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            dataset = read_dataset(out)
            same = np.array_equal(dataset.vectors().matrix, matrix) and dataset.rows(range(5)) == rows
        except DatasetError:
            continue
        silent += not same
    assert silent == 0
