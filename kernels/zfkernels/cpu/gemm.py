"""The two inner kernels of every matrix product here, and how work is cut into blocks.

`accumulate` adds weighted rows to four rows of sums: sixteen multiply-adds for every eight loads and four stores of vectors.
`dots` takes the inner products of four rows with four rows: sixteen multiply-adds for every eight loads. Both loop over
contiguous memory, which is all that LLVM needs to use the machine's vectors.

A matrix enters as a flat array and the position where each of its rows starts. So rows may overlap, as the windows of a
convolution do, and nothing is copied to bring them into line.
"""

from __future__ import annotations

import numpy as np
from numba import njit


def even_block(size: int, most: int, multiple: int) -> int:
    """Length, a multiple of `multiple` near `most`, of equal blocks that cut `size` into one or an even number of pieces.

    An even number, so that two cores finish together; it depends on sizes alone, so that the bits of a result do too.

    Examples
    --------
    >>> even_block(384, 128, 4), even_block(256, 128, 4), even_block(10, 128, 4)
    (96, 128, 12)
    """
    pieces = max(1, -(-size // most))
    if pieces > 1:
        pieces += pieces % 2
    return max(1, -(-size // (pieces * multiple))) * multiple


def row_starts(rows: int, stride: int) -> np.ndarray:
    """``0, stride, 2*stride, ...``"""
    return np.arange(rows, dtype=np.int64) * stride


@njit(cache=True)
def load_coefficients(a, coefficients, first, row_stride, offsets, rows):
    """``a[k, r] = coefficients[first + r*row_stride + offsets[k]]`` for four r, zero where r >= rows."""
    zero = a.dtype.type(0)
    for k in range(offsets.shape[0]):
        place = first + offsets[k]
        for r in range(4):
            a[k, r] = coefficients[place + r * row_stride] if r < rows else zero


@njit(cache=True, fastmath={"contract"})
def accumulate(sums, row, a, b, starts, shift):
    """``sums[row + r, j] += sum over k of a[k, r] * b[starts[k] + shift + j]`` for four r and every j."""
    s0, s1, s2, s3 = sums[row], sums[row + 1], sums[row + 2], sums[row + 3]
    width, depth = sums.shape[1], starts.shape[0]
    whole = depth - depth % 4
    for k in range(0, whole, 4):
        p0, p1, p2, p3 = starts[k] + shift, starts[k + 1] + shift, starts[k + 2] + shift, starts[k + 3] + shift
        b0, b1, b2, b3 = b[p0 : p0 + width], b[p1 : p1 + width], b[p2 : p2 + width], b[p3 : p3 + width]
        a00, a01, a02, a03 = a[k, 0], a[k, 1], a[k, 2], a[k, 3]
        a10, a11, a12, a13 = a[k + 1, 0], a[k + 1, 1], a[k + 1, 2], a[k + 1, 3]
        a20, a21, a22, a23 = a[k + 2, 0], a[k + 2, 1], a[k + 2, 2], a[k + 2, 3]
        a30, a31, a32, a33 = a[k + 3, 0], a[k + 3, 1], a[k + 3, 2], a[k + 3, 3]
        for j in range(width):
            v0, v1, v2, v3 = b0[j], b1[j], b2[j], b3[j]
            s0[j] = s0[j] + a00 * v0 + a10 * v1 + a20 * v2 + a30 * v3
            s1[j] = s1[j] + a01 * v0 + a11 * v1 + a21 * v2 + a31 * v3
            s2[j] = s2[j] + a02 * v0 + a12 * v1 + a22 * v2 + a32 * v3
            s3[j] = s3[j] + a03 * v0 + a13 * v1 + a23 * v2 + a33 * v3
    for k in range(whole, depth):
        p0 = starts[k] + shift
        b0 = b[p0 : p0 + width]
        a00, a01, a02, a03 = a[k, 0], a[k, 1], a[k, 2], a[k, 3]
        for j in range(width):
            v0 = b0[j]
            s0[j] += a00 * v0
            s1[j] += a01 * v0
            s2[j] += a02 * v0
            s3[j] += a03 * v0


@njit(cache=True)
def _row(flat, starts, i, shift, width):
    """Row i of a matrix, or its last row if there is none."""
    first = starts[min(i, starts.shape[0] - 1)] + shift
    return flat[first : first + width]


@njit(cache=True, fastmath={"contract", "reassoc"})
def dots(sums, r, t, a, a_starts, a_shift, b, b_starts, b_shift, width):
    """``sums[r + p, t + q] += sum over j < width of a[a_starts[r + p] + a_shift + j] * b[b_starts[t + q] + b_shift + j]``

    for four p and four q. Where a matrix has no such row its last one is taken; the product lands in the padding of sums.
    """
    a0, a1 = _row(a, a_starts, r, a_shift, width), _row(a, a_starts, r + 1, a_shift, width)
    a2, a3 = _row(a, a_starts, r + 2, a_shift, width), _row(a, a_starts, r + 3, a_shift, width)
    b0, b1 = _row(b, b_starts, t, b_shift, width), _row(b, b_starts, t + 1, b_shift, width)
    b2, b3 = _row(b, b_starts, t + 2, b_shift, width), _row(b, b_starts, t + 3, b_shift, width)
    zero = sums.dtype.type(0)
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
    for j in range(width):
        u0, u1, u2, u3 = a0[j], a1[j], a2[j], a3[j]
        v0, v1, v2, v3 = b0[j], b1[j], b2[j], b3[j]
        s00 += u0 * v0
        s01 += u0 * v1
        s02 += u0 * v2
        s03 += u0 * v3
        s10 += u1 * v0
        s11 += u1 * v1
        s12 += u1 * v2
        s13 += u1 * v3
        s20 += u2 * v0
        s21 += u2 * v1
        s22 += u2 * v2
        s23 += u2 * v3
        s30 += u3 * v0
        s31 += u3 * v1
        s32 += u3 * v2
        s33 += u3 * v3
    for p, s in enumerate(((s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33))):
        for q in range(4):
            sums[r + p, t + q] += s[q]
