"""A network: named layers in order, one way forward, one way down.

Training, gradients, the deconvnet and its relatives are one reverse pass, `Network._down`. They differ in the seed, in what a rule
does at a rectifier, and in the window that is asked for.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import zfkernels

from zfcore.errors import ZfcoreError
from zfcore.layers import Crop, Dropout, Input, Layer
from zfcore.layers.base import Shape
from zfcore.projection import Projection, framed
from zfcore.rules import Rule, resolve
from zfcore.window import Window, whole

if TYPE_CHECKING:
    from zfcore.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class Trace:
    """What a forward pass left behind: the values of layers, and what the way down needs (switches above all).

    Parameters
    ----------
    values : dict of str to array
        Output of every layer that was kept, (N, C, H, W) or (N, F).
    saved : dict of str to object
        What layers saved for the way down.
    recorded : frozenset of str
        The layers from which a signal can be brought down.
    """

    values: Mapping[str, np.ndarray]
    saved: Mapping[str, Any] = field(repr=False)
    recorded: frozenset[str] = field(repr=False)

    def __getitem__(self, layer: str) -> np.ndarray:
        if layer not in self.values:
            raise KeyError(f"the trace has no {layer!r}; forward it with keep=[{layer!r}]{nearest(layer, self.values)}")
        return self.values[layer]


def nearest(name: str, names: Iterable[str]) -> str:
    """Words that offer the names most like `name`; empty if none is."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    close = close or [n for n in names if name.lower() in n.lower()][:5]
    return f"; nearest: {', '.join(close)}" if close else ""


class Network:
    """A directed acyclic graph of named layers with one input.

    Parameters
    ----------
    layers : sequence of Layer
        In an order in which every layer stands behind its inputs; the first is the `Input`.
    outputs : sequence of str
        Names of the layers that the network answers with.
    name : str
        For people.
    backend : str
        Which kernels compute: "cpu", or "reference" for the plain definitions.
    preprocessing : Preprocessing, optional
        How an image becomes an input, where the network knows.
    classes : sequence of str, optional
        Names of the classes, where the network knows.

    Raises
    ------
    ZfcoreError
        If names are not unique, an input is missing, or shapes do not fit; the message names the layer.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        outputs: Sequence[str],
        name: str = "network",
        backend: str = "cpu",
        preprocessing: Preprocessing | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.backend = backend
        self.preprocessing = preprocessing
        self.classes = None if classes is None else tuple(classes)
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

    # ---- facts

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

    @property
    def kernels(self) -> ModuleType:
        """The backend's functions."""
        return zfkernels.get(self.backend)

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

    def astype(self, dtype: type) -> Network:
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

    # ---- forward

    def __call__(self, x: np.ndarray) -> np.ndarray | tuple[np.ndarray, ...]:
        """Outputs for a batch x (N, C, H, W): one array, or a tuple where the network has several outputs."""
        trace = self.forward(x, keep=self.outputs, record=False)
        ys = tuple(trace[name] for name in self.outputs)
        return ys[0] if len(ys) == 1 else ys

    def forward(
        self, x: np.ndarray, keep: Sequence[str] | None = None, record: bool = True, seed: int | None = None
    ) -> Trace:
        """Compute layers for a batch.

        Parameters
        ----------
        x : array (N, C, H, W), float
            Preprocessed images.
        keep : sequence of str, optional
            Layers wanted; what they do not depend on is not computed. Default: every layer.
        record : bool
            Keep what the way down from the wanted layers needs. Without it the trace holds their values alone.
        seed : int, optional
            Switches dropout on, as in training; each dropout layer derives its own seed from it.

        Returns
        -------
        Trace
            ``trace["conv3"]`` is that layer's output.

        Raises
        ------
        ZfcoreError
            If a layer is unknown, or x has another shape than the network's input.
        TypeError
            If x is not an array of floats.
        """
        x = self._checked(x)
        wanted = tuple(self.layers) if keep is None else several("keep", keep)
        needed = self.ancestors(wanted)
        values, saved = {self.input: x}, {}
        last_use = {i: name for name in self.layers if name in needed for i in self.layers[name].inputs}
        for number, (name, layer) in enumerate(self.layers.items()):
            if name not in needed or name == self.input:
                continue
            layer_seed = None if seed is None or not isinstance(layer, Dropout) else seed * len(self.layers) + number
            values[name], saved[name] = layer.forward(self.kernels, tuple(values[i] for i in layer.inputs), layer_seed)
            if not record:
                saved.clear()
                for i in layer.inputs:
                    if last_use[i] == name and i not in wanted:
                        values.pop(i, None)
        if not record:
            values = {name: values[name] for name in wanted}
        return Trace(values, saved, frozenset(needed) if record else frozenset())

    def _checked(self, x: np.ndarray) -> np.ndarray:
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            raise TypeError(f"x: got {getattr(x, 'dtype', type(x).__name__)}, needed a NumPy array of float32 or float64")
        if x.ndim != len(self.input_shape) + 1 or x.shape[1:] != self.input_shape:
            needed = ", ".join(map(str, ("N", *self.input_shape)))
            raise ZfcoreError(f"x: got shape {x.shape}, {self.name} needs ({needed})")
        return x.astype(self.dtype, copy=False)

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """Those layers and all that they depend on."""
        needed = {self.layer(name).name for name in names}
        for name in reversed(self.layers):
            if name in needed:
                needed.update(self.layers[name].inputs)
        return needed

    # ---- the way down

    def pullback(self, trace: Trace, layer: str, seed: np.ndarray, rule: str | Rule = "deconvnet") -> np.ndarray:
        """Bring a signal at a layer down to the pixels (paper, section 2.1).

        Parameters
        ----------
        trace : Trace
            Of the images, from `forward`.
        layer : str
            Where the signal starts.
        seed : array, the shape of ``trace[layer]``
            The signal.
        rule : str or Rule
            "deconvnet", "gradient", "guided", "linear", or a Rule of your own.

        Returns
        -------
        array (N, C, H, W)
            In the network's input space, of both signs: the last step down is a filter, and nothing rectifies the pixels.

        Raises
        ------
        ZfcoreError
            If the layer or rule is unknown, the trace did not record the layer, or the seed has another shape.
        """
        seed = self._seed(trace, layer, seed)
        return self._down(trace, layer, seed, self._extent(layer), slice(None), resolve(rule), None)[0]

    def gradients(self, trace: Trace, layer: str, seed: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        """Gradient of every parameter, as (layer, field), from a signal at a layer: the derivative of ``sum(seed * layer)``.

        Raises
        ------
        ZfcoreError
            If the layer is unknown, the trace did not record it, or the seed has another shape.
        """
        found: dict[tuple[str, str], np.ndarray] = {}
        seed = self._seed(trace, layer, seed)
        self._down(trace, layer, seed, self._extent(layer), slice(None), resolve("gradient"), found)
        return found

    def project(
        self, trace: Trace, layer: str, unit: tuple[int, ...], rule: str | Rule = "deconvnet"
    ) -> Projection:
        """Bring one activation down to the pixels, computing only inside its receptive field (paper, section 2.1).

        Every other activation of the layer is taken as zero; the seed is the activation's own value.

        Parameters
        ----------
        trace : Trace
            Of the images, from `forward`.
        layer : str
            The unit's layer.
        unit : (n, c, y, x) or, in a layer without pixels, (n, c)
            Image of the batch, map, and position.
        rule : str or Rule
            As for `pullback`.

        Returns
        -------
        Projection
            Equal to the full `pullback` cut to the unit's window.

        Raises
        ------
        ZfcoreError
            If the layer or rule is unknown, the trace did not record the layer, or the unit lies outside its map.
        """
        values = self._recorded(trace, layer)
        n, c, *position = unit = self._inside_shape(layer, unit, values.shape)
        value = values[unit]
        out = unit_window(position)
        if out is None:
            seed = np.zeros((1, *values.shape[1:]), self.dtype)
            seed[(0, c, *position)] = value
        else:
            seed = np.zeros((1, values.shape[1], 1, 1), self.dtype)
            seed[0, c] = value
        pixels, inside = self._down(trace, layer, seed, out, slice(n, n + 1), resolve(rule), None)
        window = self.receptive_field(layer, out)
        return Projection(framed(pixels[0], inside, window), window, float(value), layer, unit)

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
        windows: dict[str, Window | None] = {layer: out}
        for name in self._downwards(layer):
            if name in windows:
                node = self.layers[name]
                for i, seen in zip(node.inputs, node.seen(windows[name], *self.input_shapes(node)), strict=True):
                    known = windows.get(i, seen)
                    windows[i] = None if seen is None or known is None else seen.union(known)
        window = windows.get(self.input)
        return whole(self.input_shape[1:]) if window is None else window

    def _recorded(self, trace: Trace, layer: str) -> np.ndarray:
        self.layer(layer)
        if layer not in trace.recorded:
            raise ZfcoreError(f"the trace did not record {layer!r}; forward it with keep=[{layer!r}] and record=True")
        return trace[layer]

    def _seed(self, trace: Trace, layer: str, seed: np.ndarray) -> np.ndarray:
        """A signal that fits a layer of the trace, in the network's type."""
        values, seed = self._recorded(trace, layer), np.asarray(seed)
        if seed.shape != values.shape:
            raise ZfcoreError(f"seed: got shape {seed.shape}, layer {layer!r} has {values.shape}")
        return seed.astype(self.dtype, copy=False)

    def unit(self, layer: str, unit: Sequence[int]) -> tuple[int, ...]:
        """A unit of a layer, (c, y, x) or in a layer without pixels (c,), as plain integers.

        Raises
        ------
        ZfcoreError
            If there is no such layer, or no such unit in it.
        """
        self.layer(layer)
        return self._inside_shape(layer, unit, self.shapes[layer])

    def _inside_shape(self, layer: str, unit: Sequence[int], shape: Shape) -> tuple[int, ...]:
        try:
            unit = tuple(index(i) for i in unit)
        except TypeError:
            raise ZfcoreError(f"unit: got {tuple(unit)}, needed integers") from None
        if len(unit) != len(shape) or not all(0 <= i < size for i, size in zip(unit, shape, strict=True)):
            ranges = " x ".join(f"0..{size - 1}" for size in shape)
            raise ZfcoreError(f"unit: {unit} lies outside layer {layer!r}, whose units run over {ranges}")
        return unit

    def _downwards(self, layer: str) -> list[str]:
        """The layers from `layer` down to, not including, the input."""
        names = list(self.layers)
        return names[names.index(layer) : 0 : -1]

    def _extent(self, name: str) -> Window | None:
        """The whole of a layer's map, as a window; None where its output is no map of pixels."""
        shape = self.shapes[name]
        return whole((shape[1], shape[2])) if len(shape) == 3 else None

    def _inside(self, name: str, window: Window | None) -> Window | None:
        extent = self._extent(name)
        return extent if window is None or extent is None else window.intersection(extent)

    def _seen_inside(self, layer: Layer, window: Window | None) -> list[Window | None]:
        seen = layer.seen(window, *self.input_shapes(layer))
        return [self._inside(i, w) for i, w in zip(layer.inputs, seen, strict=True)]

    def _extents(self, layer: str, out: Window | None) -> dict[str, Window | None]:
        """The part of every map below that a signal in the window `out` of a layer reaches.

        From a whole map it is the whole of every map: training wants the gradient of pixels that nothing sees, too.
        """
        if out == self._extent(layer):
            return {name: self._extent(name) for name in self.ancestors([layer])}
        extents = {layer: out}
        for name in self._downwards(layer):
            if name not in extents:
                continue
            node = self.layers[name]
            if None in node.seen(extents[name], *self.input_shapes(node)):
                extents[name] = self._extent(name)  # it cannot be brought down in parts
            for i, seen in zip(node.inputs, self._seen_inside(node, extents[name]), strict=True):
                if seen is None or not seen.empty:
                    known = extents.get(i, seen)
                    extents[i] = None if seen is None or known is None else seen.union(known)
        return extents

    def _down(
        self,
        trace: Trace,
        layer: str,
        seed: np.ndarray,
        out: Window | None,
        rows: slice,
        rule: Rule,
        gradients: dict[tuple[str, str], np.ndarray] | None,
    ) -> tuple[np.ndarray, Window | None]:
        """The one reverse pass: the signal `seed` in the window `out` of a layer, brought down to the pixels that it reaches.

        Returns them and the window of the image that they are; None if it is empty. A signal is held only inside its extent.
        If `gradients` is given, it is filled with those of the parameters, and the signal is not brought down to the pixels.
        """
        k = self.kernels
        extents = self._extents(layer, out)
        signals = {layer: added(None, seed, out, extents[layer])}
        for name in self._downwards(layer):
            if name not in signals:
                continue
            node, gy = self.layers[name], signals.pop(name)
            if gradients is not None:
                xs = tuple(trace.values[i] for i in node.inputs)
                gradients.update({(name, f): g for f, g in node.gradients(k, gy, xs).items()})
                if node.inputs == (self.input,):
                    continue
            ins = self._seen_inside(node, extents[name])
            if any(window is not None and window.empty for window in ins):
                continue
            xs = tuple(cut(trace.values[i][rows], window) for i, window in zip(node.inputs, ins, strict=True))
            crop = Crop(xs, trace.saved[name], rows, extents[name], tuple(ins), self.input_shapes(node))
            for i, gx, window in zip(node.inputs, node.pullback(k, gy, crop, rule), ins, strict=True):
                signals[i] = added(signals.get(i), gx, window, extents[i])
        nothing = np.zeros((len(seed), self.input_shape[0], 0, 0), self.dtype)
        return signals.get(self.input, nothing), extents.get(self.input)


def several(argument: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; ZfcoreError if it is one string, whose letters would be taken for names."""
    if isinstance(names, str):
        raise ZfcoreError(f"{argument}: got the string {names!r}, needed a list of names, [{names!r}]")
    return tuple(names)


def unit_window(position: Sequence[int]) -> Window | None:
    """The window of one position (y, x) of a map; None for a unit that has no position."""
    return Window(position[0], position[0] + 1, position[1], position[1] + 1) if len(position) == 2 else None


def cut(a: np.ndarray, window: Window | None) -> np.ndarray:
    """The part of the maps `a` inside a window; all of them if None."""
    return a if window is None else a[..., *window.slices]


def added(signal: np.ndarray | None, gx: np.ndarray, window: Window | None, extent: Window | None) -> np.ndarray:
    """A signal held in `extent`, plus another in `window`, which lies in it. Neither is changed: both may be shared."""
    if window is None or extent is None or window == extent:
        return gx if signal is None else signal + gx
    total = np.zeros((*gx.shape[:-2], *extent.size), gx.dtype) if signal is None else signal.copy()
    total[..., *window.relative_to(extent).slices] += gx
    return total
