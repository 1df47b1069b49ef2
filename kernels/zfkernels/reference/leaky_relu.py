"""The leaky rectifier, and the ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np


def leaky_relu(x: np.ndarray, negative_slope: float) -> np.ndarray:
    """``y = x`` where x > 0, else ``negative_slope * x``.

    Shapes: any x -> y of its shape.
    """
    return np.where(x <= 0, x.dtype.type(negative_slope) * x, x)


def leaky_relu_vjp(gy: np.ndarray, x: np.ndarray, negative_slope: float, rule: str) -> np.ndarray:
    """Pass a signal down through the leaky rectifier; at negative_slope 0 this is `relu_vjp`.

    "gradient" scales by the slope where the forward input was not positive, "deconvnet" where the signal is not, "guided" by both,
    "linear" not at all. Only "gradient" is the derivative.

    Shapes: gy and x alike -> gx of the same shape.
    """
    slope = gy.dtype.type(negative_slope)
    gx = np.array(gy)
    if rule in ("gradient", "guided"):
        gx = np.where(x <= 0, slope * gx, gx)
    if rule in ("deconvnet", "guided"):
        gx = np.where(gy <= 0, slope * gx, gx)
    return gx
