"""A case with its arrays: how we compute it, what it costs at least, and how an answer to it is verified."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from zfkernels import cpu
from zfkernels.catalog import CATALOG, moved_bytes
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
    """What a case asks for is not there in the network it was given."""


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

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """What an answer is held against, once `result`, ours, has been: AssertionError if it is wrong."""


# ---- one kernel


@dataclass(frozen=True, eq=False)
class KernelCall:
    """A call of one kernel.

    Parameters
    ----------
    function : str
        Its name in every backend.
    arguments : dict
        By name, as a case of the catalog has them; arrays that this function does not read stand there for their shapes only.
    """

    function: str
    arguments: Mapping[str, Any] = field(repr=False)

    @classmethod
    def drawn(cls, function: str, shapes: Mapping[str, Shape], options: Mapping[str, Any], rng: np.random.Generator) -> KernelCall:
        """Normal float32 numbers for the arrays that the function reads.

        Raises
        ------
        MemoryError
            If they and their like would not fit into the memory that is free.
        """
        read = inspect.signature(getattr(cpu, function)).parameters
        need_memory(sum(prod(shape) for shape in shapes.values()) * 4)
        arrays = {name: normal(rng, shape) if name in read else shadow(shape) for name, shape in shapes.items()}
        return cls(function, {**arrays, **options})

    @property
    def flops(self) -> int:
        """Those of the op's forward function: an adjoint multiplies as often, however far its strides spread the products."""
        op = OPS[self.function]
        return op.flops(op.name, dict(self.arguments), self.arguments["gy"]) if op.name in COUNTED else 0

    @property
    def moved(self) -> int:
        return moved_bytes(cpu, self.function, dict(self.arguments))

    def ours(self) -> Callable[[], Any]:
        f = getattr(cpu, self.function)
        values = [self.arguments[name] for name in inspect.signature(f).parameters if name in self.arguments]
        return lambda: f(*values)

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        check = check_kernel(OPS[self.function], self.function, self.arguments, rng)
        check(result)
        return check


@dataclass(frozen=True, eq=False)
class Convolution(KernelCall):
    """conv2d by another algorithm than the default; to the peers it is conv2d."""

    algorithm: str = "auto"

    def ours(self) -> Callable[[], Any]:
        a = self.arguments
        geometry = a["stride"], a["padding"], a["dilation"], a["groups"]
        return lambda: algorithms.convolve(cpu, self.algorithm, a["x"], a["w"], a["b"], *geometry)

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """Within the bound of the algorithm that was used."""
        a = self.arguments
        used = self.algorithm
        if used == "auto":
            used = algorithms.fastest(cpu, a["x"], a["w"], a["stride"], a["padding"], a["dilation"], a["groups"])
        function = "conv2d_winograd" if used == "winograd" else "conv2d"
        check = check_kernel(OPS[function], function, a, rng)
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
    function: str, x: Shape, w: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int, rng: np.random.Generator
) -> KernelCall:
    """A convolution of an x of that shape by one of the algorithms, or an adjoint of it."""
    size, kernel_size = (x[2], x[3]), (w[2], w[3])
    gy = (x[0], w[0], *output_size(size, kernel_size, stride, padding, dilation))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    options |= {"input_size": size, "kernel_size": kernel_size}
    algorithm = ALGORITHMS.get(function)
    call = KernelCall.drawn("conv2d" if algorithm else function, {"x": x, "w": w, "b": w[:1], "gy": gy}, options, rng)
    return Convolution(call.function, call.arguments, algorithm) if algorithm else call


def pool_call(
    function: str, x: Shape, kernel_size: Pair, stride: Pair, padding: Padding, ceil_mode: bool, rng: np.random.Generator
) -> KernelCall:
    """A pooling of an x of that shape, or its way back; average pooling as PyTorch's defaults have it."""
    size, dilation = (x[2], x[3]), (1, 1)
    y = (*x[:2], *pool_output_size(size, kernel_size, stride, padding, dilation, ceil_mode))
    options: dict[str, Any] = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    if function.startswith("avg"):
        options |= {"input_size": size, "count_include_pad": True, "divisor_override": None}
        return KernelCall.drawn(function, {"x": x, "gy": y}, options, rng)
    options |= {"dilation": dilation, "output_size": size, "collisions": "add"}
    if function == "max_unpool2d":
        pooled = cpu.max_pool2d(normal(rng, x), kernel_size, stride, padding, dilation, ceil_mode)
        options["switches"] = pooled[1]
    return KernelCall.drawn(function, {"x": x, "y": y}, options, rng)


def rectangle_call(function: str, x: Shape, options: Mapping[str, Any], rng: np.random.Generator) -> KernelCall:
    """A kernel whose output has its input's shape, or the derivative of one."""
    return KernelCall.drawn(function, {"x": x, "gy": x}, options, rng)


# ---- whole networks


def with_backend(net: Network, backend: str) -> Network:
    """The same network on other kernels, by the default algorithm."""
    other = copy.copy(net)
    other.backend, other.algorithm = backend, "im2col"
    return other


@dataclass(frozen=True, eq=False)
class Forward:
    """A network's answer to a batch; `path` is the file it came from, if it came from one."""

    net: Network
    x: np.ndarray
    path: Path | None = None

    @classmethod
    def drawn(cls, net: Network, n: int, rng: np.random.Generator, path: Path | None = None) -> Forward:
        """Normal numbers for images."""
        return cls(net, normal(rng, (n, *net.input_shape)).astype(net.dtype, copy=False), path)

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
        return lambda: self.net(self.x)

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        n = int(rng.integers(len(self.x)))
        ref = with_backend(self.net.astype(np.float64), "reference")(self.x[n : n + 1].astype(np.float64))
        refs = ref if isinstance(ref, tuple) else (ref,)
        check = network_check(f"image {n}, by the reference network in float64", refs, (slice(n, n + 1),), self.net.dtype)
        check(result)
        return check


@dataclass(frozen=True, eq=False)
class Projections:
    """Units of a layer brought down to pixels by the deconvnet, one of each image; the forward pass is behind us."""

    net: Network
    x: np.ndarray
    trace: Trace
    layer: str
    units: tuple[tuple[int, ...], ...]
    flops: int = 0
    moved: int = 0

    @classmethod
    def drawn(cls, net: Network, layer: str, n: int, rng: np.random.Generator) -> Projections:
        """The strongest unit of a map, drawn once, in each of n random images."""
        x = normal(rng, (n, *net.input_shape))
        trace = net.forward(x, keep=[layer])
        C, _, W = net.shapes[layer]
        c = int(rng.integers(C))
        places = trace[layer][:, c].reshape(n, -1).argmax(axis=1)
        return cls(net, x, trace, layer, tuple((i, c, *map(int, divmod(place, W))) for i, place in enumerate(places)))

    def ours(self) -> Callable[[], Any]:
        return lambda: self.net.project_many(self.trace, self.layer, self.units)

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """Against whole images brought down: by the reference for one unit, by the same kernels for more, which it would take long."""
        backend = "reference" if len(self.units) == 1 else self.net.backend
        seed = np.zeros_like(self.trace[self.layer])
        for unit in self.units:
            seed[unit] = self.trace[self.layer][unit]
        pixels = with_backend(self.net, backend).pullback(self.trace, self.layer, seed)
        ours: list[Projection] = result
        refs = [framed(pixels[p.unit[0]], whole(pixels.shape[2:]), p.window) for p in ours]
        text = f"all units, by {'the reference' if backend == 'reference' else 'the same kernels'} on whole images"
        network_check(text, refs, (...,), self.net.dtype)([p.pixels for p in ours])
        return Check(text, (), "its unpooling overwrites where windows overlap, ours adds")


@dataclass(frozen=True, eq=False)
class Hiding:
    """A grey square at every place of an image: the sum of a deep map and the scores of the classes (paper, figure 7)."""

    net: Network
    x: np.ndarray
    squares: Squares
    layers: tuple[str, str]
    number: int
    flops: int = 0
    moved: int = 0

    @classmethod
    def drawn(cls, net: Network, rng: np.random.Generator) -> Hiding:
        """Normal numbers for the image, the usual square and stride, a map drawn."""
        scores = logits(net)
        if scores is None:
            raise UnsuitedError(f"{net.name} does not answer with a number for each of several classes")
        layers = deepest_map(net), scores
        x = normal(rng, net.input_shape).astype(net.dtype, copy=False)
        return cls(net, x, Squares.over(net.input_shape[1:]), layers, int(rng.integers(net.shapes[layers[0]][0])))

    def _answers(self, squares: Squares, incremental: bool) -> tuple[np.ndarray, np.ndarray]:
        found = occlude(self.net, self.x, squares, np.zeros_like(self.x), self.layers, self.number, incremental=incremental)
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
class Step:
    """A whole training step: forward with dropout, cross-entropy, the gradient of every parameter, momentum SGD with weight decay.

    The network takes its steps on a copy: `net` stays as it is.
    """

    net: Network
    x: np.ndarray
    labels: np.ndarray
    recipe: Recipe = STEP

    @classmethod
    def drawn(cls, net: Network, n: int, rng: np.random.Generator) -> Step:
        """Normal numbers for images, any labels."""
        labels = rng.integers(0, net.shapes[net.outputs[0]][0], n)
        return cls(net, normal(rng, (n, *net.input_shape)), labels)

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
        net = self.net.astype(self.net.dtype.type)
        optimiser = SGD(net, self.recipe)

        def step() -> float:
            loss, _, gradients = learnt(net, self.logits, self.x, self.labels, seed=1)
            optimiser.step(gradients, self.recipe.rate, limit=False)
            return loss

        return step

    @property
    def logits(self) -> str:
        """The layer that the loss is taken of."""
        return logits_layer(self.net)

    def _gradients(self, net: Network, trace: Trace) -> tuple[np.ndarray, dict]:
        k, logits = net.kernels, trace[self.logits]
        loss = k.cross_entropy(logits, self.labels)
        return loss, net.gradients(trace, self.logits, k.cross_entropy_vjp(np.ones((), net.dtype), logits, self.labels))

    def verified(self, result: Any, rng: np.random.Generator) -> Check:
        """Loss and gradients of the first two images: the reference goes its way down through our trace, which fixes the switches."""
        assert np.isfinite(result), f"the loss is {result}"
        few = Step(self.net, self.x[:2], self.labels[:2])
        trace = self.net.forward(few.x, keep=[self.logits], seed=1)
        text = "loss and gradients of its first 2 images, by the reference"
        reference = with_backend(self.net, "reference")
        logits = reference.forward(few.x, keep=[self.logits], record=False, seed=1)[self.logits]
        network_check(text, (logits,), (...,), self.net.dtype)(trace[self.logits])
        (loss, found), (ref_loss, ref) = few._gradients(self.net, trace), few._gradients(reference, trace)
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
