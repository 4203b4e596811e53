"""What people who know sentence-transformers say to a model: keywords, properties, and one line for what cannot be."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.checkpoints import write_bert

from embedhub import EncodeOptions, Model
from embedhub.config import Settings
from embedhub.errors import EmbedhubError, MissingExtraError, SettingError, TextTooLongError

LONG = "that which is not " * 40
TEXTS = ["the one", "an it that is"]


def longer_model(folder: Path, config: Settings) -> Model:
    """A model with 48 positions that reads 20 tokens unless told otherwise."""
    write_bert(folder)
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"model_max_length": 20}))
    return Model(folder, dtype="f32", config=config)


def test_the_usual_keywords_change_nothing(tiny: Model) -> None:
    wanted = tiny.encode(TEXTS)
    usual: dict[str, Any] = {
        "convert_to_numpy": True,
        "convert_to_tensor": False,
        "device": "cpu",
        "pool": None,
        "chunk_size": None,
    }
    for call in (tiny.encode, tiny.encode_query, tiny.encode_document):
        assert np.array_equal(call(TEXTS, **usual), wanted)
        assert np.array_equal(call(TEXTS, None, None, 32, False, "sentence_embedding", "float32", True), wanted)


def test_lists_instead_of_arrays(tiny: Model) -> None:
    wanted = tiny.encode(TEXTS)
    found = tiny.encode(TEXTS, convert_to_numpy=False)
    assert isinstance(found, list)
    assert np.array_equal(np.stack(found), wanted)
    assert np.array_equal(tiny.encode("the one", convert_to_numpy=False), tiny.encode("the one"))
    assert tiny.encode([], convert_to_numpy=False) == []
    assert [each.dtype for each in tiny.encode(TEXTS, convert_to_numpy=False, precision="ubinary")] == [np.uint8] * 2


def test_without_torch_a_tensor_is_refused_before_anything_is_computed(
    tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"embedhub\[torch\]"):
        tiny.encode(iter(lambda: pytest.fail("a text was asked for"), None), convert_to_tensor=True)


def test_token_embeddings(tiny: Model) -> None:
    found = tiny.encode(TEXTS, output_value="token_embeddings")
    assert [(each.shape, each.dtype) for each in found] == [((4, 32), np.float32), ((6, 32), np.float32)]
    pooled = np.stack([each.mean(axis=0) for each in found])
    assert np.abs(pooled / np.linalg.norm(pooled, axis=1, keepdims=True) - tiny.encode(TEXTS)).max() < 1e-5
    assert np.array_equal(tiny.encode(TEXTS[0], output_value="token_embeddings"), found[0])
    assert tiny.encode([], output_value="token_embeddings") == []
    prompted = tiny.encode(TEXTS, output_value="token_embeddings", prompt="which ")
    assert [len(each) for each in prompted] == [5, 7]


def test_everything_at_once(tiny: Model) -> None:
    found = tiny.encode(TEXTS, output_value=None, truncate_dim=8)
    assert [sorted(each) for each in found] == [
        ["attention_mask", "input_ids", "sentence_embedding", "token_embeddings"]
    ] * 2
    tokens = tiny.encode(TEXTS, output_value="token_embeddings")
    vectors = tiny.encode(TEXTS, truncate_dim=8)
    for text, each, of_tokens, vector in zip(TEXTS, found, tokens, vectors, strict=True):
        assert np.array_equal(each["input_ids"], tiny.tokenize([text])["input_ids"][0])
        assert each["attention_mask"].tolist() == [1] * len(each["input_ids"])
        assert np.array_equal(each["token_embeddings"], of_tokens)
        assert np.array_equal(each["sentence_embedding"], vector)
    assert tiny.encode(TEXTS[0], output_value=None)["input_ids"].tolist() == found[0]["input_ids"].tolist()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"device": "cuda"}, "device"),
        ({"device": ["cpu", "cpu"]}, "device"),
        ({"device": 0}, "device"),
        ({"pool": {"input": 1}}, "pool"),
        ({"chunk_size": 100}, "chunk_size"),
        ({"output_value": "embeddings"}, "output_value"),
        ({"output_value": 3}, "output_value"),
        ({"output_value": None, "precision": "int8"}, "precision"),
        ({"output_value": "token_embeddings", "long_texts": "chunk"}, "long_texts"),
        ({"truncate_dim": 1.5}, "truncate_dim"),
        ({"truncate_dim": "8"}, "truncate_dim"),
        ({"truncate_dim": True}, "truncate_dim"),
        ({"truncate_dim": 0}, "truncate_dim"),
        ({"batch_size": "3"}, "batch_size"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"precision": 7}, "precision"),
        ({"precision": ["int8"]}, "precision"),
        ({"prompt": 5}, "prompt"),
        ({"prompt_name": 5}, "prompt"),
        ({"prompt_name": ["query"]}, "prompt"),
        ({"long_texts": 3}, "long_texts"),
        ({"long_texts": ["chunk"]}, "long_texts"),
    ],
    ids=str,
)
def test_impossible_arguments_are_refused_in_one_line(tiny: Model, wrong: dict[str, Any], named: str) -> None:
    for call in (tiny.encode, tiny.encode_query, tiny.encode_document):
        with pytest.raises(SettingError, match=named) as caught:
            call(TEXTS, **wrong)
        assert "\n" not in str(caught.value)


def test_keywords_that_nobody_knows_are_type_errors(tiny: Model) -> None:
    for call in (tiny.encode, tiny.encode_query, tiny.encode_document):
        with pytest.raises(TypeError, match="normalise"):
            call(TEXTS, normalise=True)  # type: ignore[call-arg]


def test_options_are_checked_at_every_door() -> None:
    for wrong in ({"batch_size": "3"}, {"truncate_dim": 1.5}, {"long_texts": "cut"}, {"prompt": 5}):
        with pytest.raises(SettingError):
            EncodeOptions(**wrong)
    assert EncodeOptions(batch_size=np.int64(3)).batch_size == 3  # type: ignore[arg-type]


def test_long_texts_can_be_an_error_for_tokens(tiny: Model) -> None:
    with pytest.raises(TextTooLongError, match="text 1 has 162 tokens"):
        tiny.encode(["a", LONG], output_value="token_embeddings", long_texts="error")


def test_another_device_is_refused_when_loading(tiny_folder: Path, offline: Settings) -> None:
    with pytest.raises(SettingError, match="device 'cuda'"):
        Model(tiny_folder, device="cuda", config=offline)
    assert Model(tiny_folder, device="cpu", config=offline).device == "cpu"


def test_a_model_says_what_it_is(tiny: Model) -> None:
    assert repr(tiny) == (f"Model({tiny.spec.id!r}, dtype='f32', backend='openvino', dimensions=32, max_seq_length=48)")
    assert tiny.get_embedding_dimension() == tiny.get_sentence_embedding_dimension() == 32


@pytest.mark.parametrize("function", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_of_pairs(tiny_folder: Path, offline: Settings, function: str) -> None:
    model = Model(tiny_folder, dtype="f32", config=offline)
    assert model.similarity_fn_name == "cosine"
    model.similarity_fn_name = function
    assert model.similarity_fn_name == function
    left, right = np.random.default_rng(5).standard_normal((2, 7, 9)).astype(np.float32)
    left[3] = 0
    found = model.similarity_pairwise(left, right)
    assert found.shape == (7,)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.diag(model.similarity(left, right)), atol=1e-5)
    np.testing.assert_allclose(model.similarity_pairwise(left[0], right[0]), found[0], atol=1e-6)
    with pytest.raises(SettingError, match="make no pairs"):
        model.similarity_pairwise(left, right[:3])


@pytest.mark.parametrize("wrong", ["cosin", None, 3, ["dot"]])
def test_similarity_functions_that_nobody_knows(tiny: Model, wrong: Any) -> None:
    with pytest.raises(SettingError, match="cosine, dot, euclidean, manhattan"):
        tiny.similarity_fn_name = wrong
    assert tiny.similarity_fn_name == "cosine"


def test_max_seq_length_can_be_set(tmp_path: Path, offline: Settings) -> None:
    model = longer_model(tmp_path / "longer", offline)
    words = LONG.split()
    assert model.max_seq_length == 20
    fingerprint = model.spec.fingerprint
    for limit in (10, 48, 20):
        model.max_seq_length = limit
        assert model.max_seq_length == model.spec.max_tokens == limit
        assert model.tokenize([LONG])["input_ids"].shape == (1, limit)
        assert model.embed([LONG]).truncated.tolist() == [True]
        assert np.array_equal(model.encode(LONG), model.encode(" ".join(words[: limit - 2])))
        with pytest.raises(TextTooLongError, match=f"reads {limit}"):
            model.encode(LONG, long_texts="error")
    assert model.spec.fingerprint == fingerprint
    model.max_seq_length = 10
    assert model.spec.fingerprint != fingerprint


@pytest.mark.parametrize("wrong", [49, 10**30, 2, 0, -1, "16", 16.0, None])
def test_impossible_lengths_change_nothing(tmp_path: Path, offline: Settings, wrong: Any) -> None:
    model = longer_model(tmp_path / "longer", offline)
    with pytest.raises(SettingError, match="max_seq_length"):
        model.max_seq_length = wrong
    assert model.max_seq_length == 20
    assert model.tokenize([LONG])["input_ids"].shape == (1, 20)


def test_the_usual_prompts_may_be_named_where_a_model_has_none(tiny: Model) -> None:
    for name in ("query", "document"):
        assert np.array_equal(tiny.encode(TEXTS, prompt_name=name), tiny.encode(TEXTS))


def test_the_default_prompt_is_neither_for_queries_nor_for_documents(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "prompted")
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"cluster": "that which "}, "default_prompt_name": "cluster"})
    )
    model = Model(folder, dtype="f32", config=offline)
    bare = model.encode(TEXTS, prompt="")
    assert np.array_equal(model.encode(TEXTS), model.encode(TEXTS, prompt="that which "))
    assert np.array_equal(model.encode_query(TEXTS), bare)
    assert np.array_equal(model.encode_document(TEXTS), bare)
    assert model.document_prompt == ""


def test_truncation_is_told_once_a_call(tiny: Model, caplog: pytest.LogCaptureFixture) -> None:
    told = [("embedhub.engine.model", logging.WARNING)]
    message = "2 of 9001 texts: longer than 48 tokens, only the beginning was read; see long_texts"
    tiny.encode([LONG, *["a"] * 8999, LONG])
    assert [record[:2] for record in caplog.record_tuples] == told
    assert caplog.messages == [message]
    for value in ("token_embeddings", None):
        caplog.clear()
        tiny.encode(["a", LONG], output_value=value)
        assert caplog.messages == ["1 of 2 texts: longer than 48 tokens, only the beginning was read; see long_texts"]
    caplog.clear()
    tiny.encode(["a", "the one"])
    tiny.encode(["a", LONG], long_texts="chunk")
    tiny.embed(["a", LONG])
    with pytest.raises(EmbedhubError):
        tiny.encode(["a", LONG], long_texts="error")
    assert caplog.messages == []


def test_the_command_tells_of_truncation_once(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text(f"a\n{LONG}\n")
    command = [sys.executable, "-m", "embedhub", "embed", "texts.txt", "-o", "out", "--model", str(tiny_folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout + done.stderr).count("truncated") == 1
    assert "only the beginning" not in done.stdout + done.stderr
