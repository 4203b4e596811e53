"""Encoders that only transformers can run: the slow way that knows every architecture.

Knows `AutoModel`; needs the `torch` extra. Code that a repository brings along is never run.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.backends import Take
from embedhub.engine.packing import Batch
from embedhub.errors import MissingExtraError, UnsupportedModelError
from embedhub.models import ModelSpec


class TorchBackend:
    """One encoder in transformers, a text a row, float32; `reason` is why it has to be this way.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        UnsupportedModelError: transformers cannot load it either.
    """

    name = "torch"
    packs_rows = False
    lanes = 1
    calibration = ""
    dtype = "f32"

    def __init__(self, spec: ModelSpec, reason: str) -> None:
        try:
            import torch
            from transformers import AutoModel
        except ImportError as error:
            raise MissingExtraError(
                f"{spec.id}: {reason}, and its repository has no onnx/model.onnx; add that "
                "file, or install the slow way: pip install 'embedhub[torch]'"
            ) from error
        try:
            model = AutoModel.from_pretrained(spec.folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise UnsupportedModelError(f"{spec.id}: {str(error).strip().splitlines()[0]}") from error
        self._torch: Any = torch
        encoder = model.get_encoder() if model.config.is_encoder_decoder else model
        self._model = encoder.to(torch.float32).eval()

    def prepare(self, *, tokens: bool) -> None:
        """See `Backend.prepare`: there is one way for all."""

    def run(self, batches: Iterable[Batch], pool: Callable[[Batch], NDArray[np.float32]] | None, take: Take) -> None:
        """See `Backend.run`."""
        for batch in batches:
            mask = (batch.segments >= 0).astype(np.int64)
            with self._torch.inference_mode():
                output = self._model(
                    input_ids=self._torch.from_numpy(batch.ids.astype(np.int64)),
                    attention_mask=self._torch.from_numpy(mask),
                )
            tokens = output.last_hidden_state.numpy().reshape(batch.ids.size, -1)
            take(batch, tokens if pool is None else pool(batch) @ tokens)
