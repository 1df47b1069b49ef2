"""A tile in registers: four filters by four rows at a time.

Written out, as Numba has no word for it. A number that is loaded is used four times: a row's by four filters, a sum by four rows.
Sixteen multiply-adds now need eight loads and four stores, where they needed thirty-two and sixteen. Filters and rows that do not
fill a tile are added one by one. What limits it: the sums still leave the registers after four rows, and where the processor has
AVX-512, LLVM takes vectors of half its size, as it fears a lower clock.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from benchmarks.ladder.step2_im2col import im2col

ROWS, COLUMNS = 32, 256


@njit(cache=True, fastmath={"contract"})
def _add_row(sums, weight, row):
    for j in range(len(sums)):
        sums[j] += weight * row[j]


@njit(cache=True, fastmath={"contract"})
def _add_tile(y0, y1, y2, y3, w, b0, b1, b2, b3):
    w00, w01, w02, w03 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
    w10, w11, w12, w13 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
    w20, w21, w22, w23 = w[2, 0], w[2, 1], w[2, 2], w[2, 3]
    w30, w31, w32, w33 = w[3, 0], w[3, 1], w[3, 2], w[3, 3]
    for j in range(len(y0)):
        c0, c1, c2, c3 = b0[j], b1[j], b2[j], b3[j]  # before the first store, which might change them for all the compiler knows
        y0[j] = y0[j] + w00 * c0 + w01 * c1 + w02 * c2 + w03 * c3
        y1[j] = y1[j] + w10 * c0 + w11 * c1 + w12 * c2 + w13 * c3
        y2[j] = y2[j] + w20 * c0 + w21 * c1 + w22 * c2 + w23 * c3
        y3[j] = y3[j] + w30 * c0 + w31 * c1 + w32 * c2 + w33 * c3


@njit(cache=True, fastmath={"contract"})
def _multiply(y, w, cols):
    N, O, P = y.shape
    K = w.shape[1]
    for n in range(N):
        for first in range(0, P, COLUMNS):
            last = min(first + COLUMNS, P)
            for top in range(0, K, ROWS):
                end = min(top + ROWS, K)
                for o in range(0, O - 3, 4):
                    y0, y1, y2, y3 = y[n, o, first:last], y[n, o + 1, first:last], y[n, o + 2, first:last], y[n, o + 3, first:last]
                    for k in range(top, end - 3, 4):
                        b0, b1 = cols[n, k, first:last], cols[n, k + 1, first:last]
                        b2, b3 = cols[n, k + 2, first:last], cols[n, k + 3, first:last]
                        _add_tile(y0, y1, y2, y3, w[o : o + 4, k : k + 4], b0, b1, b2, b3)
                for o in range(O):
                    begin = end - (end - top) % 4 if o < O - O % 4 else top
                    for k in range(begin, end):
                        _add_row(y[n, o, first:last], w[o, k], cols[n, k, first:last])


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    (N, _, H, W), (O, C, KH, KW) = x.shape, w.shape
    OH, OW = (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1
    y = np.zeros((N, O, OH * OW), np.float32)
    _multiply(y, w.reshape(O, C * KH * KW), im2col(x, (KH, KW), stride, padding))
    return y.reshape(N, O, OH, OW)
