"""The rectifier, and the four ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np


def relu(x: np.ndarray) -> np.ndarray:
    """``y = max(x, 0)``; NaN stays NaN.

    Shapes: any x -> y of its shape.
    """
    return np.where(x <= 0, x.dtype.type(0), x)


def relu_vjp(gy: np.ndarray, x: np.ndarray, rule: str) -> np.ndarray:
    """Pass a signal down through the rectifier.

    With f the forward input and r the signal: "gradient" ``r * (f > 0)``, "deconvnet" ``r * (r > 0)`` (paper, section 2.1),
    "guided" ``r * (f > 0) * (r > 0)``, "linear" ``r``. Only "gradient" is the derivative.

    Shapes: gy and x alike -> gx of the same shape.
    Edge cases: "f > 0" is read as "not f <= 0", so that a NaN passes the signal and is not lost.
    """
    zero = gy.dtype.type(0)
    gx = np.array(gy)
    if rule in ("gradient", "guided"):
        gx = np.where(x <= 0, zero, gx)
    if rule in ("deconvnet", "guided"):
        gx = np.where(gy <= 0, zero, gx)
    return gx
