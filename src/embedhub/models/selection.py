"""Which files of a repository a model needs. Knows names of files, refuses to fetch any."""

import fnmatch
import re
from collections.abc import Iterable

from embedhub.models.spec import GRAPHED

# Files that describe a model, its tokenizer and its modules; weights are chosen apart.
_DESCRIPTION = (
    "*.json",
    "*.txt",
    "*.model",
    "README.md",
    "LICENSE*",
    "*/config.json",
    "*_Dense/model.safetensors",
)

# Older repositories keep the encoder in a folder of this kind of name, such as 0_Transformer.
_ENCODER_FOLDER = re.compile(r"(0_[A-Za-z]+/)config\.json")

# What a repository may call a file to be looked at: nothing that leads elsewhere or stands for several names.
_SAFE_NAME = re.compile(r"[\w+-][\w+. -]*(/[\w+-][\w+. -]*)*", re.ASCII)


def encoder_prefix(names: Iterable[str]) -> str | None:
    """What stands before the encoder's files: nothing, or the folder it lies in; None when there is no encoder."""
    available = sorted(names)
    if "config.json" in available:
        return ""
    found = (match.group(1) for name in available if (match := _ENCODER_FOLDER.fullmatch(name)))
    return next(found, None)


def needed_files(names: Iterable[str], architecture: str | None = None) -> list[str]:
    """Which files of a repository to download: descriptions, and one set of weights.

    Safetensors are preferred. The repository's ONNX export comes along as the way out for architectures that have no
    graph here, and pickled weights only where there is neither.

    Args:
        names: every file of the repository.
        architecture: `model_type` of its config.json, if that is known.

    Returns:
        The names, sorted; without weights when the repository has none.
    """
    available = [name for name in names if _SAFE_NAME.fullmatch(name)]
    prefix = encoder_prefix(available) or ""
    chosen = {name for name in available if _describes(name) or (prefix and _describes(name.removeprefix(prefix)))}
    return sorted(chosen | weights_of(available, architecture))


def weights_of(names: Iterable[str], architecture: str | None = None) -> set[str]:
    """The names of the weights to download, in the best form that the repository has."""
    available = list(names)
    prefix = re.escape(encoder_prefix(available) or "")

    def named(pattern: str) -> set[str]:
        return {name for name in available if re.fullmatch(prefix + pattern, name)}

    safetensors = named(r"model\.safetensors") or named(r"model-\d+-of-\d+\.safetensors")
    if safetensors and architecture in GRAPHED:
        return safetensors
    return (safetensors | named(r"onnx/model\.onnx(_data)?")) or named(r"pytorch_model(-\d+-of-\d+)?\.bin")


def _describes(name: str) -> bool:
    return any(name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern) for pattern in _DESCRIPTION)
