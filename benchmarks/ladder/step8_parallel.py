"""All cores: blocks of filters and outputs are tasks.

The rest is as it was. No task writes where another does, and none waits for another; each sum is added in the same order whoever
adds it, so that the bits do not depend on the number of threads. What limits it: tasks that share their outputs bring the same
pieces together, each for itself, their number is fixed, so that some cores may wait while others do the last ones, and pieces
still come one number at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from zfkernels.cpu.microkernel import MR, NV, add_products
from zfkernels.cpu.processor import VECTORS

LANES = VECTORS.size // 4
TILE = NV * LANES
SLAB = 128
BLOCK = 10 * TILE
FILTERS = 96


@njit(cache=True)
def _gather(piece, image, taps, outputs):
    for k in range(len(taps)):
        row, pixels = piece[k], image[taps[k] :]
        for j in range(len(outputs)):
            row[j] = pixels[outputs[j]]


@njit(cache=True)
def _block(y, w, image, taps, outputs):
    """Some filters at some outputs: y (filters, outputs)."""
    O, K = w.shape
    weights, filters, rows = np.arange(K), np.arange(O) * K, np.arange(SLAB) * TILE
    sums, piece = np.zeros((O, BLOCK), np.float32), np.zeros((SLAB, TILE), np.float32)
    for k in range(0, K, SLAB):
        depth = min(SLAB, K - k)
        for j in range(0, len(outputs), TILE):
            vectors = min(NV, (len(outputs) - j + LANES - 1) // LANES)
            _gather(piece, image, taps[k : k + depth], outputs[j : j + TILE])
            for o in range(0, O, MR):
                add_products(
                    sums.reshape(-1), o * BLOCK + j, BLOCK, w.reshape(-1), filters, o, weights[k:],
                    piece.reshape(-1), rows, depth, 0, min(MR, O - o), vectors,
                )  # fmt: skip
    for o in range(O):
        for j in range(len(outputs)):
            y[o, j] = sums[o, j]


@njit(cache=True, parallel=True)
def _conv2d(y, w, x, taps, outputs):
    N, O, P = y.shape
    down, across = (O + FILTERS - 1) // FILTERS, (P + BLOCK - 1) // BLOCK
    for task in prange(N * down * across):
        n, o, j = task // (down * across), task % down * FILTERS, task // down % across * BLOCK
        _block(y[n, o : o + FILTERS, j : j + BLOCK], w[o : o + FILTERS], x[n].reshape(-1), taps, outputs[j : j + BLOCK])


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (N, C, H, W), (O, _, KH, KW) = x.shape, w.shape
    OH, OW = (H - KH) // stride + 1, (W - KW) // stride + 1
    places = np.arange(C * H * W).reshape(C, H, W)
    taps = places[:, :KH, :KW].flatten()
    outputs = places[0, : OH * stride : stride, : OW * stride : stride].flatten()
    y = np.empty((N, O, OH * OW), np.float32)
    _conv2d(y, w.reshape(O, C * KH * KW), x, taps, outputs)
    return y.reshape(N, O, OH, OW)
