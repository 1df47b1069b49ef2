"""No matrix: a piece of it is brought together from the image when a tile needs it.

The piece, SLAB rows by TILE columns, lies in the first cache in the order in which it is read, and is gone when all filters have
passed over it: memory is touched for x, w and y alone. Two tables find the numbers, as the place of a number in the image is the
sum of one that its row knows (the tap) and one that its column knows (the output). What limits it: one number at a time is
brought, and one of the cores works.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from zfkernels.cpu.microkernel import MR, NV, add_products
from zfkernels.cpu.processor import VECTORS

LANES = VECTORS.size // 4
TILE = NV * LANES
SLAB = 128
BLOCK = 10 * TILE  # columns


@njit(cache=True)
def _gather(piece, image, taps, outputs):
    for k in range(len(taps)):
        row, pixels = piece[k], image[taps[k] :]
        for j in range(len(outputs)):
            row[j] = pixels[outputs[j]]


@njit(cache=True)
def _block(y, w, image, taps, outputs):
    """All filters at some outputs: y (O, outputs)."""
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


@njit(cache=True)
def _conv2d(y, w, x, taps, outputs):
    for n in range(len(y)):
        for j in range(0, len(outputs), BLOCK):
            _block(y[n, :, j : j + BLOCK], w, x[n].reshape(-1), taps, outputs[j : j + BLOCK])


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (N, C, H, W), (O, _, KH, KW) = x.shape, w.shape
    OH, OW = (H - KH) // stride + 1, (W - KW) // stride + 1
    places = np.arange(C * H * W).reshape(C, H, W)
    taps = places[:, :KH, :KW].flatten()  # where each tap meets the first output
    outputs = places[0, : OH * stride : stride, : OW * stride : stride].flatten()
    y = np.empty((N, O, OH * OW), np.float32)
    _conv2d(y, w.reshape(O, C * KH * KW), x, taps, outputs)
    return y.reshape(N, O, OH, OW)
