"""Blocks: all filters pass over a piece of the matrix before the next piece is touched.

The same multiply-adds in another order. A piece of ROWS times COLUMNS numbers fits the first cache and stays there for O filters;
before, every one of them was brought anew from further away. It pays most where the matrix is largest (conv1). What limits it:
for one multiply-add a number of the matrix and the sum are loaded and the sum is stored; the arithmetic units wait for these.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from benchmarks.ladder.step2_im2col import im2col

ROWS, COLUMNS = 32, 256  # 32 KB


@njit(cache=True, fastmath={"contract"})
def _multiply(y, w, cols):
    N, O, P = y.shape
    K = w.shape[1]
    for n in range(N):
        for first in range(0, P, COLUMNS):
            for top in range(0, K, ROWS):
                for o in range(O):
                    sums = y[n, o, first : first + COLUMNS]
                    for k in range(top, min(top + ROWS, K)):
                        weight, row = w[o, k], cols[n, k, first : first + COLUMNS]
                        for j in range(len(sums)):
                            sums[j] += weight * row[j]


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    (N, _, H, W), (O, C, KH, KW) = x.shape, w.shape
    OH, OW = (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1
    y = np.zeros((N, O, OH * OW), np.float32)
    _multiply(y, w.reshape(O, C * KH * KW), im2col(x, (KH, KW), stride, padding))
    return y.reshape(N, O, OH, OW)
