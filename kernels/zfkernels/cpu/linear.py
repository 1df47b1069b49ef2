"""The fully connected layer and its adjoints."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.conv2d import conv2d_adjoint_b, steps
from zfkernels.cpu.microkernel import MR, NV, add_dots
from zfkernels.cpu.processor import VECTOR
from zfkernels.cpu.products import Factor, Source, Target, products, walks

SLAB = 1024
"""Inputs at a time: MR rows of w, NV images, so long, share the first-level cache."""


@njit(cache=True)
def _strip(y, outputs, x, images, inputs, w, first, last):
    """Some rows of w with all images. Rows that no second tile of images needs are read from end to end."""
    lanes = VECTOR // y.itemsize
    whole = inputs - inputs % lanes
    once = images <= NV
    panel, tile = (MR // 2, MR // 2) if once else (last - first, MR)
    for top in range(first, last, panel):
        for k in range(0, whole, SLAB):
            depth = min(SLAB, whole - k)
            for o in range(top, min(top + panel, last), tile):
                for n in range(0, images, NV):
                    here, there = min(tile, last - o), min(NV, images - n)
                    add_dots(y, n * outputs + o, 1, outputs, w, o * inputs + k, inputs, x, n * inputs + k, inputs, depth, here, there)
    for n in range(images):
        for o in range(first, last):
            for k in range(whole, inputs):
                y[n * outputs + o] += w[o * inputs + k] * x[n * inputs + k]


@njit(parallel=True, cache=True)
def _dots(y, x, w, images, rectified, strip):
    outputs, inputs, zero = len(y) // images, len(x) // images, y.dtype.type(0)
    for task in prange((outputs + strip - 1) // strip):
        first, last = task * strip, min((task + 1) * strip, outputs)
        _strip(y, outputs, x, images, inputs, w, first, last)
        if rectified:
            for n in range(images):
                for o in range(n * outputs + first, n * outputs + last):
                    y[o] = zero if y[o] <= zero else y[o]


def _linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, rectified: bool) -> np.ndarray:
    N, O = len(x), len(w)
    y = empty((N, O), x.dtype)
    y[...] = 0 if b is None else b
    if y.size:
        _dots(y.reshape(-1), frozen(x).reshape(-1), frozen(w).reshape(-1), N, rectified, 32)
    return y


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """``y = x w' + b``; see the reference. Parallel over strips of outputs."""
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
