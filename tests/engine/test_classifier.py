"""`Classifier` as a user meets it, on tiny models: what goes in, what comes out, what is said."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.engine.checkpoints import write_bert, write_classifier
from tests.models.layouts import change, write

from embedhub import Classifier, Model
from embedhub.config import Settings, read_settings
from embedhub.engine.calibration import calibrate_model
from embedhub.engine.heads import HEADS
from embedhub.engine.packing import Job
from embedhub.engine.scores import sigmoid, softmax
from embedhub.errors import ModelIntegrityError, SettingError, TextTypeError, UnsupportedModelError
from embedhub.models.spec import GRAPHED

LONG = "that which is not " * 40
PAIRS = [("the one", "which is not"), ("a", ""), ("", ""), (LONG, "a b c"), ("a", LONG), (LONG, LONG), ("an it", "of")]
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def opened(folder: Path, home: Path) -> Classifier:
    return Classifier(folder, dtype="f32", config=read_settings({"EMBEDHUB_HOME": str(home), "HF_HUB_OFFLINE": "1"}))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A cross-encoder: one label."""
    return opened(write_classifier(tmp_path_factory.mktemp("one") / "model"), tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A text classifier with three labels."""
    folder = write_classifier(
        tmp_path_factory.mktemp("three") / "model", labels=3, id2label={"0": "bad", "1": "so-so", "2": "good"}
    )
    return opened(folder, tmp_path_factory.mktemp("home"))


def test_what_it_is(one: Classifier, three: Classifier) -> None:
    assert (one.is_cross_encoder, three.is_cross_encoder) == (True, False)
    assert three.labels == ("bad", "so-so", "good")
    assert (three.dtype, three.backend, three.max_seq_length) == ("f32", "openvino", 48)


def test_logits_do_not_depend_on_neighbours(three: Classifier) -> None:
    inputs: list[str | tuple[str, str]] = [*PAIRS, "the one", "", LONG]
    alone = np.concatenate([three.logits([each]) for each in inputs])
    assert alone.shape == (len(inputs), 3)
    assert alone.dtype == np.float32
    assert np.ptp(alone, axis=0).min() > 0.05, "logits that are all alike would hide errors"
    for together in (
        three.logits(inputs),
        three.logits(inputs, mixed=True),
        three.logits(inputs, batch_size=1),
        three.logits(inputs[::-1])[::-1],
    ):
        assert np.abs(together - alone).max() < 1e-5


def test_the_second_text_is_known_as_such(one: Classifier) -> None:
    """The same ids with other types give another score: the types reach the graph."""
    jobs = one.prepare([("the one", "which is not")]).jobs
    typed = one.encoder.compute(jobs)
    untyped = one.encoder.compute([Job(each.ids) for each in jobs])
    assert np.abs(typed - untyped).max() > 0.01


def test_the_three_steps_are_the_whole(three: Classifier) -> None:
    prepared = three.prepare(PAIRS)
    assert prepared.truncated.tolist() == [False, False, False, True, True, True, False]
    assert prepared.tokens[3] == 160 + 3 + 3
    pooled = three.encoder.compute(prepared.jobs)
    assert pooled.shape == (len(PAIRS), 32)
    assert np.abs(three.finish(pooled) - three.logits(PAIRS)).max() < 1e-5


def test_the_head_is_what_bert_computes(one: Classifier) -> None:
    tensors = load_file(one.spec.weights[0])
    pooled = one.encoder.compute(one.prepare(PAIRS).jobs)
    hidden = np.tanh(pooled @ tensors["bert.pooler.dense.weight"].T + tensors["bert.pooler.dense.bias"])
    wanted = hidden @ tensors["classifier.weight"].T + tensors["classifier.bias"]
    assert np.abs(one.finish(pooled) - wanted).max() < 1e-6


def test_predict(one: Classifier, three: Classifier) -> None:
    logits = one.logits(PAIRS)
    assert np.allclose(one.predict(PAIRS), sigmoid(logits[:, 0]), atol=1e-6)
    assert np.allclose(one.predict(PAIRS, lambda raw: raw), logits[:, 0], atol=1e-6)
    assert one.predict(PAIRS[0]).shape == ()
    assert one.predict([]).shape == (0,)
    assert np.allclose(three.predict(PAIRS), three.logits(PAIRS), atol=1e-6)
    assert np.allclose(three.predict(PAIRS, apply_softmax=True).sum(axis=1), 1, atol=1e-5)
    assert np.allclose(three.predict(PAIRS, softmax), three.predict(PAIRS, apply_softmax=True), atol=1e-6)
    assert three.predict(PAIRS[0]).shape == three.predict("the one").shape == (3,)
    assert three.predict([]).shape == (0, 3)
    for held in (list(map(list, PAIRS)), np.array(PAIRS), np.array(PAIRS, object), (pair for pair in PAIRS)):
        assert np.array_equal(three.predict(held), three.predict(PAIRS))


def test_rank(one: Classifier, three: Classifier) -> None:
    documents = ["which is not", "of", LONG, "of", ""]
    hits = one.rank("the one", documents, return_documents=True)
    assert sorted(hit["corpus_id"] for hit in hits) == [0, 1, 2, 3, 4]
    assert all(hit["text"] == documents[hit["corpus_id"]] for hit in hits)
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([one.predict(("the one", hit["text"])) for hit in hits], abs=1e-6)
    ids = [hit["corpus_id"] for hit in hits]
    assert ids.index(1) + 1 == ids.index(3), "equal ones stay in their order"
    assert one.rank("the one", iter(documents), top_k=2) == [
        {"corpus_id": hit["corpus_id"], "score": hit["score"]} for hit in hits[:2]
    ]
    assert one.rank("the one", []) == []
    with pytest.raises(UnsupportedModelError, match="3 labels"):
        three.rank("the one", documents)
    with pytest.raises(SettingError, match="top_k"):
        one.rank("the one", documents, top_k=0)


@pytest.mark.parametrize(
    "wrong", [[3], [("a", 3)], [("a",)], [("a", "b", "c")], [None], b"a", 7, {"a": 1}, {"a"}, ["a", "b", "c"], [{}]]
)
def test_what_is_no_text_and_no_pair_is_refused(one: Classifier, wrong: object) -> None:
    with pytest.raises(TextTypeError):
        one.predict(wrong)


def test_the_message_has_the_number_of_the_input(one: Classifier) -> None:
    with pytest.raises(TextTypeError, match="input 2 is int"):
        one.logits(["a", ("a", "b"), 5])  # type: ignore[list-item]
    with pytest.raises(TextTypeError, match="text 1 is int"):
        one.rank("a", ["a", 5])  # type: ignore[list-item]
    with pytest.raises(SettingError, match="batch_size"):
        one.logits(["a"], batch_size=0)


def test_the_default_prompt_stands_before_the_first_text(tmp_path: Path, offline: Settings) -> None:
    folder = write_classifier(tmp_path / "prompted")
    plain = Classifier(folder, dtype="f32", config=offline).logits([("that which a", "b"), "that which a"])
    write(
        folder / "config_sentence_transformers.json",
        {"model_type": "CrossEncoder", "prompts": {"search": "that which "}, "default_prompt_name": "search"},
    )
    prompted = Classifier(folder, dtype="f32", config=offline)
    assert np.abs(prompted.logits([("a", "b"), "a"]) - plain).max() < 1e-6


def test_threads_may_share_a_classifier(one: Classifier) -> None:
    wanted = one.predict(PAIRS)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one.predict, [PAIRS] * 16))
    assert all(np.abs(each - wanted).max() < 1e-6 for each in found)


def test_each_kind_has_its_own_door(tmp_path: Path, offline: Settings) -> None:
    classifier, embedding = write_classifier(tmp_path / "classifier"), write_bert(tmp_path / "embedding")
    with pytest.raises(UnsupportedModelError, match=r"is a classifier model.*use embedhub\.Classifier"):
        Model(classifier, config=offline)
    with pytest.raises(UnsupportedModelError, match=r"is an embedding model.*use embedhub\.Model"):
        Classifier(embedding, config=offline)


def test_number_types(tmp_path: Path, offline: Settings) -> None:
    folder = write_classifier(tmp_path / "model")
    assert Classifier(folder, dtype="auto", config=offline).dtype in {"f32", "bf16"}
    with pytest.raises(UnsupportedModelError, match="use dtype f32 or bf16"):
        Classifier(folder, dtype="int8", config=offline)
    with pytest.raises(UnsupportedModelError, match="f32 or bf16"):
        calibrate_model(str(folder), None, offline)
    with pytest.raises(SettingError, match="f16"):
        Classifier(folder, dtype="f16", config=offline)


def test_every_family_with_a_graph_has_a_head() -> None:
    assert set(HEADS) == set(GRAPHED)


def test_a_family_without_a_head_is_refused(tmp_path: Path, offline: Settings) -> None:
    folder = write_classifier(tmp_path / "other")
    change(folder / "config.json", model_type="electra", architectures=["ElectraForSequenceClassification"])
    with pytest.raises(UnsupportedModelError, match=r"electra.*bert, camembert, distilbert"):
        Classifier(folder, config=offline)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"an export of logits")
    with pytest.raises(UnsupportedModelError, match="electra"):
        Classifier(folder, config=offline)


@pytest.mark.parametrize("name", ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.bias"])
def test_a_missing_tensor_of_the_head_is_named(tmp_path: Path, offline: Settings, name: str) -> None:
    folder = write_classifier(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelIntegrityError, match=f"no tensor {name.removeprefix('bert.')}"):
        Classifier(folder, config=offline)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("classifier.weight", (3, 32)),
        ("classifier.weight", (2, 31)),
        ("classifier.weight", (64,)),
        ("classifier.bias", (3,)),
        ("bert.pooler.dense.weight", (16, 32)),
        ("bert.pooler.dense.bias", (1, 32)),
    ],
)
def test_a_head_of_another_shape_is_refused(
    tmp_path: Path, offline: Settings, name: str, shape: tuple[int, ...]
) -> None:
    folder = write_classifier(tmp_path / "model", labels=2, num_labels=2)
    tensors: dict[str, Floats] = load_file(folder / "model.safetensors")
    save_file(tensors | {name: np.zeros(shape, np.float32)}, folder / "model.safetensors")
    with pytest.raises(ModelIntegrityError, match=r"model\.safetensors.*save the model again"):
        Classifier(folder, config=offline)


def test_a_table_of_one_type_is_refused_where_two_are_said(tmp_path: Path, offline: Settings) -> None:
    folder = write_classifier(tmp_path / "model")
    tensors: dict[str, Floats] = load_file(folder / "model.safetensors")
    types = "bert.embeddings.token_type_embeddings.weight"
    save_file(tensors | {types: tensors[types][:1]}, folder / "model.safetensors")
    with pytest.raises(ModelIntegrityError, match=r"token_type_embeddings.*1 rows"):
        Classifier(folder, config=offline)
    change(folder / "config.json", type_vocab_size=1)
    assert Classifier(folder, dtype="f32", config=offline).logits([("a", "b")]).shape == (1, 1)
