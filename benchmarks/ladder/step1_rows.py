"""The innermost loop runs along a line of outputs.

The image has its padding put around it first. Neighbours in the innermost loop are now neighbours in memory, have sums of their
own and nothing to ask: LLVM makes vectors of them. "contract" lets it multiply and add in one instruction. What limits it: lines
are short (the 13 outputs of conv3 do not fill the four vectors that the loop takes at a time), with a stride the pixels are
apart, and each multiply-add loads its sum and stores it.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath={"contract"})
def _conv2d(y, x, w, stride):
    N, O, OH, OW = y.shape
    _, C, KH, KW = w.shape
    for n in range(N):
        for o in range(O):
            for c in range(C):
                for kh in range(KH):
                    for kw in range(KW):
                        weight = w[o, c, kh, kw]
                        for oh in range(OH):
                            sums, pixels = y[n, o, oh], x[n, c, oh * stride + kh, kw:]
                            if stride == 1:  # known to the compiler, which otherwise makes no vectors
                                for ow in range(OW):
                                    sums[ow] += weight * pixels[ow]
                            else:
                                for ow in range(OW):
                                    sums[ow] += weight * pixels[ow * stride]


def conv2d(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (N, _, H, W), (O, _, KH, KW) = x.shape, w.shape
    y = np.zeros((N, O, (H - KH) // stride + 1, (W - KW) // stride + 1), np.float32)
    _conv2d(y, x, w, stride)
    return y
