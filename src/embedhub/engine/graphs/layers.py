"""The pieces that encoder graphs are made of, as OpenVINO operations.

Knows layers: linear, normalisation, attention, embeddings. Refuses to know architectures (one file each beside this
one) and texts. Every graph has the same four inputs, so padded batches and packs of several texts a row are one
thing:

    ids       int32 [B, T]   token ids
    positions int32 [B, T]   position of a token within its own text
    segments  int32 [B, T]   which text of the row's batch a token belongs to; -1 is filler
    pool      f32   [P, B*T] how much of each token goes into each of the P sums that are asked for

Graphs of classifiers that tell the two texts of a pair apart have a fifth, before `pool`:

    types     int32 [B, T]   0 for tokens of the first text, 1 for those of the second

A token attends to the tokens of its own segment and to no others. Output: f32 [P, H], the sums, or with
`tokens=True` f32 [B*T, H], the tokens' vectors.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.quantization import SiteRange
from embedhub.engine.quiet_openvino import op, ov
from embedhub.engine.weights import Weights
from embedhub.errors import ModelIntegrityError, UnsupportedModelError

# Exact zero after softmax in f32 and bf16 alike, and far from the end of either's range.
_MASKED = np.float32(-10000.0)

Node = Any

ACTIVATIONS: dict[str, Callable[[Node], Node]] = {
    "gelu": lambda x: op.gelu(x, "erf"),
    "gelu_new": lambda x: op.gelu(x, "tanh"),
    "gelu_fast": lambda x: op.gelu(x, "tanh"),
    "gelu_pytorch_tanh": lambda x: op.gelu(x, "tanh"),
    "relu": op.relu,
    "silu": lambda x: op.swish(x),
    "swish": lambda x: op.swish(x),
}


def activation(name: str) -> Callable[[Node], Node]:
    """The activation of that name in config.json.

    Raises:
        UnsupportedModelError: there is none; the message lists those there are.
    """
    if name not in ACTIVATIONS:
        raise UnsupportedModelError(f"activation {name!r} is not one of {', '.join(sorted(ACTIVATIONS))}")
    return ACTIVATIONS[name]


def axes(*values: int) -> NDArray[np.int64]:
    """Axis numbers or a shape, as OpenVINO wants them."""
    return np.array(values, dtype=np.int64)


def _shared(array: NDArray[np.float32]) -> Node:
    """A constant that is the array, which it keeps, and no copy of it."""
    return op.constant(array, shared_memory=True)


class Layers:
    """Builds layers over one set of weights.

    Args:
        weights: the tensors.
        heads: attention heads.
        largest_id: largest token id that may come.
        max_tokens: longest text that may come.
        epsilon: of the layer normalisations.
        types: whether the graph has the input `types`.
        ranges: value ranges of the linear layers' inputs by site; layers behind these sites
            compute in int8.
        observe: filled with the inputs of the linear layers by site, for calibration.
        observed_weights: filled with the linear layers' weights by site, for calibration.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        heads: int,
        largest_id: int,
        max_tokens: int,
        epsilon: float,
        types: bool = False,
        ranges: Mapping[str, SiteRange] | None = None,
        observe: dict[str, Node] | None = None,
        observed_weights: dict[str, list[NDArray[np.float32]]] | None = None,
    ) -> None:
        self.weights = weights
        self.ids = op.parameter([-1, -1], np.int32, name="ids")
        self.positions = op.parameter([-1, -1], np.int32, name="positions")
        self.segments = op.parameter([-1, -1], np.int32, name="segments")
        self.types = op.parameter([-1, -1], np.int32, name="types") if types else None
        self.pool = op.parameter([-1, -1], np.float32, name="pool")
        self.largest_id = largest_id
        self.max_tokens = max_tokens
        self._heads = heads
        self._epsilon = epsilon
        self._ranges = ranges or {}
        self._observe = observe
        self._observed_weights = observed_weights

    def constant(self, name: str) -> Node:
        """A tensor of the weights as a constant."""
        return _shared(self.weights[name])

    def table(self, name: str, indices: Node, largest: int) -> Node:
        """Rows of an embedding table: [B, T] of indices to [B, T, H].

        Raises:
            ModelIntegrityError: the table ends before `largest`; OpenVINO would read on without a word.
        """
        table = self.weights[name]
        if largest >= len(table):
            raise ModelIntegrityError(f"{name} has {len(table)} rows, the tokenizer or config.json needs {largest + 1}")
        return op.gather(_shared(table), indices, np.int64(0))

    def norm(self, x: Node, name: str) -> Node:
        """Layer normalisation over the last axis."""
        normal = op.mvn(x, axes(-1), True, self._epsilon, "inside_sqrt")
        return op.add(op.multiply(normal, self.constant(f"{name}.weight")), self.constant(f"{name}.bias"))

    def site(self, x: Node, site: str) -> Node:
        """Mark the input of linear layers: where calibration looks, and where int8 computation begins."""
        if self._observe is not None:
            self._observe[site] = x
        observed = self._ranges.get(site)
        return x if observed is None else observed.quantize_input(x)

    def linear(self, x: Node, name: str, site: str) -> Node:
        """A linear layer with bias; weight [out, in]. `x` comes from `site()` of the same name."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        if self._observed_weights is not None:
            self._observed_weights.setdefault(site, []).append(weight)
        observed = self._ranges.get(site)
        if observed is None:
            return op.add(op.matmul(x, _shared(weight), False, True), _shared(bias))
        quantized, corrected = observed.quantize_weight(weight, bias)
        return op.add(op.matmul(x, quantized, False, True), op.constant(corrected))

    def mask(self) -> Node:
        """Attention bias [B, 1, T, T]: zero within a segment, far below zero between segments."""
        same = op.equal(op.unsqueeze(self.segments, axes(2)), op.unsqueeze(self.segments, axes(1)))
        apart = op.subtract(op.constant(np.float32(1)), op.convert(same, "f32"))
        return op.unsqueeze(op.multiply(apart, op.constant(_MASKED)), axes(1))

    def attention(self, x: Node, names: tuple[str, str, str], bias: Node, site: str) -> Node:
        """Scaled dot-product attention [B, T, H] with the linear layers of query, key and value.

        Written out: of OpenVINO's operation of that name the transposes of the keys and of what is mixed stay behind as
        operations of their own (docs/log.md).
        """
        width = self.weights[f"{names[0]}.weight"].shape[0]
        head_width = width // self._heads
        marked = self.site(x, site)
        shape = axes(0, 0, self._heads, head_width)
        query, key, value = (
            op.transpose(op.reshape(self.linear(marked, name, site), shape, True), axes(0, 2, 1, 3)) for name in names
        )
        scores = op.multiply(op.matmul(query, key, False, True), np.float32(head_width**-0.5))
        mixed = op.matmul(op.softmax(op.add(scores, bias), -1), value, False, False)
        return op.reshape(op.transpose(mixed, axes(0, 2, 1, 3)), axes(0, 0, width), True)

    def model(self, x: Node, *, tokens: bool) -> ov.Model:
        """Close the graph behind the last layer's [B, T, H]."""
        width = int(x.get_output_partial_shape(0)[2].get_length())
        flat = op.reshape(x, axes(-1, width), False)
        inputs = [self.ids, self.positions, self.segments]
        if self.types is not None:
            inputs.append(self.types)
        if tokens:
            results = [op.result(flat)]
        else:
            results = [op.result(op.matmul(self.pool, flat, False, False))]
            inputs.append(self.pool)
        if self._observe is not None:
            results += [op.result(node) for node in self._observe.values()]
        return ov.Model(results, inputs, "encoder")
