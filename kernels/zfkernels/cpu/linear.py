"""The fully connected layer and its adjoints."""

from __future__ import annotations

import numpy as np

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.conv2d import conv2d_adjoint_b, steps
from zfkernels.cpu.products import Factor, Source, Target, products, transposed, walks


def _linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, rectified: bool) -> np.ndarray:
    (N, I), O = x.shape, w.shape[0]
    y = empty((N, O), x.dtype)
    there, here = walks(O, (1, N), (0, N), (0, N * O), O)
    products(
        Target(y.reshape(-1), steps(O, 1), 0, here),
        Factor(frozen(w).reshape(-1), steps(O, I), steps(I, 1), 0),
        Source(transposed(x[None]), steps(I, N), 0, there),
        1, np.zeros((1, O), x.dtype) if b is None else b[None], rectified=rectified,
    )  # fmt: skip
    return y


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """``y = x w' + b``; see the reference. Parallel over blocks of outputs and images."""
    return _linear(x, w, b, rectified=False)


def linear_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """The positive part of `linear`, taken as it is stored; see the reference."""
    return _linear(x, w, b, rectified=True)


def linear_adjoint_x(gy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``gx = gy w``; see the reference. Parallel over blocks of images and inputs."""
    (N, O), I = gy.shape, w.shape[1]
    gx = empty((N, I), gy.dtype)
    there, here = walks(N, (1, I), (0, I), (0, I))
    products(
        Target(gx.reshape(-1), steps(N, I), 0, here),
        Factor(frozen(gy).reshape(-1), steps(N, O), steps(O, 1), 0),
        Source(frozen(w).reshape(-1), steps(O, I), 0, there),
        1, np.zeros((1, N), gy.dtype),
    )  # fmt: skip
    return gx


def linear_adjoint_w(gy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``gw = gy' x``; see the reference. Parallel over blocks of outputs and inputs."""
    (N, O), I = gy.shape, x.shape[1]
    gw = empty((O, I), gy.dtype)
    there, here = walks(O, (1, I), (0, I), (0, I))
    products(
        Target(gw.reshape(-1), steps(O, I), 0, here),
        Factor(frozen(gy).reshape(-1), steps(O, 1), steps(N, O), 0),
        Source(frozen(x).reshape(-1), steps(N, I), 0, there),
        1, np.zeros((1, O), gy.dtype),
    )  # fmt: skip
    return gw


def linear_adjoint_b(gy: np.ndarray) -> np.ndarray:
    """``gb[o] = sum over n of gy[n, o]``; see the reference. Parallel over outputs."""
    return conv2d_adjoint_b(gy[:, :, None, None])
