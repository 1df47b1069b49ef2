"""Layers that keep the shape: rectifiers, normalisations, scalings, softmax, dropout."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np

from zfcore.layers.base import FINITE, MAX_AXES, Crop, Layer, Shape, need_array, need_integers, need_number, wrong
from zfcore.rules import Rule
from zfcore.signals import gathered
from zfcore.window import Window


@dataclass(eq=False)
class ReLU(Layer):
    """The rectifier; a rule says how a signal passes it on the way down."""

    pixelwise: ClassVar[bool] = True

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.relu(xs[0]), None

    def looks_at(self, rule: Rule | None) -> Literal["input", "output"] | None:
        return "output" if rule is None or rule.asks_forward else None  # positive where the input is, NaN where it is

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        x = crop.cut(k, crop.saved) if self.looks_at(rule) else gy  # which stands for what is not looked at
        return (k.relu_vjp(gy, x, rule.rectifier),)


@dataclass(eq=False)
class LeakyReLU(Layer):
    """The leaky rectifier."""

    negative_slope: float = 0.01

    pixelwise: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        need_number(self, "negative_slope")

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.leaky_relu(xs[0], self.negative_slope), None

    def looks_at(self, rule: Rule | None) -> Literal["input", "output"] | None:
        return "input" if rule is None or rule.asks_forward else None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        x = crop.cut(k, crop.saved) if self.looks_at(rule) else gy  # which stands for what is not looked at
        return (k.leaky_relu_vjp(gy, x, self.negative_slope, rule.rectifier),)


@dataclass(eq=False)
class Clip(Layer):
    """Clipping to an interval; ReLU6 is minimum 0, maximum 6."""

    minimum: float = 0.0
    maximum: float = 6.0

    pixelwise: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        need_number(self, "minimum", -inf, inf)
        need_number(self, "maximum", -inf, inf)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.clip(xs[0], self.minimum, self.maximum), None

    def looks_at(self, rule: Rule | None) -> Literal["input", "output"] | None:
        return "input" if rule is None or rule.asks_forward or (rule.rectifier == "deconvnet" and self.minimum != 0) else None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        x = crop.cut(k, crop.saved) if self.looks_at(rule) else gy  # which stands for what is not looked at
        return (k.clip_vjp(gy, x, self.minimum, self.maximum, rule.rectifier),)


@dataclass(eq=False)
class LocalResponseNorm(Layer):
    """Contrast normalisation across maps; alpha is divided by size, unlike the paper's."""

    size: int = 5
    alpha: float = 5e-4
    beta: float = 0.75
    k: float = 2.0

    pixelwise: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        need_integers(self, "size", least=1)
        for name in ("alpha", "beta", "k"):
            need_number(self, name)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.local_response_norm(xs[0], self.size, self.alpha, self.beta, self.k), None

    def looks_at(self, rule: Rule | None) -> Literal["input", "output"] | None:
        return "input" if rule is None or rule.normalisation == "gradient" else None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        if rule.normalisation == "identity":
            return (gy,)
        return (k.local_response_norm_vjp(gy, crop.cut(k, crop.saved), self.size, self.alpha, self.beta, self.k),)


@dataclass(eq=False)
class BatchNorm(Layer):
    """Batch normalisation at inference; all arrays (C,)."""

    mean: np.ndarray
    var: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    eps: float = 1e-5

    pixelwise: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        need_array(self, "weight", ("C",))
        for name in ("mean", "var", "bias"):
            need_array(self, name, self.weight.shape)
        need_number(self, "eps", 0, FINITE)

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[0][0] != self.weight.size:
            raise ValueError(f"layer {self.name!r} (BatchNorm) needs {self.weight.size} channels, got shape {shapes[0]}")
        return shapes[0]

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.batch_norm(xs[0], self.mean, self.var, self.weight, self.bias, self.eps), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (k.batch_norm_adjoint_x(gy, self.var, self.weight, self.eps),)


@dataclass(eq=False)
class Affine(Layer):
    """``y = x * scale + shift`` by constants that broadcast against the input's shape; None is left out."""

    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    def check(self) -> None:
        super().check()
        for name in ("scale", "shift"):
            if getattr(self, name) is not None:
                need_array(self, name)

    def output_shape(self, *shapes: Shape) -> Shape:
        for constant in (self.scale, self.shift):
            if constant is not None and np.broadcast_shapes(constant.shape, shapes[0]) != shapes[0]:
                raise ValueError(
                    f"layer {self.name!r} (Affine) has a constant of shape {constant.shape}, which would stretch its input {shapes[0]}"
                )
        return shapes[0]

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        y = xs[0] if self.scale is None else xs[0] * self.scale
        return y if self.shift is None else y + self.shift, None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        if self.scale is None:
            return (gy,)
        scale = np.broadcast_to(self.scale, (1, *crop.shapes[0]))
        return (gy * gathered(k, scale, None, crop.out),)

    def borderless(self) -> tuple[Layer, float] | None:
        alike = all(c is None or set(c.shape[-2:]) <= {1} for c in (self.scale, self.shift))  # along rows and columns
        return (self, 0.0) if alike else None

    def held(self, *shapes: Shape) -> int:
        steps = (self.scale is not None) + (self.shift is not None)
        return max(1, steps) * super().held(*shapes)


class _AlongAxis(Layer):
    """Shared by softmax and its logarithm: an axis, counted with the batch axis."""

    axis: int

    def check(self) -> None:
        super().check()
        need_integers(self, "axis", least=1, most=MAX_AXES)

    def output_shape(self, *shapes: Shape) -> Shape:
        if self.axis > len(shapes[0]):
            raise wrong(self, "axis", f"at most {len(shapes[0])} for an input of shape {shapes[0]}")
        return shapes[0]

    def looks_at(self, rule: Rule | None) -> Literal["input", "output"] | None:
        return "input"

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        return (window if self.axis == 1 else None,)


@dataclass(eq=False)
class Softmax(_AlongAxis):
    """Softmax along `axis` (1: over channels or classes)."""

    axis: int = 1

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.softmax(xs[0], self.axis), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (k.softmax_vjp(gy, crop.cut(k, crop.saved), self.axis),)


@dataclass(eq=False)
class LogSoftmax(_AlongAxis):
    """Logarithm of the softmax along `axis`."""

    axis: int = 1

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return k.log_softmax(xs[0], self.axis), None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (k.log_softmax_vjp(gy, crop.cut(k, crop.saved), self.axis),)


@dataclass(eq=False)
class Dropout(Layer):
    """Dropout in training, where a seed is given; else nothing."""

    p: float = 0.5

    pixelwise: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        need_number(self, "p", 0, 1)

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return (xs[0], None) if seed is None else (k.dropout(xs[0], self.p, seed), (seed, xs[0].shape))

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        if crop.saved is None:
            return (gy,)
        seed, shape = crop.saved
        if gy.shape == shape and crop.images is None:
            return (k.dropout(gy, self.p, seed),)
        scale = crop.cut(k, k.dropout(np.ones(shape, gy.dtype), self.p, seed))  # the mask depends on the place in the whole batch
        return (k.relu_vjp(gy * scale, scale, "gradient"),)  # what was dropped is zero, not NaN if the signal is infinite


@dataclass(eq=False)
class Identity(Layer):
    """Another name for its input."""

    pixelwise: ClassVar[bool] = True

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        return xs[0], None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        return (gy,)
