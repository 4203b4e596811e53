"""Which files of a folder are the weights, and whether each is whole.

Knows the names that weights have and the first bytes of a safetensors file: its header says how long the file must
be. Refuses to read a tensor.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedhub.errors import ModelError, ModelIntegrityError
from embedhub.models.json_files import read_object

_PICKLED = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")

# What Linux file systems take.
LONGEST_NAME = 255

# The format's own limit for a header.
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class WeightFiles:
    """The weights of an encoder, in each form that its folder has.

    Attributes:
        safetensors: one file or the shards, in order.
        onnx: the repository's own ONNX export.
        pickled: `pytorch_model.bin` or its shards, which only the `torch` extra can read.
    """

    safetensors: tuple[Path, ...]
    onnx: Path | None
    pickled: tuple[Path, ...]

    @property
    def identity(self) -> tuple[Path, ...]:
        """The files whose checksum stands for the model."""
        return self.safetensors or ((self.onnx,) if self.onnx else self.pickled)


def find_weights(folder: Path) -> WeightFiles:
    """The weights in a folder.

    Raises:
        ModelIntegrityError: there are none, a shard is missing, or a safetensors file was cut off.
    """
    onnx = folder / "onnx" / "model.onnx"
    pickled = sorted(path for path in folder.glob("pytorch_model*.bin") if _PICKLED.fullmatch(path.name))
    found = WeightFiles(_safetensors(folder), onnx if onnx.is_file() else None, tuple(pickled))
    if not found.identity:
        raise ModelIntegrityError(f"{folder}: no weights (model.safetensors, onnx/model.onnx or pytorch_model.bin)")
    return found


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a safetensors file, by name, from its header.

    Raises:
        ModelIntegrityError: not a safetensors file, or one that was cut off.
    """
    try:
        return {name: tuple(map(int, entry["shape"])) for name, entry in check_safetensors(path).items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelIntegrityError(f"{path}: not a safetensors file") from error


def check_safetensors(path: Path) -> dict[str, Any]:
    """Compare the length of a file with what its header says; returns what that says of each tensor.

    Raises:
        ModelIntegrityError: not a safetensors file, or one that was cut off.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if start == b"version ":
                raise ModelIntegrityError(f"{path}: a git-lfs pointer; run `git lfs pull` in its repository")
            if len(start) < 8 or length > min(size - 8, _LARGEST_HEADER):
                raise ModelIntegrityError(f"{path}: not a safetensors file, or one that was cut off")
            header = json.loads(file.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends = [int(entry["data_offsets"][1]) for entry in tensors.values()]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ModelIntegrityError(f"{path}: not a safetensors file") from error
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise ModelIntegrityError(f"{path}: {size} bytes, its header says {expected}; it was cut off or damaged")
    return tensors


def _safetensors(folder: Path) -> tuple[Path, ...]:
    single = folder / "model.safetensors"
    files = (single,) if single.is_file() else _shards(folder)
    for path in files:
        check_safetensors(path)
    return files


def _shards(folder: Path) -> tuple[Path, ...]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return ()
    named = read_object(index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise ModelIntegrityError(f"{index}: no weight_map from tensors to files")
    shards = []
    for name in sorted(set(named.values())):
        # A bare name: shards lie beside their index.
        if name != Path(name).name or name in {"", ".", ".."} or "\0" in name or len(name) > LONGEST_NAME:
            raise ModelIntegrityError(f"{index}: the path {name!r:.80} leads out of the model's folder")
        if not (folder / name).is_file():
            raise ModelIntegrityError(f"{folder}: {name} is missing; pull the model again")
        shards.append(folder / name)
    return tuple(shards)
