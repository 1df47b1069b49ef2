"""A step of stochastic gradient descent with momentum: every number is read and written once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import launch


@cuda.jit(cache=True)
def _sgd(after, moved, w, gw, velocity, rate, momentum, weight_decay):
    i = np.uint64(cuda.grid(1))
    if i < np.uint64(w.shape[0]):
        v = momentum * velocity[i] + gw[i] + weight_decay * w[i]
        moved[i] = v
        after[i] = w[i] - rate * v


def sgd(w: Any, gw: Any, velocity: Any, rate: float, momentum: float, weight_decay: float) -> tuple[DeviceArray, DeviceArray]:
    """Weights and velocity after a step; see the reference. Parallel over elements."""
    after, moved, real = empty(w.shape, w.dtype), empty(w.shape, w.dtype), w.dtype.type
    launch(_sgd, after.size, after, moved, resident(w), resident(gw), resident(velocity), real(rate), real(momentum), real(weight_decay))
    return after, moved
