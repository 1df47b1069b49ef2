"""A graph of named layers in order: what it is made of, and what its units see. It computes nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from operator import index
from typing import Self

import numpy as np

from zfcore import sight
from zfcore.errors import ZfcoreError
from zfcore.layers import Input, Layer
from zfcore.layers.base import Shape
from zfcore.names import nearest, several
from zfcore.window import Window, Windows, unit_window


class Graph:
    """A directed acyclic graph of named layers with one input.

    Parameters
    ----------
    layers : sequence of Layer
        In an order in which every layer stands behind its inputs; the first is the `Input`.
    outputs : sequence of str
        Names of the layers that the network answers with.
    name : str
        For people.

    Raises
    ------
    ZfcoreError
        If names are not unique, an input is missing, or shapes do not fit; the message names the layer.
    """

    def __init__(self, layers: Sequence[Layer], outputs: Sequence[str], name: str) -> None:
        self.name = name
        self.outputs = several("outputs", outputs)
        #: The layers by name, in order.
        self.layers: dict[str, Layer] = {}
        #: Shape of every layer's output, without the batch.
        self.shapes: dict[str, Shape] = {}
        for layer in layers:
            self._add(layer)
        for output in self.outputs:
            self.layer(output)
        types = {a.dtype for layer in self.layers.values() for a in layer.arrays.values()}
        if not self.outputs or len(types) > 1:
            raise ZfcoreError(f"{name}: got outputs {self.outputs} and arrays of {types}; needed an output, and one float type")

    def _add(self, layer: Layer) -> None:
        if layer.name in self.layers:
            raise ZfcoreError(f"{self.name}: two layers are named {layer.name!r}; names must be unique")
        if isinstance(layer, Input) == bool(self.layers):
            raise ZfcoreError(f"{self.name}: the first layer, and no other, must be the Input; {layer.name!r} is not")
        try:
            layer.check()
            missing = [i for i in layer.inputs if i not in self.layers]
            if missing:
                raise ValueError(f"layer {layer.name!r} needs {missing[0]!r}, which does not stand before it")
            self.shapes[layer.name] = tuple(layer.output_shape(*(self.shapes[i] for i in layer.inputs)))
        except ValueError as error:
            text = str(error) if layer.name in str(error) else f"layer {layer.name!r}: {error}"
            raise ZfcoreError(f"{self.name}: {text}") from error
        self.layers[layer.name] = layer

    @property
    def input(self) -> str:
        """Name of the input layer."""
        return next(iter(self.layers))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        C, H, W = self.shapes[self.input]
        return C, H, W

    @property
    def dtype(self) -> np.dtype:
        """Type of the weights, and so of everything computed: float32 or float64."""
        return next((a.dtype for layer in self.layers.values() for a in layer.arrays.values()), np.dtype(np.float32))

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises
        ------
        ZfcoreError
            If there is none; the nearest names are offered.
        """
        if name not in self.layers:
            hint = nearest(name, self.layers) or f"; the layers are {', '.join(self.layers)}"
            raise ZfcoreError(f"{self.name} has no layer {name!r}{hint}")
        return self.layers[name]

    def input_shapes(self, layer: Layer) -> tuple[Shape, ...]:
        """Shapes of a layer's inputs, without the batch."""
        return tuple(self.shapes[i] for i in layer.inputs)

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(layer.parameters for layer in self.layers.values())

    @property
    def macs(self) -> int:
        """Multiply-adds of one image's forward pass."""
        return sum(layer.macs(*self.input_shapes(layer)) for layer in self.layers.values())

    def astype(self, dtype: type) -> Self:
        """A copy that computes in float32 or float64.

        Raises
        ------
        TypeError
            If the type is another one.
        """
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise TypeError(f"dtype: got {np.dtype(dtype)}, needed float32 or float64")
        net = copy.copy(self)
        net.layers = {}
        for name, layer in self.layers.items():
            net.layers[name] = copy.copy(layer)
            for field_name, array in layer.arrays.items():
                setattr(net.layers[name], field_name, array.astype(dtype))
        return net

    def __repr__(self) -> str:
        return f"<Network {self.name}: {len(self.layers)} layers, input {self.input_shape}, {self.parameters:,} parameters>"

    # ---- ways through it

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """Those layers and all that they depend on."""
        needed = {self.layer(name).name for name in names}
        for name in reversed(self.layers):
            if name in needed:
                needed.update(self.layers[name].inputs)
        return needed

    def downwards(self, layer: str) -> list[str]:
        """The layers from `layer` down to, not including, the input."""
        names = list(self.layers)
        return names[names.index(layer) : 0 : -1]

    # ---- units

    def unit(self, layer: str, unit: Sequence[int], batch: int | None = None) -> tuple[int, ...]:
        """A unit of a layer, (c, y, x) or in a layer without pixels (c,), as plain integers; of a batch with its image first.

        Raises
        ------
        ZfcoreError
            If there is no such layer, or no such unit in it.
        """
        self.layer(layer)
        shape = self.shapes[layer] if batch is None else (batch, *self.shapes[layer])
        try:
            unit = tuple(index(i) for i in unit)
        except TypeError:
            raise ZfcoreError(f"unit: got {tuple(unit)}, needed integers") from None
        if len(unit) != len(shape) or not all(0 <= i < size for i, size in zip(unit, shape, strict=True)):
            ranges = " x ".join(f"0..{size - 1}" for size in shape)
            raise ZfcoreError(f"unit: {unit} lies outside layer {layer!r}, whose units run over {ranges}")
        return unit

    def receptive_field(self, layer: str, out: Window | None) -> Window:
        """The window of the image that a window of a layer's output depends on, in pixels; it may reach beyond the image.

        Computed from the graph; where branches meet, it is the smallest window that holds them all. A layer that sees everything
        (fully connected, global pooling) has the image itself.

        Raises
        ------
        ZfcoreError
            If there is no such layer.
        """
        self.layer(layer)
        return sight.fields(self, layer, None if out is None else Windows.of([out])).window(0)

    def receptive_fields(self, layer: str, positions: Sequence[Sequence[int]]) -> list[Window]:
        """The receptive field of the unit at each of some positions, (y, x); of one without a position, (), the image.

        Raises
        ------
        ZfcoreError
            If there is no such layer.
        """
        self.layer(layer)
        windows = [w for position in positions if (w := unit_window(position)) is not None]
        found = sight.fields(self, layer, Windows.of(windows) if windows else None)
        return [found.window(i) for i in range(len(positions))]
