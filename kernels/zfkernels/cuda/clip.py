"""Clipping to an interval, and the ways a signal passes it on the way down."""

from __future__ import annotations

from typing import Any

from zfkernels.choices import GATES
from zfkernels.cuda.arrays import DeviceArray
from zfkernels.cuda.elementwise import elementwise


@elementwise
def _clip(i, x, _, numbers):
    low, high = numbers
    return low if x <= low else (high if x >= high else x)


def clip(x: Any, minimum: float, maximum: float) -> DeviceArray:
    """``y = min(max(x, minimum), maximum)``; NaN stays NaN; see the reference. Parallel over elements."""
    t = x.dtype.type
    return _clip(x, x, t(minimum), t(maximum))


@elementwise
def _clip_vjp(i, gy, x, numbers):
    zero, low, high, by_input, by_signal = numbers
    stopped = (by_input & ((x <= low) | (x >= high))) | (by_signal & (gy <= zero))
    return zero if stopped else gy


def clip_vjp(gy: Any, x: Any, minimum: float, maximum: float, rule: str) -> DeviceArray:
    """Pass a signal down through the clip; see the reference. Parallel over elements."""
    if minimum != 0 and rule in ("deconvnet", "guided"):
        rule = "gradient"  # not a rectifier: the sign of the signal says nothing
    t, (by_input, by_signal) = gy.dtype.type, GATES[rule]
    return _clip_vjp(gy, x if by_input else gy, t(0), t(minimum), t(maximum), by_input, by_signal)
