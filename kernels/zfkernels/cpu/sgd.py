"""A step of stochastic gradient descent with momentum: every number is read and written once."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen


@njit(parallel=True, cache=True)
def _sgd(after, moved, w, gw, velocity, rate, momentum, weight_decay):
    for i in prange(w.shape[0]):
        v = momentum * velocity[i] + gw[i] + weight_decay * w[i]
        moved[i] = v
        after[i] = w[i] - rate * v


def sgd(
    w: np.ndarray, gw: np.ndarray, velocity: np.ndarray, rate: float, momentum: float, weight_decay: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and velocity after a step; see the reference. Parallel over elements."""
    after, moved, real = empty(w.shape, w.dtype), empty(w.shape, w.dtype), w.dtype.type
    _sgd(
        after.reshape(-1), moved.reshape(-1), frozen(w).reshape(-1), frozen(gw).reshape(-1), frozen(velocity).reshape(-1),
        real(rate), real(momentum), real(weight_decay),
    )  # fmt: skip
    return after, moved
