"""Random small graphs of every kind of layer, for laws that hold for any network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from networks import Weights

from zfcore import layers as kinds
from zfcore.layers.base import Layer, Shape
from zfcore.network import Network

Draw = Callable[..., int]


def pair(number: Draw, least: int, most: int) -> tuple[int, int]:
    """Two numbers, for rows and columns."""
    return number(least, most), number(least, most)


def borders(number: Draw, most: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Uneven padding."""
    return pair(number, 0, most), pair(number, 0, most)


def of_maps(number: Draw, w: Weights, name: str, source: str, shape: Shape) -> list[Layer]:
    """Every layer of one input that a map (C, H, W) can go through, with drawn fields."""
    C, H, W = shape
    groups = number(1, 2) if C % 2 == 0 else 1
    kernel, stride, dilation, i = pair(number, 1, 3), pair(number, 1, 3), pair(number, 1, 2), (source,)
    spatial = ((1, 1, 1), (C, 1, 1), (C, H, W), (1, H, 1), (W,), ())[number(0, 5)]
    return [
        kinds.Conv2d(name, i, w(2 * groups, C // groups, *kernel), w(2 * groups), stride, borders(number, 2), dilation, groups),
        kinds.Conv2d(name, i, w(2, C, *kernel), None),
        kinds.MaxPool2d(name, i, kernel, stride, borders(number, 1), dilation, bool(number(0, 1))),
        kinds.AvgPool2d(name, i, kernel, stride, borders(number, 1), bool(number(0, 1)), bool(number(0, 1))),
        kinds.MaxPool2d(name, i, (3, 3), stride, ((1, 1), (1, 1))),
        kinds.AvgPool2d(name, i, kernel, stride, borders(number, 1)),
        kinds.ConvTranspose2d(name, i, w(C, 2, *kernel), w(2 * groups), stride, borders(number, 1), (0, 0), dilation, groups),
        kinds.Pad(name, i, (pair(number, 0, 1), *borders(number, 2)), float(number(-1, 1))),
        kinds.Affine(name, i, np.asarray(w(*spatial), np.float32), np.asarray(w(*spatial), np.float32)),
        kinds.BatchNorm(name, i, w(C), np.abs(w(C)) + 1, w(C), w(C)),
        kinds.LocalResponseNorm(name, i, number(1, 3), 0.5, 0.75, 2.0),
        kinds.GlobalAvgPool2d(name, i),
        kinds.GlobalMaxPool2d(name, i),
        kinds.Softmax(name, i, number(1, 3)),
        kinds.LogSoftmax(name, i, number(1, 3)),
        kinds.Reshape(name, i, (C, W, H)),
        kinds.Transpose(name, i, (0, 1, 3, 2)),
    ]


def of_any(w: Weights, name: str, source: str, shape: Shape) -> list[Layer]:
    """Every layer of one input that takes any shape."""
    i = (source,)
    found = [
        kinds.ReLU(name, i),
        kinds.LeakyReLU(name, i, 0.25),
        kinds.Clip(name, i, -0.5, 0.5),
        kinds.Dropout(name, i),
        kinds.Identity(name, i),
        kinds.Flatten(name, i),
    ]
    return [*found, kinds.Linear(name, i, w(2, *shape), w(2))] if len(shape) == 1 else found


def joined(number: Draw, name: str, source: str, shapes: dict[str, Shape]) -> list[Layer]:
    """A sum with, and a concatenation to, a drawn earlier layer that fits; perhaps the layer itself."""
    shape = shapes[source]
    alike = [other for other in shapes if shapes[other] == shape]
    beside = [other for other in shapes if len(shapes[other]) == len(shape) and shapes[other][1:] == shape[1:]]
    return [
        kinds.Add(name, (source, alike[number(0, len(alike) - 1)])),
        kinds.Concat(name, (beside[number(0, len(beside) - 1)], source)),
    ]


@st.composite
def graphs(draw: st.DrawFn, most: int = 7) -> Network:
    """A network of up to `most` layers, each on the one before or on an earlier one; the last is its output."""

    def number(least: int, most: int) -> int:
        return draw(st.integers(least, most))

    w = Weights(number(0, 2**16), False)
    image = kinds.Input("image", shape=(number(1, 3), number(3, 13), number(3, 13)))
    layers: list[Layer] = [image]
    shapes: dict[str, Shape] = {"image": image.shape}
    for n in range(number(1, most)):
        source = layers[-1].name if number(0, 2) else layers[number(0, len(layers) - 1)].name
        shape, name = shapes[source], f"{n}"
        if len(shape) == 3 and number(0, 2):  # more often than not, while there is a map
            choices = of_maps(number, w, name, source, shape)
        else:
            choices = [*of_any(w, name, source, shape), *joined(number, name, source, shapes)]
        made = choices[number(0, len(choices) - 1)]
        try:
            shapes[name] = made.output_shape(*(shapes[i] for i in made.inputs))
        except ValueError:  # a window larger than what is left of the map
            continue
        layers.append(made)
    return Network(layers, [layers[-1].name], "drawn")
