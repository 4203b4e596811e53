"""Pooling, Dense, Normalize, prompts and precisions beside sentence-transformers; the default model on real text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.checkpoints import write_bert
from tests.engine.golden import golden_texts

from embedhub import Model, quantize_embeddings
from embedhub.config import DEFAULT_MODEL, read_settings, settings
from embedhub.models import find_model

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="torch is not installed (make test-reference installs it)")
st = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

TEXTS = ["a", "", "the one that is not", "which all was had it are have not or be an by", "to be or not to be " * 20]
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


def build(
    folder: Path, pooling: Any, *, prompt: bool = True, dense: Any = None, prompts: Any = None
) -> tuple[Model, Any]:
    """A sentence-transformers model over a tiny BERT, saved by that library, and ours over the same folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    transformer = Transformer(str(write_bert(folder / "bert")))
    modules = [transformer, Pooling(32, pooling_mode=pooling, include_prompt=prompt)]
    width = 32 * (1 if isinstance(pooling, str) else len(pooling))
    if dense is not None:
        modules.append(Dense(width, 12, activation_function=dense))
    modules.append(Normalize())
    theirs = SentenceTransformer(modules=modules, prompts=prompts or {}, device="cpu")
    theirs.save(str(folder / "saved"))
    config = read_settings({"EMBEDHUB_HOME": str(folder / "home")})
    return Model(folder / "saved", dtype="f32", config=config), SentenceTransformer(str(folder / "saved"), device="cpu")


@pytest.mark.parametrize("pooling", [*MODES, ("mean", "max"), ("cls", "lasttoken", "weightedmean")], ids=str)
def test_pooling(tmp_path: Path, pooling: Any) -> None:
    ours, theirs = build(tmp_path, pooling)
    assert ours.spec.pooling == ((pooling,) if isinstance(pooling, str) else pooling)
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("activation", ["Tanh", "Identity", "ReLU", "GELU", "Sigmoid"])
def test_dense(tmp_path: Path, activation: str) -> None:
    ours, theirs = build(tmp_path, "mean", dense=getattr(torch.nn, activation)())
    assert ours.spec.dimensions == 12
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("pooling", MODES)
def test_prompts_left_out_of_pooling(tmp_path: Path, pooling: str) -> None:
    prompts = {"query": "that which is ", "document": "an a of "}
    ours, theirs = build(tmp_path, pooling, prompt=False, prompts=prompts)
    assert ours.prompts == theirs.prompts
    for name in ("query", "document"):
        np.testing.assert_allclose(
            ours.encode(TEXTS, prompt_name=name), theirs.encode(TEXTS, prompt_name=name), atol=1e-5
        )
    np.testing.assert_allclose(ours.encode_query(TEXTS), theirs.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(ours.encode_document(TEXTS), theirs.encode_document(TEXTS), atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_precisions(precision: str) -> None:
    from sentence_transformers.util import quantize_embeddings as theirs

    vectors = np.random.default_rng(3).standard_normal((120, 64)).astype(np.float32)
    found = quantize_embeddings(vectors, precision)
    wanted = theirs(vectors, precision)
    assert found.dtype == wanted.dtype
    # A value on the edge of a step may fall to either side.
    assert np.abs(found.astype(np.float64) - wanted).max() <= (1 if "int8" in precision else 0)
    assert np.mean(found != wanted) < 0.001


def test_similarity(tmp_path: Path) -> None:
    ours, theirs = build(tmp_path, "mean")
    vectors = ours.encode(TEXTS)
    np.testing.assert_allclose(
        ours.similarity(vectors, vectors), theirs.similarity(vectors, vectors).numpy(), atol=1e-6
    )


def test_max_seq_length_of_the_repository(tmp_path: Path) -> None:
    ours, theirs = build(tmp_path, "mean")
    assert ours.max_seq_length == theirs.max_seq_length == 48


def test_default_model_on_real_text() -> None:
    folder = find_model(DEFAULT_MODEL, settings=settings()).folder
    theirs = st.SentenceTransformer(str(folder), device="cpu").encode(golden_texts())
    ours = Model(DEFAULT_MODEL, dtype="f32").encode(golden_texts())
    assert np.abs(ours - theirs).max() < 1e-5
    assert (ours * theirs).sum(axis=1).min() >= 0.99999


@pytest.mark.shared_data
def test_default_model_on_naughty_strings(shared_data: Path) -> None:
    texts = json.loads((shared_data / "blns" / "blns.json").read_text(encoding="utf-8"))
    folder = find_model(DEFAULT_MODEL, settings=settings()).folder
    theirs = st.SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert np.abs(Model(DEFAULT_MODEL, dtype="f32").encode(texts) - theirs).max() < 1e-5


def test_golden_vectors_are_those_of_sentence_transformers() -> None:
    from tests.engine.golden import golden_vectors

    folder = find_model(DEFAULT_MODEL, settings=settings()).folder
    theirs = st.SentenceTransformer(str(folder), device="cpu").encode(golden_texts())
    # Kept in float16, whose steps near 0.1 are 6e-5.
    assert np.abs(golden_vectors() - theirs).max() < 1e-4
