"""From pooled vectors to what the caller asked for: dense layers, length one, fewer dimensions, other number types.

Pure arrays. Formulas as in sentence-transformers (Dense, Normalize, `quantize_embeddings`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.scores import sigmoid
from embedhub.engine.weights import Weights
from embedhub.errors import SettingError
from embedhub.models import DenseSpec
from embedhub.search.metrics import SCORES, cos_sim, dot_score, euclidean_sim

Floats = NDArray[np.float32]

PRECISIONS = ("float32", "float16", "int8", "uint8", "binary", "ubinary")


def _gelu(x: Floats) -> Floats:
    # NumPy has no error function; this is Abramowitz and Stegun 7.1.26 in float64, error below 1.5e-7.
    z = np.abs(x.astype(np.float64)) / sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return np.asarray(x * (1 + erf) / 2, np.float32)


_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "Identity": lambda x: x,
    "Tanh": lambda x: np.tanh(x),
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": sigmoid,
    "GELU": _gelu,
}


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer with its activation: vectors [n, in] to [n, out]."""

    weight: Floats
    bias: Floats | None
    activation: str

    def __call__(self, vectors: Floats) -> Floats:
        """The layer applied to float32 [n, in]."""
        mixed = vectors @ self.weight.T
        if self.bias is not None:
            mixed = mixed + self.bias
        return _ACTIVATIONS[self.activation](mixed)


def load_dense(specs: Sequence[DenseSpec]) -> tuple[DenseLayer, ...]:
    """The dense layers of a model, in order."""
    layers = []
    for spec in specs:
        weights = Weights([spec.folder / "model.safetensors"])
        bias = weights["linear.bias"] if "linear.bias" in weights else None  # noqa: SIM401 - no mapping
        layers.append(DenseLayer(weights["linear.weight"], bias, spec.activation))
    return tuple(layers)


def normalized(vectors: Floats) -> Floats:
    """Vectors [n, d] scaled to length one; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled


def truncated(vectors: Floats, dimensions: int | None) -> Floats:
    """The first dimensions of vectors [n, d] (Matryoshka); None keeps them all.

    Raises:
        SettingError: more dimensions than there are, or none.
    """
    if dimensions is None:
        return vectors
    if not 0 < dimensions <= vectors.shape[1]:
        raise SettingError(f"truncate_dim is {dimensions}, the model gives 1 to {vectors.shape[1]} dimensions")
    return np.ascontiguousarray(vectors[:, :dimensions])


def quantize_embeddings(
    vectors: Floats,
    precision: str,
    *,
    ranges: Floats | None = None,
    calibration_embeddings: Floats | None = None,
) -> NDArray[np.generic]:
    """Vectors [n, d] in another number type.

    Args:
        vectors: float32.
        precision: of PRECISIONS. int8 and uint8 divide each dimension's range into 256 steps; binary and ubinary
            keep the signs, eight dimensions a byte.
        ranges: [2, d] smallest and largest value of each dimension, for int8 and uint8.
        calibration_embeddings: vectors to take the ranges from; without both, `vectors` themselves.

    Raises:
        SettingError: an unknown precision, or ranges that would have to come from a single vector.
    """
    if precision == "float32":
        return vectors
    if precision == "float16":
        return vectors.astype(np.float16)
    if precision in ("binary", "ubinary"):
        packed = np.packbits(vectors > 0, axis=-1)
        return packed if precision == "ubinary" else (packed.astype(np.int16) - 128).astype(np.int8)
    if precision not in PRECISIONS:
        raise SettingError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    dtype = np.int8 if precision == "int8" else np.uint8
    if not len(vectors):
        return np.zeros(vectors.shape, dtype)
    if ranges is None:
        sample = vectors if calibration_embeddings is None else calibration_embeddings
        if len(sample) < 2:
            raise SettingError(f"precision {precision} needs several texts, or ranges: see quantize_embeddings")
        ranges = np.stack([sample.min(axis=0), sample.max(axis=0)])
    start = ranges[0]
    step = (ranges[1] - start) / np.float32(255)
    levels = np.clip(np.floor((vectors - start) / np.where(step == 0, 1, step)), 0, 255)
    return np.asarray(levels - (128 if precision == "int8" else 0), dtype)


def similarity(function: str, left: Floats, right: Floats) -> Floats:
    """Scores float32 [n, m] between vectors [n, d] and [m, d]: cosine, dot, or negative distance.

    Raises:
        SettingError: an unknown function.
    """
    return _SIMILARITIES[similarity_named(function)](left, right)


def similarity_pairwise(function: str, left: Any, right: Any) -> Floats:
    """Scores float32 [n] between the vectors of each pair of rows [n, d]; of two lone vectors [d] one score.

    Raises:
        SettingError: an unknown function, or vectors that make no pairs.
    """
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if a.shape != b.shape:
        raise SettingError(f"vectors of shapes {a.shape} and {b.shape} make no pairs")
    if similarity_named(function) == "manhattan":
        return np.asarray(-np.abs(a - b).sum(axis=-1), np.float32)
    metric = SCORES[function]
    lengths = [np.linalg.norm(vectors, axis=-1) for vectors in (a, b)]
    return np.asarray(metric.score(metric.rank((a * b).sum(axis=-1), *lengths)), np.float32)


def similarity_named(function: str) -> str:
    """The name of a similarity function, if there is one of that name.

    Raises:
        SettingError: there is none; the message lists those there are.
    """
    if function not in tuple(_SIMILARITIES):
        raise SettingError(f"similarity {function!r} is not one of {', '.join(_SIMILARITIES)}")
    return function


def _manhattan(left: Floats, right: Floats) -> Floats:
    a, b = (np.atleast_2d(np.asarray(vectors, np.float32)) for vectors in (left, right))
    return np.asarray([-np.abs(row - b).sum(axis=1) for row in a], np.float32).reshape(len(a), len(b))


_SIMILARITIES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "cosine": cos_sim,
    "dot": dot_score,
    "euclidean": euclidean_sim,
    "manhattan": _manhattan,
}
