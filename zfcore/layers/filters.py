"""Layers with filters: convolution, transposed convolution, fully connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from zfkernels.geometry import Axis, Padding, Pair, axes, output_size, transposed_output_size

from zfcore.layers.base import Crop, Layer, Shape
from zfcore.window import Window

NO_PADDING: Padding = ((0, 0), (0, 0))


def need_map(layer: Layer, shape: Shape, channels: int | None = None) -> None:
    """Raise ValueError unless `shape` is a (C, H, W) of that many channels."""
    if len(shape) != 3 or (channels is not None and shape[0] != channels):
        wanted = f"({'C' if channels is None else channels}, H, W)"
        raise ValueError(f"layer {layer.name!r} ({type(layer).__name__}) needs an input of shape {wanted}, got {shape}")


def seen_by_axes(window: Window, vertical: Axis, horizontal: Axis) -> Window:
    """The input window that the output window of a sliding window sees."""
    return Window(*vertical.inputs(window.y0, window.y1), *horizontal.inputs(window.x0, window.x1))


def margins(seen: Window, inside: Window) -> Padding:
    """Padding that takes the place of what `seen` has and the part `inside` the map has not."""
    return ((inside.y0 - seen.y0, seen.y1 - inside.y1), (inside.x0 - seen.x0, seen.x1 - inside.x1))


@dataclass(eq=False)
class Conv2d(Layer):
    """Convolution; weight (O, C/groups, KH, KW), bias (O,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None = None
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1

    trainable: ClassVar[tuple[str, ...]] = ("weight", "bias")

    @property
    def kernel_size(self) -> Pair:
        """(KH, KW)."""
        return self.weight.shape[2], self.weight.shape[3]

    def axes(self, shape: Shape) -> tuple[Axis, Axis]:
        """The vertical and horizontal sliding window on an input of `shape`."""
        return axes(shape[1:], self.kernel_size, self.stride, self.padding, self.dilation)

    def output_shape(self, *shapes: Shape) -> Shape:
        need_map(self, shapes[0], self.weight.shape[1] * self.groups)
        size = output_size(shapes[0][1:], self.kernel_size, self.stride, self.padding, self.dilation)
        return (self.weight.shape[0], *size)

    def forward(self, k, xs, seed):
        y = k.conv2d(xs[0], self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return y, None

    def pullback(self, k, gy, crop, rule):
        seen = seen_by_axes(crop.out, *self.axes(crop.shapes[0]))
        padding = margins(seen, crop.ins[0])
        return (k.conv2d_adjoint_x(gy, self.weight, crop.ins[0].size, self.stride, padding, self.dilation, self.groups),)

    def gradients(self, k, gy, xs):
        weight = k.conv2d_adjoint_w(gy, xs[0], self.kernel_size, self.stride, self.padding, self.dilation, self.groups)
        return {"weight": weight} if self.bias is None else {"weight": weight, "bias": k.conv2d_adjoint_b(gy)}

    def seen(self, window, *shapes):
        return (None if window is None else seen_by_axes(window, *self.axes(shapes[0])),)

    def macs(self, *shapes: Shape) -> int:
        _, OH, OW = self.output_shape(*shapes)
        return self.weight.size * OH * OW


@dataclass(eq=False)
class ConvTranspose2d(Layer):
    """Transposed convolution: the adjoint in x of a convolution; weight (C, O/groups, KH, KW), bias (O,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None = None
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    output_padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    trainable: ClassVar[tuple[str, ...]] = ("weight", "bias")

    @property
    def kernel_size(self) -> Pair:
        """(KH, KW)."""
        return self.weight.shape[2], self.weight.shape[3]

    def output_shape(self, *shapes: Shape) -> Shape:
        need_map(self, shapes[0], self.weight.shape[0])
        size = transposed_output_size(
            shapes[0][1:], self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation
        )
        return (self.weight.shape[1] * self.groups, *size)

    def axes(self, shape: Shape) -> tuple[Axis, Axis]:
        """The sliding window, on this layer's *output*, of the convolution whose adjoint this is."""
        size = self.output_shape(shape)[1:]
        return axes(size, self.kernel_size, self.stride, self.padding, self.dilation)

    def forward(self, k, xs, seed):
        size = self.output_shape(xs[0].shape[1:])[1:]
        y = k.conv2d_adjoint_x(xs[0], self.weight, size, self.stride, self.padding, self.dilation, self.groups)
        return y if self.bias is None else y + self.bias[:, None, None], None

    def pullback(self, k, gy, crop, rule):
        padding = margins(seen_by_axes(crop.ins[0], *self.axes(crop.shapes[0])), crop.out)
        (top, bottom), (left, right) = padding
        H, W = gy.shape[2:]
        gy = gy[:, :, max(0, -top) : H - max(0, -bottom), max(0, -left) : W - max(0, -right)]
        padding = ((max(0, top), max(0, bottom)), (max(0, left), max(0, right)))
        return (k.conv2d(gy, self.weight, None, self.stride, padding, self.dilation, self.groups),)

    def gradients(self, k, gy, xs):
        weight = k.conv2d_adjoint_w(xs[0], gy, self.kernel_size, self.stride, self.padding, self.dilation, self.groups)
        return {"weight": weight} if self.bias is None else {"weight": weight, "bias": k.conv2d_adjoint_b(gy)}

    def seen(self, window, *shapes):
        if window is None:
            return (None,)
        vertical, horizontal = self.axes(shapes[0])
        return (Window(*vertical.reached(window.y0, window.y1), *horizontal.reached(window.x0, window.x1)),)

    def macs(self, *shapes: Shape) -> int:
        return self.weight.size * shapes[0][1] * shapes[0][2]


@dataclass(eq=False)
class Linear(Layer):
    """Fully connected; weight (O, I), bias (O,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None = None

    trainable: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[0] != (self.weight.shape[1],):
            raise ValueError(f"layer {self.name!r} (Linear) needs an input of shape ({self.weight.shape[1]},), got {shapes[0]}")
        return (self.weight.shape[0],)

    def forward(self, k, xs, seed):
        return k.linear(xs[0], self.weight, self.bias), None

    def pullback(self, k, gy, crop: Crop, rule):
        return (k.linear_adjoint_x(gy, self.weight),)

    def gradients(self, k, gy, xs):
        weight = k.linear_adjoint_w(gy, xs[0])
        return {"weight": weight} if self.bias is None else {"weight": weight, "bias": k.linear_adjoint_b(gy)}

    def macs(self, *shapes: Shape) -> int:
        return self.weight.size
