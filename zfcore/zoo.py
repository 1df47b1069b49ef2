"""The networks of the paper, as data.

A network is written as one line a block: convolutions and fully connected layers with the rectifier, pooling, normalisation and
dropout that follow them, in the paper's order (section 3: conv, ReLU, max-pool, contrast normalisation across maps).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zfcore.errors import ZfcoreError
from zfcore.layers import (
    Conv2d,
    Dropout,
    Flatten,
    Input,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Softmax,
)
from zfcore.layers.base import MAX_EXTENT
from zfcore.names import nearest
from zfcore.network import Network


@dataclass(frozen=True)
class Conv:
    """A convolution of `maps` filters, its ReLU, and what follows."""

    maps: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    pool: int = 0  #: Size of the max-pool behind it, stride 2; 0 for none.
    ceil_mode: bool = False
    norm: bool = False


@dataclass(frozen=True)
class Full:
    """A fully connected layer of `units`, its ReLU and its dropout."""

    units: int
    dropout: float = 0.5


@dataclass(frozen=True)
class Architecture:
    """A network before it has weights; `size` is the side of its input in pixels.

    `removed` are the numbers of blocks, from 1, that are left out (paper, table 3); the others keep their numbers in the layers' names.
    """

    blocks: tuple[Conv | Full, ...]
    size: int = 224
    classes: int = 1000
    channels: int = 3
    removed: tuple[int, ...] = ()

    def without(self, *numbers: int) -> Architecture:
        """The same less some layers, numbered as in the paper: 3 and 4 are convolutions, 6 and 7 fully connected."""
        left = self
        for number in numbers:
            if not 1 <= number <= len(self.blocks) or number in left.removed:
                raise ZfcoreError(f"without: got layer {number}, needed one of {left._numbers(Conv)} or {left._numbers(Full)}")
            left = replace(left, removed=(*left.removed, number))
        return left

    def _numbers(self, kind: type) -> str:
        return ", ".join(str(n) for n, block in enumerate(self.blocks, start=1) if isinstance(block, kind) and n not in self.removed)

    def with_full(self, units: int) -> Architecture:
        """The same with so many units in every fully connected layer but the last."""
        if not 1 <= units <= MAX_EXTENT:
            raise ZfcoreError(f"fc: got {units} units, needed 1 to {MAX_EXTENT:,}")
        return replace(self, blocks=tuple(replace(b, units=units) if isinstance(b, Full) else b for b in self.blocks))


def _zfnet(*maps: int) -> Architecture:
    """Paddings and rounding are not stated by the paper; these give its stated 55, 13 and 6*6*256."""
    return Architecture(
        (
            Conv(96, 7, 2, 1, pool=3, ceil_mode=True, norm=True),
            Conv(256, 5, 2, pool=3, ceil_mode=True, norm=True),
            Conv(maps[0], 3, padding=1),
            Conv(maps[1], 3, padding=1),
            Conv(maps[2], 3, padding=1, pool=3),
            Full(4096),
            Full(4096),
        )
    )


def _alexnet(groups: int) -> Architecture:
    """Krizhevsky et al. 2012 with two groups; with one, as the paper's replica."""
    return Architecture(
        (
            Conv(96, 11, 4, pool=3, norm=True),
            Conv(256, 5, padding=2, groups=groups, pool=3, norm=True),
            Conv(384, 3, padding=1),
            Conv(384, 3, padding=1, groups=groups),
            Conv(256, 3, padding=1, groups=groups, pool=3),
            Full(4096),
            Full(4096),
        ),
        size=227,
    )


SMALL_SIZES = (28, 32, 48, 64, 96)
"""Sides of input for which there are scaled-down networks."""


def _small(first: Conv, second: Conv, size: int) -> Architecture:
    """A network for small images: the first two layers' filters and strides as they are, a third to a sixth of the maps, 512 units.

    Behind the second convolution maps are an eighth of the image; where that is under 8 pixels, they are not pooled.
    """
    narrow = size // 8 < 8
    return Architecture(
        (
            replace(first, maps=48, pool=3, ceil_mode=True, norm=True),
            replace(second, maps=96, pool=0 if narrow else 3, ceil_mode=True, norm=True),
            Conv(128, 3, padding=1),
            Conv(128, 3, padding=1),
            Conv(96, 3, padding=1, pool=3, ceil_mode=True),
            Full(512),
            Full(512),
        ),
        size=size,
        classes=10,
    )


#: What the paper compares (section 4.1): first filters of 7x7 every 2 pixels, or of 11x11 every 4, on the same maps from layer 3 on.
_ZFNET_FIRST = Conv(0, 7, 2, 3), Conv(0, 5, 2, 2)
_ALEXNET_FIRST = Conv(0, 11, 4, 5), Conv(0, 5, 1, 2)

ARCHITECTURES = {
    "zfnet": _zfnet(384, 384, 256),
    "zfnet-b": _zfnet(512, 1024, 512),
    "alexnet": _alexnet(groups=2),
    "alexnet-dense": _alexnet(groups=1),
    #: The demo's: one of 64 pixels whose maps stay large enough to look at.
    "zfnet-small": Architecture(
        (
            Conv(32, 7, 2, 3, pool=3, ceil_mode=True, norm=True),
            Conv(64, 5, 1, 2, pool=3, ceil_mode=True, norm=True),
            Conv(96, 3, padding=1),
            Conv(96, 3, padding=1),
            Conv(64, 3, padding=1, pool=3, ceil_mode=True),
            Full(256),
        ),
        size=64,
        classes=10,
    ),
    **{f"zfnet-{size}": _small(*_ZFNET_FIRST, size) for size in SMALL_SIZES},
    **{f"alexnet-{size}": _small(*_ALEXNET_FIRST, size) for size in SMALL_SIZES},
}
VARIANTS = "-without-7, -without-3-4 (any layers), -fc2048 (any number)"
"""What may follow a name, alone or in this order: the rows of the paper's table 3."""


def architecture(name: str) -> Architecture:
    """An architecture by name, or a variant of one, as in the paper's table 3.

    Raises
    ------
    ZfcoreError
        If there is none of that name.

    Examples
    --------
    >>> architecture("alexnet-dense-without-6-7").removed
    (6, 7)
    >>> architecture("zfnet-b-fc8192") == ARCHITECTURES["zfnet-b"].with_full(8192)
    True
    """
    parts = re.fullmatch(r"(.+?)(?:-without((?:-\d+)+))?(?:-fc(\d+))?", name)
    if parts is None or parts[1] not in ARCHITECTURES:
        near = nearest(name, ARCHITECTURES)
        raise ZfcoreError(f"architecture: got {name!r}, needed one of {', '.join(ARCHITECTURES)}, perhaps with {VARIANTS}{near}")
    found = ARCHITECTURES[parts[1]]
    if parts[2]:
        found = found.without(*map(int, parts[2][1:].split("-")))
    return found.with_full(int(parts[3])) if parts[3] else found


def exists(name: str) -> bool:
    """Whether there is an architecture of that name."""
    try:
        architecture(name)
    except ZfcoreError:
        return False
    return True


#: Constants of the contrast normalisation, which the paper leaves open: AlexNet's, alpha multiplied by the size because layers divide it.
LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K = 5, 5 * 1e-4, 0.75, 2.0

_architecture = architecture  # `build` has an argument of that name

Initialiser = Callable[[np.random.Generator, tuple[int, ...], int], np.ndarray]


def paper_init(rng: np.random.Generator, shape: tuple[int, ...], depth: int) -> np.ndarray:
    """Weights from N(0, 0.01^2) (paper, section 3, reads "initialized to 10^-2")."""
    return (0.01 * rng.standard_normal(shape)).astype(np.float32)


def he_init(rng: np.random.Generator, shape: tuple[int, ...], depth: int) -> np.ndarray:
    """Weights from N(0, 2/fan_in) (He et al. 2015): for small networks, which the paper's 0.01 leaves standing still."""
    return (np.sqrt(2 / np.prod(shape[1:])) * rng.standard_normal(shape)).astype(np.float32)


def mixed_init(rng: np.random.Generator, shape: tuple[int, ...], depth: int) -> np.ndarray:
    """The first layer as the paper, the others after He: first filters so small that one sees what they learnt, not the draw."""
    return (he_init if depth else paper_init)(rng, shape, depth)


INITIALISERS: dict[str, Initialiser] = {"paper": paper_init, "he": he_init, "mixed": mixed_init}


def build(
    architecture: str | Architecture,
    seed: int = 0,
    init: str = "paper",
    classes: Sequence[str] | None = None,
    channels: int | None = None,
    dropout: float | None = None,
) -> Network:
    """An untrained network of the zoo.

    Parameters
    ----------
    architecture : str or Architecture
        A name that the function `architecture` knows, or one of your own.
    seed : int
        Of the weights.
    init : {"paper", "he", "mixed"}
        How weights are drawn; biases are 0.
    classes : sequence of str, optional
        Names of the classes; their number replaces the architecture's.
    channels : int, optional
        Of the input, instead of the architecture's.
    dropout : float, optional
        Share of the fully connected layers' outputs that is zeroed in training, instead of the architecture's.

    Raises
    ------
    ZfcoreError
        If there is no such architecture or initialiser.

    Examples
    --------
    >>> build("zfnet").parameters
    62357608
    """
    name = architecture if isinstance(architecture, str) else "network"
    plan = _architecture(architecture) if isinstance(architecture, str) else architecture
    if init not in INITIALISERS:
        raise ZfcoreError(f"init: got {init!r}, needed one of {', '.join(INITIALISERS)}")
    draw, rng = INITIALISERS[init], np.random.default_rng(seed)
    net = _Builder(channels or plan.channels, plan.size, lambda shape, depth: draw(rng, shape, depth))
    for number, block in enumerate(plan.blocks, start=1):
        if number in plan.removed:
            continue
        if isinstance(block, Conv):
            net.conv(number, block)
        else:
            net.full(number, block if dropout is None else replace(block, dropout=dropout))
    net.linear(f"fc{len(plan.blocks) + 1}", plan.classes if classes is None else len(classes))
    net.add(Softmax("softmax", ()))
    return Network(net.layers, ["softmax"], name, classes=classes)


class _Builder:
    """Appends layers to a chain, each fed by the one before it."""

    def __init__(self, channels: int, size: int, draw: Callable[[tuple[int, ...], int], np.ndarray]) -> None:
        self.layers: list[Layer] = []
        self.depth = 0
        self.shape: tuple[int, ...] = ()
        self.draw = draw
        self.add(Input("image", shape=(channels, size, size)))

    def add(self, layer: Layer) -> None:
        if self.layers:
            layer.inputs = (self.layers[-1].name,)
        self.layers.append(layer)
        self.shape = layer.output_shape(self.shape)

    def weight(self, *shape: int) -> np.ndarray:
        self.depth += 1
        return self.draw(shape, self.depth - 1)

    def conv(self, number: int, block: Conv) -> None:
        weight = self.weight(block.maps, self.shape[0] // block.groups, block.kernel, block.kernel)
        bias, pad = np.zeros(block.maps, np.float32), (block.padding, block.padding)
        stride = (block.stride, block.stride)
        self.add(Conv2d(f"conv{number}", (), weight, bias, stride, (pad, pad), (1, 1), block.groups))
        self.add(ReLU(f"relu{number}", ()))
        if block.pool:
            self.add(MaxPool2d(f"pool{number}", (), (block.pool, block.pool), (2, 2), ceil_mode=block.ceil_mode))
        if block.norm:
            self.add(LocalResponseNorm(f"norm{number}", (), LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K))

    def full(self, number: int, block: Full) -> None:
        self.linear(f"fc{number}", block.units)
        self.add(ReLU(f"relu{number}", ()))
        self.add(Dropout(f"drop{number}", (), block.dropout))

    def linear(self, name: str, units: int) -> None:
        if len(self.shape) == 3:
            self.add(Flatten("flatten", ()))
        self.add(Linear(name, (), self.weight(units, self.shape[0]), np.zeros(units, np.float32)))
