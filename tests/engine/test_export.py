"""Exported ONNX files in ONNX Runtime, which browsers run, beside the engine's own vectors."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.engine.checkpoints import write_bert, write_classifier, write_family, write_tokenizer
from tests.engine.golden import golden_texts

from embedhub import Classifier, Model
from embedhub.choices import OnnxForm
from embedhub.config import Settings
from embedhub.engine.calibration import sample_texts
from embedhub.engine.export import eight_bits, onnx_files, wire
from embedhub.engine.export.onnx_files import kept_onnx, onnx_graph
from embedhub.engine.export.translation import Exact, Weighty
from embedhub.engine.graphs import ARCHITECTURES
from embedhub.errors import ModelError, ModelIntegrityError, UnsupportedModelError
from embedhub.models import ModelSpec, read_spec

TEXTS = ["the one", "", "a of and to in is was for on with as by at from it " * 3, "not this, but that!"]

VARIANTS: dict[str, Callable[[Path], Path]] = {
    **{family: lambda folder, family=family: write_family(folder, family) for family in ARCHITECTURES},  # type: ignore[misc]
    "relu": lambda folder: write_family(folder, "bert", hidden_act="relu"),
    "gelu_new": lambda folder: write_family(folder, "bert", hidden_act="gelu_new"),
    "silu": lambda folder: write_family(folder, "bert", hidden_act="silu"),
}


def session(content: bytes) -> Any:
    """A file's graph, checked against the format's own rules first."""
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options)


def exported(spec: ModelSpec, weighty: Weighty) -> Any:
    file = BytesIO()
    wire.write_onnx(onnx_graph(spec, weighty), file, name="tiny")
    return session(file.getvalue())


def run(
    graph: Any, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None, *, left: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What a graph gives for rows of ids that are filled up, and the mask."""
    width = max(map(len, rows))
    feeds = {name: np.zeros((len(rows), width), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for number, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        feeds["input_ids"][number, place] = row
        feeds["attention_mask"][number, place] = 1
        if types is not None:
            feeds["token_type_ids"][number, place] = types[number]
    (given,) = graph.run(None, {port.name: feeds[port.name] for port in graph.get_inputs()})
    return given, feeds["attention_mask"]


def mean(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean pooling and length one, as Transformers.js does it."""
    sums = (tokens * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True))


def ids_of(model: Model, texts: Sequence[str]) -> list[list[int]]:
    return [text.pieces[0] for text in model.tokenizer.tokenize(texts)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("left", [False, True], ids=["filled right", "filled left"])
def test_every_family_gives_the_engines_vectors(variant: str, left: bool, tmp_path: Path, offline: Settings) -> None:
    model = Model(VARIANTS[variant](tmp_path / "model"), dtype="f32", config=offline)
    tokens, mask = run(exported(model.spec, Exact()), ids_of(model, TEXTS), left=left)
    assert tokens.shape == (*mask.shape, 32)
    assert np.abs(mean(tokens, mask) - model.encode(TEXTS)).max() < 1e-5


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_eight_bits_come_near_in_every_family(family: str, tmp_path: Path, offline: Settings) -> None:
    model = Model(write_family(tmp_path / "model", family), dtype="f32", config=offline)
    found = mean(*run(exported(model.spec, eight_bits.EightBits()), ids_of(model, TEXTS)))
    assert (found * model.encode(TEXTS)).sum(axis=1).min() > 0.99
    assert np.abs(found - model.encode(TEXTS)).max() > 1e-5, "this was not computed in 8 bits"


def test_large_tables_in_eight_bits(tmp_path: Path, offline: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eight_bits, "_LARGE_TABLE", 1)
    model = Model(write_bert(tmp_path / "model"), dtype="f32", config=offline)
    found = mean(*run(exported(model.spec, eight_bits.EightBits()), ids_of(model, TEXTS)))
    assert (found * model.encode(TEXTS)).sum(axis=1).min() > 0.99


def test_the_inputs_and_outputs_that_others_expect(tmp_path: Path) -> None:
    wanted = {"bert": 3, "distilbert": 2, "mpnet": 2, "roberta": 2}
    names = ["input_ids", "attention_mask", "token_type_ids"]
    for family, count in wanted.items():
        graph = exported(read_spec(write_family(tmp_path / family, family), id="tiny"), Exact())
        assert [port.name for port in graph.get_inputs()] == names[:count]
        assert {port.type for port in graph.get_inputs()} == {"tensor(int64)"}
        assert [(port.name, port.shape) for port in graph.get_outputs()] == [
            ("last_hidden_state", ["batch_size", "sequence_length", 32])
        ]


@pytest.mark.parametrize("inputs", [None, ["input_ids", "attention_mask"]], ids=["types", "no types"])
@pytest.mark.parametrize("weighty", [Exact, eight_bits.EightBits])
def test_classifiers_give_logits(
    inputs: list[str] | None, weighty: type[Weighty], tmp_path: Path, offline: Settings
) -> None:
    folder = write_classifier(tmp_path / "model", labels=3)
    write_tokenizer(folder, max_tokens=48, inputs=inputs)
    classifier = Classifier(folder, dtype="f32", config=offline)
    pairs = [("the one", "not this, but that!"), ("a", "b c d e f g " * 30)]
    read = classifier.tokenizer.tokenize(pairs)
    graph = exported(classifier.spec, weighty())
    logits, _ = run(graph, [each.ids for each in read], [each.types for each in read])
    assert [(port.name, port.shape) for port in graph.get_outputs()] == [("logits", ["batch_size", 3])]
    assert np.abs(logits - classifier.logits(pairs)).max() < (1e-5 if weighty is Exact else 0.2)
    assert ("token_type_ids" in [port.name for port in graph.get_inputs()]) == (inputs is None)


def test_the_default_model(default_model: Model, tmp_path: Path) -> None:
    texts = [*golden_texts()[:13], *sample_texts()[::12]]
    ids, wanted = ids_of(default_model, texts), default_model.encode(texts)
    exact = kept_onnx(default_model.spec, OnnxForm.FLOAT32, tmp_path)
    assert np.abs(mean(*run(session(exact.read_bytes()), ids)) - wanted).max() < 1e-5
    small = kept_onnx(default_model.spec, OnnxForm.QUANTIZED, tmp_path)
    assert small.stat().st_size < exact.stat().st_size * 0.27
    graph = session(small.read_bytes())
    alone = np.concatenate([mean(*run(graph, [each])) for each in ids])
    cosines = (alone * wanted).sum(axis=1)
    # A CPU without VNNI loses a little more than WebAssembly does.
    assert cosines.min() > 0.97
    assert cosines.mean() > 0.99
    assert (alone * mean(*run(graph, ids))).sum(axis=1).min() > 0.998, "a text's vector depends on its neighbours"


def test_a_file_is_made_once_and_anew_when_the_model_changed(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "model")
    first = kept_onnx(read_spec(folder, id="tiny"), OnnxForm.FLOAT32, tmp_path)
    made = first.stat().st_mtime_ns
    assert first.parent == tmp_path / "exports"
    assert kept_onnx(read_spec(folder, id="another name"), OnnxForm.FLOAT32, tmp_path).stat().st_mtime_ns == made
    write_bert(folder, seed=9)
    assert kept_onnx(read_spec(folder, id="tiny"), OnnxForm.FLOAT32, tmp_path) != first


def test_of_several_who_want_a_file_one_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_spec(write_bert(tmp_path / "model"), id="tiny")
    made: list[str] = []

    def counting(spec: ModelSpec, weighty: Weighty) -> wire.OnnxGraph:
        made.append(spec.id)
        return onnx_graph(spec, weighty)

    monkeypatch.setattr(onnx_files, "onnx_graph", counting)
    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(lambda _: kept_onnx(spec, OnnxForm.QUANTIZED, tmp_path), range(4)))
    assert len(places) == len(made) == 1


def test_nothing_is_left_of_a_file_that_could_not_be_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_spec(write_bert(tmp_path / "model"), id="tiny")
    monkeypatch.setattr(wire, "LARGEST_FILE", 10_000)
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / ".dead.onnx.1.unfinished").write_bytes(b"of a process that was killed")
    with pytest.raises(UnsupportedModelError, match="2 GiB"):
        kept_onnx(spec, OnnxForm.FLOAT32, tmp_path)
    assert [path.name for path in (tmp_path / "exports").iterdir()] == [".lock"]


def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "model")
    cases: list[tuple[dict[str, object], type[ModelError], str]] = [
        ({"model_type": "electra"}, UnsupportedModelError, "electra"),
        ({"position_embedding_type": "relative_key"}, UnsupportedModelError, "relative"),
        ({"hidden_act": "mish"}, UnsupportedModelError, "mish"),
        ({"num_hidden_layers": 3}, ModelIntegrityError, "no tensor"),
    ]
    for number, (change, kind, words) in enumerate(cases):
        broken = write_family(tmp_path / str(number), "bert", **change)
        with pytest.raises(kind, match=words) as caught:
            kept_onnx(read_spec(broken, id="tiny"), OnnxForm.FLOAT32, tmp_path)
        assert "\n" not in str(caught.value)
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(ModelError, match="home"):
        kept_onnx(read_spec(folder, id="tiny"), OnnxForm.FLOAT32, tmp_path / "home")
