"""From a model to its two ONNX files, made once and kept beside the model's other derived files.

Knows which outputs other programs expect: `last_hidden_state` [B, T, H] of an embedding model, `logits` [B, labels] of
a classifier. Files lie in EMBEDHUB_HOME/exports, by the fingerprint of the model, and are whole or not there.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from embedhub.choices import OnnxForm
from embedhub.engine.export.eight_bits import RECIPE, EightBits
from embedhub.engine.export.translation import Exact, Weighty, add_encoder
from embedhub.engine.export.wire import OnnxGraph, Port, write_onnx
from embedhub.engine.graphs import ARCHITECTURES, build_graph, knows_types
from embedhub.engine.heads import Head, load_head
from embedhub.engine.postprocess import DenseLayer
from embedhub.engine.tokenizer import ModelTokenizer, PairTokenizer
from embedhub.errors import ModelError, UnsupportedModelError
from embedhub.models import ModelSpec
from embedhub.storage import storage_errors, unfinished_files, whole_file

_FORMS: dict[OnnxForm, Callable[[], Weighty]] = {OnnxForm.FLOAT32: Exact, OnnxForm.QUANTIZED: EightBits}

# Kept files of another version are not used: changes with what is written.
_VERSION = 1

_ACTIVATIONS = {"Tanh": "Tanh", "ReLU": "Relu"}

logger = logging.getLogger(__name__)


def can_export(spec: ModelSpec) -> bool:
    """Whether a model's architecture has a graph here; a variant of one may still be refused."""
    return spec.architecture in ARCHITECTURES and bool(spec.weights)


def kept_onnx(spec: ModelSpec, form: OnnxForm, home: Path) -> Path:
    """A model's ONNX file: the kept one, else made now (about a second for 90 MB of weights) and kept.

    Of several processes that want it at the same time one makes it.

    Args:
        spec: the model.
        form: of the weights.
        home: EMBEDHUB_HOME.

    Raises:
        UnsupportedModelError: no graph here, or more than an ONNX file holds.
        ModelError: the model is damaged, or the folder cannot be written.
        StorageFullError: no space left; nothing is kept.
    """
    folder = home / "exports"
    path = folder / f"{spec.fingerprint}-{_VERSION}-{form}{f'-{RECIPE}' if form is OnnxForm.QUANTIZED else ''}.onnx"
    if path.is_file():
        return path
    with storage_errors(f"no space left under {folder} for {spec.id}", (ModelError, str(folder))):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for leftover in unfinished_files(folder / "*"):
                # The lock is held, so whoever wrote this has died.
                leftover.unlink()
            if not path.is_file():
                logger.info("exporting %s to ONNX (%s), once", spec.id, form)
                graph = onnx_graph(spec, _FORMS[form]())
                with whole_file(path) as file:
                    write_onnx(graph, file, name=spec.id)
    return path


def onnx_graph(spec: ModelSpec, weighty: Weighty) -> OnnxGraph:
    """The whole model as an ONNX graph; the weights are read here.

    Raises:
        UnsupportedModelError: an architecture, or a variant of one, that has no graph here.
        ModelIntegrityError: config.json and the weights do not fit, or the tokenizer cannot be read.
    """
    if not can_export(spec):
        raise UnsupportedModelError(
            f"{spec.id}: ONNX files are made from the model.safetensors of the architectures "
            f"{', '.join(sorted(ARCHITECTURES))}, not {spec.architecture!r:.40}"
        )
    classifier = spec.kind == "classifier"
    tokenizer = PairTokenizer(spec) if classifier else ModelTokenizer(spec, is_pair=False)
    encoder = build_graph(spec, largest_id=tokenizer.largest_id, tokens=True, types=_takes_types(spec, tokenizer))
    graph = OnnxGraph()
    tokens = add_encoder(graph, encoder, weighty)
    if classifier:
        logits = _head(graph, load_head(spec), tokens)
        graph.give(logits, Port("logits", "float32", ("batch_size", len(spec.labels))))
    else:
        graph.give(tokens, Port("last_hidden_state", "float32", ("batch_size", "sequence_length", spec.hidden_size)))
    return graph


def _takes_types(spec: ModelSpec, tokenizer: ModelTokenizer) -> bool:
    # Where a classifier's tokenizer is not to tell the texts of a pair apart, others must not either.
    return knows_types(spec) and not (isinstance(tokenizer, PairTokenizer) and not tokenizer.gives_types)


def _head(graph: OnnxGraph, head: Head, tokens: str) -> str:
    """The two small layers of a head, always exact."""
    first = graph.add("Gather", tokens, graph.constant(np.int64(0)), axis=1)
    hidden = graph.add(_ACTIVATIONS[head.hidden.activation], _layer(graph, head.hidden, first))
    return _layer(graph, head.output, hidden)


def _layer(graph: OnnxGraph, layer: DenseLayer, x: str) -> str:
    mixed = Exact().linear(graph, x, layer.weight)
    return mixed if layer.bias is None else graph.add("Add", mixed, graph.constant(layer.bias))
