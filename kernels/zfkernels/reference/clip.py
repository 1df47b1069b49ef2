"""Clipping to an interval (ReLU6 is clip to 0..6), and the ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np


def clip(x: np.ndarray, minimum: float, maximum: float) -> np.ndarray:
    """``y = min(max(x, minimum), maximum)``; NaN stays NaN.

    Shapes: any x -> y of its shape.
    """
    low, high = x.dtype.type(minimum), x.dtype.type(maximum)
    return np.where(x <= low, low, np.where(x >= high, high, x))


def clip_vjp(gy: np.ndarray, x: np.ndarray, minimum: float, maximum: float, rule: str) -> np.ndarray:
    """Pass a signal down through the clip.

    "gradient" passes it where the forward input lay strictly inside the interval. A clip at minimum 0 is a rectifier: "deconvnet"
    passes the positive part of the signal, "guided" demands both. A clip at another minimum rectifies nothing: "deconvnet" and
    "guided" are then the gradient. "linear" passes everything. Only "gradient" is the derivative.

    Shapes: gy and x alike -> gx of the same shape.
    """
    zero = gy.dtype.type(0)
    gx = np.array(gy)
    rectifier = minimum == 0
    if rule in ("gradient", "guided") or (rule == "deconvnet" and not rectifier):
        gx = np.where((x <= x.dtype.type(minimum)) | (x >= x.dtype.type(maximum)), zero, gx)
    if rule in ("deconvnet", "guided") and rectifier:
        gx = np.where(gy <= 0, zero, gx)
    return gx
