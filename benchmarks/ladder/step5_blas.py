"""A mark beside the way: the same matrix, multiplied by NumPy's BLAS.

This is what a good notebook does. A BLAS, written in assembly, keeps a tile of sums in registers over hundreds of rows, takes the
widest vectors, and copies both matrices into the order in which they will be read. What limits it: im2col's matrix is written and
read again, then copied once more inside, and it is KH*KW times as large as the image. The steps after this one get there in
Python source.
"""

from __future__ import annotations

import numpy as np

from benchmarks.ladder.step2_im2col import im2col


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    (N, _, H, W), (O, C, KH, KW) = x.shape, w.shape
    OH, OW = (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1
    y = w.reshape(O, C * KH * KW) @ im2col(x, (KH, KW), stride, padding)
    return y.reshape(N, O, OH, OW)
