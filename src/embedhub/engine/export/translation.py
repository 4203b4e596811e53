"""An encoder's graph from OpenVINO's operations to those of ONNX, one function an operation.

Knows both vocabularies, and the inputs that other programs feed: token ids and a mask, texts in rows. Refuses to know
architectures: whatever `graphs` builds of these operations can be exported. How linear layers and embedding tables are
written is handed in: `Exact` here, 8 bits in `eight_bits.py`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.export.wire import OnnxGraph, Port
from embedhub.engine.quiet_openvino import ov
from embedhub.errors import UnsupportedModelError

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"

Node = Any
Array = NDArray[np.float32]


class Weighty(Protocol):
    """How the operations that read large weights are written."""

    def linear(self, graph: OnnxGraph, x: str, weight: Array) -> str:
        """The value x [..., in] times the transposed weight [out, in]."""

    def rows(self, graph: OnnxGraph, table: Array, indices: str) -> str:
        """Rows of a table [n, H] for indices [B, T]: [B, T, H]."""


class Exact:
    """Weights as they are, in float32."""

    def linear(self, graph: OnnxGraph, x: str, weight: Array) -> str:
        """See `Weighty.linear`."""
        return graph.add("MatMul", x, graph.constant(weight.T))

    def rows(self, graph: OnnxGraph, table: Array, indices: str) -> str:
        """See `Weighty.rows`."""
        return graph.add("Gather", graph.constant(table), indices, axis=0)


def add_encoder(graph: OnnxGraph, encoder: ov.Model, weighty: Weighty) -> str:
    """Translate an encoder that gives tokens (`tokens=True` of `build_graph`), with inputs in rows.

    Adds the inputs input_ids, attention_mask and, where the encoder has types, token_type_ids: int64 [B, T].

    Returns:
        The name of the tokens' vectors, float32 [B, T, H].

    Raises:
        UnsupportedModelError: an operation that has no translation here.
    """
    values: dict[str, str] = {}
    parameters = _inputs(graph, with_types=any(_name(node) == "types" for node in encoder.get_parameters()))
    flat = ""
    for node in encoder.get_ordered_ops():
        kind = node.get_type_name()
        if _name(node) in values or kind == "Constant":
            continue
        if kind == "Parameter":
            values[_name(node)] = parameters[_name(node)]
        elif kind == "Result":
            flat = _value(graph, values, node, 0)
        elif kind in _TRANSLATIONS:
            inputs = [_value(graph, values, node, number) for number in range(node.get_input_size())]
            values[_name(node)] = _TRANSLATIONS[kind](graph, node, inputs)
        elif kind in _WEIGHTY:
            values[_name(node)] = _WEIGHTY[kind](graph, values, node, weighty)
        else:
            raise UnsupportedModelError(f"the operation {kind} cannot be exported to ONNX")
    width = encoder.output(0).get_partial_shape()[1].get_length()
    shape = graph.add("Concat", graph.add("Shape", IDS), graph.constant(np.array([width])), axis=0)
    return graph.add("Reshape", flat, shape)


def _inputs(graph: OnnxGraph, *, with_types: bool) -> dict[str, str]:
    """What the encoder calls its inputs, made of what other programs feed."""
    names = (IDS, MASK, TYPES) if with_types else (IDS, MASK)
    graph.inputs += [Port(name, "int64", ("batch_size", "sequence_length")) for name in names]
    one, int32 = graph.constant(np.int32(1)), 6
    mask = graph.add("Cast", MASK, to=int32)
    # Counted over the tokens that are there, so filler may also stand in front.
    counted = graph.add("Sub", graph.add("CumSum", mask, graph.constant(np.int64(1))), one)
    made = {
        "ids": graph.add("Cast", IDS, to=int32),
        "positions": graph.add("Max", counted, graph.constant(np.int32(0))),
        # A row is one text, 0, and its filler, -1.
        "segments": graph.add("Sub", mask, one),
    }
    return made | ({"types": graph.add("Cast", TYPES, to=int32)} if with_types else {})


def _name(node: Node) -> str:
    return str(node.get_friendly_name())


def _source(node: Node, number: int) -> Node:
    return node.input_value(number).get_node()


def _array(node: Node, number: int) -> NDArray[Any] | None:
    """The array that is an input of an operation; None when the input is computed."""
    source = _source(node, number)
    return np.asarray(source.data) if source.get_type_name() == "Constant" else None


def _known(node: Node, number: int) -> NDArray[Any]:
    array = _array(node, number)
    if array is None:
        raise UnsupportedModelError(f"{node.get_type_name()} with a computed argument cannot be exported to ONNX")
    return array


def _value(graph: OnnxGraph, values: Mapping[str, str], node: Node, number: int) -> str:
    array = _array(node, number)
    return values[_name(_source(node, number))] if array is None else graph.constant(array)


def _matmul(graph: OnnxGraph, values: Mapping[str, str], node: Node, weighty: Weighty) -> str:
    left, weight = _value(graph, values, node, 0), _array(node, 1)
    attributes = node.get_attributes()
    if attributes["transpose_a"] or (weight is not None and not attributes["transpose_b"]):
        raise UnsupportedModelError("a matrix product of this kind cannot be exported to ONNX")
    if weight is not None:
        return weighty.linear(graph, left, weight)
    # Of attention: four axes each.
    right = _value(graph, values, node, 1)
    if attributes["transpose_b"]:
        right = graph.add("Transpose", right, perm=[0, 1, 3, 2])
    return graph.add("MatMul", left, right)


def _gather(graph: OnnxGraph, values: Mapping[str, str], node: Node, weighty: Weighty) -> str:
    return weighty.rows(graph, _known(node, 0), _value(graph, values, node, 1))


def _mvn(graph: OnnxGraph, values: dict[str, str], node: Node, weighty: Weighty) -> str:
    """The normalisation with the factor and the summand behind it: ONNX has one operation for the three."""
    del weighty
    (scaled,) = (port.get_node() for port in node.output(0).get_target_inputs())
    (shifted,) = (port.get_node() for port in scaled.output(0).get_target_inputs())
    factor, summand = (graph.constant(_known(each, 1)) for each in (scaled, shifted))
    made = graph.add(
        "LayerNormalization",
        _value(graph, values, node, 0),
        factor,
        summand,
        axis=-1,
        epsilon=float(node.get_attributes()["eps"]),
    )
    values[_name(scaled)] = values[_name(shifted)] = made
    return made


def _gelu(graph: OnnxGraph, node: Node, inputs: list[str]) -> str:
    """Exact, or by Hendrycks and Gimpel's approximation; ONNX has one operation for it only since opset 20."""

    def number(value: float) -> str:
        return graph.constant(np.float32(value))

    (x,) = inputs
    if node.get_attributes()["approximation_mode"].lower() == "erf":
        share = graph.add("Erf", graph.add("Div", x, number(math.sqrt(2))))
    else:
        cube = graph.add("Mul", graph.add("Mul", graph.add("Mul", x, x), x), number(0.044715))
        share = graph.add("Tanh", graph.add("Mul", graph.add("Add", x, cube), number(math.sqrt(2 / math.pi))))
    return graph.add("Mul", graph.add("Mul", x, graph.add("Add", share, number(1))), number(0.5))


def _clamp(graph: OnnxGraph, node: Node, inputs: list[str]) -> str:
    limits = (graph.constant(np.float32(node.get_attributes()[name])) for name in ("min", "max"))
    return graph.add("Clip", *inputs, *limits)


def _convert(graph: OnnxGraph, node: Node, inputs: list[str]) -> str:
    return graph.add("Cast", *inputs, to={"f32": 1, "i32": 6}[node.get_attributes()["destination_type"]])


def _transpose(graph: OnnxGraph, node: Node, inputs: list[str]) -> str:
    return graph.add("Transpose", inputs[0], perm=_known(node, 1).tolist())


def _same(kind: str) -> Callable[[OnnxGraph, Node, list[str]], str]:
    """An operation that has the same inputs in both vocabularies."""
    return lambda graph, node, inputs: graph.add(kind, *inputs)


_TRANSLATIONS: dict[str, Callable[[OnnxGraph, Node, list[str]], str]] = {
    "Add": _same("Add"),
    "Clamp": _clamp,
    "Convert": _convert,
    "Equal": _same("Equal"),
    "Gelu": _gelu,
    "Multiply": _same("Mul"),
    "ReLU": _same("Relu"),
    "Relu": _same("Relu"),
    # Zeros in a shape mean the same in both.
    "Reshape": _same("Reshape"),
    "Softmax": lambda graph, node, inputs: graph.add("Softmax", *inputs, axis=int(node.get_attributes()["axis"])),
    "Subtract": _same("Sub"),
    "Swish": lambda graph, node, inputs: graph.add("Mul", inputs[0], graph.add("Sigmoid", inputs[0])),
    "Transpose": _transpose,
    "Unsqueeze": _same("Unsqueeze"),
}

_WEIGHTY: dict[str, Callable[[OnnxGraph, dict[str, str], Node, Weighty], str]] = {
    "Gather": _gather,
    "MVN": _mvn,
    "MatMul": _matmul,
}
