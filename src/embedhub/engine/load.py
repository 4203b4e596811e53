"""From a model's name to something that computes it: found, checked, with its tokenizer and its backend.

Knows the order of preference: our own graph, the repository's ONNX export, transformers. The error at the end names
both ways out. Refuses to know what is done with pooled vectors.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from embedhub.config import DTYPES, Settings
from embedhub.engine.backends import Backend
from embedhub.engine.backends.openvino import Machine, OpenVinoBackend, cached_tokens, choose_dtype, machine
from embedhub.engine.encoder import Encoder
from embedhub.engine.graphs import ARCHITECTURES, build_graph, takes_types
from embedhub.engine.tokenizer import ModelTokenizer, TextTokenizer
from embedhub.errors import SettingError, UnsupportedModelError
from embedhub.models import ModelSpec, find_model

AnyTokenizer = TypeVar("AnyTokenizer", bound=ModelTokenizer)

_ARTICLES = {"embedding": "an embedding", "classifier": "a classifier"}

# What runs a model of each kind.
_DOORS = {"embedding": "embedhub.Model", "classifier": "embedhub.Classifier"}


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


@dataclass(frozen=True)
class EncoderRequest:
    """What a caller says about a model (its name, or itself where it was found already) and the machine.

    None takes the setting.
    """

    model: str | ModelSpec
    revision: str | None = None
    dtype: str | None = None
    threads: int | None = None
    streams: int | None = None


@dataclass(frozen=True)
class Ready(Generic[AnyTokenizer]):
    """A model that is ready to compute pooled vectors: its description, its tokenizer, its encoder."""

    spec: ModelSpec
    tokenizer: AnyTokenizer
    encoder: Encoder


def load_encoder(
    request: EncoderRequest, kind: str, make_tokenizer: Callable[[ModelSpec], AnyTokenizer], config: Settings
) -> Ready[AnyTokenizer]:
    """Find a model, compare its weights with their checksum and make it ready.

    Args:
        request: which model, and how.
        kind: of `ModelSpec.kind`, the one that is wanted.
        make_tokenizer: the class of its tokenizer.
        config: settings.

    Raises:
        ModelError: the model cannot be found, is damaged, of another kind, or cannot be run here.
        SettingError: an unknown dtype.
    """
    asked = request.dtype or config.dtype
    if asked not in DTYPES:
        raise SettingError(f"dtype {asked!r} is not one of {', '.join(DTYPES)}")
    spec = request.model
    if not isinstance(spec, ModelSpec):
        spec = find_model(spec, revision=request.revision, settings=config)
    require_kind(spec, kind)
    # Reading 90 MB for the checksum takes as long as compiling; both at once cost the longer one.
    check = Background(lambda: spec.weights_sha256)
    use = machine(
        config.threads if request.threads is None else request.threads,
        config.streams if request.streams is None else request.streams,
    )
    tokenizer = make_tokenizer(spec)
    backend = load_backend(LoadRequest(spec, asked, use, config.home), tokenizer)
    check.result()
    encoder = Encoder(
        backend,
        modes=spec.pooling,
        hidden_size=spec.hidden_size,
        filler=tokenizer.filler,
        pack_tokens=config.pack_tokens or cached_tokens(spec.hidden_size),
        batch_size=config.batch_size,
    )
    return Ready(spec, tokenizer, encoder)


def require_kind(spec: ModelSpec, kind: str) -> None:
    """Refuse a model of another kind.

    Raises:
        UnsupportedModelError: with what to use instead.
    """
    if spec.kind != kind:
        gives = "labels and no vectors of texts" if spec.kind == "classifier" else "vectors of texts and no labels"
        raise UnsupportedModelError(
            f"{spec.id} is {_ARTICLES[spec.kind]} model, which gives {gives}; use {_DOORS[spec.kind]}, or name "
            f"{_ARTICLES[kind]} model"
        )


def load_backend(request: LoadRequest, tokenizer: ModelTokenizer) -> Backend:
    """The best backend that can run the model.

    Raises:
        UnsupportedModelError: none can, or not in this number type.
        MissingExtraError: one could, if an optional library were installed.
    """
    spec = request.spec
    if spec.kind == "classifier" and request.dtype == "int8":
        raise UnsupportedModelError(f"{spec.id}: int8 is for embeddings; use dtype f32 or bf16 for a classifier")
    dtype = choose_dtype(request.dtype)
    reason = f"architecture {spec.architecture!r} has no graph here"
    if spec.architecture in ARCHITECTURES and spec.weights:
        try:
            return _graph_backend(request, dtype, tokenizer)
        except UnsupportedModelError as error:
            # A variant that the graph does not cover; the next ways may.
            reason = f"no graph here for {error}"
    if spec.kind == "classifier":
        known = ", ".join(sorted(ARCHITECTURES))
        raise UnsupportedModelError(f"{spec.id}: {reason}; classifiers run from model.safetensors of {known}")
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


def _graph_backend(request: LoadRequest, dtype: str, tokenizer: ModelTokenizer) -> Backend:
    ranges, checksum = None, ""
    if dtype == "int8" and isinstance(tokenizer, TextTokenizer):
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
        types=takes_types(request.spec),
    )
