"""Small networks for tests: a chain with overlapping pools, branches that add and concatenate, axes in another order."""

from __future__ import annotations

import numpy as np

from zfcore.layers import (
    Add,
    Affine,
    AvgPool2d,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Identity,
    Input,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    Pad,
    ReLU,
    Reshape,
    Softmax,
    Transpose,
)
from zfcore.network import Network


class Weights:
    """Draws weights: small integers, so that everything stays exact, or normal numbers."""

    def __init__(self, seed: int, integers: bool) -> None:
        self.rng, self.integers = np.random.default_rng(seed), integers

    def __call__(self, *shape: int) -> np.ndarray:
        if self.integers:
            return self.rng.integers(-1, 2, shape).astype(np.float32)
        return (self.rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)

    def image(self, *shape: int) -> np.ndarray:
        """A batch of inputs."""
        numbers = self.rng.integers(-3, 4, shape) if self.integers else self.rng.standard_normal(shape)
        return numbers.astype(np.float32)


def chain(seed: int = 0, integers: bool = False, backend: str = "cpu") -> Network:
    """Strides, groups, dilation, uneven padding, overlapping pools in ceil mode, rows that no window sees; normalised if not integer."""
    w = Weights(seed, integers)
    layers = [
        Input("image", shape=(2, 23, 21)),
        Conv2d("conv1", ("image",), w(6, 2, 3, 3), w(6), (2, 2), ((1, 0), (0, 1))),
        ReLU("relu1", ("conv1",)),
        MaxPool2d("pool1", ("relu1",), (3, 3), (2, 2), ((1, 1), (0, 0)), ceil_mode=True),
        Conv2d("conv2", ("pool1",), w(8, 3, 3, 3), w(8), padding=((2, 2), (2, 1)), dilation=(2, 1), groups=2),
        ReLU("relu2", ("conv2",)),
        MaxPool2d("pool2", ("relu2",), (2, 2), (1, 2)),
        Conv2d("conv3", ("pool2",), w(5, 8, 2, 2), w(5)),
    ]
    if not integers:
        layers.insert(4, LocalResponseNorm("norm1", ("pool1",), 3, 0.5, 0.75, 2.0))
        layers[5].inputs = ("norm1",)
    layers += [
        ReLU("relu3", ("conv3",)),
        Flatten("flatten", ("relu3",)),
        Linear("fc4", ("flatten",), w(4, 40), w(4)),
    ]
    outputs = ["fc4"]
    if not integers:
        layers.append(Softmax("softmax", ("fc4",)))
        outputs = ["softmax"]
    return Network(layers, outputs, "chain", backend)


def branches(seed: int = 0, integers: bool = False, backend: str = "cpu") -> Network:
    """An inception block, a residual block, and one each of the rarer layers."""
    w = Weights(seed, integers)
    layers = [
        Input("image", shape=(3, 14, 16)),
        Conv2d("stem", ("image",), w(4, 3, 3, 3), w(4), (1, 1), ((1, 1), (1, 1))),
        ReLU("stem/relu", ("stem",)),
        Conv2d("a/1x1", ("stem/relu",), w(2, 4, 1, 1), w(2)),
        Conv2d("a/3x3", ("stem/relu",), w(3, 4, 3, 3), w(3), padding=((1, 1), (1, 1))),
        MaxPool2d("a/pool", ("stem/relu",), (3, 3), (1, 1), ((1, 1), (1, 1))),
        Concat("a/output", ("a/1x1", "a/3x3", "a/pool")),
        ReLU("a/relu", ("a/output",)),
        MaxPool2d("b/pool", ("a/relu",), (3, 3), (2, 2), ceil_mode=True),
        Conv2d("b/conv", ("b/pool",), w(9, 9, 3, 3), None, padding=((1, 1), (1, 1))),
        Add("b/sum", ("b/conv", "b/pool")),
        LeakyReLU("b/relu", ("b/sum",), 0.25),
        Affine("b/scale", ("b/relu",), np.float32([[[2]]] * 9), np.ones((9, 7, 8), np.float32)),
        Pad("b/pad", ("b/scale",), ((0, 0), (1, 0), (0, 2))),
        AvgPool2d("c/pool", ("b/pad",), (2, 2), (2, 2), ceil_mode=True, count_include_pad=False),
        ConvTranspose2d("c/up", ("c/pool",), w(9, 2, 3, 3), w(6), (2, 2), ((1, 0), (0, 1)), groups=3),
        Clip("c/clip", ("c/up",), 0.0, 6.0),
        GlobalAvgPool2d("d/pool", ("c/clip",)),
        Flatten("d/flatten", ("d/pool",)),
        Linear("d/fc", ("d/flatten",), w(4, 6), None),
    ]
    if not integers:
        stats = [np.abs(w(9)) + 1 for _ in range(2)]
        layers.insert(10, BatchNorm("b/norm", ("b/conv",), w(9), stats[0], stats[1], w(9)))
        layers[11].inputs = ("b/norm", "b/pool")
    return Network(layers, ["d/fc", "b/sum"], "branches", backend)


def rearranged(seed: int = 0, integers: bool = False, backend: str = "cpu") -> Network:
    """Layers that cannot be brought down in parts, between layers that can: a channel shuffle, transposed axes, softmax along rows."""
    w = Weights(seed, integers)
    layers = [
        Input("image", shape=(2, 10, 8)),
        Conv2d("conv1", ("image",), w(6, 2, 3, 3), w(6), padding=((1, 1), (1, 1))),
        Reshape("split", ("conv1",), (2, 3, 10, 8)),
        Transpose("swap", ("split",), (0, 2, 1, 3, 4)),
        Reshape("shuffle", ("swap",), (6, 10, 8)),
        Identity("same", ("shuffle",)),
        Conv2d("conv2", ("same",), w(6, 2, 3, 3), w(6), groups=3),
        Dropout("drop", ("conv2",), 0.5),
        Transpose("turn", ("drop",), (0, 1, 3, 2)),
        Conv2d("conv3", ("turn",), w(4, 6, 3, 3), w(4), (2, 2), ((1, 1), (1, 1))),
        GlobalMaxPool2d("pool", ("conv3",)),
        Reshape("rows", ("conv3",), (4, 12)),
        Flatten("flatten", ("pool",)),
        LogSoftmax("scores", ("flatten",)),
    ]
    outputs = ["scores", "rows"]
    if integers:
        return Network(layers[:-1], ["flatten", "rows"], "rearranged", backend)
    layers.insert(9, Softmax("along rows", ("turn",), 3))
    layers[10].inputs = ("along rows",)
    return Network(layers, outputs, "rearranged", backend)


BUILDERS = {"chain": chain, "branches": branches, "rearranged": rearranged}
