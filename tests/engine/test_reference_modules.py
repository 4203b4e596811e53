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


@pytest.mark.parametrize("function", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_functions(tmp_path: Path, function: Any) -> None:
    ours, theirs = build(tmp_path, "mean")
    assert ours.similarity_fn_name == theirs.similarity_fn_name == "cosine"
    ours.similarity_fn_name = theirs.similarity_fn_name = function
    left, right = ours.encode(TEXTS), ours.encode(TEXTS[::-1])
    np.testing.assert_allclose(ours.similarity(left, right), theirs.similarity(left, right).numpy(), atol=1e-6)
    np.testing.assert_allclose(
        ours.similarity_pairwise(left, right), theirs.similarity_pairwise(left, right).numpy(), atol=1e-6
    )
    lone = ours.similarity_pairwise(left[0], right[0])
    assert lone.shape == tuple(theirs.similarity_pairwise(left[0], right[0]).shape)


def test_max_seq_length(tmp_path: Path) -> None:
    ours, theirs = build(tmp_path, "mean")
    assert ours.max_seq_length == theirs.max_seq_length == 48
    ours.max_seq_length = theirs.max_seq_length = 12
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    assert ours.device == str(theirs.device)


@pytest.mark.parametrize("precision", ["float32", "uint8", "ubinary"])
def test_tensors(tmp_path: Path, precision: Any) -> None:
    ours, theirs = build(tmp_path, "mean")
    for sentences in (TEXTS, TEXTS[2]) if precision == "float32" else (TEXTS,):
        found = ours.encode(sentences, convert_to_tensor=True, precision=precision)
        wanted = theirs.encode(sentences, convert_to_tensor=True, precision=precision)
        assert (type(found), found.dtype, found.shape) == (type(wanted), wanted.dtype, wanted.shape)
        # A value on the edge of a step may fall to either side.
        assert (found.double() - wanted.double()).abs().max() <= (1 if precision == "uint8" else 1e-5)
        rows = ours.encode(sentences, convert_to_numpy=False, precision=precision)
        their_rows = theirs.encode(sentences, convert_to_numpy=False, precision=precision)
        assert isinstance(rows, list) == isinstance(their_rows, list)
        assert np.shape(rows) == tuple(np.shape(their_rows))


@pytest.mark.parametrize("include_prompt", [True, False])
def test_token_embeddings(tmp_path: Path, include_prompt: bool) -> None:
    ours, theirs = build(tmp_path, "mean", prompt=include_prompt, prompts={"query": "that which is "})
    for name in (None, "query"):
        asked: dict[str, Any] = {"output_value": "token_embeddings", "prompt_name": name}
        for found, wanted in zip(ours.encode(TEXTS, **asked), theirs.encode(TEXTS, **asked), strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
        np.testing.assert_allclose(ours.encode(TEXTS[2], **asked), theirs.encode(TEXTS[2], **asked).numpy(), atol=1e-4)


def test_everything_at_once(tmp_path: Path) -> None:
    ours, theirs = build(tmp_path, "mean", prompts={"query": "that which is "})
    asked: dict[str, Any] = {"output_value": None, "prompt_name": "query"}
    for found, wanted in zip(ours.encode(TEXTS, **asked), theirs.encode(TEXTS, **asked), strict=True):
        # Theirs has the filler of its batch behind the tokens.
        tokens = len(found["input_ids"])
        assert int(wanted["attention_mask"].sum()) == tokens
        assert np.array_equal(found["input_ids"], wanted["input_ids"][:tokens].numpy())
        assert np.array_equal(found["attention_mask"], wanted["attention_mask"][:tokens].numpy())
        np.testing.assert_allclose(found["token_embeddings"], wanted["token_embeddings"][:tokens].numpy(), atol=1e-4)
        np.testing.assert_allclose(found["sentence_embedding"], wanted["sentence_embedding"].numpy(), atol=1e-5)
    assert ours.encode(TEXTS[0], **asked).keys() <= theirs.encode(TEXTS[0], **asked).keys()


@pytest.mark.parametrize(
    "prompts", [{}, {"cluster": "that which "}, {"query": "an a "}, {"document": "an a "}], ids=str
)
def test_prompts_of_queries_and_documents(tmp_path: Path, prompts: dict[str, str]) -> None:
    ours, theirs = build(tmp_path, "mean", prompts=prompts)
    config = tmp_path / "saved" / "config_sentence_transformers.json"
    if "cluster" in prompts:
        config.write_text(json.dumps(json.loads(config.read_text()) | {"default_prompt_name": "cluster"}))
        settings = read_settings({"EMBEDHUB_HOME": str(tmp_path / "home")})
        ours = Model(tmp_path / "saved", dtype="f32", config=settings)
        theirs = st.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    for name in ("encode", "encode_query", "encode_document"):
        np.testing.assert_allclose(getattr(ours, name)(TEXTS), getattr(theirs, name)(TEXTS), atol=1e-5)
    for name in ("query", "document"):
        np.testing.assert_allclose(
            ours.encode(TEXTS, prompt_name=name), theirs.encode(TEXTS, prompt_name=name), atol=1e-5
        )


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
