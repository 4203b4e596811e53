"""Encoders that come as a repository's own ONNX export, read by OpenVINO.

Knows the inputs that exports have in common (input_ids, attention_mask, token_type_ids, position_ids). Gives the
first output of shape [B, T, H], which is last_hidden_state or token_embeddings.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.backends import Take
from embedhub.engine.backends.forks import renew_in_forks
from embedhub.engine.backends.openvino import Machine, compile_graph
from embedhub.engine.packing import Batch
from embedhub.engine.quiet_openvino import ov
from embedhub.errors import ModelIntegrityError, UnsupportedModelError

_INPUTS: dict[str, Callable[[Batch], NDArray[Any]]] = {
    "input_ids": lambda batch: batch.ids.astype(np.int64),
    "attention_mask": lambda batch: (batch.segments >= 0).astype(np.int64),
    "token_type_ids": lambda batch: np.zeros(batch.ids.shape, np.int64),
    "position_ids": lambda batch: batch.positions.astype(np.int64),
}


class OnnxBackend:
    """One ONNX encoder on the CPU, a text a row.

    Raises:
        ModelIntegrityError: the file cannot be read.
        UnsupportedModelError: it wants inputs that are not known here, or gives no token vectors.
    """

    name = "onnx"
    packs_rows = False
    lanes = 1
    calibration = ""

    def __init__(self, path: Path, dtype: str, use: Machine) -> None:
        self.dtype = dtype
        try:
            model = ov.Core().read_model(path)
        except RuntimeError as error:
            raise ModelIntegrityError(
                f"{path}: not a readable ONNX model ({str(error).strip().splitlines()[-1]})"
            ) from error
        self._names = [port.get_any_name() for port in model.inputs]
        unknown = [name for name in self._names if name not in _INPUTS]
        outputs = [index for index, port in enumerate(model.outputs) if len(port.get_partial_shape()) == 3]
        if unknown or not outputs:
            raise UnsupportedModelError(f"{path}: inputs {', '.join(self._names)}; no token vectors can be had from it")
        self._output = outputs[0]
        self._compile: Callable[[], Any] = lambda: compile_graph(
            model, dtype, Machine(use.threads, 1)
        ).create_infer_request()
        self._request: Any = self._compile()
        self._lock = threading.Lock()
        renew_in_forks(self)

    def renew(self) -> object:
        """See `forks.Renewable`."""
        compiled, self._request = self._request, None
        self._lock = threading.Lock()
        return compiled

    def prepare(self, *, tokens: bool) -> None:
        """See `Backend.prepare`: there is one way for all."""

    def run(self, batches: Iterable[Batch], pool: Callable[[Batch], NDArray[np.float32]] | None, take: Take) -> None:
        """See `Backend.run`."""
        for batch in batches:
            with self._lock:
                if self._request is None:
                    self._request = self._compile()
                self._request.infer({name: _INPUTS[name](batch) for name in self._names})
                tokens = np.array(self._request.get_output_tensor(self._output).data, dtype=np.float32)
            flat = tokens.reshape(batch.ids.size, -1)
            take(batch, flat if pool is None else pool(batch) @ flat)
