"""Weights as float32 arrays by name. Knows safetensors files, refuses to know what the arrays mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from embedhub.errors import ModelIntegrityError


class Weights:
    """Lazily read tensors of one or several safetensors files.

    Args:
        files: the shards.
        prefixes: what may stand before a name, such as `bert.` in a checkpoint saved with a head on top.

    Raises:
        ModelIntegrityError: a file that is not safetensors.
    """

    def __init__(self, files: Sequence[Path], prefixes: Sequence[str] = ()) -> None:
        self._files = files
        self._prefixes = ("", *prefixes)
        self._open: dict[str, Any] = {}
        self._paths: dict[str, Path] = {}
        # Whole files, read once, for the tensors that NumPy has no type for.
        self._raw: dict[Path, dict[str, Any]] = {}
        for path in files:
            try:
                shard = safe_open(path, framework="numpy")
            except (SafetensorError, OSError) as error:
                raise ModelIntegrityError(f"{path}: not a readable safetensors file ({error})") from error
            for name in shard.keys():  # type: ignore[no-untyped-call]  # noqa: SIM118 - no mapping
                self._open[name] = shard
                self._paths[name] = path

    def __contains__(self, name: str) -> bool:
        return any(prefix + name in self._open for prefix in self._prefixes)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The tensor as float32, whatever it is stored as.

        Raises:
            ModelIntegrityError: there is no tensor of that name.
        """
        for prefix in self._prefixes:
            full = prefix + name
            if full in self._open:
                return self._read(full)
        raise ModelIntegrityError(f"{self._files[0] if self._files else 'no file'}: no tensor {name}")

    def _read(self, full: str) -> NDArray[np.float32]:
        shard = self._open[full]
        if shard.get_slice(full).get_dtype() != "BF16":
            return np.ascontiguousarray(shard.get_tensor(full), dtype=np.float32)
        # NumPy has no bfloat16: its bits are the upper half of a float32's.
        path = self._paths[full]
        if path not in self._raw:
            self._raw[path] = dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]
        raw = self._raw[path][full]
        upper = np.frombuffer(raw["data"], dtype=np.uint16).astype(np.uint32) << 16
        return upper.view(np.float32).reshape(raw["shape"])
