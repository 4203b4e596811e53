"""The real default model beside vectors that sentence-transformers gave, in each number type this CPU has."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.engine.golden import golden_texts, golden_vectors

from embedhub import EncodeOptions, Model
from embedhub.config import DEFAULT_MODEL
from embedhub.engine.backends.openvino import has_bf16, has_fast_int8

# The vectors are kept in float16, whose steps are 6e-5 where the values are largest.
STORED = 1e-4


def test_f32(default_model: Model) -> None:
    found = default_model.encode(golden_texts())
    assert np.abs(found - golden_vectors()).max() < STORED
    assert (found * golden_vectors()).sum(axis=1).min() >= 0.9999


def test_f32_packed(default_model: Model) -> None:
    packed = default_model.embed(golden_texts(), EncodeOptions(mixed=True)).vectors
    assert np.abs(packed - default_model.encode(golden_texts())).max() < 1e-5


@pytest.mark.skipif(not has_bf16(), reason="this CPU has no bfloat16 instructions")
def test_bf16() -> None:
    found = Model(DEFAULT_MODEL, dtype="bf16").encode(golden_texts())
    assert (found * golden_vectors()).sum(axis=1).min() >= 0.9999


@pytest.mark.skipif(not has_fast_int8(), reason="this CPU has no VNNI instructions")
def test_int8() -> None:
    model = Model(DEFAULT_MODEL, dtype="int8")
    assert model.dtype == "int8"
    found = model.encode(golden_texts())
    cosines = (found * golden_vectors()).sum(axis=1)
    assert cosines.mean() >= 0.997
    assert cosines.min() >= 0.98, "also what is no sentence must come out alike"
    assert np.abs(found - golden_vectors()).max() > STORED, "this was not computed in int8"


def test_published_hits(default_model: Model) -> None:
    questions = (Path(__file__).parents[2] / "examples" / "medicare_faq.txt").read_text().splitlines()
    scores = default_model.similarity(
        default_model.encode("How can Medicare help me?"), default_model.encode(questions)
    )
    best = np.argsort(-scores[0])[:5]
    assert best.tolist() == [8, 7, 3, 9, 10]
    np.testing.assert_allclose(scores[0][best], [0.7565, 0.7419, 0.7253, 0.6736, 0.6505], atol=1e-4)


@pytest.mark.shared_data
def test_published_vectors(default_model: Model, shared_data: Path) -> None:
    published = json.loads((shared_data / "medicare_faq" / "expected.json").read_text())
    # The published vectors were made from the typographic spelling of the apostrophe.
    questions = (shared_data / "medicare_faq" / "questions_typographic.txt").read_text().splitlines()
    vectors = default_model.encode([questions[row] for row in (0, 1, 2, 10, 11)])
    excerpt = np.array(published["matrix_excerpt_rows_0_1_2_10_11_12_first3_last3"])[:5]
    np.testing.assert_allclose(np.hstack([vectors[:, :3], vectors[:, -3:]]), excerpt, atol=1e-5)


@pytest.mark.shared_data
@pytest.mark.parametrize(("dtype", "spearman"), [("f32", 0.8672), ("int8", 0.8642)])
def test_sts_benchmark(shared_data: Path, dtype: str, spearman: float) -> None:
    import csv

    with (shared_data / "stsb" / "stsb-en-dev.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if dtype == "int8" and not has_fast_int8():
        pytest.skip("this CPU has no VNNI instructions")
    model = Model(DEFAULT_MODEL, dtype=dtype)
    left, right = (model.encode([row[column] for row in rows]) for column in (0, 1))
    found = np.corrcoef(ranks((left * right).sum(axis=1)), ranks(np.array([float(row[2]) for row in rows])))[0, 1]
    assert found >= spearman - 5e-5


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks with ties sharing their mean, as Spearman's correlation wants them."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((2 * ends - counts - 1)[inverse] / 2)
