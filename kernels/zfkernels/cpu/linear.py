"""The fully connected layer and its adjoints."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.conv2d import conv2d_adjoint_b
from zfkernels.cpu.gemm import accumulate, dots, even_block, load_coefficients, row_starts
from zfkernels.cpu.relu import relu


@njit(cache=True)
def _products_tile(y, n, o, x, x_starts, w, w_starts, inputs, b):
    rows, columns = x_starts.shape[0], w_starts.shape[0]
    sums = np.zeros(((rows + 3) // 4 * 4, (columns + 3) // 4 * 4), y.dtype)
    for first in range(0, inputs, 512):
        width = min(512, inputs - first)
        for q in range(0, columns, 4):
            for p in range(0, rows, 4):
                dots(sums, p, q, x, x_starts, first, w, w_starts, first, width)
    for p in range(rows):
        for q in range(columns):
            y[n + p, o + q] = sums[p, q] + b[o + q]


@njit(parallel=True, cache=True)
def _products(y, x, x_starts, w, w_starts, inputs, b, row_block, column_block):
    """``y[n, o] = b[o] + sum over i of x[n, i] * w[o, i]``"""
    blocks, tiles = -(-y.shape[0] // row_block), -(-y.shape[1] // column_block)
    for task in prange(blocks * tiles):
        n, o = task % blocks * row_block, task // blocks * column_block
        _products_tile(y, n, o, x, x_starts[n : n + row_block], w, w_starts[o : o + column_block], inputs, b)


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """``y = x w' + b``; see the reference. Parallel over blocks of images and outputs."""
    (N, I), O = x.shape, w.shape[0]
    y = np.empty((N, O), x.dtype)
    bias = frozen(np.zeros(O, x.dtype) if b is None else b)
    x_starts, w_starts = frozen(row_starts(N, I)), frozen(row_starts(O, I))
    _products(
        y, frozen(x).reshape(-1), x_starts, frozen(w).reshape(-1), w_starts, I, bias,
        even_block(N, 64, 4), even_block(O, 64, 4),
    )  # fmt: skip
    return y


def linear_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """The positive part of `linear`; see the reference."""
    return relu(linear(x, w, b))


@njit(cache=True)
def _combinations_tile(out, r, rows, first, last, coefficients, row_stride, offsets, b, starts):
    slab = max(1, min(starts.shape[0], 128))
    a = np.empty((slab, 4), out.dtype)
    sums = np.zeros(((rows + 3) // 4 * 4, last - first), out.dtype)
    for k in range(0, starts.shape[0], slab):
        for p in range(0, rows, 4):
            load_coefficients(a, coefficients, (r + p) * row_stride, row_stride, offsets[k : k + slab], rows - p)
            accumulate(sums, p, a, b, starts[k : k + slab], first)
    out[r : r + rows, first:last] = sums[:rows]


@njit(parallel=True, cache=True)
def _combinations(out, coefficients, row_stride, offsets, b, starts, block, tile):
    """``out[r, i] = sum over k of coefficients[r*row_stride + offsets[k]] * b[starts[k] + i]``"""
    rows, columns = out.shape
    blocks, tiles = -(-rows // block), -(-columns // tile)
    for task in prange(blocks * tiles):
        r, first = task % blocks * block, task // blocks * tile
        _combinations_tile(
            out, r, min(block, rows - r), first, min(first + tile, columns), coefficients, row_stride, offsets, b, starts
        )  # fmt: skip


def linear_adjoint_x(gy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``gx = gy w``; see the reference. Parallel over blocks of images and inputs."""
    (N, O), I = gy.shape, w.shape[1]
    gx = np.empty((N, I), gy.dtype)
    block, tile = even_block(N, 64, 4), even_block(I, 512, 16)
    offsets, starts = frozen(row_starts(O, 1)), frozen(row_starts(O, I))
    _combinations(gx, frozen(gy).reshape(-1), O, offsets, frozen(w).reshape(-1), starts, block, tile)
    return gx


def linear_adjoint_w(gy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``gw = gy' x``; see the reference. Parallel over blocks of outputs and inputs."""
    (N, O), I = gy.shape, x.shape[1]
    gw = np.empty((O, I), gy.dtype)
    block, tile = even_block(O, 64, 4), even_block(I, 512, 16)
    offsets, starts = frozen(row_starts(N, O)), frozen(row_starts(N, I))
    _combinations(gw, frozen(gy).reshape(-1), 1, offsets, frozen(x).reshape(-1), starts, block, tile)
    return gw


def linear_adjoint_b(gy: np.ndarray) -> np.ndarray:
    """``gb[o] = sum over n of gy[n, o]``; see the reference. Parallel over outputs."""
    return conv2d_adjoint_b(gy[:, :, None, None])
