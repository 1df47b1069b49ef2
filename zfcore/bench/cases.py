"""The cases as data: what is timed, under which name, in which order.

The layers are those of the zoo's networks, by their names; every size follows from the network that is built. A case is light until
its `make` is called.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

import zfcore
from zfcore import zoo
from zfcore.backends import computing_on
from zfcore.bench.bars import Bar
from zfcore.bench.problems import (
    ALGORITHMS,
    FILTERS,
    Forward,
    Hiding,
    KernelCall,
    Problem,
    Projections,
    Step,
    filter_call,
    pool_call,
    rectangle_call,
)
from zfcore.errors import ZfcoreError
from zfcore.layers import Conv2d, Linear, LocalResponseNorm, MaxPool2d, ReLU
from zfcore.names import nearest
from zfcore.network import Network

#: VGG-16 (Simonyan & Zisserman 2015, table 1, column D) without the layers that repeat the sizes of the one before.
VGG = zoo.Architecture(
    tuple(
        zoo.Conv(maps, 3, padding=1, pool=pool)
        for maps, pool in ((64, 0), (64, 2), (128, 0), (128, 2), (256, 0), (256, 2), (512, 0), (512, 2), (512, 0))
    ),
    classes=1,
)
BATCHES = (1, 16, 64)
PROJECTED = ("conv1", "conv2", "conv3", "conv4", "conv5")
TOP = 9  #: Units that are projected together: a map's strongest, one per image (paper, figure 2).

#: The sweep's rule: 3x3 convolutions, stride 1, padding 1, N = 1, as many maps out as in; every power of two of maps and every
#: side below whose map has 2^14 to 2^19 numbers (64 KiB to 2 MiB).
SWEEP_MAPS, SWEEP_SIDES, SWEEP_NUMBERS = (16, 32, 64, 128, 256, 512), (7, 14, 28, 56, 112), (2**14, 2**19)
#: And the rectifier on 2^10 to 2^24 numbers, every fourth power of two more: from the first cache to memory.
SWEEP_POWERS = (10, 14, 18, 22, 24)


Build = Callable[[np.random.Generator, str], Problem]


@dataclass(frozen=True)
class Case:
    """One thing to time.

    Parameters
    ----------
    id : str
        ``function/what/nN``; stable, so that results of different versions can be compared.
    family : str
        "paper", "vgg", "sweep" or "model": what geometric means are taken over.
    tags : frozenset of str
        To choose by.
    n : int
        Images in the batch; units, for projections.
    build : callable (rng, backend) -> Problem
        Makes the arrays.
    """

    id: str
    family: str
    tags: frozenset[str]
    n: int
    build: Build

    @property
    def function(self) -> str:
        """What is called: a kernel's name, or "forward", "forward_auto", "project", "train_step", "occlude"."""
        return self.id.partition("/")[0]

    def make(self, seed: int = 0, backend: str = "cpu") -> Problem:
        """The case with its arrays, drawn from the seed and the case's name, for a backend."""
        return self.build(np.random.default_rng((seed, zlib.crc32(self.id.encode()))), backend)


def _case(function: str, what: str, n: int, family: str, tags: Iterable[str], build: Build) -> Case:
    return Case(f"{function}/{what}/n{n}", family, frozenset((function, family, f"n{n}", *tags)), n, build)


@lru_cache(maxsize=3)
def network(name: str) -> Network:
    """A network of the zoo, or "vgg16", on the host, with weights that keep the size of the signal."""
    with computing_on("cpu"):
        return zoo.build(VGG if name == "vgg16" else name, init="he")


def _loaded(path: Path) -> Network:
    """A network from a file, on the host."""
    with computing_on("cpu"):
        return zfcore.load(path)


# ---- the lists


def all_cases(models: Sequence[Path] = ()) -> list[Case]:
    """Every case, the most telling first, for when time runs out."""
    return [
        *_models(models),
        *(c for n in (1, 16) for name in ("zfnet", "alexnet") for c in _convolutions(name, "paper", n)),
        *_projections(),
        *_networks(),
        *(c for n in (1, 16) for name in ("zfnet", "alexnet") for c in _others(name, n)),
        *(c for n in BATCHES for c in _linear(n)),
        *(c for name in ("zfnet", "alexnet") for c in (*_convolutions(name, "paper", 64), *_others(name, 64))),
        *(c for n in BATCHES for c in _convolutions("vgg16", "vgg", n)),
        *_sweep(),
    ]


def _names(name: str, kind: str, block_type: type) -> Iterator[tuple[str, zoo.Conv | zoo.Full]]:
    architecture = VGG if name == "vgg16" else zoo.ARCHITECTURES[name]
    for number, block in enumerate(architecture.blocks, start=1):
        if isinstance(block, block_type):
            yield f"{kind}{number}", block


def _convolutions(name: str, family: str, n: int) -> Iterator[Case]:
    for layer, block in _names(name, "conv", zoo.Conv):
        tags = (name, layer, "conv", "3x3" if block.kernel == 3 else "large") if isinstance(block, zoo.Conv) else ()
        for function in (*FILTERS, *(ALGORITHMS if "3x3" in tags else ())):
            yield _case(function, f"{name}-{layer}", n, family, tags, partial(_layer_call, name, layer, function, n))


def _linear(n: int) -> Iterator[Case]:
    """Of ZFNet only: AlexNet's have the same sizes."""
    for layer in ("fc6", "fc7", "fc8"):
        for function in ("linear", "linear_adjoint_x", "linear_adjoint_w"):
            yield _case(function, f"zfnet-{layer}", n, "paper", ("zfnet", layer), partial(_layer_call, "zfnet", layer, function, n))
    for function in ("softmax", "softmax_vjp"):
        yield _case(function, "zfnet-softmax", n, "paper", ("zfnet",), partial(_layer_call, "zfnet", "softmax", function, n))


#: Kind of layer -> the functions that are timed at its size.
OTHERS = {
    "pool": ("max_pool2d", "max_unpool2d", "avg_pool2d", "avg_pool2d_adjoint_x"),
    "norm": ("local_response_norm", "local_response_norm_vjp"),
    "relu": ("relu", "relu_vjp"),
}


def _others(name: str, n: int) -> Iterator[Case]:
    for kind, functions in OTHERS.items():
        for layer, block in _names(name, kind, zoo.Conv):
            if isinstance(block, zoo.Conv) and {"pool": block.pool, "norm": block.norm, "relu": True}[kind]:
                for function in functions:
                    build = partial(_layer_call, name, layer, function, n)
                    yield _case(function, f"{name}-{layer}", n, "paper", (name, layer, kind), build)


def _layer_call(name: str, layer: str, function: str, n: int, rng: np.random.Generator, backend: str) -> Problem:
    """A kernel at the sizes of a layer of a network."""
    net = network(name)
    node, (shape,) = net.layers[layer], net.input_shapes(net.layers[layer])
    if isinstance(node, Conv2d):
        geometry = node.stride, node.padding, node.dilation, node.groups
        return filter_call(function, (n, *shape), node.weight.shape, *geometry, rng, backend)
    if isinstance(node, MaxPool2d):
        return pool_call(function, (n, *shape), node.kernel_size, node.stride, node.padding, node.ceil_mode, rng, backend)
    if isinstance(node, Linear):
        O, I = node.weight.shape
        return KernelCall.drawn(function, {"x": (n, I), "w": (O, I), "b": (O,), "gy": (n, O)}, {}, rng, backend)
    options = (
        {"size": node.size, "alpha": node.alpha, "beta": node.beta, "k": node.k}
        if isinstance(node, LocalResponseNorm)
        else {"rule": "gradient"}
        if isinstance(node, ReLU)
        else {"axis": 1}
    )
    return rectangle_call(function, (n, *shape), options, rng, backend)


def _projections() -> Iterator[Case]:
    for layer in PROJECTED:
        for units in (1, TOP):
            tags = ("zfnet", layer, "project")
            yield _case("project", f"zfnet-{layer}", units, "paper", tags, partial(_projections_of, layer, units))


def _projections_of(layer: str, units: int, rng: np.random.Generator, backend: str) -> Problem:
    return Projections.drawn(network("zfnet"), layer, units, rng, backend)


def _networks() -> Iterator[Case]:
    for name in ("zfnet", "alexnet"):
        for n in (1, 32):
            for function, algorithm in (("forward", "im2col"), ("forward_auto", "auto")):
                yield _case(function, name, n, "paper", (name, "network"), partial(_forward_of, name, n, algorithm))
    yield _case("occlude", "zfnet", 1, "paper", ("zfnet", "network"), partial(_hiding, "zfnet"))
    for name, n in (("zfnet-small", 128), ("zfnet", 128)):
        yield _case("train_step", name, n, "paper", (name, "network"), partial(_step_of, name, n))


def _hiding(name: str, rng: np.random.Generator, backend: str) -> Problem:
    return Hiding.drawn(network(name), rng, backend)


def _forward_of(name: str, n: int, algorithm: str, rng: np.random.Generator, backend: str) -> Problem:
    net = copy.copy(network(name))
    net.algorithm = algorithm
    return Forward.drawn(net, n, rng, backend=backend)


def _step_of(name: str, n: int, rng: np.random.Generator, backend: str) -> Problem:
    return Step.drawn(network(name), n, rng, backend)


def _models(paths: Sequence[Path]) -> Iterator[Case]:
    """By the whole name of the file: zfnet.onnx is not the zoo's zfnet."""
    for i, path in enumerate(paths):
        if not path.is_file():
            raise ZfcoreError(f"{path}: no such file; --model needs an ONNX file")
        if path.name in {other.name for other in paths[:i]}:
            raise ZfcoreError(f"{path}: a second model of this name; cases are known by the names of their files")
        yield _case("forward", path.name, 1, "model", ("network",), partial(_forward_of_file, path))
        yield _case("occlude", path.name, 1, "model", ("network",), partial(_hiding_of_file, path))


def _forward_of_file(path: Path, rng: np.random.Generator, backend: str) -> Problem:
    return Forward.drawn(_loaded(path), 1, rng, path, backend)


def _hiding_of_file(path: Path, rng: np.random.Generator, backend: str) -> Problem:
    return Hiding.drawn(_loaded(path), rng, backend)


def _sweep() -> Iterator[Case]:
    low, high = SWEEP_NUMBERS
    for maps in SWEEP_MAPS:
        for side in SWEEP_SIDES:
            if low <= maps * side * side <= high:
                for function in FILTERS:
                    build = partial(filter_call, function, (1, maps, side, side), (maps, maps, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
                    yield _case(function, f"sweep-c{maps}-s{side}", 1, "sweep", ("conv", "3x3"), build)
    for power in SWEEP_POWERS:
        shape = (1, 1, 2 ** (power // 2), 2 ** (power - power // 2))
        yield _case("relu", f"sweep-2^{power}", 1, "sweep", (), partial(rectangle_call, "relu", shape, {}))


# ---- choosing


def select(cases: Sequence[Case], patterns: Sequence[str] = (), batches: Sequence[int] = (), tags: Sequence[str] = ()) -> list[Case]:
    """The cases that fit one of the patterns, one of the batches and all of the tags; what is not given chooses nothing away.

    Parameters
    ----------
    patterns : sequence of str
        As for file names, ``conv2d/zfnet-*``; one that names the beginning of ids up to a slash takes all of them.
    batches : sequence of int
        Of `Case.n`.
    tags : sequence of str

    Raises
    ------
    ZfcoreError
        If one of them fits no case at all; the nearest names are offered.

    Examples
    --------
    >>> [case.id for case in select(all_cases(), ["conv2d/zfnet-*"], [16], ["large"])]
    ['conv2d/zfnet-conv1/n16', 'conv2d/zfnet-conv2/n16']
    """
    names = {prefix for case in cases for prefix in _prefixes(case.id)}
    for pattern in patterns:
        if not any(_fits(case.id, pattern) for case in cases):
            raise ZfcoreError(f"case: no id fits {pattern!r}{nearest(pattern, names)}; zfcore bench --list shows all")
    known = {tag for case in cases for tag in case.tags}
    for tag in tags:
        if tag not in known:
            raise ZfcoreError(f"tag: no case has {tag!r}{nearest(tag, known) or '; there are ' + ', '.join(sorted(known))}")
    for n in batches:
        if all(case.n != n for case in cases):
            raise ZfcoreError(f"n: got {n}, cases have {', '.join(map(str, sorted({case.n for case in cases})))}")
    chosen = [case for case in cases if not patterns or any(_fits(case.id, pattern) for pattern in patterns)]
    chosen = [case for case in chosen if (not batches or case.n in batches) and case.tags.issuperset(tags)]
    if not chosen:
        raise ZfcoreError("cases: none fits the patterns, --n and --tag together; zfcore bench --list shows all")
    return chosen


def most_telling(cases: Sequence[Case], bars: Sequence[Bar]) -> list[Case]:
    """In another order, for when time on a device is short: what the bars are about, bar by bar, ZFNet as a whole, the rest."""

    def rank(case: Case) -> int:
        first = next((number for number, bar in enumerate(bars) if case.id in bar.cases), len(bars))
        return first + (first == len(bars) and not case.tags.issuperset(("zfnet", "network")))

    return sorted(cases, key=rank)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, pattern.rstrip("/") + "/*")


def _prefixes(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
