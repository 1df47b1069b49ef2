"""Kernels of functions of one element: every thread has a few of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import launch

#: Elements of a thread, a block's width apart. They are loaded together: one at a time, the memory would wait for the threads.
EACH = 4


def elementwise(function: Callable[[Any, Any, Any, Any], Any]) -> Callable[..., DeviceArray]:
    """The function of whole arrays ``(a, b, *numbers) -> y`` that is this one of elements, ``y[i] = function(i, a[i], b[i], numbers)``.

    `a` and `b` are of one shape; what takes only one array gets it twice, and what it does not look at is not loaded.
    The position i, in the flat array, is uint64.
    The function had better choose than branch (``&`` and ``|``): a load behind a branch comes late.
    """
    of_element = cuda.jit(device=True)(function)

    def kernel(y, a, b, numbers):
        # unsigned: what cannot be negative is not looked at from the other end
        step = np.uint64(cuda.blockDim.x)
        i = np.uint64(cuda.blockIdx.x) * step * np.uint64(EACH) + np.uint64(cuda.threadIdx.x)
        i1, i2, i3, n = i + step, i + step + step, i + step + step + step, np.uint64(y.shape[0])
        if i3 < n:
            a0, a1, a2, a3 = a[i], a[i1], a[i2], a[i3]
            b0, b1, b2, b3 = b[i], b[i1], b[i2], b[i3]
            y[i] = of_element(i, a0, b0, numbers)
            y[i1] = of_element(i1, a1, b1, numbers)
            y[i2] = of_element(i2, a2, b2, numbers)
            y[i3] = of_element(i3, a3, b3, numbers)
        else:
            while i < n:
                y[i] = of_element(i, a[i], b[i], numbers)
                i += step

    kernel.__module__, kernel.__qualname__ = function.__module__, function.__qualname__  # by these profilers and Numba's cache know it
    compiled = cuda.jit(cache=True)(kernel)

    def of_arrays(a: Any, b: Any, *numbers: Any) -> DeviceArray:
        y, first = empty(a.shape, a.dtype), resident(a)
        launch(compiled, -(-y.size // EACH), y, first, first if b is a else resident(b), numbers)
        return y

    return of_arrays
