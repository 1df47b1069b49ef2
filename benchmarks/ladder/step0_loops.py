"""Seven loops, as the formula has them.

Compiled by Numba, so that it is arithmetic that is slow here and not the interpreter. Every product asks whether its pixel is
padding, and every addition waits for the one before it, because all go into one sum whose order may not be changed. The processor
could do sixteen or more multiply-adds at a time, and it does one now and then.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _conv2d(y, x, w, stride, padding):
    N, O, OH, OW = y.shape
    _, C, KH, KW = w.shape
    H, W = x.shape[2:]
    for n in range(N):
        for o in range(O):
            for oh in range(OH):
                for ow in range(OW):
                    total = np.float32(0)
                    for c in range(C):
                        for kh in range(KH):
                            for kw in range(KW):
                                ih, iw = oh * stride + kh - padding, ow * stride + kw - padding
                                if 0 <= ih < H and 0 <= iw < W:
                                    total += w[o, c, kh, kw] * x[n, c, ih, iw]
                    y[n, o, oh, ow] = total


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    (N, _, H, W), (O, _, KH, KW) = x.shape, w.shape
    y = np.empty((N, O, (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1), np.float32)
    _conv2d(y, x, w, stride, padding)
    return y
