"""Broken, absurd and hostile model folders: one line of a ModelError each, and never a path out of the folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.models.layouts import as_version_6, change, copy_of, write, write_modules

from embedhub.errors import ModelError, ModelIntegrityError
from embedhub.models import read_spec

JSON_FILES = (
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "3_Normalize/config.json",
)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A model with a file of every kind."""
    return as_version_6(copy_of(tiny_folder, tmp_path / "model"))


def refused(folder: Path, words: str | None = None) -> str:
    """The one line that a folder is refused with."""
    with pytest.raises(ModelError, match=words) as caught:
        read_spec(folder, id="acme/tiny")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def reading_error(folder: Path) -> str:
    """What a folder is refused with; empty when it is read."""
    try:
        read_spec(folder, id="acme/tiny")
    except ModelError as error:
        return str(error)
    return ""


BROKEN: list[bytes] = [
    b"",
    b"{",
    b"\xff\xfe\xff",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b"nan",
    b"1" * 5000,
    b'"\\ud800',
    b"3",
    b"null",
]


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_broken_json_names_its_file(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)

    assert str(folder / name) in refused(folder, r"not valid JSON|not a JSON")


@pytest.mark.parametrize(
    "name", ["config.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"]
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    assert name in refused(folder, r"is missing")


ABSURD: tuple[object, ...] = (-1, "32", 10**12, 3.5, True, [], {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("hidden_size", "num_hidden_layers") for value in ABSURD),
        ("hidden_size", 0),
        ("hidden_size", None),
        ("num_attention_heads", -4),
        ("vocab_size", "many"),
        ("pad_token_id", -1),
        ("max_position_embeddings", 0),
        ("max_position_embeddings", -2),
        ("max_position_embeddings", "512"),
        ("max_position_embeddings", 10**12),
        ("max_position_embeddings", float("nan")),
        ("max_position_embeddings", float("inf")),
        ("model_type", 3),
    ],
)
def test_an_absurd_config_is_refused(folder: Path, key: str, value: object) -> None:
    change(folder / "config.json", **{key: value})

    assert "config.json" in refused(folder, key)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        *(("tokenizer_config.json", "model_max_length", value) for value in (-1, 0, "512", [512], 1e40, 2.5)),
        *(("sentence_bert_config.json", "max_seq_length", value) for value in (-1, 0, "512", True)),
        ("sentence_bert_config.json", "do_lower_case", "yes"),
        ("config_sentence_transformers.json", "prompts", ["query: "]),
        ("config_sentence_transformers.json", "prompts", {"query": 3}),
        ("config_sentence_transformers.json", "default_prompt_name", 3),
        ("config_sentence_transformers.json", "default_prompt_name", "unknown"),
        ("config_sentence_transformers.json", "similarity_fn_name", ["cosine"]),
        ("1_Pooling/config.json", "include_prompt", "no"),
        ("2_Dense/config.json", "out_features", -8),
        ("2_Dense/config.json", "out_features", None),
        ("2_Dense/config.json", "in_features", 31),
        ("2_Dense/config.json", "activation_function", 3),
    ],
)
def test_absurd_settings_are_refused(folder: Path, name: str, key: str, value: object) -> None:
    change(folder / name, **{key: value})

    assert str(folder / name).removesuffix("/config.json") in refused(folder)


def test_a_position_table_smaller_than_its_offset_is_refused(folder: Path) -> None:
    change(folder / "config.json", model_type="roberta", max_position_embeddings=2, pad_token_id=1)

    refused(folder, r"leaves no position for a token")


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**30, "..", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_json_says_it_never_escapes_as_another_error(folder: Path, data: st.DataObject) -> None:
    """One value of one file is replaced by anything; the folder is read or refused."""
    path = folder / data.draw(st.sampled_from(JSON_FILES))
    whole = path.read_text()
    content: Any = json.loads(whole)
    target: Any = data.draw(st.sampled_from(content)) if isinstance(content, list) else content
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(ANYTHING)
    write(path, content)
    try:
        message = reading_error(folder)
    finally:
        path.write_text(whole)
    assert "\n" not in message


@pytest.mark.parametrize("name", ["model.safetensors", "2_Dense/model.safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 8, 100, 0.5, -1])
def test_truncated_weights_are_refused(folder: Path, name: str, kept: float) -> None:
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))] if 0 < kept < 1 else whole[: int(kept)])

    assert str(path) in refused(folder, r"cut off|not a safetensors file")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 64,
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{]",
        (9).to_bytes(8, "little") + b'{"a": {}}',
        (11).to_bytes(8, "little") + b'{"a": null}',
        (30).to_bytes(8, "little") + b'{"a": {"data_offsets": ["x"]}}',
        (1 << 60).to_bytes(8, "little") + b"{}",
    ],
)
def test_what_is_no_safetensors_file_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)

    refused(folder, r"model.safetensors: not a safetensors file")


def test_a_git_lfs_pointer_names_the_way_out(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")

    refused(folder, r"git-lfs pointer; run `git lfs pull`")


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()

    refused(folder, r"no weights")


@pytest.mark.parametrize(
    "index", [{}, {"weight_map": {}}, {"weight_map": []}, {"weight_map": {"a": 3}}, {"weight_map": {"a": ["b"]}}]
)
def test_an_index_of_shards_that_says_nothing(folder: Path, index: object) -> None:
    (folder / "model.safetensors").unlink()
    write(folder / "model.safetensors.index.json", index)

    refused(folder, r"no weight_map")


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-1-of-2.safetensors")
    shards = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    write(folder / "model.safetensors.index.json", {"weight_map": shards})

    refused(folder, r"model-2-of-2.safetensors is missing")


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/b", "..", ".", "", "x\0", "y" * 5000])
def test_a_shard_outside_is_refused(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    write(folder / "model.safetensors.index.json", {"weight_map": {"a": name}})

    refused(folder, r"leads out of the model's folder")


@pytest.mark.parametrize(
    "path", ["..", "../..", "../outside", "1_Pooling/../../outside", "linked", "loop", "x\0", "y" * 5000]
)
@pytest.mark.parametrize("absolute", [False, True])
def test_a_module_outside_is_refused(folder: Path, path: str, absolute: bool) -> None:
    outside = folder.parent / "outside"
    write(outside / "config.json", {"pooling_mode": "cls"})
    write(folder.parent / "config.json", {"pooling_mode": "cls"})
    (folder / "linked").symlink_to(outside)
    (folder / "loop").symlink_to(folder / "loop")
    named = str(outside / path) if absolute else path
    write_modules(folder, ("", "models.Transformer"), (named, "models.Pooling"))

    refused(folder, r"leads out of the model's folder")


def test_an_absolute_path_into_the_folder_is_refused_too(folder: Path) -> None:
    write_modules(folder, ("", "models.Transformer"), (str(folder / "1_Pooling"), "models.Pooling"))

    with pytest.raises(ModelIntegrityError, match="leads out of the model's folder"):
        read_spec(folder, id="acme/tiny")
