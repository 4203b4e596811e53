"""What other libraries make of a dataset folder: the same rows and the same vectors."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.datasets.fake_embedder import DIMENSIONS, text_vector

from embedhub.datasets import BuildReport, read_dataset

Build = Callable[..., BuildReport]
TEXTS = [f"text {n}" for n in range(45)]


@pytest.fixture(params=["float32", "float16"])
def vector_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def out(tmp_path: Path, run_build: Build, vector_type: str) -> Path:
    path = tmp_path / "in.jsonl"
    rows = [{"id": n, "text": None if n == 3 else text, "tags": ["a"] * (n % 3)} for n, text in enumerate(TEXTS)]
    path.write_text("\n".join(map(json.dumps, rows)))
    run_build(path, column="text", on_error="null", vectors=vector_type)
    return tmp_path / "out"


def check(rows: list[Any], vectors: list[Any], vector_type: str) -> None:
    assert [row for row in rows if row is not None] == [text for n, text in enumerate(TEXTS) if n != 3]
    assert vectors[3] is None
    for n, text in enumerate(TEXTS):
        if n != 3:
            expected = text_vector(text).astype(vector_type)
            np.testing.assert_array_equal(np.asarray(vectors[n], vector_type), expected)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()

    def load(path: Path, **more: Any) -> Any:
        return datasets.load_dataset(str(path), cache_dir=str(tmp_path / "cache"), **more)

    return load


def test_datasets(out: Path, load: Callable[..., Any], vector_type: str) -> None:
    loaded = load(out)
    assert list(loaded) == ["train"]
    rows = loaded["train"]
    feature = rows.features["embedding"]
    assert (feature.length, feature.feature.dtype) == (DIMENSIONS, vector_type)
    check(rows["text"][:], rows["embedding"][:], vector_type)


def test_datasets_does_not_give_back_yesterdays_rows(
    tmp_path: Path, run_build: Build, load: Callable[..., Any]
) -> None:
    path = tmp_path / "in.txt"
    for content in ("a\nb\n", "a\nb\nc\n"):
        path.write_text(content)
        run_build(path)
        assert load(tmp_path / "out", split="train")["text"][:] == content.split()


def test_datasets_refuses_an_unfinished_folder(tmp_path: Path, run_build: Build, load: Callable[..., Any]) -> None:
    def stop(progress: Any) -> None:
        if progress.shard == 1:
            raise KeyboardInterrupt

    path = tmp_path / "in.txt"
    path.write_text("\n".join(TEXTS))
    with pytest.raises(KeyboardInterrupt):
        run_build(path, on_progress=stop)
    assert list((tmp_path / "out" / ".embedhub" / "build" / "data").iterdir())
    with pytest.raises((FileNotFoundError, ValueError)):
        load(tmp_path / "out")


def test_pandas(out: Path, vector_type: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(out / "data")
    texts = [text if isinstance(text, str) else None for text in frame["text"]]
    check(texts, list(frame["embedding"]), vector_type)


def test_polars(out: Path, vector_type: str) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(out / "data" / "*.parquet")
    check(frame["text"].to_list(), frame["embedding"].to_list(), vector_type)


def test_duckdb(out: Path, vector_type: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"select text, embedding from '{out}/data/*.parquet' order by id"
    rows = duckdb.connect().execute(query).fetchall()
    check([row[0] for row in rows], [row[1] for row in rows], vector_type)


def test_card_snippets_run(
    out: Path,
    load: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Model:
        def __init__(self, name: str) -> None:
            assert name == "example/fake"

        def encode(self, text: str, normalize_embeddings: bool) -> Any:
            assert (text, normalize_embeddings) == ("How can I ...?", True)
            return text_vector(TEXTS[7])

    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    loading, searching = [part.split("```")[0] for part in (out / "README.md").read_text().split("```python\n")[1:]]
    names: dict[str, Any] = {"dataset": load(out, split="train")}
    compile(loading, "README.md", "exec")
    exec(searching, names)
    assert capsys.readouterr().out.splitlines()[0] == f"1.0 {TEXTS[7]}"
    assert read_dataset(out).row_count == len(TEXTS)
