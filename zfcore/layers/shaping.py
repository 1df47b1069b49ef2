"""Layers that join branches or rearrange elements: add, concatenate, pad, reshape, transpose."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from zfcore.layers.base import MAX_ACTIVATIONS, Crop, Layer, Shape, need_integers, need_number
from zfcore.rules import Rule
from zfcore.window import Window


@dataclass(eq=False)
class Add(Layer):
    """Sum of its inputs; on the way down each gets the signal."""

    arity: ClassVar[int | None] = None
    pixelwise: ClassVar[bool] = True

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(set(shapes)) != 1:
            raise ValueError(f"layer {self.name!r} (Add) needs inputs of one shape, got {', '.join(map(str, shapes))}")
        return shapes[0]

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        y = xs[0]
        for x in xs[1:]:
            y = y + x
        return y, None

    def held(self, *shapes: Shape) -> int:
        return (1 if len(shapes) < 3 else 2) * super().held(*shapes)  # a sum, and the one before it

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (gy,) * len(self.inputs)


@dataclass(eq=False)
class Concat(Layer):
    """Its inputs' channels one after the other; on the way down each gets its own part of the signal."""

    arity: ClassVar[int | None] = None
    pixelwise: ClassVar[bool] = True

    def output_shape(self, *shapes: Shape) -> Shape:
        if len({s[1:] for s in shapes}) != 1:
            raise ValueError(f"layer {self.name!r} (Concat) needs inputs alike but for their channels, got {', '.join(map(str, shapes))}")
        return (sum(s[0] for s in shapes), *shapes[0][1:])

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return np.concatenate(xs, axis=1), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return tuple(np.split(gy, np.cumsum([s[0] for s in crop.shapes])[:-1], axis=1))


@dataclass(eq=False)
class Pad(Layer):
    """A border of constant `value`; `widths` has (before, after) for channels, rows and columns, none negative."""

    widths: tuple[tuple[int, int], ...]
    value: float = 0.0

    def check(self) -> None:
        super().check()
        need_integers(self, "widths", (..., 2))
        need_number(self, "value", -inf, inf)

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes[0]) != len(self.widths):
            raise ValueError(f"layer {self.name!r} (Pad) needs an input of {len(self.widths)} axes, got {shapes[0]}")
        return tuple(n + before + after for n, (before, after) in zip(shapes[0], self.widths, strict=True))

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return np.pad(xs[0], ((0, 0), *self.widths), constant_values=self.value), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        channels = slice(self.widths[0][0], self.widths[0][0] + crop.shapes[0][0])
        if crop.out is None:
            return (gy[:, channels],)
        top, left = self.widths[1][0], self.widths[2][0]
        into, out = crop.maps
        inside = Window(into.y0 + top, into.y1 + top, into.x0 + left, into.x1 + left).relative_to(out)
        return (gy[(slice(None), channels, *inside.slices)],)

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        if window is None:
            return (None,)
        top, left = self.widths[1][0], self.widths[2][0]
        return (Window(window.y0 - top, window.y1 - top, window.x0 - left, window.x1 - left),)


@dataclass(eq=False)
class Reshape(Layer):
    """The same elements in another `shape` (without the batch)."""

    shape: Shape

    def check(self) -> None:
        super().check()
        need_integers(self, "shape", (...,), least=1, most=MAX_ACTIVATIONS)

    def output_shape(self, *shapes: Shape) -> Shape:
        if prod(shapes[0]) != prod(self.shape):
            raise ValueError(f"layer {self.name!r} (Reshape) cannot make {self.shape} of {shapes[0]}")
        return self.shape

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return xs[0].reshape(len(xs[0]), *self.shape), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (gy.reshape(len(gy), *crop.shapes[0]),)

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (None,)


@dataclass(eq=False)
class Flatten(Layer):
    """Everything but the batch in one axis."""

    def output_shape(self, *shapes: Shape) -> Shape:
        return (prod(shapes[0]),)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return xs[0].reshape(len(xs[0]), prod(xs[0].shape[1:])), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (gy.reshape(len(gy), *crop.shapes[0]),)

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (None,)


@dataclass(eq=False)
class Transpose(Layer):
    """Axes in another order; `order` counts them with the batch, which stays first."""

    order: tuple[int, ...]

    def check(self) -> None:
        super().check()
        need_integers(self, "order", (...,))

    def output_shape(self, *shapes: Shape) -> Shape:
        if sorted(self.order) != list(range(len(shapes[0]) + 1)) or self.order[0] != 0:
            raise ValueError(f"layer {self.name!r} (Transpose) cannot put the axes of {shapes[0]} in the order {self.order}")
        return tuple(shapes[0][axis - 1] for axis in self.order[1:])

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return xs[0].transpose(self.order), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (gy.transpose(np.argsort(self.order)),)

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (None,)
