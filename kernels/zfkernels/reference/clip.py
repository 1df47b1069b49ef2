"""Clipping to an interval (ReLU6 is clip to 0..6), and the ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np


def clip(x: np.ndarray, minimum: float, maximum: float) -> np.ndarray:
    """The nearest number of an interval.

    ``y = min(max(x, minimum), maximum)``

    Parameters
    ----------
    x : float, any shape
    minimum, maximum : float

    Returns
    -------
    y : float, x's shape

    Notes
    -----
    Derivative: `clip_vjp` with "gradient".
    Edge cases: NaN stays NaN.
    Source: ONNX operator Clip; ReLU6 is minimum 0, maximum 6.

    Examples
    --------
    >>> clip(np.array([[-1.0, 2.0], [6.0, 9.0]]), 0.0, 6.0)
    array([[0., 2.],
           [6., 6.]])
    """
    low, high = x.dtype.type(minimum), x.dtype.type(maximum)
    return np.where(x <= low, low, np.where(x >= high, high, x))


def clip_vjp(gy: np.ndarray, x: np.ndarray, minimum: float, maximum: float, rule: str) -> np.ndarray:
    """Pass a signal down through the clip.

    "gradient" passes gy where ``minimum < x < maximum``. A clip at minimum 0 is a rectifier: "deconvnet" passes the positive part of gy,
    "guided" demands both. A clip at another minimum rectifies nothing: "deconvnet" and "guided" are then the gradient. "linear" passes
    everything. Only "gradient" is the derivative.

    Parameters
    ----------
    gy, x : float, any shape, alike
    minimum, maximum : float
    rule : {"gradient", "deconvnet", "guided", "linear"}

    Returns
    -------
    gx : float, the same shape

    Notes
    -----
    Derivative of: `clip` ("gradient" alone).
    Edge cases: the bounds themselves stop the signal; a NaN passes it.
    Source: ONNX operator Clip; the other rules carry over those of `relu_vjp`.

    Examples
    --------
    >>> x, gy = np.array([-1.0, 3.0, 3.0, 9.0]), np.array([5.0, 5.0, -5.0, 5.0])
    >>> [clip_vjp(gy, x, 0.0, 6.0, rule).tolist() for rule in ("gradient", "deconvnet", "guided")]
    [[0.0, 5.0, -5.0, 0.0], [5.0, 5.0, 0.0, 5.0], [0.0, 5.0, 0.0, 0.0]]
    """
    assert gy.shape == x.shape
    zero = gy.dtype.type(0)
    gx = np.array(gy)
    rectifier = minimum == 0
    if rule in ("gradient", "guided") or (rule == "deconvnet" and not rectifier):
        gx = np.where((x <= x.dtype.type(minimum)) | (x >= x.dtype.type(maximum)), zero, gx)
    if rule in ("deconvnet", "guided") and rectifier:
        gx = np.where(gy <= 0, zero, gx)
    return gx
