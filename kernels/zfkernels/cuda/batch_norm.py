"""Batch normalisation at inference: a fixed scale and shift of every map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, empty, filled, resident
from zfkernels.cuda.device import launch_blocks
from zfkernels.cuda.elementwise import EACH
from zfkernels.cuda.maps import covering, extents


@cuda.jit(cache=True)
def _batch_norm(y, x, mean, var, weight, bias, eps, N, C, P):
    c = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    if c >= C:
        return
    scale, centre, shift = weight[c] / math.sqrt(var[c] + eps), mean[c], bias[c]
    step = np.uint64(cuda.blockDim.x)
    p = np.uint64(cuda.blockIdx.x) * step * np.uint64(EACH) + np.uint64(cuda.threadIdx.x)
    n = cuda.blockIdx.z
    while n < N:
        end = np.uint64((n * C + c + 1) * P)
        i = np.uint64((n * C + c) * P) + p
        i1, i2, i3 = i + step, i + step + step, i + step + step + step
        if i3 < end:
            x0, x1, x2, x3 = x[i], x[i1], x[i2], x[i3]
            y[i] = (x0 - centre) * scale + shift
            y[i1] = (x1 - centre) * scale + shift
            y[i2] = (x2 - centre) * scale + shift
            y[i3] = (x3 - centre) * scale + shift
        else:
            while i < end:
                y[i] = (x[i] - centre) * scale + shift
                i += step
        n += cuda.gridDim.z


def batch_norm(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> DeviceArray:
    """``y = (x - mean) * weight / sqrt(var + eps) + bias`` of every map; see the reference. Parallel over elements."""
    y = empty(x.shape, x.dtype)
    if y.size:
        arrays = map(resident, (x, mean, var, weight, bias))
        launch_blocks(_batch_norm, *covering(x.shape, EACH), y, *arrays, x.dtype.type(eps), *extents(x.shape))
    return y


def batch_norm_adjoint_x(gy: Any, var: Any, weight: Any, eps: float) -> DeviceArray:
    """``gx = gy * weight / sqrt(var + eps)`` of every map; see the reference. Parallel over elements."""
    none = filled(var.shape, gy.dtype)
    return batch_norm(gy, none, var, weight, none, eps)
