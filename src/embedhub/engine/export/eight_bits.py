"""Linear layers and embedding tables in 8 bits, in operations that every ONNX Runtime has, the browser's too.

Knows how numbers are rounded. Refuses to know models. Weights and large tables are int8 with a scale for each row. The
inputs of a layer are measured as they come and rounded to 8 bits with a scale for each token: with one for all tokens
of a batch, as DynamicQuantizeLinear has it, a text's vector depends on its neighbours, and outliers of one token cost
all others their precision (measured in docs/log.md). Products are of uint8 around 128: for int8 times int8 ONNX Runtime
has no fast one, and that of uint8 times int8 overflows on x86 processors without VNNI.
"""

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.export.translation import Array, Exact
from embedhub.engine.export.wire import OnnxGraph

# Part of the name under which files are kept: changes with what they mean.
RECIPE = "token-1"

# Tables below this many bytes stay exact: what they would save is not worth an error in every token.
_LARGE_TABLE = 1 << 20

_LEVELS = np.float32(127)
_MIDDLE = 128
_TINY = np.float32(1e-12)

_FLOAT32, _UINT8 = 1, 2


class EightBits(Exact):
    """One graph's weights in 8 bits; see `translation.Weighty`."""

    def __init__(self) -> None:
        # Query, key and value have one input.
        self._inputs: dict[str, tuple[str, str]] = {}

    def linear(self, graph: OnnxGraph, x: str, weight: Array) -> str:
        """See `Weighty.linear`."""
        if x not in self._inputs:
            self._inputs[x] = _rounded_tokens(graph, x)
        rounded, scale = self._inputs[x]
        whole, scales = rounded_rows(weight)
        middle = graph.constant(np.uint8(_MIDDLE))
        shifted = graph.constant((whole.astype(np.int16) + _MIDDLE).astype(np.uint8).T)
        product = graph.add("MatMulInteger", rounded, shifted, middle, middle)
        scaled = graph.add("Mul", graph.add("Cast", product, to=_FLOAT32), scale)
        return graph.add("Mul", scaled, graph.constant(scales[:, 0]))

    def rows(self, graph: OnnxGraph, table: Array, indices: str) -> str:
        """See `Weighty.rows`."""
        if table.nbytes < _LARGE_TABLE:
            return super().rows(graph, table, indices)
        whole, scales = rounded_rows(table)
        rows = graph.add("Cast", graph.add("Gather", graph.constant(whole), indices, axis=0), to=_FLOAT32)
        return graph.add("Mul", rows, graph.add("Gather", graph.constant(scales), indices, axis=0))


def rounded_rows(weight: Array) -> tuple[NDArray[np.int8], Array]:
    """A matrix [n, m] as int8 [n, m] from -127 to 127 and the scale of each row, float32 [n, 1]."""
    scales = np.maximum(np.abs(weight).max(axis=1, keepdims=True), _TINY) / _LEVELS
    return np.rint(weight / scales).astype(np.int8), scales.astype(np.float32)


def _rounded_tokens(graph: OnnxGraph, x: str) -> tuple[str, str]:
    """Token vectors [..., H] as uint8 around 128, and the scale of each token [..., 1]."""
    peak = graph.add("ReduceMax", graph.add("Abs", x), axes=[-1], keepdims=1)
    bounded = graph.add("Max", peak, graph.constant(_TINY))
    scale = graph.add("Mul", bounded, graph.constant(np.float32(1 / _LEVELS)))
    steps = graph.add("Round", graph.add("Div", x, scale))
    return graph.add("Cast", graph.add("Add", steps, graph.constant(np.float32(_MIDDLE))), to=_UINT8), scale
