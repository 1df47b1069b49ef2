"""A step of stochastic gradient descent with momentum."""

from __future__ import annotations

import numpy as np


def sgd(
    w: np.ndarray, gw: np.ndarray, velocity: np.ndarray, rate: float, momentum: float, weight_decay: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and velocity after a step.

    ``v = momentum * velocity + gw + weight_decay * w``; ``w - rate * v`` and ``v`` are the results.

    Parameters
    ----------
    w, gw, velocity : float, one shape
        Weights, their gradient, the velocity before: zeros before the first step.
    rate, momentum, weight_decay : float

    Returns
    -------
    w, velocity : float, that shape

    Notes
    -----
    Adjoint: none; no signal passes.
    Source: paper, section 3 (rate 10^-2, momentum 0.9); weight decay as in PyTorch's SGD, part of the gradient.

    Examples
    --------
    >>> w, velocity = sgd(np.array([1.0, 2.0]), np.array([1.0, 0.0]), np.array([0.0, 4.0]), 0.5, 0.5, 0.0)
    >>> w.tolist(), velocity.tolist()
    ([0.5, 1.0], [1.0, 2.0])
    """
    assert w.shape == gw.shape == velocity.shape
    real = w.dtype.type
    velocity = real(momentum) * velocity + gw + real(weight_decay) * w
    return w - real(rate) * velocity, velocity
