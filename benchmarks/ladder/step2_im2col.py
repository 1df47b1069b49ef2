"""The image as a matrix (im2col), the convolution as a product of matrices.

What each tap sees at all outputs is written out as a row. Copying costs little, as every number that is copied will be multiplied
O times. The innermost loop is now as long as all outputs together and never strided, whatever the layer. What limits it: for
every filter the whole matrix comes by again, from the second cache or from memory, and each multiply-add still loads its sum and
stores it.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _im2col(cols, x, size, stride):
    N, C = x.shape[:2]
    (KH, KW), (OH, OW) = size
    for n in range(N):
        for c in range(C):
            for kh in range(KH):
                for kw in range(KW):
                    row = cols[n, (c * KH + kh) * KW + kw]
                    row[OH * OW :] = 0
                    for oh in range(OH):
                        line, pixels = row[oh * OW : (oh + 1) * OW], x[n, c, oh * stride + kh, kw:]
                        if stride == 1:
                            for ow in range(OW):
                                line[ow] = pixels[ow]
                        else:
                            for ow in range(OW):
                                line[ow] = pixels[ow * stride]


def im2col(x: np.ndarray, kernel_size: tuple[int, int], stride: int, padding: int, multiple: int = 1) -> np.ndarray:
    """What each tap sees at each output: (N, C*KH*KW, OH*OW), filled up with zeros to a multiple of so many columns."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (N, C, H, W), (KH, KW) = x.shape, kernel_size
    OH, OW = (H - KH) // stride + 1, (W - KW) // stride + 1
    cols = np.empty((N, C * KH * KW, -(-OH * OW // multiple) * multiple), np.float32)
    _im2col(cols, x, (kernel_size, (OH, OW)), stride)
    return cols


@njit(cache=True, fastmath={"contract"})
def _multiply(y, w, cols):
    N, O, _ = y.shape
    K = w.shape[1]
    for n in range(N):
        for o in range(O):
            sums = y[n, o]
            for k in range(K):
                weight, row = w[o, k], cols[n, k]
                for j in range(len(sums)):
                    sums[j] += weight * row[j]


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    (N, _, H, W), (O, C, KH, KW) = x.shape, w.shape
    OH, OW = (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1
    y = np.zeros((N, O, OH * OW), np.float32)
    _multiply(y, w.reshape(O, C * KH * KW), im2col(x, (KH, KW), stride, padding))
    return y.reshape(N, O, OH, OW)
