"""A case with its arrays: how we compute it, what it costs at least, and how an answer to it is verified.

A problem belongs to a backend. What that has to have lies where it computes before any clock runs; answers are held against host arrays.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import zfkernels
from zfkernels import reference
from zfkernels.array import Array
from zfkernels.catalog import CATALOG
from zfkernels.geometry import Padding, Pair, output_size, pool_output_size

from zfcore import algorithms
from zfcore.bench.verification import Check, check_kernel, network_check
from zfcore.experiments.occlusion import Squares, occlude
from zfcore.layers import Dropout
from zfcore.network import Network
from zfcore.projection import Projection, framed
from zfcore.stages import deepest_map, logits
from zfcore.trace import Trace
from zfcore.training.loop import learnt, logits_layer
from zfcore.training.optimiser import SGD
from zfcore.training.recipe import Recipe
from zfcore.window import whole

Shape = tuple[int, ...]
OPS = {function: op for op in CATALOG for function in op.functions}
FILTERS = ("conv2d", "conv2d_adjoint_x", "conv2d_adjoint_w")
ALGORITHMS = {"conv2d_winograd": "winograd", "conv2d_auto": "auto"}
"""Convolutions that are not timed by the default algorithm, by the names of their cases."""
COUNTED = ("conv2d", "linear")
"""Ops whose work is multiply-adds; what the others do is moving memory."""


class UnsuitedError(ValueError):
    """What a case asks for is not there in the network, or the backend, that it was given."""


class Problem(Protocol):
    """What the harness, the peers and the report need to know of a case."""

    @property
    def flops(self) -> int:
        """Floating-point operations that the definition needs; 0 if they are not what it costs."""

    @property
    def moved(self) -> int:
        """Bytes that must move; 0 if not counted."""

    def ours(self) -> Callable[[], Any]:
        """The call to time."""

    def carried(self) -> Callable[[], Any] | None:
        """The same with the way there and back, from arrays of the host to arrays of the host; None where there is no way, or it is in
        `ours` already."""

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """What an answer is held against, once `result`, ours, has been: AssertionError if it is wrong."""


def sent(k: ModuleType, value: Any) -> Any:
    """An argument where a backend computes."""
    return k.asarray(value) if isinstance(value, np.ndarray) else value


def home(backend: str, value: Any) -> Any:
    """Arrays of a backend, alone or in tuples and lists, as NumPy's."""
    if isinstance(value, Array):
        return zfkernels.get(backend).to_numpy(value)
    if isinstance(value, tuple | list):
        return type(value)(home(backend, part) for part in value)
    return value


# ---- one kernel


@dataclass(frozen=True, eq=False)
class KernelCall:
    """A call of one kernel.

    Parameters
    ----------
    function : str
        Its name in every backend.
    arguments : dict
        By name, as a case of the catalog has them, on the host; arrays that this function does not read stand there for their shapes
        only.
    backend : str
        Where it is computed.
    """

    function: str
    arguments: Mapping[str, Any] = field(repr=False)
    backend: str = "cpu"

    @classmethod
    def drawn(
        cls,
        function: str,
        shapes: Mapping[str, Shape],
        options: Mapping[str, Any],
        rng: np.random.Generator,
        backend: str = "cpu",
    ) -> KernelCall:
        """Normal float32 numbers for the arrays that the function reads.

        Raises
        ------
        MemoryError
            If they and their like would not fit into the memory that is free.
        """
        read = inspect.signature(getattr(reference, function)).parameters
        need_memory(sum(prod(shape) for shape in shapes.values()) * 4)
        arrays = {name: normal(rng, shape) if name in read else shadow(shape) for name, shape in shapes.items()}
        return cls(function, {**arrays, **options}, backend)

    @property
    def flops(self) -> int:
        """Those of the op's forward function: an adjoint multiplies as often, however far its strides spread the products."""
        op = OPS[self.function]
        return op.flops(op.name, dict(self.arguments), self.arguments["gy"]) if op.name in COUNTED else 0

    @property
    def moved(self) -> int:
        """Every array argument once, every result once."""
        result = self.ours()()
        values = [*self._here.values(), *(result if isinstance(result, tuple) else [result])]
        arrays: list[Any] = [value for value in values if isinstance(value, Array)]
        return sum(a.nbytes for a in arrays)

    @property
    def kernels(self) -> ModuleType:
        """The backend; UnsuitedError if it lacks the function."""
        k = zfkernels.get(self.backend)
        if not hasattr(k, self.function):
            raise UnsuitedError(f"the backend {self.backend} has no {self.function}")
        return k

    def _timed(self) -> Callable[..., Any]:
        return getattr(self.kernels, self.function)

    def _read(self) -> dict[str, Any]:
        """The arguments that the function has, in its order."""
        names = inspect.signature(getattr(reference, self.function)).parameters
        return {name: self.arguments[name] for name in names if name in self.arguments}

    @cached_property
    def _here(self) -> dict[str, Any]:
        """The same, with arrays where the backend computes."""
        return {name: sent(self.kernels, value) for name, value in self._read().items()}

    def ours(self) -> Callable[[], Any]:
        f, values = self._timed(), list(self._here.values())
        return lambda: f(*values)

    def carried(self) -> Callable[[], Any] | None:
        if self.backend not in zfkernels.DEVICES:
            return None
        k, f, values = self.kernels, self._timed(), list(self._read().values())
        return lambda: home(self.backend, f(*(sent(k, value) for value in values)))

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        check = check_kernel(OPS[self.function], self.function, self.arguments, rng)
        check(result)
        return check


@dataclass(frozen=True, eq=False)
class Convolution(KernelCall):
    """conv2d by another algorithm than the default; to the peers it is conv2d."""

    algorithm: str = "auto"

    def _timed(self) -> Callable[..., Any]:
        return partial(algorithms.convolve, self.kernels, self.algorithm)

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """Within the bound of the algorithm that was used."""
        a, used = self._here, self.algorithm
        if used == "auto":
            used = algorithms.fastest(self.kernels, a["x"], a["w"], a["stride"], a["padding"], a["dilation"], a["groups"])
        function = "conv2d_winograd" if used == "winograd" else "conv2d"
        check = check_kernel(OPS[function], function, self.arguments, rng)
        check(result)
        return dataclasses.replace(check, text=f"{check.text}; computed by {used}")


def normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def shadow(shape: Shape) -> np.ndarray:
    """A shape without memory behind it."""
    return np.broadcast_to(np.float32(0), shape)


def need_memory(size: int) -> None:
    """Raise MemoryError unless four times `size` bytes are free: for ours, a peer's copy, and the results of both."""
    from zfcore.bench.machine import free_memory

    free = free_memory()
    if free is not None and 4 * size > free:
        raise MemoryError(f"needs about {4 * size / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")


def filter_call(
    function: str,
    x: Shape,
    w: Shape,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    rng: np.random.Generator,
    backend: str = "cpu",
) -> KernelCall:
    """A convolution of an x of that shape by one of the algorithms, or an adjoint of it."""
    size, kernel_size = (x[2], x[3]), (w[2], w[3])
    gy = (x[0], w[0], *output_size(size, kernel_size, stride, padding, dilation))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    options |= {"input_size": size, "kernel_size": kernel_size}
    algorithm = ALGORITHMS.get(function)
    call = KernelCall.drawn("conv2d" if algorithm else function, {"x": x, "w": w, "b": w[:1], "gy": gy}, options, rng, backend)
    return Convolution(call.function, call.arguments, backend, algorithm) if algorithm else call


def pool_call(
    function: str,
    x: Shape,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    rng: np.random.Generator,
    backend: str = "cpu",
) -> KernelCall:
    """A pooling of an x of that shape, or its way back; average pooling as PyTorch's defaults have it."""
    size, dilation = (x[2], x[3]), (1, 1)
    y = (*x[:2], *pool_output_size(size, kernel_size, stride, padding, dilation, ceil_mode))
    options: dict[str, Any] = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    if function.startswith("avg"):
        options |= {"input_size": size, "count_include_pad": True, "divisor_override": None}
        return KernelCall.drawn(function, {"x": x, "gy": y}, options, rng, backend)
    options |= {"dilation": dilation, "output_size": size, "collisions": "add"}
    if function == "max_unpool2d":
        k = zfkernels.get(backend)
        pooled = k.max_pool2d(k.asarray(normal(rng, x)), kernel_size, stride, padding, dilation, ceil_mode)
        options["switches"] = k.to_numpy(pooled[1])
    return KernelCall.drawn(function, {"x": x, "y": y}, options, rng, backend)


def rectangle_call(
    function: str, x: Shape, options: Mapping[str, Any], rng: np.random.Generator, backend: str = "cpu"
) -> KernelCall:
    """A kernel whose output has its input's shape, or the derivative of one."""
    return KernelCall.drawn(function, {"x": x, "gy": x}, options, rng, backend)


# ---- whole networks


def with_backend(net: Network, backend: str, algorithm: str = "im2col") -> Network:
    """The same network on other kernels; `net` stays where it is."""
    other = copy.copy(net)
    other.layers = {name: copy.copy(layer) for name, layer in net.layers.items()}
    other.backend, other.algorithm = backend, algorithm
    return other


@dataclass(frozen=True, eq=False)
class OfNetwork:
    """What problems of a whole network share: `net` is on the host, `there` where it computes."""

    net: Network
    backend: str = field(default="cpu", kw_only=True)

    @cached_property
    def there(self) -> Network:
        """The network on the problem's backend."""
        return self.net if self.backend == self.net.backend else with_backend(self.net, self.backend, self.net.algorithm)

    @property
    def kernels(self) -> ModuleType:
        """Of the problem's backend."""
        return zfkernels.get(self.backend)

    def on_host(self, trace: Trace) -> Trace:
        """What a forward pass left, for a network on the host."""
        values, saved = ({name: home(self.backend, value) for name, value in part.items()} for part in (trace.values, trace.saved))
        return dataclasses.replace(trace, values=values, saved=saved, backend="cpu")

    def carried(self) -> Callable[[], Any] | None:
        return None


@dataclass(frozen=True, eq=False)
class Forward(OfNetwork):
    """A network's answer to a batch; `path` is the file it came from, if it came from one."""

    x: np.ndarray
    path: Path | None = None

    @classmethod
    def drawn(cls, net: Network, n: int, rng: np.random.Generator, path: Path | None = None, backend: str = "cpu") -> Forward:
        """Normal numbers for images."""
        return cls(net, normal(rng, (n, *net.input_shape)).astype(net.dtype, copy=False), path, backend=backend)

    @property
    def flops(self) -> int:
        return 2 * self.net.macs * len(self.x)

    @property
    def moved(self) -> int:
        """Weights and images once, the answer once: what lies between may stay in a cache."""
        weights = sum(a.nbytes for layer in self.net.layers.values() for a in layer.arrays.values())
        answers = sum(prod(self.net.shapes[name]) for name in self.net.outputs) * len(self.x) * self.x.itemsize
        return weights + self.x.nbytes + answers

    def ours(self) -> Callable[[], Any]:
        net, x = self.there, self.kernels.asarray(self.x)
        if self.backend not in zfkernels.DEVICES:
            return lambda: net(x)

        def call() -> Any:
            values = net.forward(x, keep=net.outputs, record=False).values
            ys = tuple(values[name] for name in net.outputs)
            return ys[0] if len(ys) == 1 else ys

        return call

    def carried(self) -> Callable[[], Any] | None:
        return None if self.backend not in zfkernels.DEVICES else lambda: home(self.backend, self.there(self.x))

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        n = int(rng.integers(len(self.x)))
        ref = with_backend(self.net.astype(np.float64), "reference")(self.x[n : n + 1].astype(np.float64))
        refs = ref if isinstance(ref, tuple) else (ref,)
        check = network_check(f"image {n}, by the reference network in float64", refs, (slice(n, n + 1),), self.net.dtype)
        check(result)
        return check


@dataclass(frozen=True, eq=False)
class Projections(OfNetwork):
    """Units of a layer brought down to pixels by the deconvnet, one of each image; the forward pass is behind us, the pixels end on the
    host."""

    x: np.ndarray
    trace: Trace
    layer: str
    units: tuple[tuple[int, ...], ...]
    flops: int = 0
    moved: int = 0

    @classmethod
    def drawn(cls, net: Network, layer: str, n: int, rng: np.random.Generator, backend: str = "cpu") -> Projections:
        """The strongest unit of a map, drawn once, in each of n random images."""
        x = normal(rng, (n, *net.input_shape))
        there = net if backend == net.backend else with_backend(net, backend, net.algorithm)
        trace = there.forward(x, keep=[layer])
        C, _, W = net.shapes[layer]
        c = int(rng.integers(C))
        places = trace[layer][:, c].reshape(n, -1).argmax(axis=1)
        units = tuple((i, c, *map(int, divmod(place, W))) for i, place in enumerate(places))
        return cls(net, x, trace, layer, units, backend=backend)

    def ours(self) -> Callable[[], Any]:
        net = self.there
        return lambda: net.project_many(self.trace, self.layer, self.units)

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """Against whole images brought down: by the reference for one unit, by the same kernels for more, which it would take long."""
        backend = "cpu" if self.backend == "cpu" and len(self.units) > 1 else "reference"
        trace = self.on_host(self.trace)
        seed = np.zeros_like(trace[self.layer])
        for unit in self.units:
            seed[unit] = trace[self.layer][unit]
        pixels = with_backend(self.net, backend).pullback(trace, self.layer, seed)
        ours: list[Projection] = result
        refs = [framed(pixels[p.unit[0]], whole(pixels.shape[2:]), p.window) for p in ours]
        text = f"all units, by {'the reference' if backend == 'reference' else 'the same kernels'} on whole images"
        network_check(text, refs, (...,), self.net.dtype)([p.pixels for p in ours])
        return Check(text, (), "its unpooling overwrites where windows overlap, ours adds")


@dataclass(frozen=True, eq=False)
class Hiding(OfNetwork):
    """A grey square at every place of an image: the sum of a deep map and the scores of the classes (paper, figure 7)."""

    x: np.ndarray
    squares: Squares
    layers: tuple[str, str]
    number: int
    flops: int = 0
    moved: int = 0

    @classmethod
    def drawn(cls, net: Network, rng: np.random.Generator, backend: str = "cpu") -> Hiding:
        """Normal numbers for the image, the usual square and stride, a map drawn."""
        scores = logits(net)
        if scores is None:
            raise UnsuitedError(f"{net.name} does not answer with a number for each of several classes")
        layers = deepest_map(net), scores
        x = normal(rng, net.input_shape).astype(net.dtype, copy=False)
        number = int(rng.integers(net.shapes[layers[0]][0]))
        return cls(net, x, Squares.over(net.input_shape[1:]), layers, number, backend=backend)

    def _answers(self, squares: Squares, incremental: bool) -> tuple[np.ndarray, np.ndarray]:
        found = occlude(self.there, self.x, squares, np.zeros_like(self.x), self.layers, self.number, incremental=incremental)
        return found.sums, found.logits

    def ours(self) -> Callable[[], Any]:
        return lambda: self._answers(self.squares, True)

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """A row of places drawn, by the same kernels on whole images; that of the peers' answers too."""
        row = int(rng.integers(len(self.squares.tops)))
        refs = self._answers(dataclasses.replace(self.squares, tops=self.squares.tops[row : row + 1]), False)
        text = f"row {row} of the places, by the same kernels on whole images"
        check = network_check(text, refs, (slice(row, row + 1),), self.net.dtype)
        check(result)
        return check


#: Labels are noise: small steps, and no limit on filters, for which PyTorch has no word.
STEP = Recipe(rate=1e-4, filter_limit=np.inf)


@dataclass(frozen=True, eq=False)
class Step(OfNetwork):
    """A whole training step: forward with dropout, cross-entropy, the gradient of every parameter, momentum SGD with weight decay.

    The network takes its steps on a copy: `net` stays as it is.
    """

    x: np.ndarray
    labels: np.ndarray
    recipe: Recipe = STEP

    @classmethod
    def drawn(cls, net: Network, n: int, rng: np.random.Generator, backend: str = "cpu") -> Step:
        """Normal numbers for images, any labels."""
        labels = rng.integers(0, net.shapes[net.outputs[0]][0], n)
        return cls(net, normal(rng, (n, *net.input_shape)), labels, backend=backend)

    @property
    def flops(self) -> int:
        """Forward, adjoint in w, adjoint in x; the last not in the first layer, whose signal nobody asks for."""
        counts = [layer.macs(*self.net.input_shapes(layer)) for layer in self.net.layers.values()]
        first = next(count for count in counts if count)
        return 2 * len(self.x) * (3 * sum(counts) - first)

    @property
    def moved(self) -> int:
        """The images twice; every weight three times, its gradient twice and its velocity once read, each written once."""
        return 2 * self.x.nbytes + 9 * sum(a.nbytes for layer in self.net.layers.values() for a in layer.arrays.values())

    def ours(self) -> Callable[[], Any]:
        return self._steps(sent(self.kernels, self.x))

    def carried(self) -> Callable[[], Any] | None:
        return None if self.backend not in zfkernels.DEVICES else self._steps(self.x)

    def _steps(self, x: Any) -> Callable[[], float]:
        net = self.net.astype(self.net.dtype.type)
        net = net if self.backend == net.backend else with_backend(net, self.backend, net.algorithm)
        optimiser = SGD(net, self.recipe)

        def step() -> float:
            loss, _, gradients = learnt(net, self.logits, x, self.labels, seed=1)
            optimiser.step(gradients, self.recipe.rate, limit=False)
            return loss

        return step

    @property
    def logits(self) -> str:
        """The layer that the loss is taken of."""
        return logits_layer(self.net)

    def _gradients(self, net: Network, trace: Trace) -> tuple[np.ndarray, dict]:
        k, logits = net.kernels, trace[self.logits]
        loss = k.to_numpy(k.cross_entropy(logits, self.labels))
        found = net.gradients(trace, self.logits, k.cross_entropy_vjp(np.ones((), net.dtype), logits, self.labels))
        return loss, {key: k.to_numpy(gradient) for key, gradient in found.items()}

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """Loss and gradients of the first two images: the reference goes its way down through our trace, which fixes the switches."""
        assert np.isfinite(result), f"the loss is {result}"
        few = dataclasses.replace(self, x=self.x[:2], labels=self.labels[:2])
        ours = self.there.forward(few.x, keep=[self.logits], seed=1)
        trace = self.on_host(ours)
        text = "loss and gradients of its first 2 images, by the reference"
        reference = with_backend(self.net, "reference")
        logits = reference.forward(few.x, keep=[self.logits], record=False, seed=1)[self.logits]
        network_check(text, (logits,), (...,), self.net.dtype)(trace[self.logits])
        (loss, found), (ref_loss, ref) = few._gradients(self.there, ours), few._gradients(reference, trace)
        network_check(text, (ref_loss, *ref.values()), (...,), self.net.dtype)((loss, *found.values()))
        masks = any(isinstance(layer, Dropout) for layer in self.net.layers.values())
        return Check(text, (), "its dropout draws other masks" if masks else "its gradients are not compared")


def below(net: Network, layer: str) -> list[str]:
    """The layers from the image up to `layer`, the image left out, of a network that is a chain; ValueError if it is none."""
    names = list(net.layers)
    chain = names[: names.index(layer) + 1]
    for before, name in itertools.pairwise(chain):
        if net.layers[name].inputs != (before,):
            raise ValueError(f"{name} has the inputs {net.layers[name].inputs}: no chain")
    return chain[1:]
