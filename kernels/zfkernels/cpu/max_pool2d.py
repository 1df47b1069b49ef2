"""Max-pooling with switches, the gather at those switches, and unpooling, its adjoint."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.im2col import tap_offsets
from zfkernels.cpu.pool_rows import column_stride, lay_row, rows_of, store_row, together
from zfkernels.cpu.vectors import LANES, address, but_not, either, exceeds, hold, load, offset, select, splat, store, unordered
from zfkernels.geometry import Padding, Pair, pool_output_size

ADD, MAX, LAST = 0, 1, 2
COLLISIONS = {"add": ADD, "max": MAX, "last": LAST}


@njit(cache=True, forceinline=True)
def _beats(value, old, nans):
    """Where a later pixel takes the place of an earlier one: it is larger, or the first NaN."""
    return but_not(either(exceeds(value, old), unordered(value, value)), unordered(old, old)) if nans else exceeds(value, old)


@njit(cache=True, forceinline=True)
def _largest(laid, at, pitch, ih, ow, W, first, last, KW, nans, lowest, taps, runs, columns, lefts):
    """The maxima of the sixteen windows from column ow on, and their switches, less the columns by which they are apart.

    The rows ``first <= kh < last`` of the window are on the image. Where the caller writes their number and KW as literals, the
    loops are gone.
    """
    best = splat(lowest)
    where = load(lefts, ow) + splat(np.int32((ih + taps[first]) * W))  # of nothing but -inf the first pixel wins
    for kh in range(first, last):
        slot = at + (taps[kh] - taps[0]) * pitch + ow
        of_row, column = load(laid, slot + runs[0]), splat(columns[0])
        for kw in range(1, KW):
            value = load(laid, slot + runs[kw])
            wins = _beats(value, of_row, nans)
            of_row, column = select(wins, value, of_row), select(wins, splat(columns[kw]), column)
        wins = _beats(of_row, best, nans)
        best, where = select(wins, of_row, best), select(wins, column + splat(np.int32((ih + taps[kh]) * W)), where)
    return best, where


@njit(cache=True)
def _pool_plane(
    y, switches, laid, few, few_places, x, plane, planes, size, outputs, kernel_size, stride, strip, height, margin, pitch,
    lowest, taps, runs, ends, columns, lefts, steps,
):  # fmt: skip
    (H, W), (OH, OW), (KH, KW), (SH, SW) = size, outputs, kernel_size, stride
    end, total = (plane + 1) * OH * OW, planes * H * W
    for above in range(0, OH, strip):
        top = above * SH + taps[0]
        nans = False
        for ih in range(max(top, 0), min(top + height, H)):
            at, start = (ih - top) * SW * pitch + margin, (plane * H + ih) * W
            nans |= lay_row(laid, at, x, start, total, W, SW, pitch, ends, lowest)
        for oh in range(above, min(above + strip, OH)):
            slot, ih, first, last = (oh - above) * SH * SW * pitch, oh * SH, 0, KH
            while ih + taps[first] < 0:
                first += 1
            while ih + taps[last - 1] >= H:
                last -= 1
            plain = last - first == KH and not nans
            for block in range(0, OW, LANES):
                ow = max(min(block, OW - LANES), 0)  # the last block overlaps the one before
                if plain and KH == 3 and KW == 3:
                    best, where = _largest(laid, slot, SW * pitch, ih, ow, W, 0, 3, 3, False, lowest, taps, runs, columns, lefts)
                elif plain and KH == 2 and KW == 2:
                    best, where = _largest(laid, slot, SW * pitch, ih, ow, W, 0, 2, 2, False, lowest, taps, runs, columns, lefts)
                else:
                    best, where = _largest(
                        laid, slot, SW * pitch, ih, ow, W, first, last, KW, nans, lowest, taps, runs, columns, lefts
                    )  # fmt: skip
                at = (plane * OH + oh) * OW + ow
                store_row(y, at, best, end, few)
                store_row(switches, at, where + load(steps, ow), end, few_places)


@njit(parallel=True, cache=True)
def _max_pool2d(y, switches, x, planes, size, outputs, stride, rows, columns, lefts, steps):
    taps, runs, strip, height, margin, pitch, ends = rows
    lowest = x.dtype.type(-np.inf)
    chunk = together(planes)
    for task in prange((planes + chunk - 1) // chunk):
        laid = np.full(height * stride[1] * pitch, lowest)
        few, few_places = np.empty(LANES, x.dtype), np.empty(LANES, np.int32)
        for plane in range(task * chunk, min(task * chunk + chunk, planes)):
            _pool_plane(
                address(y), address(switches), address(laid), address(few), address(few_places), address(x), plane, planes,
                size, outputs, (taps.shape[0], runs.shape[0]), stride, strip, height, margin, pitch, lowest,
                address(taps), address(runs), address(ends), address(columns), address(lefts), address(steps),
            )  # fmt: skip
        hold(laid)
        hold(few)
        hold(few_places)


@lru_cache
def _columns(outputs: int, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of a window's taps from ow*SW on, for each output the first of them that is a pixel, and ow*SW; int32."""
    columns = tap_offsets(kernel_size, padding, dilation)[1].astype(np.int32)
    steps = np.arange(-(-outputs // LANES) * LANES, dtype=np.int32) * np.int32(stride[1])
    met = columns[:, None] + steps >= 0
    return frozen(columns), frozen(columns[met.argmax(axis=0)]), frozen(steps)


def max_pool2d(
    x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The largest pixel of each window, and where it was; see the reference. Parallel over planes."""
    N, C, H, W = x.shape
    OH, OW = pool_output_size((H, W), kernel_size, stride, padding, dilation, ceil_mode)
    y, switches = empty((N, C, OH, OW), x.dtype), empty((N, C, OH, OW), np.int32)
    stride = column_stride(stride, (OH, OW))
    rows = rows_of(W, (OH, OW), kernel_size, stride, padding, dilation)
    columns = _columns(OW, kernel_size, stride, padding, dilation)
    _max_pool2d(
        y.reshape(-1), switches.reshape(-1), frozen(x).reshape(-1), N * C, (H, W), (OH, OW), stride, tuple(rows),
        *columns,
    )  # fmt: skip
    return y, switches


@njit(parallel=True, cache=True)
def _gather(y, x, switches):
    for plane in prange(y.shape[0]):
        for p in range(y.shape[1]):
            y[plane, p] = x[plane, switches[plane, p]]


def max_pool2d_gather(x: np.ndarray, switches: np.ndarray) -> np.ndarray:
    """Pick the pixels that the switches name; see the reference. Parallel over planes."""
    N, C, OH, OW = switches.shape
    y = empty((N, C, OH, OW), x.dtype)
    planes = frozen(x).reshape(N * C, x.shape[2] * x.shape[3])
    _gather(y.reshape(N * C, OH * OW), planes, frozen(switches).reshape(N * C, OH * OW))
    return y


@njit(cache=True)
def _put_back(x, size, y, switches, count, collisions, zero):
    """One plane; it stays in the cache between its zeros and its signals. By selection: what a signal is, no branch foresees."""
    zeros = splat(zero)
    for i in range(0, size - LANES + 1, LANES):
        store(x, i, zeros)
    for i in range(size - size % LANES, size):
        x[i] = zero
    if collisions == ADD:
        for p in range(count):
            x[switches[p]] += y[p]
    elif collisions == MAX:
        for p in range(count):
            value, old = y[p], x[switches[p]]
            larger = (old == old) & (not value <= old)  # a NaN stays
            x[switches[p]] = value if (value != 0) & ((old == 0) | larger) else old
    else:
        for p in range(count):
            value, old = y[p], x[switches[p]]
            x[switches[p]] = value if value != 0 else old


@njit(parallel=True, cache=True)
def _unpool(x, y, switches, collisions):
    planes, size = x.shape
    count = y.shape[1]
    for plane in prange(planes):
        _put_back(
            offset(address(x), plane * size), size, offset(address(y), plane * count), offset(address(switches), plane * count),
            count, collisions, x.dtype.type(0),
        )  # fmt: skip


def max_unpool2d(y: np.ndarray, switches: np.ndarray, output_size: Pair, collisions: str) -> np.ndarray:
    """Put every element back where its switch says; see the reference. Parallel over planes, in order within one."""
    N, C, OH, OW = y.shape
    x = empty((N, C, *output_size), y.dtype)
    planes, places = x.reshape(N * C, output_size[0] * output_size[1]), (N * C, OH * OW)
    _unpool(planes, frozen(y).reshape(places), frozen(switches).reshape(places), COLLISIONS[collisions])
    return x
