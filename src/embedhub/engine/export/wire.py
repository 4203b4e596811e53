"""ONNX files, byte by byte: the part of the format that encoders need, in protobuf's wire format.

Knows the numbers of the fields in onnx.proto. Refuses to know what a graph computes. Tensors go from their arrays into
the file one by one, so a file costs no memory of its own; and nothing but NumPy is needed, where the `onnx` package
and what it brings along are 36 MB and build the whole file in memory, several times over.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from embedhub.errors import UnsupportedModelError

# The oldest versions that have every operation in use (LayerNormalization is the newest): also old readers take them.
OPSET = 17
IR_VERSION = 8

# Readers of protobuf take no larger message.
LARGEST_FILE = 2**31 - 1

Attribute = int | float | str | Sequence[int]

# TensorProto.DataType.
_ELEMENTS = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}

_VARINT, _BYTES, _FLOAT = 0, 2, 5


@dataclass(frozen=True)
class Operation:
    """One step of a graph: what it does to which values, and the names of what comes out."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: its name, NumPy's name of its number type, its axes (a name: of any length)."""

    name: str
    element: str
    axes: tuple[str | int, ...]


@dataclass
class OnnxGraph:
    """A graph while it is made: `add` and `constant` give the names of their values."""

    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """An operation with one output; returns the output's name."""
        return self.add_several(kind, 1, *inputs, **attributes)[0]

    def add_several(self, kind: str, count: int, *inputs: str, **attributes: Attribute) -> tuple[str, ...]:
        """An operation with several outputs; returns their names."""
        names = tuple(f"{kind}_{len(self.operations)}_{number}" for number in range(count))
        self.operations.append(Operation(kind, inputs, names, attributes))
        return names

    def constant(self, array: NDArray[Any] | np.generic) -> str:
        """An array, by reference: nothing is copied before it is written. Returns its name."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def give(self, value: str, port: Port) -> None:
        """Make a value an output, under the port's name."""
        self.operations.append(Operation("Identity", (value,), (port.name,), {}))
        self.outputs.append(port)


def write_onnx(graph: OnnxGraph, file: BinaryIO, *, name: str) -> None:
    """Write a graph as an ONNX model.

    Raises:
        UnsupportedModelError: it would be larger than readers of the format take.
        OSError: the disk refuses.
    """
    model = _Message()
    model.number(1, IR_VERSION)
    model.text(2, "embedhub")
    model.message(7, _graph(graph, name))
    model.message(8, _Message().text(1, "").number(2, OPSET))
    if model.size > LARGEST_FILE:
        raise UnsupportedModelError(
            f"{name}: {model.size / 2**30:.1f} GiB, and an ONNX file holds at most 2 GiB; use the quantised file"
        )
    for part in model.parts:
        # A transposed view becomes a copy here, one tensor at a time.
        file.write(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)


class _Message:
    """A protobuf message as a list of parts; arrays among them are not copied."""

    def __init__(self) -> None:
        self.parts: list[bytes | NDArray[Any]] = []
        self.size = 0

    def _append(self, part: bytes | NDArray[Any]) -> None:
        self.parts.append(part)
        self.size += len(part) if isinstance(part, bytes) else part.nbytes

    def number(self, field: int, value: int) -> "_Message":
        self._append(_varint(field << 3 | _VARINT) + _varint(value))
        return self

    def floating(self, field: int, value: float) -> "_Message":
        self._append(_varint(field << 3 | _FLOAT) + struct.pack("<f", value))
        return self

    def text(self, field: int, value: str) -> "_Message":
        encoded = value.encode()
        self._append(_varint(field << 3 | _BYTES) + _varint(len(encoded)) + encoded)
        return self

    def array(self, field: int, value: NDArray[Any]) -> "_Message":
        self._append(_varint(field << 3 | _BYTES) + _varint(value.nbytes))
        if value.nbytes:
            self._append(value)
        return self

    def message(self, field: int, inner: "_Message") -> "_Message":
        self._append(_varint(field << 3 | _BYTES) + _varint(inner.size))
        self.parts += inner.parts
        self.size += inner.size
        return self


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as 64 bits of two's complement."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _graph(graph: OnnxGraph, name: str) -> _Message:
    made = _Message()
    for operation in graph.operations:
        made.message(1, _operation(operation))
    made.text(2, name)
    for constant, array in _needed(graph):
        made.message(5, _tensor(constant, array))
    for port in graph.inputs:
        made.message(11, _port(port))
    for port in graph.outputs:
        made.message(12, _port(port))
    return made


def _needed(graph: OnnxGraph) -> Iterator[tuple[str, NDArray[Any]]]:
    """The constants that an operation reads."""
    read = {name for operation in graph.operations for name in operation.inputs}
    return ((name, array) for name, array in graph.constants.items() if name in read)


def _operation(operation: Operation) -> _Message:
    made = _Message()
    for value in operation.inputs:
        made.text(1, value)
    for value in operation.outputs:
        made.text(2, value)
    made.text(4, operation.kind)
    for name, attribute in operation.attributes.items():
        made.message(5, _attribute(name, attribute))
    return made


def _attribute(name: str, value: Attribute) -> _Message:
    made = _Message().text(1, name)
    if isinstance(value, float):
        return made.floating(2, value).number(20, 1)
    if isinstance(value, int):
        return made.number(3, value).number(20, 2)
    if isinstance(value, str):
        return made.text(4, value).number(20, 3)
    for number in value:
        made.number(8, number)
    return made.number(20, 7)


def _tensor(name: str, array: NDArray[Any]) -> _Message:
    made = _dimensions(_Message(), array.shape)
    return made.number(2, _ELEMENTS[array.dtype.name]).text(8, name).array(9, array)


def _dimensions(made: _Message, shape: Iterable[int]) -> _Message:
    for length in shape:
        made.number(1, length)
    return made


def _port(port: Port) -> _Message:
    shape = _Message()
    for axis in port.axes:
        shape.message(1, _Message().text(2, axis) if isinstance(axis, str) else _Message().number(1, axis))
    tensor = _Message().number(1, _ELEMENTS[port.element]).message(2, shape)
    return _Message().text(1, port.name).message(2, _Message().message(1, tensor))
