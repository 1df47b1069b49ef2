"""im2col and its adjoint, and which outputs a tap of a sliding window serves."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels import geometry
from zfkernels.cpu.arrays import frozen
from zfkernels.geometry import Padding, Pair


def tap_offsets(kernel_size: Pair, padding: Padding, dilation: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a window's taps, counted from the pixel ``(oh*SH, ow*SW)``."""
    (KH, KW), ((top, _), (left, _)), (DH, DW) = kernel_size, padding, dilation
    return frozen(np.arange(KH) * DH - top), frozen(np.arange(KW) * DW - left)


@njit(cache=True)
def span(size, outputs, stride, offset):
    """Half-open range of the outputs o < `outputs` whose tap ``o*stride + offset`` is a pixel of ``0 <= i < size``."""
    low = min(max(-(offset // stride), 0), outputs)
    return low, min(max((size - 1 - offset) // stride + 1, low), outputs)


@njit(cache=True)
def copy_row(target, line, stride, offset):
    """``target[o] = line[o*stride + offset]``, zero beyond the line."""
    zero = target.dtype.type(0)
    low, high = span(line.shape[0], target.shape[0], stride, offset)
    target[:low] = zero
    # Views that begin at the first pixel: an index that could be negative would keep LLVM from using vectors.
    inside, pixels = target[low:high], line[low * stride + offset :]
    if stride == 1:
        for o in range(inside.shape[0]):
            inside[o] = pixels[o]
    else:
        pixels = pixels[::stride]
        for o in range(inside.shape[0]):
            inside[o] = pixels[o]
    target[high:] = zero


@njit(parallel=True, cache=True)
def _im2col(cols, x, rows, columns, grid, stride):
    N, C, H, _ = x.shape
    (OH, OW), (SH, SW) = grid, stride
    KH, KW = rows.shape[0], columns.shape[0]
    for plane in prange(N * C):
        n, c = plane // C, plane % C
        for kh in range(KH):
            for kw in range(KW):
                for oh in range(OH):
                    target = cols[n, (c * KH + kh) * KW + kw, oh * OW : (oh + 1) * OW]
                    ih = oh * SH + rows[kh]
                    if 0 <= ih < H:
                        copy_row(target, x[n, c, ih], SW, columns[kw])
                    else:
                        target[:] = cols.dtype.type(0)


def im2col(x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> np.ndarray:
    """Each window becomes a column; see the reference. Parallel over the planes of x."""
    N, C, H, W = x.shape
    grid = geometry.output_size((H, W), kernel_size, stride, padding, dilation)
    cols = np.empty((N, C * kernel_size[0] * kernel_size[1], grid[0] * grid[1]), x.dtype)
    _im2col(cols, frozen(x), *tap_offsets(kernel_size, padding, dilation), grid, stride)
    return cols


@njit(parallel=True, cache=True)
def _col2im(x, cols, rows, columns, grid, stride):
    N, C, H, W = x.shape
    (OH, OW), (SH, SW) = grid, stride
    KH, KW = rows.shape[0], columns.shape[0]
    for plane in prange(N * C):
        n, c = plane // C, plane % C
        for oh in range(OH):
            for kh in range(KH):
                ih = oh * SH + rows[kh]
                if ih < 0 or ih >= H:
                    continue
                # The last tap first: a pixel then gathers its windows from left to right, as the reference does.
                for kw in range(KW - 1, -1, -1):
                    low, high = span(W, OW, SW, columns[kw])
                    pixels = x[n, c, ih, low * SW + columns[kw] :: SW]
                    values = cols[n, (c * KH + kh) * KW + kw, oh * OW + low : oh * OW + high]
                    for ow in range(values.shape[0]):
                        pixels[ow] += values[ow]


def col2im(cols: np.ndarray, output_size: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> np.ndarray:
    """Add every column back to the pixels it was taken from; see the reference. Parallel over the result's planes."""
    grid = geometry.output_size(output_size, kernel_size, stride, padding, dilation)
    x = np.zeros((cols.shape[0], cols.shape[1] // (kernel_size[0] * kernel_size[1]), *output_size), cols.dtype)
    _col2im(x, frozen(cols), *tap_offsets(kernel_size, padding, dilation), grid, stride)
    return x
