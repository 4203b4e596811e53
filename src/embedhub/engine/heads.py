"""What a text classifier computes behind its encoder: from the first token's vector to logits, in NumPy.

Knows the heads of the families that `graphs` knows, by the names of their tensors. Refuses to know what a logit means.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.graphs import ARCHITECTURES
from embedhub.engine.postprocess import DenseLayer
from embedhub.engine.weights import Weights
from embedhub.errors import ModelIntegrityError, UnsupportedModelError
from embedhub.models import ModelSpec

Floats = NDArray[np.float32]


class HeadNames(NamedTuple):
    """Names of a head's two linear layers, without .weight and .bias, and the activation between them."""

    hidden: str
    activation: str
    output: str


_ROBERTA = HeadNames("classifier.dense", "Tanh", "classifier.out_proj")

HEADS: dict[str, HeadNames] = {
    "bert": HeadNames("pooler.dense", "Tanh", "classifier"),
    "camembert": _ROBERTA,
    "distilbert": HeadNames("pre_classifier", "ReLU", "classifier"),
    "mpnet": _ROBERTA,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


@dataclass(frozen=True)
class Head:
    """The two linear layers behind a classifier's encoder."""

    hidden: DenseLayer
    output: DenseLayer

    def __call__(self, pooled: Floats) -> Floats:
        """Vectors of first tokens [n, hidden size] to logits [n, labels], float32."""
        return np.asarray(self.output(self.hidden(pooled)), np.float32)


def load_head(spec: ModelSpec) -> Head:
    """The head of a classifier.

    Raises:
        UnsupportedModelError: a family whose head is not known here, or weights that are not safetensors.
        ModelIntegrityError: a tensor is missing, or its shape is not that of the encoder and the labels.
    """
    names = HEADS.get(spec.architecture)
    if names is None or not spec.weights:
        raise UnsupportedModelError(
            f"{spec.id}: classifiers run from the model.safetensors of the architectures {', '.join(sorted(HEADS))}, "
            f"not {spec.architecture!r:.40}; save it as one of them"
        )
    weights = Weights(spec.weights, ARCHITECTURES[spec.architecture].prefixes)
    hidden = _layer(spec, weights, names.hidden, names.activation, (spec.hidden_size, spec.hidden_size))
    return Head(hidden, _layer(spec, weights, names.output, "Identity", (len(spec.labels), spec.hidden_size)))


def _layer(spec: ModelSpec, weights: Weights, name: str, activation: str, shape: tuple[int, int]) -> DenseLayer:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    if weight.shape != shape or bias.shape != shape[:1]:
        raise ModelIntegrityError(
            f"{spec.weights[0]}: {name} is {list(weight.shape)} with bias {list(bias.shape)}, config.json says "
            f"{list(shape)}; save the model again with its labels"
        )
    return DenseLayer(weight, bias, activation)
