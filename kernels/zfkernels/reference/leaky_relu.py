"""The leaky rectifier, and the ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np


def leaky_relu(x: np.ndarray, negative_slope: float) -> np.ndarray:
    """The positive part, and a share of the negative.

    ``y = x`` where x > 0, else ``negative_slope * x``

    Parameters
    ----------
    x : float, any shape
    negative_slope : float

    Returns
    -------
    y : float, x's shape

    Notes
    -----
    Derivative: `leaky_relu_vjp` with "gradient".
    Edge cases: NaN stays NaN.
    Source: Maas, Hannun & Ng 2013, "Rectifier nonlinearities improve neural network acoustic models", section 2.

    Examples
    --------
    >>> leaky_relu(np.array([[-4.0, 2.0], [0.0, 1.0]]), 0.25)
    array([[-1.,  2.],
           [ 0.,  1.]])
    """
    return np.where(x <= 0, x.dtype.type(negative_slope) * x, x)


def leaky_relu_vjp(gy: np.ndarray, x: np.ndarray, negative_slope: float, rule: str) -> np.ndarray:
    """Pass a signal down through the leaky rectifier; at negative_slope 0 this is `relu_vjp`.

    "gradient" scales gy by the slope where x is not positive, "deconvnet" where gy is not, "guided" by both, "linear" not at all.
    Only "gradient" is the derivative.

    Parameters
    ----------
    gy, x : float, any shape, alike
    negative_slope : float
    rule : {"gradient", "deconvnet", "guided", "linear"}

    Returns
    -------
    gx : float, the same shape

    Notes
    -----
    Derivative of: `leaky_relu` ("gradient" alone).
    Edge cases: "not positive" is read as "<= 0", so that a NaN passes the signal.
    Source: Maas, Hannun & Ng 2013, section 2; the other rules carry over those of `relu_vjp`.

    Examples
    --------
    >>> x, gy = np.array([1.0, -1.0, 1.0, -1.0]), np.array([4.0, 4.0, -4.0, -4.0])
    >>> [leaky_relu_vjp(gy, x, 0.5, rule).tolist() for rule in ("gradient", "deconvnet", "guided")]
    [[4.0, 2.0, -4.0, -2.0], [4.0, 4.0, -2.0, -2.0], [4.0, 2.0, -2.0, -1.0]]
    """
    assert gy.shape == x.shape
    slope = gy.dtype.type(negative_slope)
    gx = np.array(gy)
    if rule in ("gradient", "guided"):
        gx = np.where(x <= 0, slope * gx, gx)
    if rule in ("deconvnet", "guided"):
        gx = np.where(gy <= 0, slope * gx, gx)
    return gx
