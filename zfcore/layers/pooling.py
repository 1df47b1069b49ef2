"""Pooling layers: on the way down a max-pool unpools with its switches, an average spreads its signal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, prod
from types import ModuleType
from typing import Any

import numpy as np
from zfkernels.geometry import Axis, Padding, Pair, axes, pool_output_size

from zfcore.layers.base import Crop, Layer, Shape, need_flag, need_integers, need_map
from zfcore.layers.filters import NO_PADDING, margins, seen_by_axes, touched_by_axes
from zfcore.rules import Rule
from zfcore.signals import gathered
from zfcore.window import Window, Windows


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

    def touched(self, windows: Windows, shape: Shape) -> Windows:
        return touched_by_axes(windows, *self.axes(shape))


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
        into = crop.ins[0]
        assert into is not None
        here = crop.cut(k, crop.saved)
        switches = k.rebase_switches(here, crop.shapes[0][2], into.low_of(len(here)), into.size[1])
        return (k.max_unpool2d(gy, switches, into.size, rule.collisions),)

    def borderless(self) -> tuple[Layer, float] | None:
        return replace(self, padding=NO_PADDING, ceil_mode=False), -inf

    def saved_size(self, *shapes: Shape) -> int:
        return prod(self.output_shape(*shapes))


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
        shares = gy / gathered(k, self.taps_counted(k, crop.shapes[0], gy.dtype), None, crop.out)
        padding = margins(seen_by_axes(out, *self.axes(crop.shapes[0])), into)
        return (k.avg_pool2d_adjoint_x(shares, into.size, self.kernel_size, self.stride, padding, False, True, 1),)

    def borderless(self) -> tuple[Layer, float] | None:
        same_count = not self.ceil_mode and (self.count_include_pad or self.padding == NO_PADDING)
        return (replace(self, padding=NO_PADDING), 0.0) if same_count else None

    def taps_counted(self, k: ModuleType, shape: Shape, dtype: np.dtype) -> np.ndarray:
        """(1, 1, OH, OW): the number that each window's sum is divided by, which is smaller at the borders of the map."""
        (top, bottom), (left, right) = self.padding if self.count_include_pad else NO_PADDING
        counted = np.ones((1, 1, shape[1] + top + bottom, shape[2] + left + right), dtype)
        padding = NO_PADDING if self.count_include_pad else self.padding
        return k.avg_pool2d(counted, self.kernel_size, self.stride, padding, self.ceil_mode, True, 1)


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
        return (k.max_unpool2d(gy, crop.cut(k, crop.saved), crop.shapes[0][1:], rule.collisions),)

    def saved_size(self, *shapes: Shape) -> int:
        return shapes[0][0]

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (None,)
