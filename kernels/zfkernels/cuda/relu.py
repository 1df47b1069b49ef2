"""The rectifier, and the four ways a signal passes it on the way down."""

from __future__ import annotations

from typing import Any

from zfkernels.choices import GATES
from zfkernels.cuda.arrays import DeviceArray
from zfkernels.cuda.elementwise import elementwise


@elementwise
def _relu(i, x, _, numbers):
    (zero,) = numbers
    return zero if x <= zero else x


def relu(x: Any) -> DeviceArray:
    """``y = max(x, 0)``; NaN stays NaN; see the reference. Parallel over elements."""
    return _relu(x, x, x.dtype.type(0))


@elementwise
def _relu_vjp(i, gy, x, numbers):
    zero, by_input, by_signal = numbers
    stopped = (by_input & (x <= zero)) | (by_signal & (gy <= zero))
    return zero if stopped else gy


def relu_vjp(gy: Any, x: Any, rule: str) -> DeviceArray:
    """Pass a signal down through the rectifier by "gradient", "deconvnet", "guided" or "linear"; see the reference.

    Parallel over elements; x is read only if the rule asks for it.
    """
    by_input, by_signal = GATES[rule]
    return _relu_vjp(gy, x if by_input else gy, gy.dtype.type(0), by_input, by_signal)
