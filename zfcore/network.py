"""A network: a graph of layers with one way forward, planned in `zfcore.plan`, and one way down, walked in `zfcore.descent`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import zfkernels
from zfkernels.array import is_array

from zfcore import algorithms, backends, descent
from zfcore.errors import ZfcoreError
from zfcore.graph import Graph
from zfcore.layers import Layer
from zfcore.names import several
from zfcore.plan import Step, peak, planned
from zfcore.projection import Projection
from zfcore.rules import Rule, resolve
from zfcore.signals import Signals
from zfcore.trace import Trace
from zfcore.window import Windows, whole

if TYPE_CHECKING:
    from zfcore.data.preprocessing import Preprocessing


class Network(Graph):
    """A graph of named layers that computes.

    Parameters
    ----------
    layers : sequence of Layer
        In an order in which every layer stands behind its inputs; the first is the `Input`.
    outputs : sequence of str
        Names of the layers that the network answers with.
    name : str
        For people.
    backend : str, optional
        Which kernels compute: "cpu"; "cuda" on an NVIDIA device; "reference" for the plain definitions; "auto", "cuda" where it can
        be used, else "cpu". May be changed at any time: the weights move to where it computes, a trace from before does not. Images
        that come in and results that go out are NumPy's arrays all the same. On a device the last bits of an image's results hang on
        the batch that it is in. Without it: "cpu", unless within `zfcore.backends.computing_on`.
    algorithm : str
        How convolutions are computed on the way forward: "im2col"; "winograd" where it can be used, that is for
        3x3 with stride 1, with a few times the rounding errors; "auto", the faster one as measured when a shape comes up first,
        whose last bits may be others on another day. May be changed at any time.
    preprocessing : Preprocessing, optional
        How an image becomes an input, where the network knows.
    classes : sequence of str, optional
        Names of the classes, where the network knows.

    Raises
    ------
    ZfcoreError
        If names are not unique, an input is missing, or shapes do not fit; the message names the layer. If the backend cannot be used
        on this machine; the message says what is missing.
    ValueError
        If there is no such algorithm or backend.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        outputs: Sequence[str],
        name: str = "network",
        backend: str | None = None,
        preprocessing: Preprocessing | None = None,
        classes: Sequence[str] | None = None,
        algorithm: str = "im2col",
    ) -> None:
        super().__init__(layers, outputs, name)
        self._backend = _lie_on(self.layers.values())
        self.backend = backends.default() if backend is None else backend
        self.algorithm = algorithm
        self.preprocessing = preprocessing
        self.classes = None if classes is None else tuple(classes)

    @property
    def algorithm(self) -> str:
        """How convolutions are computed on the way forward."""
        return self._algorithm

    @algorithm.setter
    def algorithm(self, name: str) -> None:
        if name not in algorithms.ALGORITHMS:
            raise ValueError(f"algorithm: got {name!r}, needed one of {', '.join(algorithms.ALGORITHMS)}")
        self._algorithm = name

    @property
    def backend(self) -> str:
        """Which kernels compute."""
        return self._backend

    @backend.setter
    def backend(self, name: str) -> None:
        name = backends.resolve(name)
        if name != self._backend and zfkernels.DEVICES & {name, self._backend}:
            moved = zfkernels.get(name).asarray if name in zfkernels.DEVICES else self.kernels.to_numpy
            layers = self.layers.items()  # all of them are moved, or none if a device has no room
            self.layers.update({key: replace(one, **{field: moved(a) for field, a in one.arrays.items()}) for key, one in layers})
        self._backend = name

    def to_numpy(self, a: Any) -> np.ndarray:
        """An array of the network, of its layers or what it computed, as a NumPy array."""
        return a if isinstance(a, np.ndarray) else self.kernels.to_numpy(a)

    @property
    def kernels(self) -> ModuleType:
        """The backend's functions."""
        return zfkernels.get(self.backend)

    # ---- forward

    def __call__(self, x: np.ndarray) -> np.ndarray | tuple[np.ndarray, ...]:
        """Outputs for a batch x (N, C, H, W): one array, or a tuple where the network has several outputs."""
        trace = self.forward(x, keep=self.outputs, record=False)
        ys = tuple(trace[name] for name in self.outputs)
        return ys[0] if len(ys) == 1 else ys

    def forward(
        self, x: np.ndarray, keep: Sequence[str] | None = None, record: bool | str | Rule = True, seed: int | None = None
    ) -> Trace:
        """Compute layers for a batch.

        Values are freed as soon as nothing needs them. A convolution or fully connected layer that only a ReLU uses, and that is not
        wanted itself, is computed in one with it, with the same bits.

        Parameters
        ----------
        x : array (N, C, H, W), float
            Preprocessed images.
        keep : sequence of str, optional
            Layers wanted; what they do not depend on is not computed. Default: every layer.
        record : bool, str or Rule
            Keep what the way down from the wanted layers needs: True for every rule and for gradients; a rule for `pullback` and
            `project` by that one alone, which takes less memory (for "deconvnet" the switches). False: the values alone.
        seed : int, optional
            Switches dropout on, as in training; each dropout layer derives its own seed from it.

        Returns
        -------
        Trace
            ``trace["conv3"]`` is that layer's output.

        Raises
        ------
        ZfcoreError
            If a layer or rule is unknown, or x has another shape than the network's input.
        TypeError
            If x is not an array of floats.
        """
        x, rule = self._checked(x), _rule(record)
        wanted = self._wanted(keep)
        kernels = algorithms.using(self.kernels, self.algorithm)
        values, saved = {self.input: kernels.asarray(x)}, dict[str, Any]()
        for step in self.steps(wanted):
            xs = tuple(values[i] for i in step.layer.inputs)
            layer_seed = None if seed is None else seed * len(self.layers) + step.number
            y, own = step.run(kernels, xs, layer_seed)
            values[step.name] = y
            if record:
                saved |= step.remembered(rule, xs, y, own)
            del xs, y, own
            for name in step.frees:
                values.pop(name, None)
        return Trace({name: values[name] for name in wanted}, saved, frozenset(wanted if record else ()), rule, self.backend)

    def peak_bytes(self, batch: int, keep: Sequence[str] | None = None, record: bool | str | Rule = True) -> int:
        """The memory that `forward` takes at most while it runs on a batch of so many images, besides the images and the weights.

        Counted are the values that exist at the same time, and those that the kernels make on the way: padded images, switches. Not
        counted are a megabyte or less that the kernels take for each thread, whatever the batch; nor the memory of freed values, which
        they keep for later ones; nor, with another `algorithm` than "im2col", Winograd's transformed filters, up to 5.5 times a
        layer's weights, and tiles, up to 24 MB for each thread.

        Parameters
        ----------
        batch : int
            Number of images.
        keep, record
            As for `forward`. What ``net(x)`` takes is that of ``keep=net.outputs, record=False``.

        Raises
        ------
        ZfcoreError
            If a layer or rule is unknown.
        """
        steps = self.steps(self._wanted(keep))
        return batch * self.dtype.itemsize * peak(steps, self.shapes, bool(record), _rule(record))

    def usual_batch(self, keep: Sequence[str] | None = None, record: bool | str | Rule = False, on_host: int = 16) -> int:
        """How many images to compute at a time where nobody has said.

        Parameters
        ----------
        keep, record
            As for `forward`.
        on_host : int
            The answer for backends that compute on the host.

        Returns
        -------
        int
            On a device a power of two, at most 256, that takes no more than a third of the memory that is free: two may be under way,
            and kernels want some.
        """
        if self.backend not in zfkernels.DEVICES:
            return on_host
        free, batch = self.kernels.free_memory(), 256
        while batch > 1 and self.peak_bytes(batch, keep, record) > free // 3:
            batch //= 2
        return batch

    def _wanted(self, keep: Sequence[str] | None) -> tuple[str, ...]:
        return tuple(self.layers) if keep is None else several("keep", keep)

    def steps(self, wanted: Sequence[str]) -> list[Step]:
        """In which steps those layers are computed."""
        return planned(self.layers, wanted, self.ancestors(wanted))

    def _checked(self, x: np.ndarray) -> np.ndarray:
        if not is_array(x) or x.dtype.kind != "f":
            raise TypeError(f"x: got {getattr(x, 'dtype', type(x).__name__)}, needed a NumPy array of float32 or float64")
        if x.ndim != len(self.input_shape) + 1 or x.shape[1:] != self.input_shape:
            needed = ", ".join(map(str, ("N", *self.input_shape)))
            raise ZfcoreError(f"x: got shape {x.shape}, {self.name} needs ({needed})")
        return x.astype(self.dtype, copy=False)

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
            If the layer or rule is unknown, the trace did not record the layer or not for this rule, or the seed has another shape.
        """
        rule = resolve(rule)
        down = descent.bring_down(self, trace, layer, self._seed(trace, layer, seed, rule), None, rule)
        if down is None:
            return np.zeros((len(seed), *self.input_shape), self.dtype)
        return self.to_numpy(down.over(self.kernels, self.input_shape[1:]).values)

    def gradients(
        self, trace: Trace, layer: str, seed: np.ndarray, consume: bool = False
    ) -> dict[tuple[str, str], np.ndarray]:
        """Gradient of every parameter, as (layer, field), from a signal at a layer: the derivative of ``sum(seed * layer)``.

        They are arrays where the network computes, as its weights are; `to_numpy` brings them to the host.

        With `consume` the trace lets go of what each layer saved as soon as that is behind, and cannot be used again: it takes less memory.

        Raises
        ------
        ZfcoreError
            If the layer is unknown, the trace did not record it or was for one rule alone, or the seed has another shape.
        """
        found: dict[tuple[str, str], np.ndarray] = {}
        descent.bring_down(self, trace, layer, self._seed(trace, layer, seed, None), None, resolve("gradient"), found, consume)
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
            If the layer or rule is unknown, the trace did not record the layer or not for this rule, or the unit lies outside its map.
        """
        return self.project_many(trace, layer, [unit], rule)[0]

    def project_many(
        self, trace: Trace, layer: str, units: Sequence[Sequence[int]], rule: str | Rule = "deconvnet"
    ) -> list[Projection]:
        """Bring activations down to the pixels, each alone and inside its own receptive field, but many at a time in one batch.

        Units of one layer see windows of one size, wherever they are; so units of any images, maps and positions go through every layer
        side by side. What is zero is left out where that can be known cheaply: above the first filters a unit's signal is a pixel of one
        map, and branches and filters of other maps, and what unpooling leaves empty around it, are not computed. A weight that is
        infinite or NaN therefore reaches only the signals that are not zero, as if the others had not been multiplied by it.

        Parameters
        ----------
        trace, layer, rule
            As for `project`.
        units : sequence of (n, c, y, x) or (n, c)
            As for `project`.

        Returns
        -------
        list of Projection
            In the order of the units; each as `project` answers for the unit alone.

        Raises
        ------
        ZfcoreError
            As for `project`.
        """
        rule = resolve(rule)
        self.layer(layer)
        batch = len(trace.start(layer, rule, self.backend))
        return descent.projections(self, trace, layer, [self.unit(layer, unit, batch) for unit in units], rule)

    def _seed(self, trace: Trace, layer: str, seed: np.ndarray, rule: Rule | None) -> Signals:
        """A signal that fits a layer of the trace, in the network's type."""
        self.layer(layer)
        shape, seed = trace.start(layer, rule, self.backend).shape, self.kernels.asarray(seed)
        if seed.shape != shape:
            raise ZfcoreError(f"seed: got shape {seed.shape}, layer {layer!r} has {shape}")
        windows = Windows.of([whole(shape[2:])]) if len(shape) == 4 else None
        return Signals(seed.astype(self.dtype, copy=False), windows, sparse=False)


def _rule(record: bool | str | Rule) -> Rule | None:
    """The rule that recording is for; None: any."""
    return None if isinstance(record, bool) else resolve(record)


def _lie_on(layers: Iterable[Layer]) -> str:
    """A backend in whose memory the layers' arrays are."""
    return "cuda" if any(not isinstance(a, np.ndarray) for layer in layers for a in layer.arrays.values()) else "cpu"
