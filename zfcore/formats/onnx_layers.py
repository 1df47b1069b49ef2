"""Operators of ONNX that depend on the image, each as the layer that does the same.

A converter reads a `Call` and makes a layer, still without a name, or says with `Unsupported` why there is none. It
looks at attributes before inputs, so that an unsupported one is reported even behind a node that cannot be imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, prod

import numpy as np

from zfcore.formats.onnx_node import NO_NAME, Activation, Call, inputs_from
from zfcore.formats.onnx_read import FLOATS, Unsupported
from zfcore.formats.onnx_windows import average_pool, conv, conv_transpose, max_pool
from zfcore.layers import (
    Add,
    Affine,
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
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    Pad,
    ReLU,
    Reshape,
    Softmax,
    Transpose,
)
from zfcore.layers.base import MAX_EXTENT, Shape

# ---- products with constants


def _linear(call: Call, weight: np.ndarray, bias: np.ndarray | None = None) -> Layer:
    return Linear(NO_NAME, inputs_from(call.activation()), np.ascontiguousarray(weight), bias)


def _gemm(call: Call) -> Layer:
    if call.flag("transA"):
        raise Unsupported("its transA would swap the batch with the features")
    alpha, beta = np.float32(call.real("alpha", 1.0)), np.float32(call.real("beta", 1.0))
    weight = call.weight(1, dims=2)
    weight = weight if call.flag("transB") else weight.T
    return _linear(call, weight if alpha == 1 else alpha * weight, _gemm_bias(call, beta, len(weight)))


def _gemm_bias(call: Call, beta: np.float32, outputs: int) -> np.ndarray | None:
    if not call.has(2):
        return None
    bias = call.weight(2)
    if bias.ndim > 2 or (bias.ndim == 2 and len(bias) != 1) or bias.size not in (1, outputs):
        raise Unsupported(f"its bias has the shape {bias.shape}, needed ({outputs},)")
    return beta * np.broadcast_to(bias.ravel(), (outputs,))


def _matmul(call: Call) -> Layer:
    return _linear(call, call.weight(1, dims=2).T)


def _batch_norm(call: Call) -> Layer:
    if call.flag("training_mode") or not call.flag("spatial", True):
        raise Unsupported("it normalises by the batch's statistics (training_mode) or every pixel by its own (spatial)")
    eps = call.real("epsilon", 1e-5)
    x = call.activation()
    weight, bias, mean, var = (call.vector(i, x.shape[0]) for i in range(1, 5))
    if weight is None or bias is None or mean is None or var is None:
        raise Unsupported("one of its scale, bias, mean and variance is missing")
    if call.single_use and isinstance(x.layer, Conv2d | ConvTranspose2d | Linear):
        return _folded(call, x.layer, mean, var, weight, bias, eps)
    return BatchNorm(NO_NAME, inputs_from(x), mean, var, weight, bias, eps)


def _folded(
    call: Call,
    layer: Conv2d | ConvTranspose2d | Linear,
    mean: np.ndarray,
    var: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float,
) -> Layer:
    """The layer below, changed so that it does the normalisation too; computed in float64, rounded once."""
    call.budget.take(layer.weight.size)
    scale = weight / np.sqrt(np.float64(var) + eps)
    below = 0.0 if layer.bias is None else layer.bias
    layer.bias = ((below - np.float64(mean)) * scale + bias).astype(np.float32)
    if isinstance(layer, ConvTranspose2d):
        C, *window = layer.weight.shape
        grouped = layer.weight.reshape(layer.groups, C // layer.groups, *window)
        scaled = (grouped * scale.reshape(layer.groups, 1, -1, 1, 1)).reshape(layer.weight.shape)
    else:
        scaled = layer.weight * scale.reshape(-1, *(1,) * (layer.weight.ndim - 1))
    layer.weight = scaled.astype(np.float32)
    return layer


# ---- element by element


def _local_response_norm(call: Call) -> Layer:
    size, alpha, beta, k = (
        call.integer("size"),
        call.real("alpha", 1e-4),
        call.real("beta", 0.75),
        call.real("bias", 1.0),
    )
    if not 1 <= size <= MAX_EXTENT or size % 2 == 0:
        raise Unsupported(f"its size is {size}; an even window lies elsewhere in ONNX than here, needed an odd one")
    return LocalResponseNorm(NO_NAME, inputs_from(call.activation()), size, alpha, beta, k)


def _clip(call: Call) -> Layer:
    """Where the minimum is above the maximum, ONNX makes everything the maximum."""
    minimum, maximum = call.number("min", 1, -inf), call.number("max", 2, inf)
    return Clip(NO_NAME, inputs_from(call.activation()), min(minimum, maximum), maximum)


def _dropout(call: Call) -> Layer:
    ratio = call.number("ratio", 1, 0.5)
    if call.has(2) and call.scalar(2):
        raise Unsupported("it is in training mode")
    if not 0 <= ratio < 1:
        raise Unsupported(f"its ratio is {ratio}, needed one from 0 to below 1")
    return Dropout(NO_NAME, inputs_from(call.activation()), ratio)


def _cast(call: Call) -> Layer:
    if call.integer("to") not in FLOATS:
        raise Unsupported("it casts to a type that is no float")
    return Identity(NO_NAME, inputs_from(call.activation()))


def _softmax_axis(call: Call) -> int:
    """The axis, batch counted. Before opset 13 all axes from the given one on are one: fine if one alone is long."""
    x = call.activation()
    axis = call.axis(call.integer("axis", 1 if call.opset < 13 else -1), len(x.shape) + 1)
    if axis == 0:
        raise Unsupported("it normalises across the batch")
    if call.opset < 13:
        long = [a for a in range(axis, len(x.shape) + 1) if x.shape[a - 1] > 1]
        if len(long) > 1:
            raise Unsupported(f"before opset 13 it normalises over all of the axes {long} at once")
        axis = long[0] if long else axis
    return axis


def _affine_constant(call: Call, i: int, rank: int) -> np.ndarray:
    """Constant `i` as it broadcasts against one image of `rank` axes."""
    array = call.weight(i)
    if array.ndim == rank + 1 and len(array) == 1:
        array = array[0]
    if array.ndim > rank:
        raise Unsupported(f"its constant of shape {array.shape} varies over the batch, or has more axes than its input")
    return array


def _affine(call: Call) -> Layer:
    """Add, Sub, Mul or Div of an activation and a constant, on either side."""
    op = call.node.op
    if len(call.values) != 2:
        raise Unsupported(f"it has {len(call.values)} inputs, needed 2")
    left = isinstance(call.values[0], Activation)
    x = call.activation(0 if left else 1)
    constant = _affine_constant(call, 1 if left else 0, len(x.shape))
    minus = np.array(-1, np.float32)
    if op == "Div" and not left:
        raise Unsupported("it divides a constant by an activation")
    if op == "Mul":
        return Affine(NO_NAME, inputs_from(x), scale=constant)
    if op == "Div":
        return Affine(NO_NAME, inputs_from(x), scale=np.array(1 / constant))
    if op == "Sub":
        return Affine(NO_NAME, inputs_from(x), shift=np.array(-constant)) if left else Affine(NO_NAME, inputs_from(x), minus, constant)
    return Affine(NO_NAME, inputs_from(x), shift=constant)


def _product(call: Call) -> Layer:
    """Sub, Mul, Div."""
    if all(isinstance(v, Activation) for v in call.values):
        raise Unsupported("both of its inputs are computed from the image, needed a constant")
    return _affine(call)


def _add(call: Call) -> Layer:
    """Add, or Sum of any number of activations, or of an activation and a constant."""
    if len(call.values) == 2 and any(isinstance(v, np.ndarray) for v in call.values):
        return _affine(call)
    xs = call.activations()
    if len({x.shape for x in xs}) != 1:
        raise Unsupported(f"it adds shapes {', '.join(str(('N', *x.shape)) for x in xs)}, needed equal ones")
    return Add(NO_NAME, inputs_from(*xs))


# ---- rearrangement


def _concat(call: Call) -> Layer:
    axis, xs = call.integer("axis"), call.activations()
    if not xs or call.axis(axis, len(xs[0].shape) + 1) != 1:
        raise Unsupported(f"it joins along axis {axis}, needed 1, the channels")
    return Concat(NO_NAME, inputs_from(*xs))


def _flatten(call: Call) -> Layer:
    x = call.activation()
    if call.axis(call.integer("axis", 1), len(x.shape) + 1) != 1:
        raise Unsupported("it puts other axes into the batch; needed axis 1")
    return Flatten(NO_NAME, inputs_from(x))


def _reshaped(x: Activation, shape: Shape) -> Layer:
    return Flatten(NO_NAME, inputs_from(x)) if len(shape) == 1 else Reshape(NO_NAME, inputs_from(x), shape)


def _reshape(call: Call) -> Layer:
    keep_zero = call.flag("allowzero")
    target = call.constant_integers(1) if call.has(1) else call.integer_list("shape")
    x = call.activation()
    whole = (x.batch, *x.shape)
    if not keep_zero:
        target = tuple(whole[i] if n == 0 and i < len(whole) else n for i, n in enumerate(target))
    batch, rest = target[:1], list(target[1:])
    if rest.count(-1) == 1:
        rest[rest.index(-1)] = prod(x.shape) // max(1, -prod(rest))
    if batch not in ((1,), (-1,), (x.batch,)) or not rest or min(rest) < 1 or prod(rest) != prod(x.shape):
        raise Unsupported(f"it makes {target} of {('N', *x.shape)}; needed a shape that keeps the batch first")
    return _reshaped(x, tuple(rest))


def _squeeze(call: Call) -> Layer:
    """Without axes every axis of size 1 goes, but the batch stays."""
    chosen = call.integers_or_none("axes", 1)
    x = call.activation()
    rank = len(x.shape) + 1
    gone = {call.axis(a, rank) for a in chosen} if chosen else {a for a in range(1, rank) if x.shape[a - 1] == 1}
    if any(a == 0 or x.shape[a - 1] != 1 for a in gone):
        raise Unsupported(f"it drops axes {sorted(gone)} of {('N', *x.shape)}; needed axes of size 1 behind the batch")
    return _reshaped(x, tuple(n for a, n in enumerate(x.shape, start=1) if a not in gone))


def _unsqueeze(call: Call) -> Layer:
    chosen = call.integers_or_none("axes", 1)
    if chosen is None:
        raise Unsupported("it does not say which axes to add")
    x = call.activation()
    rank = len(x.shape) + 1 + len(chosen)
    new = {call.axis(a, rank) for a in chosen}
    if 0 in new or len(new) != len(chosen):
        raise Unsupported(f"it adds the axes {chosen}; needed different ones, behind the batch")
    old = iter(x.shape)
    return _reshaped(x, tuple(1 if a in new else next(old) for a in range(1, rank)))


def _transpose(call: Call) -> Layer:
    x = call.activation()
    rank = len(x.shape) + 1
    order = call.integer_list("perm", tuple(range(rank))[::-1])
    if sorted(order) != list(range(rank)) or order[0] != 0:
        raise Unsupported(f"it puts the axes of {('N', *x.shape)} in the order {order}; needed the batch first")
    return Transpose(NO_NAME, inputs_from(x), order)


def _pad(call: Call) -> Layer:
    mode = call.text("mode", "constant")
    if mode != "constant":
        raise Unsupported(f"it pads in mode {mode!r}, needed 'constant'")
    value = call.number("value", 2, 0.0)
    pads = call.integers_or_none("pads", 1)
    x = call.activation()
    rank = len(x.shape) + 1
    chosen = [call.axis(a, rank) for a in call.constant_integers(3)] if call.has(3) else list(range(rank))
    if pads is None or len(pads) != 2 * len(chosen) or not all(0 <= n <= MAX_EXTENT for n in pads):
        raise Unsupported(f"its pads are {pads}, needed {2 * len(chosen)} numbers from 0 to {MAX_EXTENT:,}")
    widths = dict(zip(chosen, zip(pads[: len(chosen)], pads[len(chosen) :], strict=True), strict=True))
    if widths.get(0, (0, 0)) != (0, 0):
        raise Unsupported("it pads the batch")
    return Pad(NO_NAME, inputs_from(x), tuple(widths.get(a, (0, 0)) for a in range(1, rank)), value)


# ---- the table


@dataclass(frozen=True)
class Operator:
    """What becomes of an operator: what its unnamed layers are called, its most inputs, and its converter."""

    kind: str
    inputs: int | None
    convert: Callable[[Call], Layer]


OPERATORS: dict[str, Operator] = {
    "Add": Operator("add", 2, _add),
    "AveragePool": Operator("pool", 1, average_pool),
    "BatchNormalization": Operator("norm", 5, _batch_norm),
    "Cast": Operator("cast", 1, _cast),
    "Clip": Operator("clip", 3, _clip),
    "Concat": Operator("concat", None, _concat),
    "Conv": Operator("conv", 3, conv),
    "ConvTranspose": Operator("conv_transpose", 3, conv_transpose),
    "Div": Operator("div", 2, _product),
    "Dropout": Operator("dropout", 3, _dropout),
    "Flatten": Operator("flatten", 1, _flatten),
    "Gemm": Operator("fc", 3, _gemm),
    "GlobalAveragePool": Operator("pool", 1, lambda call: GlobalAvgPool2d(NO_NAME, inputs_from(call.activation()))),
    "GlobalMaxPool": Operator("pool", 1, lambda call: GlobalMaxPool2d(NO_NAME, inputs_from(call.activation()))),
    "Identity": Operator("identity", 1, lambda call: Identity(NO_NAME, inputs_from(call.activation()))),
    "LRN": Operator("norm", 1, _local_response_norm),
    "LeakyRelu": Operator("leaky_relu", 1, lambda call: LeakyReLU(NO_NAME, inputs_from(call.activation()), call.real("alpha", 0.01))),
    "LogSoftmax": Operator("log_softmax", 1, lambda call: LogSoftmax(NO_NAME, inputs_from(call.activation()), _softmax_axis(call))),
    "MatMul": Operator("fc", 2, _matmul),
    "MaxPool": Operator("pool", 1, max_pool),
    "Mul": Operator("mul", 2, _product),
    "Pad": Operator("pad", 4, _pad),
    "Relu": Operator("relu", 1, lambda call: ReLU(NO_NAME, inputs_from(call.activation()))),
    "Reshape": Operator("reshape", 2, _reshape),
    "Softmax": Operator("softmax", 1, lambda call: Softmax(NO_NAME, inputs_from(call.activation()), _softmax_axis(call))),
    "Squeeze": Operator("squeeze", 2, _squeeze),
    "Sub": Operator("sub", 2, _product),
    "Sum": Operator("add", None, _add),
    "Transpose": Operator("transpose", 1, _transpose),
    "Unsqueeze": Operator("unsqueeze", 2, _unsqueeze),
}

#: The attributes that are understood, by operator; another one could change the result, so that its node is refused.
ATTRIBUTES: dict[str, str] = {
    "AveragePool": "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides",
    "BatchNormalization": "epsilon momentum spatial training_mode",
    "Cast": "to saturate round_mode",
    "Clip": "min max",
    "Concat": "axis",
    "Constant": "value value_float value_floats value_int value_ints",
    "ConstantOfShape": "value",
    "Conv": "auto_pad dilations group kernel_shape pads strides",
    "ConvTranspose": "auto_pad dilations group kernel_shape output_padding output_shape pads strides",
    "Dropout": "ratio seed",
    "Flatten": "axis",
    "Gather": "axis",
    "Gemm": "alpha beta transA transB",
    "LRN": "alpha beta bias size",
    "LeakyRelu": "alpha",
    "LogSoftmax": "axis",
    "MaxPool": "auto_pad ceil_mode dilations kernel_shape pads storage_order strides",
    "Pad": "mode pads value",
    "Reshape": "allowzero shape",
    "Shape": "start end",
    "Slice": "axes ends starts",
    "Softmax": "axis",
    "Squeeze": "axes",
    "Transpose": "perm",
    "Unsqueeze": "axes",
}
