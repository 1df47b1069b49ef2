"""A node of an ONNX graph together with the values of its inputs: what the operators' converters read from."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np

from zfcore.formats.onnx_read import Node, Unsupported
from zfcore.layers import Layer
from zfcore.layers.base import MAX_AXES, MAX_EXTENT, Shape

MAX_ELEMENTS = 2**28  # of weights and folded constants together, shared ones counted at every use: 1 GiB as float32
NO_NAME = ""  # of a layer that a converter made: the importer names it

T = TypeVar("T")


class UnknownInput(Exception):
    """The node depends on one that cannot be imported, so that nothing can be said about it."""


@dataclass(frozen=True)
class Activation:
    """A tensor that depends on the image: the output of `layer`. Its `shape` is without the file's `batch`."""

    layer: Layer
    shape: Shape
    batch: int


def inputs_from(*activations: Activation) -> tuple[str, ...]:
    """What a layer writes down as its inputs."""
    return tuple(a.layer.name for a in activations)


class Unknown:
    """The value of a tensor whose node cannot be imported."""


Value = Activation | Unknown | np.ndarray | None  # None: an optional input that is not there


class Budget:
    """Elements that may still be taken. A small file can ask for many: by ConstantOfShape, by one weight used often."""

    def __init__(self, limit: int, what: str) -> None:
        self.limit = self.left = limit
        self.what = what

    def take(self, elements: int) -> None:
        """Count `elements`, before they are allocated.

        Raises
        ------
        Unsupported
            If they are too many.
        """
        if elements > self.left:
            raise Unsupported(f"too large: {elements:,} elements more, where {self.limit:,} are allowed in all for {self.what}")
        self.left -= elements


def checked_shape(shape: Shape) -> Shape:
    """`shape`, without the batch, if a layer can have it.

    Raises
    ------
    Unsupported
        If it is empty, has too many axes, or is too large a map.
    """
    if not 1 <= len(shape) <= MAX_AXES or min(shape) < 1:
        raise Unsupported(f"its shape {('N', *shape)} is empty or has an impossible number of axes")
    if len(shape) > 1 and max(shape) > MAX_EXTENT:
        raise Unsupported(f"its shape {('N', *shape)} is too large; at most {MAX_EXTENT:,} along an axis")
    return shape


@dataclass(frozen=True)
class Call:
    """A node, its inputs' values, and what of the file's circumstances its meaning depends on."""

    node: Node
    values: tuple[Value, ...]
    opset: int
    single_use: bool  # nothing else reads the first input
    budget: Budget

    # ---- inputs

    def has(self, i: int) -> bool:
        """Whether input `i` is there."""
        return i < len(self.values) and self.values[i] is not None

    def _value(self, i: int) -> Activation | np.ndarray:
        if any(isinstance(v, Unknown) for v in self.values):
            raise UnknownInput
        value = self.values[i] if i < len(self.values) else None
        if value is None or isinstance(value, Unknown):
            raise Unsupported(f"its input {i} is missing")
        return value

    def activation(self, i: int = 0) -> Activation:
        """Input `i`, which must depend on the image."""
        value = self._value(i)
        if isinstance(value, Activation):
            return value
        raise Unsupported(f"its input {i} is a constant")

    def map_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of the first input, which must be a map of pixels."""
        shape = self.activation().shape
        if len(shape) != 3:
            raise Unsupported(f"its input has the shape {('N', *shape)}, needed (N, C, H, W)")
        return shape[0], shape[1], shape[2]

    def activations(self) -> list[Activation]:
        """All inputs, which must depend on the image."""
        return [self.activation(i) for i in range(len(self.values))]

    def constant(self, i: int) -> np.ndarray:
        """Input `i`, which must not depend on the image."""
        value = self._value(i)
        if isinstance(value, Activation):
            raise Unsupported(f"its input {i} ({self.node.inputs[i]!r}) is computed from the image, needed a constant")
        return value

    def weight(self, i: int, dims: int | None = None) -> np.ndarray:
        """Constant `i` as float32 of its own, writeable; of `dims` axes if given."""
        array = self.constant(i)
        if dims is not None and array.ndim != dims:
            raise Unsupported(f"its input {i} ({self.node.inputs[i]!r}) is of shape {array.shape}, needed {dims} axes")
        self.budget.take(array.size)
        return np.array(array, np.float32, order="C")

    def vector(self, i: int, size: int) -> np.ndarray | None:
        """The optional weight `i`, which must have the shape (size,)."""
        if not self.has(i):
            return None
        array = self.weight(i)
        if array.shape != (size,):
            raise Unsupported(f"its input {i} ({self.node.inputs[i]!r}) has the shape {array.shape}, needed ({size},)")
        return array

    def constant_integers(self, i: int) -> tuple[int, ...]:
        """Constant `i`, which must be a short list of integers."""
        array = self.constant(i)
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 2 * MAX_AXES:
            raise Unsupported(f"its input {i} is no short list of integers but {array.dtype} of shape {array.shape}")
        return tuple(int(n) for n in array.ravel())

    def scalar(self, i: int) -> float:
        """Constant `i`, which must be one number."""
        array = self.constant(i)
        if array.size != 1:
            raise Unsupported(f"its input {i} has the shape {array.shape}, needed one number")
        return float(array.ravel()[0])

    # ---- attributes, and what older opsets had as attributes and newer ones have as inputs

    def _attribute(self, name: str, kind: type[T], default: T | None) -> T:
        value: Any = self.node.attributes.get(name, default)
        if value is None:
            raise Unsupported(f"its attribute {name} is missing")
        if not isinstance(value, kind):
            raise Unsupported(f"its attribute {name} is not of type {kind.__name__}")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute."""
        return self._attribute(name, int, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """An attribute that is 0 or 1."""
        return bool(self._attribute(name, int, int(default)))

    def real(self, name: str, default: float) -> float:
        """A number attribute."""
        return self._attribute(name, float, default)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        return self._attribute(name, str, default)

    def integer_list(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """An attribute that is a list of integers."""
        value = self._attribute(name, tuple, default)
        if not all(isinstance(n, int) for n in value):
            raise Unsupported(f"its attribute {name} is not a list of integers")
        return value

    def sizes(self, name: str, count: int, default: tuple[int, ...] | None = None, least: int = 1) -> tuple[int, ...]:
        """An attribute of exactly `count` numbers of pixels, each at least `least`."""
        value = self.integer_list(name, default)
        if len(value) != count or not all(least <= n <= MAX_EXTENT for n in value):
            raise Unsupported(f"its attribute {name} is {value}, needed {count} numbers from {least} to {MAX_EXTENT:,}")
        return value

    def number(self, name: str, i: int, default: float) -> float:
        """A number that is input `i` or, in older opsets, the attribute `name`."""
        return self.scalar(i) if self.has(i) else self.real(name, default)

    def integers_or_none(self, name: str, i: int) -> tuple[int, ...] | None:
        """Integers that are input `i` or, in other opsets, the attribute `name`; None if neither is there."""
        if self.has(i):
            return self.constant_integers(i)
        return self.integer_list(name) if name in self.node.attributes else None

    def axis(self, axis: int, axes: int) -> int:
        """`axis`, perhaps negative, counted from the front of `axes` axes."""
        if not -axes <= axis < axes:
            raise Unsupported(f"axis {axis} lies outside its {axes} axes")
        return axis % axes

    def elements(self) -> int:
        """Elements of all inputs that are constants."""
        return sum(v.size for v in self.values if isinstance(v, np.ndarray))


def broadcast_size(arrays: list[np.ndarray]) -> int:
    """Elements of what the arrays broadcast to."""
    return prod(np.broadcast_shapes(*(a.shape for a in arrays)))
