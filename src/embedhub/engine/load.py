"""From a model's description to something that computes it: which backend, which number type.

Knows the order of preference: our own graph, the repository's ONNX export, transformers. The error at the end names
both ways out.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedhub.engine.backends import Backend
from embedhub.engine.backends.openvino import Machine, OpenVinoBackend, choose_dtype
from embedhub.engine.graphs import ARCHITECTURES, build_graph
from embedhub.engine.tokenizer import TextTokenizer
from embedhub.errors import UnsupportedModelError
from embedhub.models import ModelSpec


@dataclass(frozen=True)
class LoadRequest:
    """How a model is to be loaded: its description, the number type, the machine's share, EMBEDHUB_HOME."""

    spec: ModelSpec
    dtype: str
    use: Machine
    home: Path


class Background:
    """A check that runs in a thread while something else is prepared."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
            self._error = error

    def result(self) -> None:
        """Wait for the check, and raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error


def load_backend(request: LoadRequest, tokenizer: TextTokenizer) -> Backend:
    """The best backend that can run the model.

    Raises:
        UnsupportedModelError: none can, or not in this number type.
        MissingExtraError: one could, if an optional library were installed.
    """
    spec = request.spec
    dtype = choose_dtype(request.dtype)
    reason = f"architecture {spec.architecture!r} has no graph here"
    if spec.architecture in ARCHITECTURES and spec.weights:
        try:
            return _graph_backend(request, dtype, tokenizer)
        except UnsupportedModelError as error:
            # A variant that the graph does not cover; the next ways may.
            reason = f"no graph here for {error}"
    if dtype == "int8":
        raise UnsupportedModelError(
            f"{spec.id}: int8 needs one of the architectures {', '.join(sorted(ARCHITECTURES))}"
        )
    if spec.onnx is not None:
        from embedhub.engine.backends.onnx import OnnxBackend

        return OnnxBackend(spec.onnx, dtype, request.use)
    if dtype == "bf16" and request.dtype == "bf16":
        raise UnsupportedModelError(f"{spec.id}: bf16 needs a graph or an ONNX export; use dtype f32")
    from embedhub.engine.backends.torch import TorchBackend

    return TorchBackend(spec, reason)


def _graph_backend(request: LoadRequest, dtype: str, tokenizer: TextTokenizer) -> Backend:
    ranges, checksum = None, ""
    if dtype == "int8":
        from embedhub.engine.calibration import calibrated_ranges, ranges_checksum

        ranges = calibrated_ranges(request.spec, tokenizer, request.home, request.use)
        checksum = ranges_checksum(ranges)
    # Built once here, so that an unsupported variant shows now and not at the first text.
    first = build_graph(request.spec, largest_id=tokenizer.largest_id, ranges=ranges)
    return OpenVinoBackend(
        lambda tokens: build_graph(request.spec, tokens=True, ranges=ranges) if tokens else first,
        dtype,
        request.use,
        checksum,
    )
