"""Constant folding: operators on constants, and on the shapes of activations, computed once with NumPy at import.

Exporters compute the targets of Reshape and Pad this way, and rearrange weights. What is allocated is counted first.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, prod

import numpy as np
from onnx import TensorProto, helper

from zfcore.formats.onnx_node import Activation, Call, broadcast_size
from zfcore.formats.onnx_read import FLOATS, INTEGERS, Unsupported, array_of

ZERO = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])  # what ConstantOfShape fills with by default


def _constants(call: Call) -> list[np.ndarray]:
    return [call.constant(i) for i in range(len(call.values))]


def _elementwise(function: Callable[..., np.ndarray], inputs: int) -> Callable[[Call], np.ndarray]:
    def fold(call: Call) -> np.ndarray:
        arrays = _constants(call)
        if len(arrays) != inputs:
            raise Unsupported(f"it has {len(arrays)} inputs, needed {inputs}")
        call.budget.take(broadcast_size(arrays))
        return function(*arrays)

    return fold


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return np.divide(a, b)
    if not np.all(b):
        raise ZeroDivisionError("division of integers by zero")
    return (np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)).astype(a.dtype)  # towards zero, unlike //


def _sum(call: Call) -> np.ndarray:
    arrays = _constants(call)
    call.budget.take(broadcast_size(arrays))
    return sum(arrays[1:], arrays[0])


def _constant(call: Call) -> np.ndarray:
    (name,) = call.node.attributes or ("value",)
    value = call.node.attributes.get(name)
    if name == "value" and isinstance(value, TensorProto):
        array = array_of(value, f"the value of {call.node.label}")
        call.budget.take(array.size)
        return array
    if name in ("value_float", "value_floats"):
        return np.array(value, np.float32)
    if name in ("value_int", "value_ints"):
        return np.array(value, np.int64)
    raise Unsupported(f"its attribute {name} is not numbers")


def _constant_of_shape(call: Call) -> np.ndarray:
    shape = call.constant_integers(0)
    value = call.node.attributes.get("value", ZERO)
    if not isinstance(value, TensorProto):
        raise Unsupported("its attribute value is not a tensor")
    fill = array_of(value, f"the value of {call.node.label}")
    if fill.size != 1 or min(shape, default=0) < 0:
        raise Unsupported(f"it fills the shape {shape} with {fill.size} values, needed one")
    call.budget.take(prod(shape))
    return np.full(shape, fill.ravel()[0])


def _shape(call: Call) -> np.ndarray:
    value = call.values[0]
    shape = (value.batch, *value.shape) if isinstance(value, Activation) else call.constant(0).shape
    return np.array(shape[call.integer("start", 0) : call.integer("end", len(shape))], np.int64)


def _cast(call: Call) -> np.ndarray:
    to = call.integer("to")
    if to not in FLOATS + INTEGERS:
        raise Unsupported(f"it casts to type {to}")
    array = call.constant(0)
    call.budget.take(array.size)
    half = to in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return array.astype(np.float32 if half else helper.tensor_dtype_to_np_dtype(to))


def _concat(call: Call) -> np.ndarray:
    call.budget.take(call.elements())
    return np.concatenate(_constants(call), axis=call.integer("axis"))


def _gather(call: Call) -> np.ndarray:
    data, indices = call.constant(0), call.constant(1)
    axis = call.axis(call.integer("axis", 0), data.ndim)
    call.budget.take(prod(data.shape[:axis] + indices.shape + data.shape[axis + 1 :]))
    return np.take(data, indices, axis)


def _slice(call: Call) -> np.ndarray:
    data = call.constant(0)
    starts, ends = call.integers_or_none("starts", 1), call.integers_or_none("ends", 2)
    if starts is None or ends is None:
        raise Unsupported("it does not say where to start and end")
    axes = call.integers_or_none("axes", 3) or tuple(range(len(starts)))
    steps = call.constant_integers(4) if call.has(4) else (1,) * len(starts)
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[call.axis(axis, data.ndim)] = slice(start, end, step)
    return data[tuple(index)]


def _range(call: Call) -> np.ndarray:
    start, limit, delta = (call.constant(i) for i in range(3))
    if delta.item() == 0:
        raise ZeroDivisionError("a step of zero")
    call.budget.take(max(0, ceil((limit.item() - start.item()) / delta.item())))
    return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def _expand(call: Call) -> np.ndarray:
    data, shape = call.constant(0), call.constant_integers(1)
    shape = np.broadcast_shapes(data.shape, shape)
    call.budget.take(prod(shape))
    return np.array(np.broadcast_to(data, shape))


def _reshape(call: Call) -> np.ndarray:
    data, target = call.constant(0), call.constant_integers(1)
    if not call.flag("allowzero"):
        target = tuple(data.shape[i] if n == 0 else n for i, n in enumerate(target))
    return data.reshape(target)


def _transpose(call: Call) -> np.ndarray:
    data = call.constant(0)
    return data.transpose(call.integer_list("perm", tuple(range(data.ndim))[::-1]))


def _squeeze(call: Call) -> np.ndarray:
    return np.squeeze(call.constant(0), call.integers_or_none("axes", 1))


def _unsqueeze(call: Call) -> np.ndarray:
    axes = call.integers_or_none("axes", 1)
    return np.expand_dims(call.constant(0), () if axes is None else axes)


#: What is computed at import, by operator.
FOLDS: dict[str, Callable[[Call], np.ndarray]] = {
    "Add": _elementwise(np.add, 2),
    "Cast": _cast,
    "Ceil": _elementwise(np.ceil, 1),
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divide, 2),
    "Equal": _elementwise(np.equal, 2),
    "Expand": _expand,
    "Floor": _elementwise(np.floor, 1),
    "Gather": _gather,
    "Identity": lambda call: call.constant(0),
    "Mul": _elementwise(np.multiply, 2),
    "Neg": _elementwise(np.negative, 1),
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Sqrt": _elementwise(np.sqrt, 1),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract, 2),
    "Sum": _sum,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where, 3),
}
