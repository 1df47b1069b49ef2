"""Pooling layers: on the way down a max-pool unpools with its switches, an average spreads its signal."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from zfkernels.geometry import Axis, Padding, Pair, axes, pool_output_size

from zfcore.layers.base import Crop, Layer, Shape, need_flag, need_integers, need_map
from zfcore.layers.filters import NO_PADDING, margins, seen_by_axes
from zfcore.rules import Rule
from zfcore.window import Window


def rebased(switches: np.ndarray, width: int, window: Window) -> np.ndarray:
    """Switches of a map `width` pixels wide as switches of the part of it inside `window`."""
    rows, columns = np.divmod(switches, np.int32(width))
    return (rows - np.int32(window.y0)) * np.int32(window.x1 - window.x0) + (columns - np.int32(window.x0))


class _Pool(Layer):
    """Shared by poolings whose window slides over a map."""

    kernel_size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair = (1, 1)
    ceil_mode: bool

    def check(self) -> None:
        super().check()
        need_integers(self, "kernel_size", (2,), least=1)
        need_integers(self, "stride", (2,), least=1)
        need_integers(self, "padding", (2, 2))
        need_integers(self, "dilation", (2,), least=1)
        need_flag(self, "ceil_mode")

    def axes(self, shape: Shape) -> tuple[Axis, Axis]:
        """The vertical and horizontal sliding window on an input of `shape`."""
        return axes(shape[1:], self.kernel_size, self.stride, self.padding, self.dilation)

    def output_shape(self, *shapes: Shape) -> Shape:
        need_map(self, shapes[0])
        C, *size = shapes[0]
        return (C, *pool_output_size(size, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode))

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (None if window is None else seen_by_axes(window, *self.axes(shapes[0])),)


@dataclass(eq=False)
class MaxPool2d(_Pool):
    """Max-pooling that records its switches."""

    kernel_size: Pair = (3, 3)
    stride: Pair = (2, 2)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    ceil_mode: bool = False

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.max_pool2d(xs[0], self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        into, out = crop.maps
        switches = rebased(crop.saved[crop.rows][..., *out.slices], crop.shapes[0][2], into)
        return (k.max_unpool2d(gy, switches, into.size, rule.collisions),)


@dataclass(eq=False)
class AvgPool2d(_Pool):
    """Average pooling."""

    kernel_size: Pair = (2, 2)
    stride: Pair = (2, 2)
    padding: Padding = NO_PADDING
    ceil_mode: bool = False
    count_include_pad: bool = True

    def check(self) -> None:
        super().check()
        need_flag(self, "count_include_pad")

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        geometry = self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, None
        return k.avg_pool2d(xs[0], *geometry), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        into, out = crop.maps
        _, H, W = crop.shapes[0]
        padded = Window(-self.padding[0][0], H + self.padding[0][1], -self.padding[1][0], W + self.padding[1][1])
        seen = seen_by_axes(out, *self.axes(crop.shapes[0])).intersection(padded)  # ceil mode: no tap beyond
        geometry = self.kernel_size, self.stride, margins(seen, into), self.ceil_mode, self.count_include_pad, None
        return (k.avg_pool2d_adjoint_x(gy, into.size, *geometry),)


@dataclass(eq=False)
class GlobalAvgPool2d(Layer):
    """The mean of every map."""

    def output_shape(self, *shapes: Shape) -> Shape:
        need_map(self, shapes[0])
        return (shapes[0][0], 1, 1)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        size = xs[0].shape[2:]
        return k.avg_pool2d(xs[0], size, size, NO_PADDING, False, True, None), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        size = crop.shapes[0][1:]
        return (k.avg_pool2d_adjoint_x(gy, size, size, size, NO_PADDING, False, True, None),)

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (None,)


@dataclass(eq=False)
class GlobalMaxPool2d(Layer):
    """The maximum of every map, with its switch."""

    def output_shape(self, *shapes: Shape) -> Shape:
        need_map(self, shapes[0])
        return (shapes[0][0], 1, 1)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        size = xs[0].shape[2:]
        return k.max_pool2d(xs[0], size, size, NO_PADDING, (1, 1), False)

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (k.max_unpool2d(gy, crop.saved[crop.rows], crop.shapes[0][1:], rule.collisions),)

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (None,)
