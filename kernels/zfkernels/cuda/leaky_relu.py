"""The leaky rectifier, and the ways a signal passes it on the way down."""

from __future__ import annotations

from typing import Any

from zfkernels.choices import GATES
from zfkernels.cuda.arrays import DeviceArray
from zfkernels.cuda.elementwise import elementwise


@elementwise
def _leaky_relu(i, x, _, numbers):
    zero, slope = numbers
    return slope * x if x <= zero else x


def leaky_relu(x: Any, negative_slope: float) -> DeviceArray:
    """``y = x`` where x > 0, else ``negative_slope * x``; see the reference. Parallel over elements."""
    t = x.dtype.type
    return _leaky_relu(x, x, t(0), t(negative_slope))


@elementwise
def _leaky_relu_vjp(i, gy, x, numbers):
    zero, slope, by_input, by_signal = numbers
    signal = slope * gy if by_input & (x <= zero) else gy
    return slope * signal if by_signal & (gy <= zero) else signal


def leaky_relu_vjp(gy: Any, x: Any, negative_slope: float, rule: str) -> DeviceArray:
    """Pass a signal down through the leaky rectifier; see the reference. Parallel over elements."""
    t, (by_input, by_signal) = gy.dtype.type, GATES[rule]
    return _leaky_relu_vjp(gy, x if by_input else gy, t(0), t(negative_slope), by_input, by_signal)
