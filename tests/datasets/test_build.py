"""Building: rows keep their order, equal texts are embedded once, and what is known is not computed again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.datasets.fake_embedder import FakeEmbedder, provenance, text_vector

from embedhub.datasets import BuildReport, EmbeddedTexts, Progress, read_dataset
from embedhub.errors import DatasetError, EmptyInputError, SettingError, TextTooLongError

Build = Callable[..., BuildReport]


def put(path: Path, texts: list[Any], **more: Any) -> Path:
    path.write_text("".join(json.dumps({"id": n, "text": text, **more}) + "\n" for n, text in enumerate(texts)))
    return path


def check(out: Path, texts: list[str | None], tolerance: float = 0.0) -> None:
    """The dataset holds exactly these texts, each with its own vector."""
    dataset = read_dataset(out)
    assert [row["text"] for row in dataset.rows(range(dataset.row_count))] == texts
    vectors = dataset.vectors()
    assert vectors.rows.tolist() == [row for row, text in enumerate(texts) if text is not None]
    expected = np.stack([text_vector(text) for text in texts if text is not None])
    np.testing.assert_allclose(vectors.matrix, expected, rtol=0, atol=tolerance)
    assert vectors.matrix.dtype == np.float32


def test_rows_and_vectors_in_order(tmp_path: Path, run_build: Build, embedder: FakeEmbedder) -> None:
    texts: list[str | None] = [f"text {n}" for n in range(50)]
    report = run_build(put(tmp_path / "in.jsonl", texts))
    check(tmp_path / "out", texts)
    assert embedder.slices == [7, 7, 6, 7, 7, 6, 7, 3]
    assert (report.rows, report.embedded, report.shards, report.tokens) == (50, 50, 3, 100)
    assert (report.reused, report.duplicates, report.resumed, report.up_to_date) == (0, 0, False, False)
    names = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert names == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    assert sorted(path.name for path in (tmp_path / "out" / ".embedhub").iterdir()) == ["lock", "writer"]
    assert (tmp_path / "out" / ".gitignore").read_text() == ".embedhub/\n"


def test_equal_texts_are_embedded_once(tmp_path: Path, run_build: Build, embedder: FakeEmbedder) -> None:
    texts: list[str | None] = [f"text {n % 13}" for n in range(100)]
    report = run_build(put(tmp_path / "in.jsonl", texts))
    check(tmp_path / "out", texts)
    assert len(embedder.texts) == 13
    assert (report.embedded, report.duplicates, report.reused) == (13, 87, 0)


def test_unchanged_input_is_up_to_date(tmp_path: Path, run_build: Build, embedder: FakeEmbedder) -> None:
    path = put(tmp_path / "in.jsonl", ["a", "b", "b"])
    first = run_build(path)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "data").iterdir()}
    again = run_build(path)
    assert (first.up_to_date, again.up_to_date) == (False, True)
    assert (again.rows, again.embedded, again.reused, again.duplicates) == (3, 0, 2, 1)
    assert len(embedder.texts) == 2
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "data").iterdir()}


def test_changed_input_embeds_what_changed(tmp_path: Path, run_build: Build, embedder: FakeEmbedder) -> None:
    texts: list[str | None] = [f"text {n}" for n in range(50)]
    run_build(put(tmp_path / "in.jsonl", texts))
    embedder.texts.clear()
    changed = ["first", *texts[:30], "text 3", *texts[31:], "last", "first"]
    report = run_build(put(tmp_path / "in.jsonl", changed))
    check(tmp_path / "out", changed)
    assert embedder.texts == ["first", "last"]
    assert (report.embedded, report.reused, report.duplicates, report.rows) == (2, 49, 2, 53)


@pytest.mark.parametrize(
    "changes", [{"weights_sha256": "11"}, {"prompt": "query: "}, {"model_fingerprint": "22"}, {"calibration": "33"}]
)
def test_other_models_vectors_are_not_reused(tmp_path: Path, run_build: Build, changes: dict[str, str]) -> None:
    path = put(tmp_path / "in.jsonl", ["a", "b"])
    run_build(path)
    other = FakeEmbedder(provenance=provenance(**changes))
    report = run_build(path, by=other)
    assert (report.embedded, report.reused, other.texts) == (2, 0, ["a", "b"])
    assert read_dataset(tmp_path / "out").provenance == other.provenance


def test_on_error_null_and_skip(tmp_path: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.jsonl", ["a", None, 5, "b", None])
    kept = run_build(path, on_error="null")
    check(tmp_path / "out", ["a", None, None, "b", None])
    assert (kept.rows, kept.nulls, kept.skipped, kept.embedded) == (5, 3, 0, 2)
    assert "3 rows hold no text" in (tmp_path / "out" / "README.md").read_text()
    left = run_build(path, on_error="skip")
    check(tmp_path / "out", ["a", "b"])
    assert (left.rows, left.nulls, left.skipped, left.reused) == (2, 0, 3, 2)
    assert run_build(path, on_error="skip").skipped == 3


def test_only_nulls(tmp_path: Path, run_build: Build) -> None:
    path = tmp_path / "in.parquet"
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": pa.array([None, None], pa.string())}), path)
    report = run_build(path, column="text", on_error="null")
    assert (report.rows, report.nulls, report.embedded) == (2, 2, 0)
    assert read_dataset(tmp_path / "out").vectors().matrix.shape == (0, 8)


def test_float16(tmp_path: Path, run_build: Build) -> None:
    texts: list[str | None] = ["a", "b", "c"]
    path = put(tmp_path / "in.jsonl", texts)
    run_build(path, vectors="float16")
    check(tmp_path / "out", texts, tolerance=5e-4)
    # Vectors that lost digits must not pass for those of the model.
    assert run_build(path, vectors="float32").embedded == 3
    check(tmp_path / "out", texts)


def test_vectors_too_large_for_float16(tmp_path: Path, run_build: Build, embedder: FakeEmbedder) -> None:
    class Large:
        provenance = embedder.provenance

        def embed(self, texts: list[str]) -> Any:
            embedded = embedder.embed(texts)
            embedded.vectors[0, 0] = 1e6
            return embedded

    with pytest.raises(DatasetError, match="float16"):
        run_build(put(tmp_path / "in.jsonl", ["a"]), by=Large(), vectors="float16")


def test_truncation_is_counted_and_told(tmp_path: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.jsonl", ["a", "b" * 2_000])
    assert run_build(path).truncated == 1
    assert run_build(path).truncated == 1
    assert "1 rows hold a text longer than the model reads" in (tmp_path / "out" / "README.md").read_text()


def test_truncation_is_known_of_rows_that_were_not_embedded_again(tmp_path: Path, run_build: Build) -> None:
    long, other = "b" * 2_000, "c" * 3_000
    texts = ["a", long, *(f"text {n}" for n in range(30)), long, other]
    run_build(put(tmp_path / "in.jsonl", texts[:10]))
    report = run_build(put(tmp_path / "in.jsonl", texts))
    assert (report.truncated, report.reused) == (3, 10)
    assert "- 3 rows hold a text longer" in (tmp_path / "out" / "README.md").read_text()
    found = read_dataset(tmp_path / "out").truncated_rows()
    assert found is not None
    assert found.tolist() == [1, 32, 33]
    report = run_build(put(tmp_path / "in.jsonl", texts[2:]))
    assert (report.truncated, report.embedded) == (2, 0)


def test_flags_are_no_column(tmp_path: Path, run_build: Build) -> None:
    run_build(put(tmp_path / "in.jsonl", ["a", "b" * 2_000]))
    assert pq.read_table(tmp_path / "out" / "data").column_names == ["id", "text", "embedding"]


def test_a_long_text_that_is_forbidden_is_named_by_its_row_in_the_input(tmp_path: Path, run_build: Build) -> None:
    class Strict(FakeEmbedder):
        def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
            for position, text in enumerate(texts):
                if len(text) > 1_000:
                    raise TextTooLongError("too long", position)
            return super().embed(texts)

    texts = [*(f"text {n % 20}" for n in range(25)), None, *(f"text {n}" for n in range(20, 40)), "b" * 2_000]
    path = put(tmp_path / "in.jsonl", texts)
    for on_error in ("skip", "null"):
        with pytest.raises(TextTooLongError) as raised:
            run_build(path, by=Strict(), on_error=on_error)
        assert str(raised.value) == f"{path}, row 47, column 'text': too long"


def test_progress_reaches_the_end(tmp_path: Path, run_build: Build) -> None:
    told: list[Progress] = []
    run_build(put(tmp_path / "in.jsonl", [f"{n % 30}" for n in range(50)]), on_progress=told.append)
    done = [progress.rows_done for progress in told]
    assert done == sorted(done)
    assert (told[-1].rows_done, told[-1].rows_total, told[-1].texts_embedded) == (50, 50, 30)
    assert (told[0].rows_done, told[0].shard, told[-1].shard, told[-1].shards) == (7, 0, 2, 3)


def test_foreign_folder_is_left_alone(tmp_path: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.jsonl", ["a"])
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.doc").write_text("years of work")
    with pytest.raises(DatasetError, match=r"thesis\.doc"):
        run_build(path)
    assert [entry.name for entry in out.iterdir()] == ["thesis.doc"]
    with pytest.raises(DatasetError, match="is a file"):
        run_build(path, into=path)


def test_foreign_file_in_data_is_not_lost(tmp_path: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.jsonl", ["a"])
    run_build(path)
    notes = tmp_path / "out" / "data" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(DatasetError, match="would be lost"):
        run_build(put(path, ["b"]))
    assert notes.read_text() == "mine"


def test_fresh_clone_is_no_foreign_folder(tmp_path: Path, run_build: Build) -> None:
    (tmp_path / "out" / ".git").mkdir(parents=True)
    (tmp_path / "out" / ".gitattributes").write_text("*.parquet filter=lfs\n")
    assert run_build(put(tmp_path / "in.jsonl", ["a"])).rows == 1


def test_a_persons_files_are_kept_as_they_were(tmp_path: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.jsonl", ["a"])
    run_build(path)
    card, ignore = tmp_path / "out" / "README.md", tmp_path / "out" / ".gitignore"
    card.write_bytes(card.read_bytes() + b"caf\xe9\n")
    ignore.write_bytes(b"*.tmp")
    run_build(put(path, ["b"]))
    assert card.read_bytes().endswith(b"caf\xe9\n")
    assert ignore.read_bytes() == b"*.tmp\n.embedhub/\n"


def test_downloaded_dataset_can_be_built_upon(tmp_path: Path, run_build: Build, embedder: FakeEmbedder) -> None:
    run_build(put(tmp_path / "in.jsonl", ["a", "b"]))
    private = tmp_path / "out" / ".embedhub"
    for file in private.iterdir():
        file.unlink()
    private.rmdir()
    assert run_build(put(tmp_path / "in.jsonl", ["a", "c"])).embedded == 1
    assert embedder.texts == ["a", "b", "c"]


def test_input_at_fault_leaves_no_folder(tmp_path: Path, run_build: Build) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("")
    with pytest.raises(EmptyInputError):
        run_build(path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("values", [{"shard_rows": 0}, {"slice_texts": 0}, {"vectors": "int8"}])
def test_impossible_options(tmp_path: Path, run_build: Build, values: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        run_build(put(tmp_path / "in.jsonl", ["a"]), **values)


def test_broken_dataset_is_built_anew(tmp_path: Path, run_build: Build) -> None:
    texts: list[str | None] = [f"text {n}" for n in range(50)]
    path = put(tmp_path / "in.jsonl", texts)
    run_build(path)
    shard = tmp_path / "out" / "data" / "train-00001-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(DatasetError, match="broken"):
        read_dataset(tmp_path / "out")
    report = run_build(path)
    assert (report.embedded, report.reused) == (20, 30)
    check(tmp_path / "out", texts)
