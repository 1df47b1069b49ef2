"""Windows of maps, one for each of some units: cut out, laid down, patched, and switches counted from a window's corner."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.indices import divisor, element, launch_planes, quotient
from zfkernels.geometry import Pair


@cuda.jit(cache=True)
def _cut(y, x, images, low, channels, window, size, by_channels, by_width):
    plane, p = cuda.blockIdx.x, element()
    (h, w), (H, W) = window, size
    b = quotient(plane, by_channels)
    top, left, of = low[2 * b], low[2 * b + 1], images[b] * channels + plane - b * channels
    if p < h * w:
        i = quotient(p, by_width)
        ih, iw = top + i, left + p - i * w
        if 0 <= ih and ih < H and 0 <= iw and iw < W:
            y[plane * h * w + p] = x[(of * H + ih) * W + iw]
        else:
            y[plane * h * w + p] = x.dtype.type(0)


def cut_windows(x: Any, images: Any, low: Any, size: Pair) -> DeviceArray:
    """Of each unit's image the window that begins at `low`; see the reference. A thread for every pixel of the windows."""
    (_, C, H, W), B, (h, w) = x.shape, len(low), size
    y = empty((B, C, h, w), x.dtype)
    launch_planes(_cut, B * C, h * w, y, resident(x), resident(images), resident(low), C, (h, w), (H, W), divisor(C), divisor(w))
    return y


@cuda.jit(cache=True)
def _place(x, y, low, channels, window, size, by_channels, by_width):
    plane, p = cuda.blockIdx.x, element()
    (h, w), (H, W) = window, size
    b = quotient(plane, by_channels)
    top, left = low[2 * b], low[2 * b + 1]
    if p < H * W:
        ih = quotient(p, by_width)
        i, j = ih - top, p - ih * W - left
        if 0 <= i and i < h and 0 <= j and j < w:
            x[plane * H * W + p] = y[(plane * h + i) * w + j]
        else:
            x[plane * H * W + p] = y.dtype.type(0)


def place_windows(y: Any, low: Any, output_size: Pair) -> DeviceArray:
    """Maps of zeros, with each unit's window laid over its own; see the reference. A thread for every pixel of the maps."""
    (B, C, h, w), (H, W) = y.shape, output_size
    x = empty((B, C, H, W), y.dtype)
    launch_planes(_place, B * C, H * W, x, resident(y), resident(low), C, (h, w), (H, W), divisor(C), divisor(W))
    return x


@cuda.jit(cache=True)
def _patch(y, image, patch, at, low, fill, channels, window, size, patch_size, by_channels, by_width):
    plane, p = cuda.blockIdx.x, element()
    (h, w), (H, W), (KH, KW) = window, size, patch_size
    b = quotient(plane, by_channels)
    c, top, left, first_row, first_column = plane - b * channels, low[2 * b], low[2 * b + 1], at[2 * b], at[2 * b + 1]
    if p < h * w:
        i = quotient(p, by_width)
        ih, iw = top + i, left + p - i * w
        kh, kw = ih - first_row, iw - first_column
        if ih < 0 or ih >= H or iw < 0 or iw >= W:
            y[plane * h * w + p] = fill
        elif 0 <= kh and kh < KH and 0 <= kw and kw < KW:
            y[plane * h * w + p] = patch[(plane * KH + kh) * KW + kw]
        else:
            y[plane * h * w + p] = image[(c * H + ih) * W + iw]


def patch_windows(image: Any, patch: Any, at: Any, low: Any, size: Pair, fill: float) -> DeviceArray:
    """Windows of one image's maps, with each unit's patch laid over them; see the reference. A thread for every pixel of the windows."""
    (_, C, H, W), (B, _, KH, KW), (h, w) = image.shape, patch.shape, size
    y = empty((B, C, h, w), image.dtype)
    arrays = resident(image), resident(patch), resident(at), resident(low)
    launch_planes(_patch, B * C, h * w, y, *arrays, image.dtype.type(fill), C, (h, w), (H, W), (KH, KW), divisor(C), divisor(w))
    return y


@cuda.jit(cache=True)
def _rebase(rebased, switches, low, channels, count, width, narrow, by_channels, by_width):
    plane, p = cuda.blockIdx.x, element()
    b = quotient(plane, by_channels)
    corner = low[2 * b] * narrow + low[2 * b + 1]
    if p < count:
        place = switches[plane * count + p]
        rebased[plane * count + p] = quotient(place, by_width) * (narrow - width) + place - corner  # each row is shorter


def rebase_switches(switches: Any, width: int, low: Any, narrow: int) -> DeviceArray:
    """Switches of a map as switches of the part of it that is each unit's window; see the reference. A thread for every switch."""
    B, C, OH, OW = switches.shape
    rebased = empty(switches.shape, np.int32)
    arrays = rebased, resident(switches), resident(low)
    launch_planes(_rebase, B * C, OH * OW, *arrays, C, OH * OW, width, narrow, divisor(C), divisor(width))
    return rebased
