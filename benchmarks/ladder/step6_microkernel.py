"""The innermost loop in vector instructions, its sums in registers for SLAB rows.

A tile is MR filters by NV vectors. `add_products` is written in LLVM's own language from Python (see zfkernels.cpu.microkernel), with
the processor's widest vectors. For MR * NV multiply-adds it loads MR + NV times and stores nothing, so that the arithmetic units set
the pace. Lines of the matrix are filled up to whole vectors, and the sums of a block of columns stay in the second cache. What limits
it: the rows of a tile of the matrix lie far apart in memory (conv1: 48 KB from row to row, each on a page of its own), and that matrix
has to be made.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from zfkernels.cpu.microkernel import MR, NV, add_products
from zfkernels.cpu.processor import VECTORS

from benchmarks.ladder.step2_im2col import im2col

LANES = VECTORS.size // 4
TILE = NV * LANES  # columns
SLAB = 128  # rows of the matrix: those of a tile take half of the first cache
BLOCK = 10 * TILE  # columns: their sums stay in the second cache


@njit(cache=True)
def _multiply(y, w, cols):
    N, O, P = y.shape
    _, K, width = cols.shape
    taps, filters, rows, sums = np.arange(K), np.arange(O) * K, np.arange(K) * width, np.empty((O, BLOCK), np.float32)
    for n in range(N):
        for first in range(0, P, BLOCK):
            last = min(first + BLOCK, P)
            sums[:] = 0
            for k in range(0, K, SLAB):
                depth = min(SLAB, K - k)
                for j in range(first, last, TILE):
                    vectors = min(NV, (last - j + LANES - 1) // LANES)
                    for o in range(0, O, MR):
                        add_products(
                            sums.reshape(-1), o * BLOCK + j - first, BLOCK, w.reshape(-1), filters, o, taps[k:],
                            cols[n].reshape(-1)[j:], rows[k:], depth, 0, min(MR, O - o), vectors,
                        )  # fmt: skip
            for o in range(O):
                for j in range(first, last):
                    y[n, o, j] = sums[o, j - first]


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    (N, _, H, W), (O, C, KH, KW) = x.shape, w.shape
    OH, OW = (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1
    y = np.empty((N, O, OH * OW), np.float32)
    _multiply(y, w.reshape(O, C * KH * KW), im2col(x, (KH, KW), stride, padding, LANES))
    return y.reshape(N, O, OH, OW)
