"""Exports hold the numbers of the dataset, to the last bit."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from tests.datasets.fake_embedder import text_vector

from embedhub.datasets import EXPORT_FORMATS, BuildReport, export, read_dataset
from embedhub.errors import DatasetError, DatasetNotFoundError, SettingError

Build = Callable[..., BuildReport]
ROWS = [{"id": n, "text": None if n in (0, 25) else f"text {n}"} for n in range(50)]
PRESENT = [n for n in range(50) if n not in (0, 25)]


@pytest.fixture
def out(tmp_path: Path, run_build: Build) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    run_build(path, column="text", on_error="null")
    return tmp_path / "out"


@pytest.fixture
def matrix() -> np.ndarray:
    return np.stack([text_vector(f"text {n}") for n in PRESENT])


def test_csv(out: Path, matrix: np.ndarray) -> None:
    path = export(out, "csv")
    assert path == out.with_name("out-embeddings.csv")
    with path.open(newline="") as file:
        header, *lines = list(csv.reader(file))
    assert header == [str(n) for n in range(8)]
    assert lines[0] == lines[25] == [""] * 8
    np.testing.assert_array_equal(np.array([lines[n] for n in PRESENT]).astype(np.float32), matrix)


def test_npz(out: Path, matrix: np.ndarray) -> None:
    with np.load(export(out, "npz")) as stored:
        assert stored["embeddings"].dtype == np.float32
        np.testing.assert_array_equal(stored["embeddings"], matrix)
        np.testing.assert_array_equal(stored["rows"], PRESENT)


def test_safetensors(out: Path, matrix: np.ndarray) -> None:
    with safe_open(export(out, "safetensors"), "numpy") as stored:
        np.testing.assert_array_equal(stored.get_tensor("embeddings"), matrix)
        np.testing.assert_array_equal(stored.get_tensor("rows"), PRESENT)
        assert json.loads(stored.metadata()["embedhub"])["model"] == "example/fake"


def test_jsonl(out: Path, matrix: np.ndarray) -> None:
    lines = [json.loads(line) for line in export(out, "jsonl").read_text().splitlines()]
    assert [{key: line[key] for key in ("id", "text")} for line in lines] == ROWS
    assert lines[0]["embedding"] is None
    np.testing.assert_array_equal(np.array([lines[n]["embedding"] for n in PRESENT], np.float32), matrix)


def test_out_names_the_file(out: Path, tmp_path: Path) -> None:
    path = export(out, "jsonl", tmp_path / "elsewhere.jsonl")
    assert path == tmp_path / "elsewhere.jsonl"
    assert len(path.read_text().splitlines()) == read_dataset(out).row_count


@pytest.mark.parametrize("to", EXPORT_FORMATS)
def test_failure_leaves_the_old_file(out: Path, tmp_path: Path, to: str) -> None:
    path = tmp_path / "x"
    path.write_text("precious")
    shard = out / "data" / "train-00001-of-00003.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[:4] + b"\xff" * (len(content) // 3) + content[4 + len(content) // 3 :])
    with pytest.raises(SettingError, match="is there already"):
        export(out, to, path)
    with pytest.raises(DatasetError, match="broken"):
        export(out, to, path, replace=True)
    assert path.read_text() == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.jsonl", "out", "x"]


def test_the_dataset_itself_is_never_written_over(out: Path) -> None:
    shard = out / "data" / "train-00000-of-00003.parquet"
    before = shard.read_bytes()
    with pytest.raises(SettingError, match="dataset itself"):
        export(out, "csv", shard, replace=True)
    assert shard.read_bytes() == before


def test_refusals(out: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="known are csv"):
        export(out, "xlsx")
    with pytest.raises(DatasetNotFoundError):
        export(tmp_path / "nowhere", "csv")
    with pytest.raises(DatasetError, match="cannot write"):
        export(out, "csv", tmp_path / "no" / "folder.csv")
