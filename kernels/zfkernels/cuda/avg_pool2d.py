"""Average pooling and its adjoint."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda, from_dtype

from zfkernels.cache import kept_by_source
from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import THREADS, launch
from zfkernels.cuda.im2col import taps_on
from zfkernels.cuda.indices import divisor, element, launch_lines, launch_planes, quotient
from zfkernels.cuda.max_pool2d import MANY
from zfkernels.geometry import Padding, Pair, pool_output_size


@cuda.jit(device=True)
def _counted(first, size, kernel, after, count_include_pad):
    """Taps of a window that the average divides by: those on the padded image, or on the image alone."""
    return min(first + kernel, size + after) - first if count_include_pad else min(first + kernel, size) - max(first, 0)


@cuda.jit(device=True)
def _divisor(ih, iw, size, kernel_size, behind, count_include_pad, divisor_override):
    """What the sum of the window at (ih, iw) is divided by."""
    if divisor_override > 0:
        return divisor_override
    rows = _counted(ih, size[0], kernel_size[0], behind[0], count_include_pad)
    return rows * _counted(iw, size[1], kernel_size[1], behind[1], count_include_pad)


@lru_cache
@kept_by_source()
def _averaging(KH: int, KW: int) -> Any:
    """A kernel for windows of so many taps: the loops over them are gone, and their places in a row are constants of its loads."""

    @cuda.jit(cache=True)
    def average(y, x, size, outputs, stride, start, behind, count_include_pad, divisor_override, by_width):
        plane, p = cuda.blockIdx.x, element()
        (H, W), (OH, OW) = size, outputs
        if p < OH * OW:
            oh = quotient(p, by_width)
            ih, iw = oh * stride[0] + start[0], (p - oh * OW) * stride[1] + start[1]
            corner, total = (plane * H + ih) * W + iw, x.dtype.type(0)
            if 0 <= ih and ih + KH <= H and 0 <= iw and iw + KW <= W:
                for kh in range(KH):
                    for kw in range(KW):
                        total += x[np.uint64(corner + kh * W + kw)]
            else:
                for kh in range(max(-ih, 0), min(H - ih, KH)):
                    for kw in range(max(-iw, 0), min(W - iw, KW)):
                        total += x[corner + kh * W + kw]
            taps = _divisor(ih, iw, size, (KH, KW), behind, count_include_pad, divisor_override)
            y[plane * OH * OW + p] = total / x.dtype.type(taps)

    return average


@lru_cache
@kept_by_source()
def _summing(dtype: np.dtype) -> Any:
    """A kernel for large windows: the threads of a line add up one together, each its share, and then these pair by pair."""
    number = from_dtype(dtype)

    @cuda.jit(cache=True)
    def add_up(y, x, size, outputs, kernel_size, stride, start, behind, count_include_pad, divisor_override):
        sums = cuda.shared.array(THREADS, number)
        lane, lanes = cuda.threadIdx.x, cuda.blockDim.x
        me, window = cuda.threadIdx.y * lanes + lane, cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
        (H, W), (OH, OW) = size, outputs
        row = window // OW
        plane = row // OH
        ih, iw = (row - plane * OH) * stride[0] + start[0], (window - row * OW) * stride[1] + start[1]
        total = x.dtype.type(0)
        if window < y.shape[0]:
            (kh, high_h), (low_w, high_w) = taps_on(ih, H, kernel_size[0], 1), taps_on(iw, W, kernel_size[1], 1)
            width = high_w - low_w
            down = lanes // width  # a thread's next tap is so many rows down, and the rest to the right
            right = lanes - down * width
            kh, kw = kh + lane // width, lane % width
            while kh < high_h:
                total += x[np.uint64((plane * H + ih + kh) * W + iw + low_w + kw)]
                kh += down
                kw += right
                if kw >= width:
                    kw -= width
                    kh += 1
        sums[me] = total
        half = lanes // 2
        while half > 0:
            cuda.syncthreads()
            if lane < half:
                sums[me] += sums[me + half]
            half //= 2
        if lane == 0 and window < y.shape[0]:
            y[window] = sums[me] / x.dtype.type(_divisor(ih, iw, size, kernel_size, behind, count_include_pad, divisor_override))

    return add_up


def avg_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> DeviceArray:
    """The mean of each window; see the reference. A thread for every window, a line of them if it is large."""
    N, C, H, W = x.shape
    OH, OW = pool_output_size((H, W), kernel_size, stride, padding, (1, 1), ceil_mode)
    y = empty((N, C, OH, OW), x.dtype)
    (top, bottom), (left, right) = padding
    window = stride, (-top, -left), (bottom, right), count_include_pad, divisor_override or 0
    taps = kernel_size[0] * kernel_size[1]
    if taps < MANY:
        launch_planes(_averaging(*kernel_size), N * C, OH * OW, y, resident(x), (H, W), (OH, OW), *window, divisor(OW))
    else:
        launch_lines(_summing(x.dtype), y.size, taps, y, resident(x), (H, W), (OH, OW), kernel_size, *window)
    return y


ROWS = 8
"""Pixels below each other that are one thread's: it looks up once which windows hold its column."""


@cuda.jit(cache=True)
def _share(shares, gy, size, outputs, kernel_size, stride, start, behind, count_include_pad, divisor_override):
    i = cuda.grid(1)
    if i < gy.shape[0]:
        OH, OW = outputs
        row = i // OW
        ih, iw = row % OH * stride[0] + start[0], (i - row * OW) * stride[1] + start[1]
        shares[i] = gy[i] / gy.dtype.type(_divisor(ih, iw, size, kernel_size, behind, count_include_pad, divisor_override))


@cuda.jit(cache=True)
def _spread(gx, shares, size, outputs, kernel_size, stride, corner, by_width, taps):
    plane, i = cuda.blockIdx.x, element()
    (H, W), (OH, OW), (KH, KW), (SH, SW) = size, outputs, kernel_size, stride
    if i < (H + ROWS - 1) // ROWS * W:
        strip = quotient(i, by_width)
        first, iw = strip * ROWS, i - strip * W
        # The windows ow*SW - left <= iw < ow*SW - left + KW, and so with rows, whose bounds move on by one every SH rows.
        low_w, high_w = max((iw + corner[1] - KW + SW) // SW, 0), min((iw + corner[1]) // SW + 1, OW)
        low, high = (first + corner[0] - KH + SH) // SH, (first + corner[0] + SH) // SH
        rest_low, rest_high = first + corner[0] - KH + SH - low * SH, first + corner[0] + SH - high * SH
        for ih in range(first, min(first + ROWS, H)):
            total = shares.dtype.type(0)
            for oh in range(max(low, 0), min(high, OH)):
                for ow in range(low_w, high_w):
                    total += shares[np.uint64((plane * OH + oh) * OW + ow)]
            gx[np.uint64((plane * H + ih) * W + iw)] = total / taps
            rest_low += 1
            if rest_low == SH:
                rest_low = 0
                low += 1
            rest_high += 1
            if rest_high == SH:
                rest_high = 0
                high += 1


def avg_pool2d_adjoint_x(
    gy: Any,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> DeviceArray:
    """Spread every element evenly over its window; see the reference. A thread gathers what belongs to some pixels below each other."""
    (N, C, OH, OW), (H, W) = gy.shape, input_size
    shares, gx = resident(gy), empty((N, C, H, W), gy.dtype)
    (top, bottom), (left, right) = padding
    ends = (H + bottom, W + right) if count_include_pad else (H, W)
    taps = divisor_override or _taps_of_all((OH, OW), ends, kernel_size, stride, (top, left), count_include_pad)
    if not taps:
        shares, whole = empty(gy.shape, gy.dtype), shares
        window = stride, (-top, -left), (bottom, right), count_include_pad, 0
        launch(_share, gy.size, shares, whole, (H, W), (OH, OW), kernel_size, *window)
    geometry = (H, W), (OH, OW), kernel_size, stride, (top, left), divisor(W), gy.dtype.type(taps or 1)
    launch_planes(_spread, N * C, -(-H // ROWS) * W, gx, shares, *geometry)
    return gx


def _taps_of_all(outputs: Pair, ends: Pair, kernel_size: Pair, stride: Pair, before: Pair, count_include_pad: bool) -> int:
    """What every window's average was divided by, if none reaches beyond what is counted; else 0."""
    lasts = [(n - 1) * step - first for n, step, first in zip(outputs, stride, before, strict=True)]
    within = all(last + taps <= end for last, taps, end in zip(lasts, kernel_size, ends, strict=True))
    return kernel_size[0] * kernel_size[1] if within and (count_include_pad or not any(before)) else 0
