"""Average pooling and its adjoint."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.im2col import span, tap_offsets
from zfkernels.geometry import Axis, Padding, Pair, axes, pool_output_size


def _counts(axis: Axis, outputs: int, count_include_pad: bool) -> np.ndarray:
    """Taps of every window that the average divides by: those on the padded image, or on the image alone."""
    first = np.arange(outputs) * axis.stride - axis.before
    if count_include_pad:
        return np.minimum(first + axis.kernel, axis.size + axis.after) - first
    return np.minimum(first + axis.kernel, axis.size) - np.maximum(first, 0)


def _divisors(window: tuple[Axis, Axis], size: Pair, count_include_pad: bool, divisor_override: int | None, dtype: np.dtype) -> np.ndarray:
    """What every window's sum is divided by, (OH, OW)."""
    if divisor_override:
        return frozen(np.full(size, divisor_override, dtype))
    counts = (_counts(axis, outputs, count_include_pad) for axis, outputs in zip(window, size, strict=True))
    return frozen(np.outer(*counts).astype(dtype))


@njit(parallel=True, cache=True)
def _average(y, x, divisors, rows, columns, stride):
    H, W = x.shape[1:]
    OH, OW = y.shape[1:]
    SH, SW = stride
    for plane in prange(x.shape[0]):
        for oh in range(OH):
            total = y[plane, oh]
            total[:] = y.dtype.type(0)
            for kh in range(rows.shape[0]):
                ih = oh * SH + rows[kh]
                if ih < 0 or ih >= H:
                    continue
                for kw in range(columns.shape[0]):
                    low, high = span(W, OW, SW, columns[kw])
                    pixels, sums = x[plane, ih, low * SW + columns[kw] :: SW], total[low:high]
                    for ow in range(sums.shape[0]):
                        sums[ow] += pixels[ow]
            for ow in range(OW):
                total[ow] /= divisors[oh, ow]


def avg_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """The mean of each window; see the reference. Parallel over planes."""
    N, C, H, W = x.shape
    OH, OW = pool_output_size((H, W), kernel_size, stride, padding, (1, 1), ceil_mode)
    window = axes((H, W), kernel_size, stride, padding)
    divisors = _divisors(window, (OH, OW), count_include_pad, divisor_override, x.dtype)
    rows, columns = tap_offsets(kernel_size, padding, (1, 1))
    y = np.empty((N, C, OH, OW), x.dtype)
    _average(y.reshape(N * C, OH, OW), frozen(x).reshape(N * C, H, W), divisors, rows, columns, stride)
    return y


@njit(parallel=True, cache=True)
def _spread(gx, gy, divisors, rows, columns, stride):
    H, W = gx.shape[1:]
    OH, OW = gy.shape[1:]
    SH, SW = stride
    for plane in prange(gx.shape[0]):
        share = np.empty(OW, gx.dtype)
        for oh in range(OH):
            for ow in range(OW):
                share[ow] = gy[plane, oh, ow] / divisors[oh, ow]
            for kh in range(rows.shape[0]):
                ih = oh * SH + rows[kh]
                if ih < 0 or ih >= H:
                    continue
                # The last tap first: a pixel then gathers its windows from left to right, as the reference does.
                for kw in range(columns.shape[0] - 1, -1, -1):
                    low, high = span(W, OW, SW, columns[kw])
                    pixels, shares = gx[plane, ih, low * SW + columns[kw] :: SW], share[low:high]
                    for ow in range(shares.shape[0]):
                        pixels[ow] += shares[ow]


def avg_pool2d_adjoint_x(
    gy: np.ndarray,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """Spread every element evenly over its window; see the reference. Parallel over planes."""
    N, C, OH, OW = gy.shape
    window = axes(input_size, kernel_size, stride, padding)
    divisors = _divisors(window, (OH, OW), count_include_pad, divisor_override, gy.dtype)
    rows, columns = tap_offsets(kernel_size, padding, (1, 1))
    gx = np.zeros((N, C, *input_size), gy.dtype)
    _spread(gx.reshape(N * C, *input_size), frozen(gy).reshape(N * C, OH, OW), divisors, rows, columns, stride)
    return gx
