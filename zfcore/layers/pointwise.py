"""Layers that keep the shape: rectifiers, normalisations, scalings, softmax, dropout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zfcore.layers.base import Layer, Shape


@dataclass(eq=False)
class ReLU(Layer):
    """The rectifier; a rule says how a signal passes it on the way down."""

    def forward(self, k, xs, seed):
        return k.relu(xs[0]), None

    def pullback(self, k, gy, crop, rule):
        return (k.relu_vjp(gy, crop.inputs[0], rule.rectifier),)


@dataclass(eq=False)
class LeakyReLU(Layer):
    """The leaky rectifier."""

    negative_slope: float = 0.01

    def forward(self, k, xs, seed):
        return k.leaky_relu(xs[0], self.negative_slope), None

    def pullback(self, k, gy, crop, rule):
        return (k.leaky_relu_vjp(gy, crop.inputs[0], self.negative_slope, rule.rectifier),)


@dataclass(eq=False)
class Clip(Layer):
    """Clipping to an interval; ReLU6 is minimum 0, maximum 6."""

    minimum: float = 0.0
    maximum: float = 6.0

    def forward(self, k, xs, seed):
        return k.clip(xs[0], self.minimum, self.maximum), None

    def pullback(self, k, gy, crop, rule):
        return (k.clip_vjp(gy, crop.inputs[0], self.minimum, self.maximum, rule.rectifier),)


@dataclass(eq=False)
class LocalResponseNorm(Layer):
    """Contrast normalisation across maps; alpha is divided by size, unlike the paper's."""

    size: int = 5
    alpha: float = 5e-4
    beta: float = 0.75
    k: float = 2.0

    def forward(self, k, xs, seed):
        return k.local_response_norm(xs[0], self.size, self.alpha, self.beta, self.k), None

    def pullback(self, k, gy, crop, rule):
        if rule.normalisation == "identity":
            return (gy,)
        return (k.local_response_norm_vjp(gy, crop.inputs[0], self.size, self.alpha, self.beta, self.k),)


@dataclass(eq=False)
class BatchNorm(Layer):
    """Batch normalisation at inference; all arrays (C,)."""

    mean: np.ndarray
    var: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    eps: float = 1e-5

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[0][0] != self.weight.size:
            raise ValueError(f"layer {self.name!r} (BatchNorm) needs {self.weight.size} channels, got shape {shapes[0]}")
        return shapes[0]

    def forward(self, k, xs, seed):
        return k.batch_norm(xs[0], self.mean, self.var, self.weight, self.bias, self.eps), None

    def pullback(self, k, gy, crop, rule):
        return (k.batch_norm_adjoint_x(gy, self.var, self.weight, self.eps),)


@dataclass(eq=False)
class Affine(Layer):
    """``y = x * scale + shift`` by constants that broadcast against the input's shape; None is left out."""

    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    def output_shape(self, *shapes: Shape) -> Shape:
        for constant in (self.scale, self.shift):
            if constant is not None and np.broadcast_shapes(constant.shape, shapes[0]) != shapes[0]:
                raise ValueError(
                    f"layer {self.name!r} (Affine) has a constant of shape {constant.shape}, which would stretch its input {shapes[0]}"
                )
        return shapes[0]

    def forward(self, k, xs, seed):
        y = xs[0] if self.scale is None else xs[0] * self.scale
        return y if self.shift is None else y + self.shift, None

    def pullback(self, k, gy, crop, rule):
        if self.scale is None:
            return (gy,)
        scale = np.broadcast_to(self.scale, crop.shapes[0])
        return (gy * (scale if crop.out is None else scale[..., *crop.out.slices]),)


class _AlongAxis(Layer):
    """Shared by softmax and its logarithm: an axis, counted with the batch axis."""

    axis: int

    def seen(self, window, *shapes):
        return (window if self.axis == 1 else None,)


@dataclass(eq=False)
class Softmax(_AlongAxis):
    """Softmax along `axis` (1: over channels or classes)."""

    axis: int = 1

    def forward(self, k, xs, seed):
        return k.softmax(xs[0], self.axis), None

    def pullback(self, k, gy, crop, rule):
        return (k.softmax_vjp(gy, crop.inputs[0], self.axis),)


@dataclass(eq=False)
class LogSoftmax(_AlongAxis):
    """Logarithm of the softmax along `axis`."""

    axis: int = 1

    def forward(self, k, xs, seed):
        return k.log_softmax(xs[0], self.axis), None

    def pullback(self, k, gy, crop, rule):
        return (k.log_softmax_vjp(gy, crop.inputs[0], self.axis),)


@dataclass(eq=False)
class Dropout(Layer):
    """Dropout in training, where a seed is given; else nothing."""

    p: float = 0.5

    def forward(self, k, xs, seed):
        return (xs[0], None) if seed is None else (k.dropout(xs[0], self.p, seed), seed)

    def pullback(self, k, gy, crop, rule):
        return (gy if crop.saved is None else k.dropout(gy, self.p, crop.saved),)


@dataclass(eq=False)
class Identity(Layer):
    """Another name for its input."""

    def forward(self, k, xs, seed):
        return xs[0], None

    def pullback(self, k, gy, crop, rule):
        return (gy,)
