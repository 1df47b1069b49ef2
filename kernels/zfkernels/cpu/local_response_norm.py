"""Local response normalisation across maps."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import frozen


@njit(cache=True, fastmath={"contract"})
def _scales(s, x, n, c, first, size, alpha, k):
    """``s[p] = k + alpha * sum of x[n, j, first + p]**2`` over the maps j of the window of c."""
    s[:] = s.dtype.type(0)
    for j in range(max(0, c - size // 2), min(x.shape[1], c + (size - 1) // 2 + 1)):
        line = x[n, j, first : first + s.shape[0]]
        for p in range(s.shape[0]):
            s[p] += line[p] * line[p]
    for p in range(s.shape[0]):
        s[p] = k + alpha * s[p]


@njit(parallel=True, cache=True)
def _local_response_norm(y, x, size, alpha, beta, k, tile):
    N, C, P = x.shape
    tiles = -(-P // tile)
    for task in prange(N * tiles):
        n, first = task // tiles, task % tiles * tile
        s = np.empty(min(tile, P - first), x.dtype)
        for c in range(C):
            _scales(s, x, n, c, first, size, alpha, k)
            for p in range(s.shape[0]):
                y[n, c, first + p] = x[n, c, first + p] / s[p] ** beta


def local_response_norm(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """Each activation over the power of its neighbours across maps; see the reference.

    Parallel over images and tiles of pixels.
    """
    t = x.dtype.type
    y = np.empty(x.shape, x.dtype)
    maps = (*x.shape[:2], int(np.prod(x.shape[2:])))
    _local_response_norm(y.reshape(maps), frozen(x).reshape(maps), size, t(alpha / size), t(beta), t(k), 128)
    return y


@njit(cache=True, fastmath={"contract"})
def _vjp_tile(gx, gy, x, n, first, width, size, alpha, beta, k, slope):
    C = x.shape[1]
    s = np.empty(width, x.dtype)
    shares = np.empty((C, width), x.dtype)  # gy * x * s**(-beta-1): what map i sends to every map of its window
    for c in range(C):
        _scales(s, x, n, c, first, size, alpha, k)
        for p in range(width):
            scaled = gy[n, c, first + p] / s[p] ** beta
            gx[n, c, first + p] = scaled
            shares[c, p] = scaled * x[n, c, first + p] / s[p]
    for c in range(C):
        s[:] = s.dtype.type(0)
        for i in range(max(0, c - (size - 1) // 2), min(C, c + size // 2 + 1)):
            for p in range(width):
                s[p] += shares[i, p]
        for p in range(width):
            gx[n, c, first + p] -= slope * x[n, c, first + p] * s[p]


@njit(parallel=True, cache=True)
def _local_response_norm_vjp(gx, gy, x, size, alpha, beta, k, slope, tile):
    N, _, P = x.shape
    tiles = -(-P // tile)
    for task in prange(N * tiles):
        first = task % tiles * tile
        _vjp_tile(gx, gy, x, task // tiles, first, min(tile, P - first), size, alpha, beta, k, slope)


def local_response_norm_vjp(gy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """The derivative's transpose; see the reference. Parallel over images and tiles of pixels."""
    t = x.dtype.type
    gx = np.empty(x.shape, x.dtype)
    maps = (*x.shape[:2], int(np.prod(x.shape[2:])))
    _local_response_norm_vjp(
        gx.reshape(maps), frozen(gy).reshape(maps), frozen(x).reshape(maps),
        size, t(alpha / size), t(beta), t(k), t(2 * alpha / size * beta), 128,
    )  # fmt: skip
    return gx
