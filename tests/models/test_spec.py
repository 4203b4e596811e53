"""What the files of a model folder say, in every spelling."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.models.layouts import as_version_6, change, copy_of, write, write_dense, write_modules

from embedhub.engine.graphs import ARCHITECTURES
from embedhub.errors import UnsupportedModelError
from embedhub.models import ModelSpec, card_summary, read_spec
from embedhub.models.spec import GRAPHED


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A tiny model that may be changed."""
    return copy_of(tiny_folder, tmp_path / "model")


def spec_of(folder: Path) -> ModelSpec:
    return read_spec(folder, id="acme/tiny")


def test_the_tiny_model(folder: Path) -> None:
    spec = spec_of(folder)

    assert (spec.architecture, spec.hidden_size, spec.dimensions, spec.max_tokens) == ("bert", 32, 32, 48)
    assert (spec.pooling, spec.include_prompt, spec.dense, spec.normalize) == (("mean",), True, (), True)
    assert (dict(spec.prompts), spec.default_prompt_name, spec.similarity) == ({}, None, "cosine")
    assert (spec.weights, spec.onnx, spec.pickled) == ((folder / "model.safetensors",), None, ())
    assert spec.weights_sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_the_layout_of_sentence_transformers_6(folder: Path) -> None:
    spec = spec_of(as_version_6(folder))

    assert (spec.pooling, spec.normalize, spec.dimensions) == (("max", "mean"), True, 8)
    assert [layer.activation for layer in spec.dense] == ["Identity"]
    assert dict(spec.prompts) == {"document": "d: ", "query": "q: "}
    assert spec.max_tokens == 48


@pytest.mark.parametrize(
    ("pooling", "modes"),
    [
        ({}, ("mean",)),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("cls", "mean")),
        (
            {
                "pooling_mode_mean_sqrt_len_tokens": True,
                "pooling_mode_max_tokens": True,
                "pooling_mode_lasttoken": True,
            },
            ("max", "mean_sqrt_len_tokens", "lasttoken"),
        ),
        ({"pooling_mode_weightedmean_tokens": True}, ("weightedmean",)),
        ({"pooling_mode_mean_tokens": False}, ("mean",)),
        ({"pooling_mode": "cls"}, ("cls",)),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
        ({"pooling_mode": "lasttoken", "pooling_mode_mean_tokens": True}, ("lasttoken",)),
    ],
)
def test_pooling_in_old_and_new_spelling(folder: Path, pooling: dict[str, object], modes: tuple[str, ...]) -> None:
    write(folder / "1_Pooling" / "config.json", pooling)

    spec = spec_of(folder)

    assert spec.pooling == modes
    assert spec.dimensions == 32 * len(modes)


@pytest.mark.parametrize("named", ["median", ["mean", "median"], 5, [["mean"]], {"mean": 1}])
def test_an_unknown_pooling_mode_lists_the_known_ones(folder: Path, named: object) -> None:
    write(folder / "1_Pooling" / "config.json", {"pooling_mode": named})

    with pytest.raises(UnsupportedModelError, match="is not one of cls, max, mean"):
        spec_of(folder)


def test_a_prompt_can_be_left_out_of_the_pooling(folder: Path) -> None:
    change(folder / "1_Pooling" / "config.json", include_prompt=False)

    assert spec_of(folder).include_prompt is False


def test_prompts_and_the_default_one(folder: Path) -> None:
    prompts = {"query": "query: ", "passage": "", "unset": None}
    change(
        folder / "config_sentence_transformers.json",
        prompts=prompts,
        default_prompt_name="query",
        similarity_fn_name="dot",
    )

    spec = spec_of(folder)

    assert dict(spec.prompts) == {"query": "query: ", "passage": ""}
    assert (spec.default_prompt_name, spec.similarity) == ("query", "dot")


@pytest.mark.parametrize(
    ("sentence", "tokenizer", "config", "expected"),
    [
        (None, None, {}, 512),
        (None, None, {"max_position_embeddings": 128}, 128),
        (128, 512, {"max_position_embeddings": 512}, 128),
        (512, 128, {"max_position_embeddings": 512}, 128),
        (512, 512, {"max_position_embeddings": 96}, 96),
        (512, 10**30, {"max_position_embeddings": 512}, 512),
        (None, 1e30, {"max_position_embeddings": 64}, 64),
        (None, 256, {"max_position_embeddings": None}, 256),
        (None, None, {"max_position_embeddings": -1}, 512),
        (None, 512, {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        (None, 600, {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        (None, 600, {"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        (None, 600, {"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": None}, 512),
        (None, 600, {"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
    ],
)
def test_the_longest_input_is_the_least_of_three_limits(
    folder: Path, sentence: object, tokenizer: object, config: dict[str, object], expected: int
) -> None:
    change(folder / "sentence_bert_config.json", max_seq_length=sentence)
    change(folder / "tokenizer_config.json", model_max_length=tokenizer)
    change(folder / "config.json", **({"max_position_embeddings": None} | config))

    assert spec_of(folder).max_tokens == expected


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_xlm-roberta_config.json"])
def test_settings_of_the_encoder_under_each_name(folder: Path, name: str) -> None:
    write(folder / name, {"max_seq_length": 32, "do_lower_case": True})

    spec = spec_of(folder)

    assert (spec.max_tokens, spec.lower_case) == (32, True)


def test_a_plain_transformers_repository_pools_by_mean_and_does_not_normalise(folder: Path) -> None:
    (folder / "modules.json").unlink()

    spec = spec_of(folder)

    assert (spec.pooling, spec.normalize, spec.dense) == (("mean",), False, ())


def test_dense_layers_follow_each_other(folder: Path) -> None:
    write_dense(folder / "2_Dense", {"activation_function": "torch.nn.modules.activation.Tanh"}, out=16)
    write_dense(folder / "3_Dense", into=16, out=4)
    write_modules(
        folder,
        ("", "models.Transformer"),
        ("1_Pooling", "models.Pooling"),
        ("2_Dense", "models.Dense"),
        ("3_Dense", "models.Dense"),
        ("4_Dropout", "models.Dropout"),
    )

    spec = spec_of(folder)

    assert [layer.activation for layer in spec.dense] == ["Tanh", "Identity"]
    assert (spec.dimensions, spec.normalize) == (4, False)


@pytest.mark.parametrize(
    "kinds",
    [
        ("Transformer",),
        ("Pooling", "Transformer"),
        ("Transformer", "Pooling", "Pooling"),
        ("Transformer", "Transformer", "Pooling"),
        ("Transformer", "Pooling", "Normalize", "Dense"),
        ("Transformer", "Normalize", "Pooling"),
        ("Transformer", "Pooling", "WordWeights"),
        ("Normalize",),
    ],
)
def test_modules_that_would_be_computed_otherwise_are_refused(folder: Path, kinds: tuple[str, ...]) -> None:
    write_dense(folder / "2_Dense")
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Dense": "2_Dense"}
    write_modules(folder, *((paths.get(kind, "9_Other"), f"models.{kind}") for kind in kinds))

    with pytest.raises(UnsupportedModelError, match=r"modules in the order|is not one of Transformer"):
        spec_of(folder)


def test_code_of_the_repository_is_refused(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "custom_st.Transformer"
    write(folder / "modules.json", modules)

    with pytest.raises(UnsupportedModelError, match="'custom_st' is code of the repository, which is never run"):
        spec_of(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}),
        ("config_sentence_transformers.json", {"similarity_fn_name": "hamming"}),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}),
        ("sentence_bert_config.json", {"modality_config": {"text": {"method_output_name": "pooler_output"}}}),
        ("2_Normalize/config.json", {"module_input_name": "token_embeddings"}),
    ],
)
def test_what_is_no_embedding_of_a_text_is_refused(folder: Path, name: str, content: object) -> None:
    write(folder / name, content)

    with pytest.raises(UnsupportedModelError):
        spec_of(folder)


@pytest.mark.parametrize("settings", [{"use_residual": True}, {"activation_function": "torch.nn.SELU"}])
def test_a_dense_layer_of_another_kind_is_refused(folder: Path, settings: dict[str, object]) -> None:
    write_dense(folder / "2_Dense", settings)
    write_modules(folder, ("", "models.Transformer"), ("1_Pooling", "models.Pooling"), ("2_Dense", "models.Dense"))

    with pytest.raises(UnsupportedModelError, match="known are Tanh"):
        spec_of(folder)


def test_an_encoder_in_a_folder_of_its_own(folder: Path) -> None:
    """As versions before 1.0 saved it."""
    inner = folder / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).rename(inner / name)
    write(inner / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    write_modules(folder, ("0_Transformer", "models.Transformer"), ("1_Pooling", "models.Pooling"))

    spec = spec_of(folder)

    assert (spec.folder, spec.weights) == (inner, (inner / "model.safetensors",))
    assert (spec.max_tokens, spec.normalize, spec.dimensions) == (24, False, 32)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [a]\n---\n# Card", "apache-2.0"),
        ("---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlicense:\n---\n", None),
        ("---\nlanguage: en\n---\n", None),
        ("# No head\nlicense: mit", None),
        ("---\nlicense: mit", "mit"),
        ("---\n: [\n---\n", None),
        ("---\ndate: 2024-99-99\nlicense: mit\n---\n", None),
        ("---\n- mit\n---\n", None),
        ("---\n" + "[" * 30_000 + "\n---\n", None),
        ("", None),
    ],
)
def test_the_licence_of_the_card(folder: Path, card: str, licence: str | None) -> None:
    (folder / "README.md").write_bytes(card.encode())

    assert spec_of(folder).licence == licence


def test_a_card_that_is_not_text_states_no_licence(folder: Path) -> None:
    (folder / "README.md").write_bytes(b"---\nlicense: \xff\xfe\x00\n---\n")
    assert spec_of(folder).licence is None

    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    assert spec_of(folder).licence is None


def test_shards_in_the_order_of_their_names(folder: Path) -> None:
    weights = folder / "model.safetensors"
    names = ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"]
    for name in names:
        (folder / name).write_bytes(weights.read_bytes())
    weights.unlink()
    write(folder / "model.safetensors.index.json", {"weight_map": {"a": names[0], "b": names[1], "c": names[0]}})

    spec = spec_of(folder)

    assert [path.name for path in spec.weights] == sorted(names)


@pytest.mark.parametrize("name", ["onnx/model.onnx", "pytorch_model.bin"])
def test_other_weights_stand_for_the_model_when_there_are_no_safetensors(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"weights")

    spec = spec_of(folder)

    assert (spec.weights, spec.onnx is not None, len(spec.pickled)) == ((), name.startswith("onnx"), "bin" in name)
    assert spec.weights_sha256 == hashlib.sha256(b"weights").hexdigest()


def test_the_summary_is_ready_for_json(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    spec = spec_of(as_version_6(folder))

    assert json.loads(json.dumps(card_summary(spec))) == {
        "id": "acme/tiny",
        "revision": None,
        "source": "local",
        "folder": str(folder),
        "weights_sha256": spec.weights_sha256,
        "licence": "mit",
        "architecture": "bert",
        "kind": "embedding",
        "dimensions": 8,
        "max_tokens": 48,
        "pooling": "max+mean",
        "normalize": True,
        "prompts": {"document": "d: ", "query": "q: "},
        "default_prompt_name": None,
        "similarity": "cosine",
    }


def test_the_architectures_with_a_graph_are_those_of_the_engine() -> None:
    assert set(GRAPHED) == set(ARCHITECTURES)
