"""A local model as a repository of files that Transformers.js and sentence-transformers load.

Knows which files there are and what each must say so that others compute what this engine computes. Every file is
written anew from what was read and checked, never handed on as it lies in the folder: only weights are. Refuses to
know who serves the files.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from embedhub.choices import OnnxForm
from embedhub.config import Settings
from embedhub.engine.export.card import write_card
from embedhub.engine.export.onnx_files import can_export, kept_onnx
from embedhub.engine.tokenizer import load_tokenizer
from embedhub.errors import ModelError, ModelIntegrityError, SettingError, UnsupportedModelError
from embedhub.models import ModelSpec
from embedhub.models.json_files import read_object
from embedhub.models.modules import POOLING_KEYS
from embedhub.storage import move_folder, storage_errors

ONNX_FILES: Mapping[OnnxForm, str] = {
    OnnxForm.FLOAT32: "onnx/model.onnx",
    OnnxForm.QUANTIZED: "onnx/model_quantized.onnx",
}

Content = bytes | Path

_MODULES = "sentence_transformers.models"

# Of config.json: they speak of files that are not here, somebody else's ONNX export and code of the repository.
_ELSEWHERE = ("transformers.js_config", "auto_map")

_SPECIAL_TOKENS = ("bos_token", "cls_token", "eos_token", "mask_token", "pad_token", "sep_token", "unk_token")

_ACTIVATIONS = {"identity": "linear.Identity", "sigmoid": "activation.Sigmoid", "softmax": "activation.Softmax"}


class RepositoryFiles(Mapping[str, Content]):
    """The files by path, in order. Looking one up makes it: bytes, or the place of a large file on this disk.

    Raises:
        ModelError: (by a look-up) a file of the model that this one is made of is damaged or cannot be had.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Content]]) -> None:
        self._makers = makers

    def __getitem__(self, path: str) -> Content:
        return self._makers[path]()

    def __contains__(self, path: object) -> bool:
        return path in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def repository_files(spec: ModelSpec, settings: Settings, *, weights: bool = True) -> RepositoryFiles:
    """Every file of a model's repository, by path; listing them reads nothing.

    Args:
        spec: the model.
        settings: where derived files are kept.
        weights: also the safetensors of the encoder, which Python reads and browsers do not.
    """
    made: dict[str, Callable[[], Content]] = {
        "README.md": lambda: write_card(spec).encode(),
        "config.json": lambda: _json(_config(spec)),
        "sentence_bert_config.json": lambda: _json(
            {"max_seq_length": spec.max_tokens, "do_lower_case": spec.lower_case}
        ),
        "tokenizer.json": lambda: _json(_tokenizer(spec)),
        "tokenizer_config.json": lambda: _json(_tokenizer_config(spec)),
        "special_tokens_map.json": lambda: _json(_special_tokens(spec)),
        "config_sentence_transformers.json": lambda: _json(_sentence_config(spec)),
    }
    if spec.kind == "embedding":
        made |= _modules(spec)
    if can_export(spec):
        made |= {path: partial(kept_onnx, spec, form, settings.home) for form, path in ONNX_FILES.items()}
    if weights:
        made |= _weights(spec)
    return RepositoryFiles(dict(sorted(made.items())))


def write_repository(spec: ModelSpec, folder: Path, settings: Settings, forms: Collection[OnnxForm]) -> list[Path]:
    """Write the files that Transformers.js reads into a new folder, which is there whole or not at all.

    Args:
        spec: the model.
        folder: a place where nothing is.
        settings: where derived files are kept.
        forms: which ONNX files.

    Returns:
        What was written.

    Raises:
        SettingError: something is there already, or no form was named.
        ModelError: the model has no graph here or is damaged, or the folder cannot be written.
        StorageFullError: no space left; nothing is left behind.
    """
    if not forms:
        raise SettingError(f"no ONNX file was asked for; name at least one of {', '.join(ONNX_FILES)}")
    if folder.exists():
        raise SettingError(f"{folder} is there already; name a new folder, or delete that one first")
    if not can_export(spec):
        raise UnsupportedModelError(f"{spec.id}: architecture {spec.architecture!r:.40} has no graph here to export")
    files = repository_files(spec, settings, weights=False)
    unwanted = {path for form, path in ONNX_FILES.items() if form not in forms}
    with storage_errors(f"no space left for {folder}", (ModelError, str(folder))):
        folder.parent.mkdir(parents=True, exist_ok=True)
        incoming = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            # Servers of static files run as other users.
            incoming.chmod(0o755)
            wanted = [path for path in files if path not in unwanted]
            for path in wanted:
                _write(files[path], incoming / path)
            move_folder(incoming, folder)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
    return [folder / path for path in wanted]


def _write(content: Content, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        shutil.copyfile(content, path)


def _json(content: object) -> bytes:
    try:
        # Whatever a model's file says: half a surrogate pair is no character of a text file.
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    except RecursionError as error:
        raise ModelIntegrityError("a JSON file of the model is nested too deeply to be written again") from error


def _config(spec: ModelSpec) -> dict[str, Any]:
    return {name: value for name, value in spec.config.items() if name not in _ELSEWHERE}


def _tokenizer(spec: ModelSpec) -> dict[str, Any]:
    """tokenizer.json, cut at the length that the model reads, not filled up, and lower-casing where the model does."""
    library = load_tokenizer(spec)
    # The library's own words only where there are no others: older readers do not know all of its newer spellings.
    content = read_object(spec.folder / "tokenizer.json") or json.loads(library.to_str())
    content["truncation"] = {
        "direction": "Right",
        "max_length": spec.max_tokens,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    content["padding"] = None
    if spec.lower_case:
        own = content.get("normalizer")
        steps = [{"type": "Lowercase"}, *([own] if own else [])]
        content["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return content


def _tokenizer_config(spec: ModelSpec) -> dict[str, Any]:
    """tokenizer_config.json with the model's real longest input: other programs look nowhere else for it."""
    folder = spec.folder
    content = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if not (folder / "tokenizer.json").is_file():
        # What a bare vocabulary means.
        content = {"tokenizer_class": "BertTokenizer", "unk_token": "[UNK]", "pad_token": "[PAD]"}
        content |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    content |= read_object(folder / "special_tokens_map.json")
    content |= read_object(folder / "tokenizer_config.json")
    if not content.get("pad_token"):
        # Texts of unlike lengths cannot be computed together without one.
        filler = load_tokenizer(spec).id_to_token(int(spec.config.get("pad_token_id") or 0))
        content |= {"pad_token": filler} if filler is not None else {}
    return content | {"model_max_length": spec.max_tokens}


def _special_tokens(spec: ModelSpec) -> dict[str, Any]:
    said = _tokenizer_config(spec)
    return {name: said[name] for name in _SPECIAL_TOKENS if said.get(name)}


def _sentence_config(spec: ModelSpec) -> dict[str, Any]:
    if spec.kind == "classifier":
        stated = spec.stated_activation
        activation = {"activation_fn": f"torch.nn.modules.{_ACTIVATIONS[stated]}"} if stated else {}
        return {"model_type": "CrossEncoder"} | activation
    return {
        "prompts": dict(spec.prompts),
        "default_prompt_name": spec.default_prompt_name,
        "similarity_fn_name": spec.similarity,
    }


def _modules(spec: ModelSpec) -> dict[str, Callable[[], Content]]:
    """modules.json and the folders that it names."""
    dense = {f"{number}_Dense": layer for number, layer in enumerate(spec.dense, 2)}
    folders = [("", "Transformer"), ("1_Pooling", "Pooling"), *((name, "Dense") for name in dense)]
    if spec.normalize:
        folders.append((f"{len(folders)}_Normalize", "Normalize"))
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"{_MODULES}.{kind}"}
        for number, (path, kind) in enumerate(folders)
    ]
    pooling = {
        "word_embedding_dimension": spec.hidden_size,
        **_pooling_switches(spec.pooling),
        "include_prompt": spec.include_prompt,
    }
    made: dict[str, Callable[[], Content]] = {
        "modules.json": lambda: _json(listed),
        "1_Pooling/config.json": lambda: _json(pooling),
    }
    for name, layer in dense.items():
        made[f"{name}/config.json"] = partial(_dense_config, layer.folder)
        made[f"{name}/model.safetensors"] = partial(Path, layer.folder / "model.safetensors")
    return made


def _pooling_switches(modes: tuple[str, ...]) -> dict[str, Any]:
    """The older spelling, which every version reads, where its fixed order is the model's; else the newer one."""
    keys = {mode: key for key, mode in POOLING_KEYS.items()}
    if [mode for mode in keys if mode in modes] == list(modes):
        return {key: mode in modes for mode, key in keys.items()}
    return {"pooling_mode": list(modes)}


def _dense_config(folder: Path) -> bytes:
    return _json(read_object(folder / "config.json", required=True))


def _weights(spec: ModelSpec) -> dict[str, Callable[[], Content]]:
    """The safetensors under their names, with the index that says which tensor lies in which."""
    made: dict[str, Callable[[], Content]] = {path.name: partial(Path, path) for path in spec.weights}
    if len(spec.weights) > 1:
        index = spec.folder / "model.safetensors.index.json"
        made[index.name] = lambda: _json(read_object(index, required=True))
    return made
