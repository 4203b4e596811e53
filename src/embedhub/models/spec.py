"""What a model is: a frozen description read from the files of its folder.

Knows the layout of transformers and sentence-transformers repositories (config.json, modules.json, the folders of
the modules). Refuses to load weights, to run anything, and to follow a path out of the folder.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from embedhub.errors import ModelIntegrityError, UnsupportedModelError
from embedhub.models.checksums import combined_sha256

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")

# The boolean keys of older 1_Pooling/config.json files, in the order in which their vectors are concatenated.
_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

# Tokenizers that know no limit write a number of this size or larger.
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class DenseSpec:
    """A linear layer behind the pooling: `folder` holds model.safetensors with linear.weight [out, in]."""

    folder: Path
    activation: str


@dataclass(frozen=True)
class ModelSpec:
    """A model in a folder, described. `id` and `revision` say where it came from.

    Attributes:
        id: the name it was asked by, `organisation/name`, or the folder's path.
        revision: a commit, a package version, or None for a local folder.
        folder: where its files lie.
        source: which source gave it (`local`, `store`, `cache`, `hub`, `wheel`).
        architecture: `model_type` of config.json.
        config: config.json, as it is.
        hidden_size: width of a token's vector.
        dimensions: width of a text's vector.
        max_tokens: longest input, special tokens included.
        pooling: one or several of POOLING_MODES; several are concatenated.
        include_prompt: whether the tokens of a prompt take part in the pooling.
        dense: linear layers behind the pooling.
        normalize: whether vectors are scaled to length one.
        prompts: text to put before an input, by name.
        default_prompt_name: the prompt used when none is named.
        lower_case: whether texts are lower-cased before tokenising.
        similarity: the function the model was trained for: cosine, dot, euclidean or manhattan.
        weights: the safetensors files, in order; empty if there are none.
        onnx: the repository's own ONNX export, if there is one.
        expected_sha256: checksum that `weights_sha256` must have, where the source states one.
    """

    id: str
    revision: str | None
    folder: Path
    source: str
    licence: str | None
    architecture: str
    config: Mapping[str, Any]
    hidden_size: int
    dimensions: int
    max_tokens: int
    pooling: tuple[str, ...]
    include_prompt: bool
    dense: tuple[DenseSpec, ...]
    normalize: bool
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    lower_case: bool
    similarity: str
    weights: tuple[Path, ...]
    onnx: Path | None
    expected_sha256: str | None = None

    @cached_property
    def weights_sha256(self) -> str:
        """The sha256 of the weights file, checked against the source's statement when there is one.

        Several files have the sha256 of their checksums, one a line. Reads the whole file (about 0.1 s for 90 MB).

        Raises:
            ModelIntegrityError: the file is not what its source said.
        """
        files = self.weights or ((self.onnx,) if self.onnx else ())
        actual = combined_sha256(files)
        if self.expected_sha256 is not None and self.weights and actual != self.expected_sha256:
            raise ModelIntegrityError(
                f"{self.weights[0]}: sha256 is {actual}, expected {self.expected_sha256}; "
                f"run `embedhub models remove {self.id}` and `embedhub models pull {self.id}`"
            )
        return actual


def read_spec(
    folder: Path,
    *,
    id: str,
    revision: str | None = None,
    source: str = "local",
    expected_sha256: str | None = None,
) -> ModelSpec:
    """Describe the model in `folder`.

    Raises:
        ModelIntegrityError: a file that describes the model is missing or not valid JSON.
        UnsupportedModelError: a module that is not known here.
    """
    config = _json(folder / "config.json", required=True)
    sentence_config = _json(folder / "config_sentence_transformers.json")
    transformer, pooling, dense, normalize = _modules(folder)
    hidden_size = int(config.get("hidden_size") or config.get("dim") or config.get("d_model") or 0)
    if hidden_size <= 0:
        raise ModelIntegrityError(f"{folder / 'config.json'}: no hidden_size, dim or d_model")
    modes = pooling_modes(pooling)
    prompts = {str(name): str(text) for name, text in (sentence_config.get("prompts") or {}).items()}
    onnx = folder / "onnx" / "model.onnx"
    return ModelSpec(
        id=id,
        revision=revision,
        folder=folder,
        source=source,
        licence=_licence(folder / "README.md"),
        architecture=str(config.get("model_type", "unknown")),
        config=MappingProxyType(config),
        hidden_size=hidden_size,
        dimensions=_dense_width(dense[-1]) if dense else hidden_size * len(modes),
        max_tokens=_max_tokens(folder, config, transformer),
        pooling=modes,
        include_prompt=bool(pooling.get("include_prompt", True)),
        dense=dense,
        normalize=normalize,
        prompts=MappingProxyType(prompts),
        default_prompt_name=sentence_config.get("default_prompt_name"),
        lower_case=bool(transformer.get("do_lower_case", False)),
        similarity=str(sentence_config.get("similarity_fn_name") or "cosine"),
        weights=weight_files(folder),
        onnx=onnx if onnx.is_file() else None,
        expected_sha256=expected_sha256,
    )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of the encoder, in order; every shard that the index names must be there.

    Raises:
        ModelIntegrityError: a shard is missing.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return (single,)
    index = _json(folder / "model.safetensors.index.json")
    shards = tuple(_inside(folder, name) for name in sorted(set((index.get("weight_map") or {}).values())))
    for shard in shards:
        if not shard.is_file():
            raise ModelIntegrityError(f"{folder}: {shard.name} is missing; pull the model again")
    return shards


def pooling_modes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The pooling modes of a 1_Pooling/config.json, older or newer spelling; mean when it names none.

    Raises:
        UnsupportedModelError: a mode that is not in POOLING_MODES.
    """
    named = config.get("pooling_mode")
    if named:
        modes = (named,) if isinstance(named, str) else tuple(named)
    else:
        modes = tuple(mode for key, mode in _POOLING_KEYS.items() if config.get(key)) or ("mean",)
    for mode in modes:
        if mode not in POOLING_MODES:
            raise UnsupportedModelError(f"pooling mode {mode!r} is not one of {', '.join(POOLING_MODES)}")
    return modes


def _modules(folder: Path) -> tuple[dict[str, Any], dict[str, Any], tuple[DenseSpec, ...], bool]:
    """Settings of the transformer, of the pooling, the dense layers, and whether vectors are normalised."""
    transformer: dict[str, Any] = _transformer_settings(folder)
    pooling: dict[str, Any] = {}
    dense: list[DenseSpec] = []
    normalize = False
    for module in _json_list(folder / "modules.json"):
        # The type is a dotted class path whose package differs between versions of the library.
        kind = str(module.get("type", "")).rpartition(".")[2]
        path = _inside(folder, str(module.get("path", "")))
        if kind == "Transformer":
            transformer = _transformer_settings(path)
            if path != folder.resolve():
                raise UnsupportedModelError(f"{folder}: the encoder lies in the subfolder {path.name}")
        elif kind == "Pooling":
            pooling = _json(path / "config.json", required=True)
        elif kind == "Dense":
            dense.append(_dense(path))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Dropout":
            raise UnsupportedModelError(
                f"{folder}: module {kind!r} is not one of Transformer, Pooling, Dense, Normalize"
            )
    return transformer, pooling, tuple(dense), normalize


def _transformer_settings(folder: Path) -> dict[str, Any]:
    for name in (
        "sentence_bert_config.json",
        "sentence_roberta_config.json",
        "sentence_distilbert_config.json",
    ):
        found = _json(folder / name)
        if found:
            return found
    return {}


def _dense(folder: Path) -> DenseSpec:
    config = _json(folder / "config.json", required=True)
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    known = ("Tanh", "Identity", "ReLU", "GELU", "Sigmoid")
    if activation not in known or config.get("use_residual"):
        raise UnsupportedModelError(
            f"{folder}: a dense layer with {activation}; known are {', '.join(known)}, no residual"
        )
    if not (folder / "model.safetensors").is_file():
        raise ModelIntegrityError(f"{folder / 'model.safetensors'} is missing (a pickled .bin file is not read)")
    return DenseSpec(folder=folder, activation=activation)


def _dense_width(dense: DenseSpec) -> int:
    return int(_json(dense.folder / "config.json")["out_features"])


def _max_tokens(folder: Path, config: Mapping[str, Any], transformer: Mapping[str, Any]) -> int:
    tokenizer = _json(folder / "tokenizer_config.json")
    limits = [transformer.get("max_seq_length"), tokenizer.get("model_max_length"), position_capacity(config)]
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < _NO_LIMIT]
    return min(known, default=512)


def position_capacity(config: Mapping[str, Any]) -> int | None:
    """How many tokens have a position of their own, or None when the architecture sets no limit.

    RoBERTa and MPNet count positions from the padding token's id + 1, so their tables are longer than their texts.
    """
    size = config.get("max_position_embeddings")
    if not isinstance(size, int):
        return None
    if config.get("model_type") in {"roberta", "xlm-roberta", "camembert", "mpnet"}:
        return size - int(config.get("pad_token_id", 1)) - 1
    return size


def _licence(readme: Path) -> str | None:
    """The licence that the card's YAML head states."""
    if not readme.is_file():
        return None
    text = readme.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---"):
        return None
    try:
        head = yaml.safe_load(text[3:].split("\n---", 1)[0])
    except yaml.YAMLError:
        return None
    licence = head.get("license") if isinstance(head, dict) else None
    return str(licence) if licence else None


def _inside(folder: Path, name: str) -> Path:
    root = folder.resolve()
    path = (root / name).absolute()
    if not Path(path).is_relative_to(root) or ".." in Path(name).parts:
        raise ModelIntegrityError(f"{folder}: the path {name!r} leads out of the model's folder")
    return path


def _json(path: Path, *, required: bool = False) -> dict[str, Any]:
    found = _parse(path, required=required)
    if not isinstance(found, dict):
        raise ModelIntegrityError(f"{path}: not a JSON object")
    return found


def _json_list(path: Path) -> list[dict[str, Any]]:
    found = _parse(path, required=False) or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ModelIntegrityError(f"{path}: not a JSON list of objects")
    return found


def _parse(path: Path, *, required: bool) -> Any:
    if not path.is_file():
        if required:
            raise ModelIntegrityError(f"{path} is missing: the folder holds no complete model")
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelIntegrityError(f"{path}: not valid JSON ({error})") from error
