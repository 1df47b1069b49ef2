"""Max-pooling with switches, the gather at those switches, and unpooling, its adjoint."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.im2col import span, tap_offsets
from zfkernels.geometry import Padding, Pair, pool_output_size

COLLISIONS = {"add": 0, "max": 1, "last": 2}


@njit(parallel=True, cache=True)
def _max_pool2d(y, switches, x, rows, columns, stride):
    H, W = x.shape[1:]
    OH, OW = y.shape[1:]
    SH, SW = stride
    KH, KW = rows.shape[0], columns.shape[0]
    lowest = x.dtype.type(-np.inf)
    for plane in prange(x.shape[0]):
        for oh in range(OH):
            best, switch = y[plane, oh], switches[plane, oh]
            best[:] = lowest
            switch[:] = -1
            for kh in range(KH):
                ih = oh * SH + rows[kh]
                if ih < 0 or ih >= H:
                    continue
                for kw in range(KW):
                    column = columns[kw]
                    low, high = span(W, OW, SW, column)
                    first = low * SW + column
                    pixels, large, where = x[plane, ih, first::SW], best[low:high], switch[low:high]
                    # One tap against the whole row, by selection instead of branches, so that it runs in vectors.
                    for ow in range(large.shape[0]):
                        value, old = pixels[ow], large[ow]
                        # It is larger, or the first NaN, or the first pixel.
                        wins = (not value <= old and old == old) or where[ow] < 0
                        large[ow] = value if wins else old
                        where[ow] = np.int32(ih * W + first + ow * SW) if wins else where[ow]


def max_pool2d(
    x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The largest pixel of each window, and where it was; see the reference. Parallel over planes."""
    N, C, H, W = x.shape
    OH, OW = pool_output_size((H, W), kernel_size, stride, padding, dilation, ceil_mode)
    y, switches = np.empty((N, C, OH, OW), x.dtype), np.empty((N, C, OH, OW), np.int32)
    rows, columns = tap_offsets(kernel_size, padding, dilation)
    planes = (N * C, OH, OW)
    _max_pool2d(y.reshape(planes), switches.reshape(planes), frozen(x).reshape(N * C, H, W), rows, columns, stride)
    return y, switches


@njit(parallel=True, cache=True)
def _gather(y, x, switches):
    for plane in prange(y.shape[0]):
        for p in range(y.shape[1]):
            y[plane, p] = x[plane, switches[plane, p]]


def max_pool2d_gather(x: np.ndarray, switches: np.ndarray) -> np.ndarray:
    """Pick the pixels that the switches name; see the reference. Parallel over planes."""
    N, C, OH, OW = switches.shape
    y = np.empty((N, C, OH, OW), x.dtype)
    planes = frozen(x).reshape(N * C, x.shape[2] * x.shape[3])
    _gather(y.reshape(N * C, OH * OW), planes, frozen(switches).reshape(N * C, OH * OW))
    return y


@njit(parallel=True, cache=True)
def _scatter(x, y, switches, collisions):
    for plane in prange(y.shape[0]):
        target = x[plane]
        for p in range(y.shape[1]):
            place, value = switches[plane, p], y[plane, p]
            if value == 0:
                continue
            old = target[place]
            if collisions == 0:
                target[place] = old + value
            elif collisions == 2 or old == 0 or (old == old and not value <= old):  # "max" keeps a NaN
                target[place] = value


def max_unpool2d(y: np.ndarray, switches: np.ndarray, output_size: Pair, collisions: str) -> np.ndarray:
    """Put every element back where its switch says; see the reference. Parallel over planes, in order within one."""
    N, C, OH, OW = y.shape
    x = np.zeros((N, C, *output_size), y.dtype)
    planes, places = x.reshape(N * C, output_size[0] * output_size[1]), (N * C, OH * OW)
    _scatter(planes, frozen(y).reshape(places), frozen(switches).reshape(places), COLLISIONS[collisions])
    return x
