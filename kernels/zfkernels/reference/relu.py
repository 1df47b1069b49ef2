"""The rectifier, and the four ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np


def relu(x: np.ndarray) -> np.ndarray:
    """The positive part.

    ``y = max(x, 0)``

    Parameters
    ----------
    x : float, any shape

    Returns
    -------
    y : float, x's shape

    Notes
    -----
    Derivative: `relu_vjp` with "gradient".
    Edge cases: NaN stays NaN; -0.0 becomes 0.0.
    Source: paper, section 2; Nair & Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".

    Examples
    --------
    >>> relu(np.array([[-1.0, 2.0], [0.0, np.nan]]))
    array([[ 0.,  2.],
           [ 0., nan]])
    """
    return np.where(x <= 0, x.dtype.type(0), x)


def relu_vjp(gy: np.ndarray, x: np.ndarray, rule: str) -> np.ndarray:
    """Pass a signal down through the rectifier.

    With f = x the forward input and r = gy the signal: "gradient" ``r * (f > 0)``, "deconvnet" ``r * (r > 0)``, "guided"
    ``r * (f > 0) * (r > 0)``, "linear" ``r``. Only "gradient" is the derivative.

    Parameters
    ----------
    gy, x : float, any shape, alike
    rule : {"gradient", "deconvnet", "guided", "linear"}

    Returns
    -------
    gx : float, the same shape

    Notes
    -----
    Derivative of: `relu` ("gradient" alone).
    Edge cases: "f > 0" is read as "not f <= 0", so that a NaN passes the signal and is not lost.
    Source: paper, section 2.1 (rectification); Simonyan, Vedaldi & Zisserman 2013, arXiv 1312.6034, section 4; guided: Springenberg
    et al. 2015, arXiv 1412.6806, figure 1.

    Examples
    --------
    >>> x, gy = np.array([1.0, -1.0, 1.0, -1.0]), np.array([5.0, 5.0, -5.0, -5.0])
    >>> [relu_vjp(gy, x, rule).tolist() for rule in ("gradient", "deconvnet", "guided")]
    [[5.0, 0.0, -5.0, 0.0], [5.0, 5.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]]
    """
    assert gy.shape == x.shape
    zero = gy.dtype.type(0)
    gx = np.array(gy)
    if rule in ("gradient", "guided"):
        gx = np.where(x <= 0, zero, gx)
    if rule in ("deconvnet", "guided"):
        gx = np.where(gy <= 0, zero, gx)
    return gx
