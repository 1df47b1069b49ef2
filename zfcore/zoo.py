"""The networks of the paper, as data.

A network is written as one line a block: convolutions and fully connected layers with the rectifier, pooling, normalisation and
dropout that follow them, in the paper's order (section 3: conv, ReLU, max-pool, contrast normalisation across maps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    """A network before it has weights; `size` is the side of its input in pixels."""

    blocks: tuple[Conv | Full, ...]
    size: int = 224
    classes: int = 1000
    channels: int = 3


def _zfnet(*maps: int) -> tuple[Conv | Full, ...]:
    return (
        Conv(96, 7, 2, 1, pool=3, ceil_mode=True, norm=True),
        Conv(256, 5, 2, pool=3, ceil_mode=True, norm=True),
        Conv(maps[0], 3, padding=1),
        Conv(maps[1], 3, padding=1),
        Conv(maps[2], 3, padding=1, pool=3),
        Full(4096),
        Full(4096),
    )


#: Paddings and rounding are not stated by the paper; these give its stated 55, 13 and 6*6*256.
ARCHITECTURES = {
    "zfnet": Architecture(_zfnet(384, 384, 256)),
    "zfnet-b": Architecture(_zfnet(512, 1024, 512)),
    "alexnet": Architecture(
        (
            Conv(96, 11, 4, pool=3, norm=True),
            Conv(256, 5, padding=2, groups=2, pool=3, norm=True),
            Conv(384, 3, padding=1),
            Conv(384, 3, padding=1, groups=2),
            Conv(256, 3, padding=1, groups=2, pool=3),
            Full(4096),
            Full(4096),
        ),
        size=227,
    ),
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
}

#: Constants of the contrast normalisation, which the paper leaves open: AlexNet's, alpha multiplied by the size because layers divide it.
LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K = 5, 5 * 1e-4, 0.75, 2.0

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
    architecture: str | Architecture, seed: int = 0, init: str = "paper", classes: Sequence[str] | None = None
) -> Network:
    """An untrained network of the zoo.

    Parameters
    ----------
    architecture : str or Architecture
        A name of `ARCHITECTURES`, or one of your own.
    seed : int
        Of the weights.
    init : {"paper", "he", "mixed"}
        How weights are drawn; biases are 0.
    classes : sequence of str, optional
        Names of the classes; their number replaces the architecture's.

    Raises
    ------
    ZfcoreError
        If there is no such architecture or initialiser.

    Examples
    --------
    >>> build("zfnet").parameters
    62357608
    """
    if isinstance(architecture, str):
        if architecture not in ARCHITECTURES:
            raise ZfcoreError(f"architecture: got {architecture!r}, needed one of {', '.join(ARCHITECTURES)}")
        name, architecture = architecture, ARCHITECTURES[architecture]
    else:
        name = "network"
    if init not in INITIALISERS:
        raise ZfcoreError(f"init: got {init!r}, needed one of {', '.join(INITIALISERS)}")
    draw, rng = INITIALISERS[init], np.random.default_rng(seed)
    net = _Builder(architecture.channels, architecture.size, lambda shape, depth: draw(rng, shape, depth))
    number = 0
    for number, block in enumerate(architecture.blocks, start=1):
        if isinstance(block, Conv):
            net.conv(number, block)
        else:
            net.full(number, block)
    net.linear(f"fc{number + 1}", architecture.classes if classes is None else len(classes))
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
