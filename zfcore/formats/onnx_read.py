"""An ONNX file, which is untrusted bytes, as the nodes that its outputs need, in order.

Nothing here computes. Protobuf parses the file, and what it claims is held against what it has before memory is taken.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from zfcore.errors import ZfcoreError
from zfcore.layers.base import Shape

MAX_FILE_BYTES = 2**31 - 1  # protobuf's own limit
MIN_OPSET = 7
DEFAULT_SIZE = (224, 224)  # where the file leaves height and width open
STANDARD_DOMAINS = ("", "ai.onnx")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
INTEGERS = (
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
    TensorProto.BOOL,
)


class OnnxError(ZfcoreError):
    """An ONNX file that cannot be imported, and why."""


class Unsupported(Exception):
    """Why one node cannot be imported; collected, so that a single error lists every such node."""


@dataclass(frozen=True)
class Node:
    """One node of the graph; an absent optional input is ''."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What an error calls it."""
        return f"{self.name!r} ({self.op})" if self.name else f"unnamed node that makes {self.outputs[0]!r} ({self.op})"


@dataclass(frozen=True)
class Graph:
    """What the outputs need: nodes in topological order, stored tensors, the one input."""

    nodes: tuple[Node, ...]
    stored: Mapping[str, TensorProto | None]  # None: a sparse tensor
    input: str
    input_shape: Shape
    batch: int
    outputs: tuple[str, ...]
    opset: int
    uses: Counter[str]  # how often each tensor is read, by nodes and by the outside


def read_graph(path: str | os.PathLike[str], input_size: tuple[int, int] | None) -> Graph:
    """Read a file and check that it is one graph from one image to some outputs.

    Raises
    ------
    OnnxError
        If it is not; the message does not name the file.
    """
    try:
        model = ModelProto.FromString(_read_bytes(path))
        return _graph(model, input_size)
    except (DecodeError, UnicodeDecodeError) as error:
        raise OnnxError("it is not an ONNX model, or it is truncated or damaged; needed: a file as an exporter wrote it") from error


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OnnxError("it is no regular file; needed: an .onnx file")
            if status.st_size == 0:
                raise OnnxError("the file is empty; needed: an .onnx file")
            if status.st_size > MAX_FILE_BYTES:
                raise OnnxError(f"it has {status.st_size:,} bytes; needed: an .onnx file of at most {MAX_FILE_BYTES:,}")
            return file.read(MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        if isinstance(error, OnnxError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise OnnxError(f"cannot be read ({reason}); needed: the path of an .onnx file") from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a named pipe must not make us wait for a writer


def _graph(model: ModelProto, input_size: tuple[int, int] | None) -> Graph:
    opset = _opset(model)
    graph = model.graph
    stored: dict[str, TensorProto | None] = {t.name: t for t in graph.initializer}
    stored.update((s.values.name, None) for s in graph.sparse_initializer)
    name, shape, batch = _input([i for i in graph.input if i.name not in stored], input_size)
    nodes = [
        Node(n.name, n.op_type, n.domain, tuple(n.input), tuple(n.output), {a.name: _attribute(a) for a in n.attribute}) for n in graph.node
    ]
    outputs = tuple(dict.fromkeys(o.name for o in graph.output))
    if not nodes or not outputs:
        raise OnnxError("it holds no network (no nodes, or no outputs); needed: an ONNX model of a convnet")
    ordered = _in_order(nodes, {name, *stored}, outputs)
    uses = Counter(i for n in ordered for i in n.inputs if i)
    uses.update(outputs)
    return Graph(ordered, stored, name, shape, batch, outputs, opset, uses)


def _opset(model: ModelProto) -> int:
    versions = [o.version for o in model.opset_import if o.domain in STANDARD_DOMAINS]
    if not versions:
        raise OnnxError("it names no version of the ONNX operators; needed: a whole ONNX model as an exporter wrote it")
    if max(versions) < MIN_OPSET:
        raise OnnxError(f"it has opset {max(versions)}; needed: opset {MIN_OPSET} or later (onnx.version_converter)")
    return max(versions)


def _input(inputs: list[ValueInfoProto], input_size: tuple[int, int] | None) -> tuple[str, Shape, int]:
    """Name, (C, H, W) and batch size of the one input; a size that the file leaves open is `input_size`."""
    if len(inputs) != 1:
        names = ", ".join(repr(i.name) for i in inputs) or "none"
        raise OnnxError(f"it has {len(inputs)} inputs ({names}); needed: one input, the image")
    value = inputs[0]
    tensor = value.type.tensor_type
    label = f"its input {value.name!r}"
    if tensor.elem_type not in FLOATS:
        raise OnnxError(f"{label} holds {_type_name(tensor.elem_type)}; needed: an input of floats")
    dims = [d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim]  # 0 and -1: open, in some exports
    if len(dims) != 4:
        raise OnnxError(f"{label} has {len(dims)} axes; needed: (N, C, H, W)")
    N, C, *declared = dims
    if C is None:
        raise OnnxError(f"{label} leaves the number of channels open; needed: (N, C, H, W) with C fixed")
    size = tuple(d or s for d, s in zip(declared, input_size or DEFAULT_SIZE, strict=True))
    if input_size is not None and size != tuple(input_size):
        raise OnnxError(f"{label} is fixed at {size[0]} x {size[1]}; needed: that as input_size, not {tuple(input_size)}")
    return value.name, (C, *size), N or 1


def _in_order(nodes: list[Node], given: set[str], outputs: Iterable[str]) -> tuple[Node, ...]:
    """The nodes that the outputs need, each behind its inputs, otherwise as in the file."""
    maker: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for output in filter(None, node.outputs):
            if output in maker or output in given:
                raise OnnxError(f"its tensor {output!r} is made twice; needed: a valid graph (onnx.checker)")
            maker[output] = index
    needed = _needed(nodes, maker, given, outputs)
    waiting = {i: {maker[t] for t in nodes[i].inputs if t in maker} for i in needed}
    readers: dict[int, list[int]] = {i: [] for i in needed}
    for reader, makers in waiting.items():
        for i in makers:
            readers[i].append(reader)
    ready = sorted(i for i, makers in waiting.items() if not makers)
    ordered = []
    while ready:
        done = heapq.heappop(ready)
        ordered.append(nodes[done])
        for reader in readers[done]:
            waiting[reader].discard(done)
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(needed):
        stuck = nodes[min(i for i, makers in waiting.items() if makers)]
        raise OnnxError(f"its graph has a cycle, at or before {stuck.label}; needed: a valid graph (onnx.checker)")
    return tuple(ordered)


def _needed(nodes: list[Node], maker: Mapping[str, int], given: set[str], outputs: Iterable[str]) -> set[int]:
    needed: set[int] = set()
    wanted = [(output, "the graph's outputs") for output in outputs]
    while wanted:
        tensor, by = wanted.pop()
        if tensor in given:
            continue
        if tensor not in maker:
            raise OnnxError(f"no node makes the tensor {tensor!r} that {by} needs; needed: a valid graph (onnx.checker)")
        if maker[tensor] not in needed:
            needed.add(maker[tensor])
            node = nodes[maker[tensor]]
            wanted += [(i, node.label) for i in node.inputs if i]
    return needed


def _attribute(a: AttributeProto) -> Any:
    """int, float, str, tuple of those, or TensorProto; anything else as the AttributeProto that it is."""
    simple = {
        AttributeProto.FLOAT: lambda: float(a.f),
        AttributeProto.INT: lambda: int(a.i),
        AttributeProto.STRING: lambda: a.s.decode(errors="replace"),
        AttributeProto.FLOATS: lambda: tuple(map(float, a.floats)),
        AttributeProto.INTS: lambda: tuple(map(int, a.ints)),
        AttributeProto.TENSOR: lambda: a.t,
    }
    return simple.get(a.type, lambda: a)()


def _type_name(data_type: int) -> str:
    return TensorProto.DataType.Name(data_type) if data_type in TensorProto.DataType.values() else f"type {data_type}"


def array_of(tensor: TensorProto, label: str) -> np.ndarray:
    """The numbers of a stored tensor; half floats become float32, other types stay.

    Raises
    ------
    Unsupported
        If they are no numbers of a plain type.
    OnnxError
        If they lie in another file, or are not as many as the tensor's dimensions say.
    """
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise OnnxError(
            f"{label} lies in another file, which is not opened; needed: one file that holds all weights "
            "(onnx.save with save_as_external_data=False)"
        )
    if tensor.data_type not in FLOATS + INTEGERS:
        raise Unsupported(f"{label} is stored as {_type_name(tensor.data_type)}")
    dims = tuple(tensor.dims)
    if any(d < 0 for d in dims) or len(dims) > 32:
        raise OnnxError(f"{label} claims the shape {dims}; the file is damaged")
    if tensor.HasField("raw_data"):
        size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        holds, unit = len(tensor.raw_data), f"bytes, {size} each"
    else:
        size = 1
        holds, unit = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))), "numbers"
    if prod(dims) * size != holds:
        raise OnnxError(f"{label} claims the shape {dims} but holds {holds} {unit}; the file is truncated or damaged")
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        raise OnnxError(f"{label} cannot be read ({error}); the file is damaged") from error
    return array.astype(np.float32) if tensor.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16) else array
