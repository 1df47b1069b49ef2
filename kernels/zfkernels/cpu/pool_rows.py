"""Image rows laid out for pooling windows, so that each tap meets sixteen outputs in sixteen neighbouring numbers.

A row of x is split by the remainder of its columns on division by the stride, with padding on both sides; the outputs
ow, ow + 1, ... then find what they have under one tap side by side. The rows of a few rows of outputs, a strip, are laid out at
a time: they stay in the first-level cache, and are not read while they are still on their way there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.im2col import tap_offsets
from zfkernels.cpu.vectors import LANES, anywhere, either, evens, load, odds, splat, store, unordered
from zfkernels.geometry import Padding, Pair


class Rows(NamedTuple):
    """How rows are laid out.

    Parameters
    ----------
    taps : int64 (KH,)
        Rows of the window, counted from oh*SH.
    runs : int64 (KW,)
        Where in a laid out row each column of the window finds its output 0.
    strip : int
        Rows of outputs.
    rows : int
        Rows under a strip.
    margin : int
        Numbers of padding before each remainder's pixels.
    pitch : int
        Numbers of one remainder, padding included.
    ends : int64 (SW,)
        How many pixels each remainder has.
    """

    taps: np.ndarray
    runs: np.ndarray
    strip: int
    rows: int
    margin: int
    pitch: int
    ends: np.ndarray


@lru_cache
def rows_of(width: int, outputs: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Rows:
    """The layout of rows of `width` pixels under windows with `outputs` positions."""
    taps, columns = tap_offsets(kernel_size, padding, dilation)
    shifts, remainders = np.divmod(columns, stride[1])
    margin = int(max(0, -shifts[0]))
    blocks = -(-outputs[1] // LANES) * LANES
    pitch = margin + max(int(shifts[-1]) + blocks, -(-width // stride[1]) + LANES)
    span = int(taps[-1] - taps[0]) + 1
    room = 4096 // (pitch * stride[1])  # 16 KiB of float32, a third of a first-level cache
    strip = min(max((room - span) // stride[0] + 1, 1), outputs[0])
    ends = frozen((width - np.arange(stride[1]) + stride[1] - 1) // stride[1])
    return Rows(taps, frozen(remainders * pitch + margin + shifts), strip, (strip - 1) * stride[0] + span, margin, pitch, ends)


def column_stride(stride: Pair, outputs: Pair) -> Pair:
    """The stride; 1 along rows with a single output, where any is right and rows need not be split."""
    return stride if outputs[1] > 1 else (stride[0], 1)


@njit(cache=True)
def together(planes):
    """Planes that share a task and its memory: so few that many threads have tasks."""
    return max(min(planes // 32, 8), 1)


@njit(cache=True)
def lay_row(laid, at, x, start, size, width, stride, pitch, ends, beyond):
    """Split the row ``x[start : start + width]``, of `size` numbers in all, from `at` on; whether it holds a NaN.

    `beyond` fills what lies behind its end.
    """
    lost = unordered(splat(beyond), splat(beyond))
    if stride <= 2 and start + width + 2 * LANES <= size:  # vectors reach over the row's end, not over the array's
        if stride == 1:
            for i in range(0, width, LANES):
                low = load(x, start + i)
                lost = either(lost, unordered(low, low))
                store(laid, at + i, low)
        else:
            for i in range(0, width, 2 * LANES):
                low, high = load(x, start + i), load(x, start + i + LANES)
                lost = either(lost, unordered(low, high))
                store(laid, at + i // 2, evens(low, high))
                store(laid, at + pitch + i // 2, odds(low, high))
    else:
        for i in range(width):
            lost = either(lost, unordered(splat(x[start + i]), splat(beyond)))
            laid[at + i % stride * pitch + i // stride] = x[start + i]
    for remainder in range(stride):
        store(laid, at + remainder * pitch + ends[remainder], splat(beyond))
    return anywhere(lost)


@njit(cache=True, forceinline=True)
def store_row(y, at, vector, end, few):
    """Store a vector at the flat index `at`, but nothing from `end` on; `few` is a place for sixteen numbers."""
    if at + LANES <= end:
        store(y, at, vector)
    else:
        store(few, 0, vector)
        for i in range(end - at):
            y[at + i] = few[i]
