"""Layers with filters: convolution, transposed convolution, fully connected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np
from zfkernels.geometry import Axis, Padding, Pair, axes, output_size, transposed_output_size

from zfcore.layers.base import Crop, Layer, Shape, need_array, need_integers, need_map, wrong
from zfcore.rules import Rule
from zfcore.window import Window, Windows

NO_PADDING: Padding = ((0, 0), (0, 0))


def seen_by_axes(window: Window, vertical: Axis, horizontal: Axis) -> Window:
    """The input window that the output window of a sliding window sees."""
    return Window(*vertical.inputs(window.y0, window.y1), *horizontal.inputs(window.x0, window.x1))


def touched_by_axes(windows: Windows, vertical: Axis, horizontal: Axis) -> Windows:
    """The outputs of a sliding window that span a pixel of windows of its input."""
    ends = [axis.spanning(windows.low[:, i], windows.high[:, i]) for i, axis in enumerate((vertical, horizontal))]
    return Windows(*(np.stack(end, axis=1) for end in zip(*ends, strict=True)))


def margins(seen: Window, inside: Window) -> Padding:
    """Padding that takes the place of what `seen` has and the part `inside` the map has not."""
    return ((inside.y0 - seen.y0, seen.y1 - inside.y1), (inside.x0 - seen.x0, seen.x1 - inside.x1))


def used_filters(gy: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maps of a signal that are not zero everywhere, and their filters."""
    used = gy.any(axis=(0, *range(2, gy.ndim)))
    return (gy, weight) if used.all() else (gy[:, used], weight[used])


class _Filters(Layer):
    """Shared by layers of filters: their gradients look at the input."""

    trainable: ClassVar[tuple[str, ...]] = ("weight", "bias")
    mixes: ClassVar[bool] = True

    def looks_at(self, rule: Rule | None) -> Literal["input", "output"] | None:
        return "input" if rule is None else None


class _Convolution(_Filters):
    """Shared by convolutions and transposed ones: filters that slide over a map."""

    weight: np.ndarray
    bias: np.ndarray | None
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int

    @property
    def kernel_size(self) -> Pair:
        """(KH, KW)."""
        return self.weight.shape[2], self.weight.shape[3]

    def check(self) -> None:
        super().check()
        need_integers(self, "stride", (2,), least=1)
        need_integers(self, "padding", (2, 2))
        need_integers(self, "dilation", (2,), least=1)
        need_integers(self, "groups", least=1)
        if len(self.weight) % self.groups:
            raise wrong(self, "groups", f"a divisor of the weight's first size, {len(self.weight)}")

    def bordered(self, shape: Shape) -> int:
        """Numbers in a map of `shape` with the padding around it."""
        C, H, W = shape
        return C * (H + sum(self.padding[0])) * (W + sum(self.padding[1]))


@dataclass(eq=False)
class Conv2d(_Convolution):
    """Convolution; weight (O, C/groups, KH, KW), bias (O,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None = None
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1

    def check(self) -> None:
        need_array(self, "weight", ("O", "C/groups", "KH", "KW"))
        if self.bias is not None:
            need_array(self, "bias", self.weight.shape[:1])
        super().check()

    def axes(self, shape: Shape) -> tuple[Axis, Axis]:
        """The vertical and horizontal sliding window on an input of `shape`."""
        return axes(shape[1:], self.kernel_size, self.stride, self.padding, self.dilation)

    def output_shape(self, *shapes: Shape) -> Shape:
        need_map(self, shapes[0], self.weight.shape[1] * self.groups)
        size = output_size(shapes[0][1:], self.kernel_size, self.stride, self.padding, self.dilation)
        return (self.weight.shape[0], *size)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        y = k.conv2d(xs[0], self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return y, None

    def touched(self, windows: Windows, shape: Shape) -> Windows:
        return touched_by_axes(windows, *self.axes(shape))

    def borderless(self) -> tuple[Layer, float] | None:
        return replace(self, padding=NO_PADDING), 0.0

    def forward_relu(self, k: ModuleType, xs: tuple[np.ndarray, ...]) -> np.ndarray:
        """The positive part of the output."""
        return k.conv2d_relu(xs[0], self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        into, out = crop.maps
        padding = margins(seen_by_axes(out, *self.axes(crop.shapes[0])), into)
        gy, weight = used_filters(gy, self.weight) if crop.sparse and self.groups == 1 else (gy, self.weight)
        return (k.conv2d_adjoint_x(gy, weight, into.size, self.stride, padding, self.dilation, self.groups),)

    def gradients(self, k: ModuleType, gy: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
        weight = k.conv2d_adjoint_w(gy, x, self.kernel_size, self.stride, self.padding, self.dilation, self.groups)
        return {"weight": weight} if self.bias is None else {"weight": weight, "bias": k.conv2d_adjoint_b(gy)}

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (None if window is None else seen_by_axes(window, *self.axes(shapes[0])),)

    def macs(self, *shapes: Shape) -> int:
        _, OH, OW = self.output_shape(*shapes)
        return self.weight.size * OH * OW

    def held(self, *shapes: Shape) -> int:
        return super().held(*shapes) + self.bordered(shapes[0])


@dataclass(eq=False)
class ConvTranspose2d(_Convolution):
    """Transposed convolution: the adjoint in x of a convolution; weight (C, O/groups, KH, KW), bias (O,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None = None
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    output_padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    regular: ClassVar[bool] = False

    def check(self) -> None:
        need_array(self, "weight", ("C", "O/groups", "KH", "KW"))
        super().check()
        if self.bias is not None:
            need_array(self, "bias", (self.weight.shape[1] * self.groups,))
        need_integers(self, "output_padding", (2,))
        if any(extra >= max(steps) for extra, *steps in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            raise wrong(self, "output_padding", f"less than stride {self.stride} or dilation {self.dilation}")

    def output_shape(self, *shapes: Shape) -> Shape:
        need_map(self, shapes[0], self.weight.shape[0])
        size = transposed_output_size(shapes[0][1:], self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation)
        return (self.weight.shape[1] * self.groups, *size)

    def axes(self, shape: Shape) -> tuple[Axis, Axis]:
        """The sliding window, on this layer's *output*, of the convolution whose adjoint this is."""
        size = self.output_shape(shape)[1:]
        return axes(size, self.kernel_size, self.stride, self.padding, self.dilation)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        size = self.output_shape(xs[0].shape[1:])[1:]
        y = k.conv2d_adjoint_x(xs[0], self.weight, size, self.stride, self.padding, self.dilation, self.groups)
        return y if self.bias is None else y + self.bias[:, None, None], None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        into, out = crop.maps
        (top, bottom), (left, right) = margins(seen_by_axes(into, *self.axes(crop.shapes[0])), out)
        H, W = gy.shape[2:]
        gy = gy[:, :, max(0, -top) : H - max(0, -bottom), max(0, -left) : W - max(0, -right)]
        padding = ((max(0, top), max(0, bottom)), (max(0, left), max(0, right)))
        return (k.conv2d(gy, self.weight, None, self.stride, padding, self.dilation, self.groups),)

    def gradients(self, k: ModuleType, gy: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
        weight = k.conv2d_adjoint_w(x, gy, self.kernel_size, self.stride, self.padding, self.dilation, self.groups)
        return {"weight": weight} if self.bias is None else {"weight": weight, "bias": k.conv2d_adjoint_b(gy)}

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        if window is None:
            return (None,)
        vertical, horizontal = self.axes(shapes[0])
        return (Window(*vertical.reached(window.y0, window.y1), *horizontal.reached(window.x0, window.x1)),)

    def macs(self, *shapes: Shape) -> int:
        return self.weight.size * shapes[0][1] * shapes[0][2]

    def held(self, *shapes: Shape) -> int:
        size = self.output_shape(*shapes)[1:]
        reach = ((k - 1) * d for k, d in zip(self.kernel_size, self.dilation, strict=True))
        laid = [-(-n // s) + r // s + 1 for n, s, r in zip(size, self.stride, reach, strict=True)]  # the input, with a border
        return shapes[0][0] * laid[0] * laid[1] + super().held(*shapes) * (1 if self.bias is None else 2)


@dataclass(eq=False)
class Linear(_Filters):
    """Fully connected; weight (O, I), bias (O,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None = None

    def check(self) -> None:
        super().check()
        need_array(self, "weight", ("O", "I"))
        if self.bias is not None:
            need_array(self, "bias", self.weight.shape[:1])

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[0] != (self.weight.shape[1],):
            raise ValueError(f"layer {self.name!r} (Linear) needs an input of shape ({self.weight.shape[1]},), got {shapes[0]}")
        return (self.weight.shape[0],)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.linear(xs[0], self.weight, self.bias), None

    def forward_relu(self, k: ModuleType, xs: tuple[np.ndarray, ...]) -> np.ndarray:
        """The positive part of the output."""
        return k.linear_relu(xs[0], self.weight, self.bias)

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (k.linear_adjoint_x(*(used_filters(gy, self.weight) if crop.sparse else (gy, self.weight))),)

    def gradients(self, k: ModuleType, gy: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
        weight = k.linear_adjoint_w(gy, x)
        return {"weight": weight} if self.bias is None else {"weight": weight, "bias": k.linear_adjoint_b(gy)}

    def macs(self, *shapes: Shape) -> int:
        return self.weight.size
