"""Windows of maps, one for each of some units: cut out, laid down, patched, and switches counted from a window's corner."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.geometry import Pair


@njit(cache=True)
def _meeting(low, size, width):
    """Half-open range of a window's rows or columns, of `size`, that lie on a map of `width`."""
    first = min(max(-low, 0), size)
    return first, max(min(width - low, size), first)


@njit(cache=True)
def _cut_plane(y, x, top, left, fill):
    (h, w), (H, W) = y.shape, x.shape
    first, last = _meeting(left, w, W)
    for i in range(h):
        ih, row = top + i, y[i]
        if 0 <= ih < H:
            row[:first] = fill
            # Views that begin at the first pixel: an index that could be negative would keep LLVM from using vectors.
            here, there = row[first:last], x[ih, left + first : left + last]
            for j in range(here.shape[0]):
                here[j] = there[j]
            row[last:] = fill
        else:
            row[:] = fill


@njit(parallel=True, cache=True)
def _cut(y, x, images, low):
    B, C = y.shape[:2]
    for plane in prange(B * C):
        b, c = plane // C, plane % C
        _cut_plane(y[b, c], x[images[b], c], low[b, 0], low[b, 1], x.dtype.type(0))


def cut_windows(x: np.ndarray, images: np.ndarray, low: np.ndarray, size: Pair) -> np.ndarray:
    """Of each unit's image the window that begins at `low`; see the reference. Parallel over units and channels."""
    y = empty((len(low), x.shape[1], *size), x.dtype)
    _cut(y, frozen(x), frozen(images), frozen(low))
    return y


def place_windows(y: np.ndarray, low: np.ndarray, output_size: Pair) -> np.ndarray:
    """Maps of zeros, with each unit's window laid over its own; see the reference. Parallel over units and channels."""
    return cut_windows(y, np.arange(len(y)), -low, output_size)  # from the window the map is seen as a window, too


@njit(parallel=True, cache=True)
def _patch(y, image, patch, at, low, fill):
    B, C = y.shape[:2]
    for plane in prange(B * C):
        b, c = plane // C, plane % C
        _cut_plane(y[b, c], image[0, c], low[b, 0], low[b, 1], fill)
        top, left = at[b, 0] - low[b, 0], at[b, 1] - low[b, 1]
        rows, columns = _meeting(top, patch.shape[2], y.shape[2]), _meeting(left, patch.shape[3], y.shape[3])
        for kh in range(rows[0], rows[1]):
            here = y[b, c, top + kh, left + columns[0] : left + columns[1]]
            there = patch[b, c, kh, columns[0] : columns[1]]
            for j in range(here.shape[0]):
                here[j] = there[j]


def patch_windows(image: np.ndarray, patch: np.ndarray, at: np.ndarray, low: np.ndarray, size: Pair, fill: float) -> np.ndarray:
    """Windows of one image's maps, with each unit's patch laid over them; see the reference. Parallel over units and channels."""
    y = empty((*patch.shape[:2], *size), image.dtype)
    _patch(y, frozen(image), frozen(patch), frozen(at), frozen(low), image.dtype.type(fill))
    return y


@njit(parallel=True, cache=True)
def _rebase(rebased, switches, width, low, narrow):
    B, C, count = switches.shape
    reciprocal = 1 / width
    for plane in prange(B * C):
        b, c = plane // C, plane % C
        corner, of, to = low[b, 0] * narrow + low[b, 1], switches[b, c], rebased[b, c]
        for p in range(count):
            ih = np.int32(np.floor((of[p] + 0.5) * reciprocal))  # exact, and vectors can do it; division they cannot
            to[p] = ih * (narrow - width) + of[p] - corner  # each row is shorter by what the window leaves out


def rebase_switches(switches: np.ndarray, width: int, low: np.ndarray, narrow: int) -> np.ndarray:
    """Switches of a map as switches of the part of it that is each unit's window; see the reference. Parallel over units and channels."""
    B, C, OH, OW = switches.shape
    rebased = empty(switches.shape, np.int32)
    _rebase(rebased.reshape(B, C, OH * OW), frozen(switches).reshape(B, C, OH * OW), width, frozen(low), narrow)
    return rebased
