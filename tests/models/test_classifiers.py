"""Which folders are classifiers, and what their files say about labels and scores, also when those are hostile."""

import json
from pathlib import Path

import pytest
from tests.engine.checkpoints import write_bert, write_classifier
from tests.models.layouts import as_version_6, change, write, write_modules

from embedhub.errors import ModelIntegrityError, UnsupportedModelError
from embedhub.models import ModelSpec, card_summary, read_spec

CROSS_ENCODER = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity", "prompts": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny classifier with three labels that config.json does not name."""
    return write_classifier(tmp_path / "model", labels=3)


def spec_of(folder: Path) -> ModelSpec:
    return read_spec(folder, id="acme/judge")


def test_a_bare_checkpoint_with_a_head(folder: Path) -> None:
    spec = spec_of(folder)

    assert (spec.kind, spec.labels) == ("classifier", ("LABEL_0", "LABEL_1", "LABEL_2"))
    assert (spec.pooling, spec.normalize, spec.max_tokens) == (("cls",), False, 48)
    assert (spec.stated_activation, spec.activation) == (None, "softmax")


def test_what_cross_encoder_saves(folder: Path) -> None:
    write(folder / "config_sentence_transformers.json", CROSS_ENCODER)
    write_modules(folder, ("", "base.modules.transformer.Transformer"))
    settings = {
        "transformer_task": "sequence-classification",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "scores",
        "max_seq_length": 20,
    }
    write(folder / "sentence_bert_config.json", settings)

    spec = spec_of(folder)

    assert (spec.kind, spec.activation, spec.max_tokens) == ("classifier", "identity", 20)


def test_an_embedding_model_around_an_encoder_that_once_had_a_head(tiny_folder: Path, tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "embedding")
    change(folder / "config.json", architectures=["BertForSequenceClassification"])

    spec = spec_of(folder)

    assert (spec.kind, spec.labels, spec.pooling) == ("embedding", (), ("mean",))
    # What is said about an embedding model and what its datasets remember is as it always was.
    assert spec.fingerprint == spec_of(tiny_folder).fingerprint
    assert spec_of(as_version_6(folder)).kind == "embedding"


@pytest.mark.parametrize("architectures", [None, [], ["BertModel"], ["BertForMaskedLM"], 5, [5], "BertModel"])
def test_without_such_an_architecture_it_is_an_embedding_model(folder: Path, architectures: object) -> None:
    change(folder / "config.json", architectures=architectures)

    assert spec_of(folder).kind == "embedding"


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": {"0": "no", "1": "yes"}}, ("no", "yes")),
        ({"id2label": {"2": "c", "0": "a", "1": "b"}, "num_labels": 3}, ("a", "b", "c")),
        ({"id2label": {"0": 1, "1": 5}}, ("1", "5")),
        (
            {"id2label": {str(number): f"l{number}" for number in range(11)}},
            tuple(f"l{number}" for number in range(11)),
        ),
        ({"num_labels": 2}, ("LABEL_0", "LABEL_1")),
        ({"id2label": None, "num_labels": None}, ("LABEL_0", "LABEL_1", "LABEL_2")),
    ],
)
def test_labels(folder: Path, config: dict[str, object], labels: tuple[str, ...]) -> None:
    change(folder / "config.json", **config)

    assert spec_of(folder).labels == labels


@pytest.mark.parametrize(
    "config",
    [
        {"id2label": {}},
        {"id2label": ["a", "b"]},
        {"id2label": "a"},
        {"id2label": {"a": "x"}},
        {"id2label": {"1": "x", "2": "y"}},
        {"id2label": {"0": "x", "00": "y"}},
        {"id2label": {"0": "x", "-1": "y"}},
        {"id2label": {"9" * 5000: "x"}},
        {"id2label": {"0": None}},
        {"id2label": {"0": ["x"]}},
        {"id2label": {"0": True}},
        {"id2label": {"0": "x"}, "num_labels": 2},
        {"num_labels": 0},
        {"num_labels": -1},
        {"num_labels": 10**12},
        {"num_labels": "3"},
        {"sentence_transformers": "torch"},
        {"sentence_transformers": {"activation_fn": 5}},
    ],
)
def test_broken_labels_are_one_line(folder: Path, config: dict[str, object]) -> None:
    change(folder / "config.json", **config)

    with pytest.raises(ModelIntegrityError, match=r"config\.json") as caught:
        spec_of(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("config", "stated"),
    [
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, "sigmoid"),
        ({"sentence_transformers": {"version": "4.0.1"}}, None),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        ({"default_activation_function": "torch.nn.Softmax"}, "softmax"),
        (
            {
                "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
                "sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid",
            },
            "identity",
        ),
    ],
)
def test_activations_in_every_place(folder: Path, config: dict[str, object], stated: str | None) -> None:
    change(folder / "config.json", **config)

    assert spec_of(folder).stated_activation == stated


@pytest.mark.parametrize(
    "named", ["torch.nn.modules.activation.Mish", "mine.Sigmoid", "torchless.Sigmoid", "Sigmoid", ""]
)
def test_other_activations_are_refused(folder: Path, named: str) -> None:
    change(folder / "config.json", sentence_transformers={"activation_fn": named})

    with pytest.raises(UnsupportedModelError, match="is not one of Identity, Sigmoid, Softmax"):
        spec_of(folder)


@pytest.mark.parametrize(
    ("problem", "labels", "activation"),
    [
        (None, 1, "sigmoid"),
        (None, 2, "softmax"),
        ("single_label_classification", 2, "softmax"),
        ("multi_label_classification", 2, "sigmoid"),
        ("regression", 1, "identity"),
    ],
)
def test_activations_that_nobody_states(folder: Path, problem: str | None, labels: int, activation: str) -> None:
    change(folder / "config.json", problem_type=problem, num_labels=labels)

    assert spec_of(folder).activation == activation


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"model_type": "bert", "hidden_size": 32, "architectures": ["BertForCausalLM"]}),
        ("modules.json", [{"path": "1_LogitScore", "type": "sentence_transformers.cross_encoder.modules.LogitScore"}]),
        ("modules.json", [{"path": "", "type": "mine.Transformer"}]),
        ("sentence_bert_config.json", {"transformer_task": "text-generation"}),
        ("sentence_bert_config.json", {"modality_config": {"text": {"method_output_name": "last_hidden_state"}}}),
    ],
)
def test_other_cross_encoders_are_refused(folder: Path, name: str, content: object) -> None:
    write(folder / "config_sentence_transformers.json", CROSS_ENCODER)
    write(folder / name, content)

    with pytest.raises(UnsupportedModelError):
        spec_of(folder)


def test_the_fingerprint_covers_what_decides_a_score(folder: Path) -> None:
    seen = [spec_of(folder).fingerprint]
    for name, values in (
        ("config.json", {"id2label": {"0": "a", "1": "b", "2": "c"}}),
        ("config.json", {"problem_type": "multi_label_classification"}),
        ("config.json", {"type_vocab_size": 1}),
        ("tokenizer_config.json", {"model_input_names": ["input_ids"]}),
        ("tokenizer_config.json", {"truncation_side": "left"}),
    ):
        change(folder / name, **values)
        seen.append(spec_of(folder).fingerprint)
    assert len(set(seen)) == len(seen)
    change(folder / "config.json", transformers_version="9")
    assert spec_of(folder).fingerprint == seen[-1]


def test_the_summary_has_labels_and_no_pooling(folder: Path) -> None:
    found = json.loads(json.dumps(card_summary(spec_of(folder))))

    assert (found["kind"], found["labels"]) == ("classifier", ["LABEL_0", "LABEL_1", "LABEL_2"])
    assert found["activation"] == "softmax"
    assert not {"pooling", "dimensions", "similarity"} & set(found)
