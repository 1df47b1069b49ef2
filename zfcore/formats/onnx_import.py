"""Networks from ONNX files (operator sets 7 and later).

Weights become float32. What does not depend on the image is computed at import. A BatchNormalization behind a
convolution or a fully connected layer that nothing else reads is folded into it. A layer has its node's name; a node
without a name, or with one that is taken, gets a readable one: conv1, relu1, pool1, norm1, fc1, numbered among the
layers of that kind. The batch axis is left open, whatever the file says about it. Casts between floats are identities.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from zfcore.errors import printable
from zfcore.formats.onnx_fold import FOLDS
from zfcore.formats.onnx_layers import ATTRIBUTES, OPERATORS
from zfcore.formats.onnx_node import (
    MAX_ELEMENTS,
    Activation,
    Budget,
    Call,
    Unknown,
    UnknownInput,
    Value,
    checked_shape,
)
from zfcore.formats.onnx_read import STANDARD_DOMAINS, Graph, Node, OnnxError, Unsupported, array_of, read_graph
from zfcore.layers import Input, Layer
from zfcore.layers.base import MAX_ACTIVATIONS
from zfcore.network import Network


def load_onnx(path: str | os.PathLike[str], input_size: tuple[int, int] | None = None) -> Network:
    """The network of an ONNX file.

    Parameters
    ----------
    path : path
        The file. It is untrusted: nothing in it is executed, no other file is opened, sizes are checked before memory
        is taken.
    input_size : (H, W), optional
        Size of the images, in pixels, for a file that leaves it open; 224 x 224 if not given.

    Returns
    -------
    Network
        One input, (C, H, W); its outputs are the layers that make the graph's outputs. Nodes that no output needs are
        left out.

    Raises
    ------
    OnnxError
        If the file cannot be read, is damaged, or holds nodes that are not supported: then every one of them is listed,
        with its name, its operator and the reason. Also if `input_size` is not that of a file with a fixed one.
    """
    try:
        graph = read_graph(path, input_size)
        with np.errstate(all="ignore"):  # weights may be anything
            layers, outputs = _Importer(graph).run()
        return Network(layers, outputs, Path(path).stem)
    except OnnxError as error:
        raise OnnxError(printable(f"{os.fspath(path)}: {error}")) from error
    except Unsupported as error:
        raise OnnxError(printable(f"{os.fspath(path)}: {error}; needed: a convnet of at most this size")) from error


def _is_known(node: Node) -> bool:
    return node.domain in STANDARD_DOMAINS and (node.op in OPERATORS or node.op in FOLDS)


class _Importer:
    """One pass over a graph's nodes, in order; what cannot be imported is noted and its outputs are unknown."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.weights = Budget(MAX_ELEMENTS, "weights and constants")
        self.activations = Budget(MAX_ACTIVATIONS, "activations of one image")
        self.values: dict[str, Value] = {}
        self.layers: list[Layer] = []
        self.problems: list[str] = []
        self.numbers: Counter[str] = Counter()
        self.reserved = {graph.input, *(n.name for n in graph.nodes)}
        self.names: set[str] = set()

    def run(self) -> tuple[list[Layer], tuple[str, ...]]:
        """The layers in order, and the names of those that make the outputs."""
        self.values[self.graph.input] = self._placed(Input("", shape=self.graph.input_shape), "input", self.graph.input, [])
        for node in self.graph.nodes:
            self.values.update(dict.fromkeys(node.outputs, Unknown()))
            try:
                self.values[node.outputs[0]] = self._value_of(node)
            except Unsupported as reason:
                self.problems.append(f"{node.label}: {reason}")
            except UnknownInput:
                pass  # reported where it became unknown
        if self.problems:
            count = f"{len(self.problems)} node{'s' * (len(self.problems) > 1)} cannot be imported"
            unknown = not all(map(_is_known, self.graph.nodes))
            supported = f"; supported are {', '.join(sorted(OPERATORS))}" if unknown else ""
            raise OnnxError(f"{count}: {'; '.join(self.problems)}{supported}")
        return self.layers, tuple(dict.fromkeys(self._output(name) for name in self.graph.outputs))

    def _output(self, tensor: str) -> str:
        value = self._value(tensor)
        if not isinstance(value, Activation):
            raise OnnxError(f"its output {tensor!r} does not depend on the image; needed: outputs that do")
        return value.layer.name

    def _value(self, tensor: str) -> Value:
        if not tensor:
            return None
        if tensor not in self.values:  # stored in the file: read when first needed
            stored = self.graph.stored[tensor]
            if stored is None:
                raise Unsupported(f"{tensor!r} is stored as a sparse tensor")
            self.values[tensor] = array_of(stored, repr(tensor))
        return self.values[tensor]

    def _value_of(self, node: Node) -> Value:
        self._check_form(node)
        values = tuple(self._value(i) for i in node.inputs)
        call = Call(node, values, self.graph.opset, self.graph.uses[next(iter(node.inputs), "")] == 1, self.weights)
        if node.op == "Shape" or not any(isinstance(v, Activation | Unknown) for v in values):
            return self._folded(call)
        if node.op in OPERATORS:
            return self._converted(call)
        if any(isinstance(v, Unknown) for v in values):
            raise UnknownInput
        raise Unsupported("supported only where it does not depend on the image's pixels")

    def _check_form(self, node: Node) -> None:
        """Refuse what is unsupported whatever the inputs are."""
        if not _is_known(node):
            raise Unsupported("unsupported operator" + (f" of {node.domain!r}" if node.domain else ""))
        strange = node.attributes.keys() - ATTRIBUTES.get(node.op, "").split()
        if strange:
            raise Unsupported(f"unsupported attribute {', '.join(sorted(map(repr, strange)))}")
        used = [o for o in node.outputs[1:] if self.graph.uses[o]]
        if used or not node.outputs[0]:
            raise Unsupported(f"only its first output is supported, {', '.join(map(repr, used))} is used")
        if node.op in OPERATORS:
            most = OPERATORS[node.op].inputs
            if most is not None and len(node.inputs) > most:
                raise Unsupported(f"it has {len(node.inputs)} inputs, needed at most {most}")

    def _folded(self, call: Call) -> np.ndarray:
        if any(isinstance(v, Unknown) for v in call.values):
            raise UnknownInput
        if call.node.op not in FOLDS:
            raise Unsupported("supported only where it depends on the image")
        try:
            return np.asarray(FOLDS[call.node.op](call))
        except OnnxError:
            raise
        except (ValueError, TypeError, IndexError, ArithmeticError) as error:
            raise Unsupported(f"its constants do not fit: {error}") from error

    def _converted(self, call: Call) -> Activation:
        operator = OPERATORS[call.node.op]
        try:
            layer = operator.convert(call)
            layer.check()
            inputs = [v for v in call.values if isinstance(v, Activation)]
            return self._placed(layer, operator.kind, call.node.name, inputs)
        except OnnxError:
            raise
        except ValueError as error:  # shapes that a layer or its geometry refuses
            raise Unsupported(str(error)) from error

    def _placed(self, layer: Layer, kind: str, name: str, inputs: list[Activation]) -> Activation:
        """The output of a layer, which is named, and put behind the others, if it is new."""
        if layer.name:  # a normalisation folded into it
            return Activation(layer, inputs[0].shape, self.graph.batch)
        layer.name = self._name(kind, name)
        shapes = [x.shape for x in inputs]
        shape = checked_shape(layer.output_shape(*shapes))
        self.activations.take(layer.held(*shapes))
        self.layers.append(layer)
        return Activation(layer, shape, self.graph.batch)

    def _name(self, kind: str, name: str) -> str:
        self.numbers[kind] += 1
        if not name or name in self.names:
            number = self.numbers[kind]
            while (name := f"{kind}{number}") in self.reserved or name in self.names:
                number += 1
        self.names.add(name)
        return name
