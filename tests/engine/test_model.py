"""`Model` as a user meets it, on the tiny model: what goes in, what comes out, what is said."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.checkpoints import write_bert
from tests.engine.forking import vectors_in_forks

import embedhub
from embedhub import EncodeOptions, Model
from embedhub.config import Settings
from embedhub.engine.backends import openvino
from embedhub.engine.backends.openvino import Machine, compile_graph, machine
from embedhub.errors import ModelIntegrityError, SettingError, TextTooLongError, TextTypeError

LONG = "that which is not " * 40


def test_a_lone_string_gives_a_flat_vector(tiny: Model) -> None:
    assert tiny.encode("the one").shape == (32,)
    assert tiny.encode(["the one"]).shape == (1, 32)
    assert np.array_equal(tiny.encode("the one"), tiny.encode(["the one"])[0])
    assert tiny.encode(np.str_("the one")).shape == (32,)


def test_every_way_of_holding_texts_is_the_same(tiny: Model) -> None:
    texts = ["the one", "an it", ""]
    wanted = tiny.encode(texts)
    for held in (
        tuple(texts),
        np.array(texts),
        np.array(texts, dtype=object),
        (text for text in texts),
        dict.fromkeys(texts).keys(),
    ):
        assert np.array_equal(tiny.encode(held), wanted)


def test_no_texts(tiny: Model) -> None:
    assert tiny.encode([]).shape == (0, 32)
    assert tiny.encode(iter(())).shape == (0, 32)
    assert tiny.encode([], truncate_dim=8, precision="float16").shape == (0, 8)
    assert tiny.tokenize([])["input_ids"].shape == (0, 0)
    assert tiny.token_embeddings([]) == []


@pytest.mark.parametrize(
    "wrong", [["a", 3], [None], [b"bytes"], b"bytes", 7, {"a": 1}, {"a", "b"}, [["nested"]], [float("nan")]]
)
def test_what_is_no_text_is_refused(tiny: Model, wrong: object) -> None:
    with pytest.raises(TextTypeError):
        tiny.encode(wrong)


def test_the_message_has_the_number_of_the_text(tiny: Model) -> None:
    with pytest.raises(TextTypeError, match="text 9000 is int"):
        tiny.encode([*(["a"] * 9000), 5])


def test_odd_texts(tiny: Model) -> None:
    odd = ["a\0b", "half \ud83d of a pair", "\ud83d\ude00", " ", "\n", "\u202e", "a" * 100_000]
    vectors = tiny.encode(odd)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    # Two halves that meet are the character they stand for.
    assert np.array_equal(tiny.encode("\ud83d\ude00"), tiny.encode("\U0001f600"))


def test_a_text_does_not_depend_on_its_neighbours(tiny: Model) -> None:
    texts = [f"{'the one that is not ' * (number % 7)} {number}" for number in range(60)]
    alone = np.stack([tiny.encode(text) for text in texts])
    for together in (
        tiny.encode(texts),
        tiny.encode(texts, batch_size=1),
        tiny.encode(texts[::-1])[::-1],
        tiny.embed(texts, EncodeOptions(mixed=True)).vectors,
    ):
        assert np.abs(together - alone).max() < 1e-5


def test_many_texts(tiny: Model) -> None:
    texts = [f"the {number % 100}" for number in range(100_000)]
    vectors = tiny.encode(texts)
    assert vectors.shape == (100_000, 32)
    assert np.abs(vectors[:100] - vectors[-100:]).max() < 1e-5


def test_truncation_is_visible(tiny: Model) -> None:
    found = tiny.embed(["a", LONG])
    assert found.truncated.tolist() == [False, True]
    assert found.tokens.tolist() == [3, 162]
    assert tiny.tokenize([LONG])["input_ids"].shape == (1, 48)


def test_long_texts_can_be_an_error(tiny: Model) -> None:
    with pytest.raises(TextTooLongError, match="text 1 has 162 tokens, the model reads 48"):
        tiny.encode(["a", LONG], long_texts="error")


def test_long_texts_can_be_read_in_chunks(tiny: Model) -> None:
    found = tiny.embed(["a", LONG], EncodeOptions(long_texts="chunk"))
    assert found.truncated.tolist() == [False, False]
    assert np.abs(found.vectors[0] - tiny.encode("a")).max() < 1e-5
    # Four pieces: three of 48 tokens, 46 of them its own, and the rest.
    words = LONG.split()
    pieces = [" ".join(words[start : start + 46]) for start in range(0, len(words), 46)]
    ids = tiny.tokenize(pieces)
    weights = ids["attention_mask"].sum(axis=1)
    raw = np.stack([tokens.mean(axis=0) for tokens in tiny.token_embeddings(pieces)])
    merged = (raw * weights[:, None]).sum(axis=0) / weights.sum()
    assert np.abs(found.vectors[1] - merged / np.linalg.norm(merged)).max() < 1e-5


def test_only_the_first_chunk_carries_the_prompt(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "prompted")
    pooling = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    model = Model(folder, dtype="f32", config=offline)
    prompt, chunk = "an a of ", EncodeOptions(prompt="an a of ", long_texts="chunk")
    words = (prompt + LONG).split()
    pieces = model.token_embeddings([" ".join(words[start : start + 46]) for start in range(0, len(words), 46)])
    # [CLS] and the prompt's three words are left out of the first piece, nothing of the others.
    kept = np.concatenate([pieces[0][4:], *pieces[1:]]).mean(axis=0)
    found = model.embed(["a", LONG, "the one"], chunk).vectors
    assert np.abs(found[1] - kept / np.linalg.norm(kept)).max() < 1e-5
    alone = model.encode(["a", "the one"], prompt=prompt)
    assert np.abs(found[[0, 2]] - alone).max() < 1e-5
    assert np.isfinite(model.embed(["", "a"], EncodeOptions(prompt=LONG, long_texts="chunk")).vectors).all()


def test_truncate_dim_is_normalised_again(tiny: Model) -> None:
    cut = tiny.encode(["the one", "an it"], truncate_dim=8)
    whole = tiny.encode(["the one", "an it"])[:, :8]
    np.testing.assert_allclose(cut, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-6)


def test_impossible_arguments(tiny: Model) -> None:
    for wrong in (
        {"truncate_dim": 33},
        {"precision": "int4"},
        {"long_texts": "cut"},
        {"batch_size": -1},
        {"prompt_name": "x"},
    ):
        with pytest.raises(SettingError):
            tiny.encode(["a", "b"], **wrong)
    with pytest.raises(SettingError, match="f16"):
        Model("anything", dtype="f16")


def test_prompts(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "prompted")
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "that which ", "passage": "an a "}, "default_prompt_name": None})
    )
    model = Model(folder, dtype="f32", config=offline)
    wanted = model.encode("that which the one")
    assert np.array_equal(model.encode("the one", prompt="that which "), wanted)
    assert np.array_equal(model.encode("the one", prompt_name="query"), wanted)
    assert np.array_equal(model.encode_query("the one"), wanted)
    assert np.array_equal(model.encode_document("the one"), model.encode("an a the one"))
    assert model.document_prompt == "an a "
    with pytest.raises(SettingError, match="query, passage"):
        model.encode("the one", prompt_name="nonsense")


def test_tokenize_pads(tiny: Model) -> None:
    found = tiny.tokenize(["a", "the one that"])
    assert found["input_ids"].shape == found["attention_mask"].shape == (2, 5)
    assert found["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]


def test_progress_bar_changes_nothing(tiny: Model) -> None:
    assert np.array_equal(tiny.encode(["a", "an"], show_progress_bar=True), tiny.encode(["a", "an"]))


def test_a_text_is_computed_while_the_way_of_many_is_compiled(
    tiny_folder: Path, offline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    model = Model(tiny_folder, dtype="f32", threads=2, config=offline)
    model.encode("the")
    compiling, go_on, compiled = threading.Event(), threading.Event(), []

    def compile_slowly(graph: Any, dtype: str, use: Machine) -> Any:
        compiled.append(use.streams)
        compiling.set()
        assert go_on.wait(60)
        return compile_graph(graph, dtype, use)

    monkeypatch.setattr(openvino, "compile_graph", compile_slowly)
    with ThreadPoolExecutor(2) as pool:
        preparing = pool.submit(model.encoder.prepare)
        assert compiling.wait(60)
        alone = model.encode("this is that")
        together = pool.submit(model.encode, ["this is that"] * 100, batch_size=10)
        go_on.set()
        np.testing.assert_allclose(together.result(60)[7], alone, atol=1e-5)
        preparing.result(60)
    assert compiled == [2], "whoever needs it waits for the one that is being made"


def test_threads_may_share_a_model(tiny: Model) -> None:
    texts = [["the one", f"{number}", LONG] * 5 for number in range(16)]
    wanted = [tiny.encode(each) for each in texts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(tiny.encode, texts))
    assert all(np.array_equal(left, right) for left, right in zip(found, wanted, strict=True))


def test_children_of_a_process_that_used_a_model_may_use_it(tiny_folder: Path, tmp_path: Path) -> None:
    assert vectors_in_forks(tiny_folder, tmp_path) == "same vectors everywhere"


def test_an_error_in_the_middle_leaves_the_model_usable(tiny: Model) -> None:
    def texts() -> object:
        yield from ["a"] * 10_000
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        tiny.encode(texts())
    assert tiny.encode("a").shape == (32,)


def test_wrong_weights_are_not_loaded(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "broken")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for broken in (whole[:-10], whole[:100], b"", b"\xff" * 64):
        weights.write_bytes(broken)
        with pytest.raises(ModelIntegrityError, match=r"model\.safetensors"):
            Model(folder, config=offline)


def test_missing_tensors_are_named(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "short", layers=1)
    config = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelIntegrityError, match=r"no tensor encoder\.layer\.1"):
        Model(folder, config=offline)


def test_tables_that_end_too_early_are_refused(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "positions")
    settings_of = folder / "config.json"
    settings_of.write_text(json.dumps(json.loads(settings_of.read_text()) | {"max_position_embeddings": 400}))
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"model_max_length": 400}))
    with pytest.raises(ModelIntegrityError, match=r"position_embeddings.*48 rows.*400"):
        Model(folder, config=offline)
    folder = write_bert(tmp_path / "words")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())
    vocabulary["model"]["vocab"]["the"] = 1_000_000
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ModelIntegrityError, match=r"word_embeddings.*1000001"):
        Model(folder, config=offline)


@pytest.mark.parametrize("wrong", [None, -1e-12, "1e-12", 0, True, [1], float("nan")])
def test_an_absurd_epsilon_is_refused(tmp_path: Path, offline: Settings, wrong: object) -> None:
    folder = write_bert(tmp_path / "epsilon", layers=1)
    config = json.loads((folder / "config.json").read_text()) | {"layer_norm_eps": wrong}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelIntegrityError, match=r"config\.json.*layer_norm_eps"):
        Model(folder, config=offline)


def test_more_threads_than_cores_are_as_many_as_there_are(
    tiny_folder: Path, offline: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    assert machine(10**9, 10**9) == machine(os.cpu_count() or 1)
    assert "1000000000 threads were asked for" in caplog.text
    for wrong in ({"threads": -1}, {"threads": "2"}, {"streams": 1.5}):
        with pytest.raises(SettingError, match="must be a whole number"):
            Model(tiny_folder, config=offline, **wrong)


def test_the_public_names_exist() -> None:
    assert all(getattr(embedhub, name) is not None for name in embedhub.__all__)
    assert sorted(embedhub.__all__) == embedhub.__all__
    with pytest.raises(AttributeError, match="EmbeddedDataset, EncodeOptions, Model"):
        _ = embedhub.nonsense
