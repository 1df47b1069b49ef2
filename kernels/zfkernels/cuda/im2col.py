"""im2col and its adjoint, and which taps of a sliding window fall on pixels."""

from __future__ import annotations

from typing import Any

from numba import cuda

from zfkernels import geometry
from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.indices import divisor, element, launch_planes, quotient
from zfkernels.geometry import Padding, Pair


@cuda.jit(device=True)
def taps_on(first, size, kernel, dilation):
    """Half-open range of a window's taps that fall on the pixels ``0 <= i < size``; its tap 0 is at `first`."""
    low = min((max(-first, 0) + dilation - 1) // dilation, kernel)
    return low, max(min((size - 1 - first) // dilation + 1, kernel), low)


@cuda.jit(cache=True)
def _im2col(cols, x, size, grid, kernel_size, stride, start, dilation, by_width):
    plane, p = cuda.blockIdx.x, element()
    (H, W), (OH, OW), (KH, KW), (DH, DW) = size, grid, kernel_size, dilation
    if p < OH * OW:
        oh = quotient(p, by_width)
        top, left = oh * stride[0] + start[0], (p - oh * OW) * stride[1] + start[1]
        to = plane * KH * KW * OH * OW + p
        for kh in range(KH):
            ih = top + kh * DH
            for kw in range(KW):
                iw = left + kw * DW
                if 0 <= ih and ih < H and 0 <= iw and iw < W:
                    cols[to] = x[(plane * H + ih) * W + iw]
                else:
                    cols[to] = x.dtype.type(0)
                to += OH * OW


def im2col(x: Any, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> DeviceArray:
    """Each window becomes a column; see the reference. A thread for every window of a plane."""
    N, C, H, W = x.shape
    OH, OW = geometry.output_size((H, W), kernel_size, stride, padding, dilation)
    cols = empty((N, C * kernel_size[0] * kernel_size[1], OH * OW), x.dtype)
    window = kernel_size, stride, (-padding[0][0], -padding[1][0]), dilation
    launch_planes(_im2col, N * C, OH * OW, cols, resident(x), (H, W), (OH, OW), *window, divisor(OW))
    return cols


@cuda.jit(cache=True)
def _col2im(x, cols, size, grid, kernel_size, stride, corner, dilation, by_width):
    plane, p = cuda.blockIdx.x, element()
    (H, W), (OH, OW), (KH, KW), (SH, SW) = size, grid, kernel_size, stride
    down, over = dilation[0] // SH, dilation[1] // SW
    more_h, more_w = dilation[0] - down * SH, dilation[1] - over * SW
    if p < H * W:
        # The window in which tap (kh, kw) is this pixel is (oh, ow), if the rests are 0. From the last tap on: then windows ascend,
        # as in the reference. From tap to tap one divided by the stride moves by a constant.
        ih = quotient(p, by_width)
        below, right = ih + corner[0] - (KH - 1) * dilation[0], p - ih * W + corner[1] - (KW - 1) * dilation[1]
        oh, ow_of_last = below // SH, right // SW
        rest_h, rest_of_last = below - oh * SH, right - ow_of_last * SW
        total = cols.dtype.type(0)
        for back in range(KH):
            if rest_h == 0 and 0 <= oh and oh < OH:
                tap = (plane * KH + KH - 1 - back) * KW + KW - 1
                ow, rest_w = ow_of_last, rest_of_last
                for _ in range(KW):
                    if rest_w == 0 and 0 <= ow and ow < OW:
                        total += cols[(tap * OH + oh) * OW + ow]
                    tap -= 1
                    ow += over
                    rest_w += more_w
                    if rest_w >= SW:
                        rest_w -= SW
                        ow += 1
            oh += down
            rest_h += more_h
            if rest_h >= SH:
                rest_h -= SH
                oh += 1
        x[plane * H * W + p] = total


def col2im(cols: Any, output_size: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> DeviceArray:
    """Add every column back to the pixels it was taken from; see the reference. A thread gathers what belongs to a pixel."""
    H, W = output_size
    grid = geometry.output_size((H, W), kernel_size, stride, padding, dilation)
    N, C = cols.shape[0], cols.shape[1] // (kernel_size[0] * kernel_size[1])
    x = empty((N, C, H, W), cols.dtype)
    window = kernel_size, stride, (padding[0][0], padding[1][0]), dilation
    launch_planes(_col2im, N * C, H * W, x, resident(cols), (H, W), grid, *window, divisor(W))
    return x
