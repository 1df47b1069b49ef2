"""Convolution and its adjoints as products of matrices whose elements are looked up where they lie (see `products`).

The convolution is ``y = w @ im2col(x)``, with outputs (n, oh, ow) as columns.

The adjoint in x is the same product. The pixels of x that leave the same remainder on division by the stride see the same taps of w, and
the outputs that reach them through one tap lie side by side. So each of these classes of pixels is a convolution of gy with stride 1 by
its share of the taps: no zeros are put between the elements of gy, and none is multiplied. One launch computes all classes.

The adjoint in w sums over outputs: ``gw = gy @ im2col(x)'``, with taps as columns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import cuda

from zfkernels import geometry
from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import THREADS, launch, launch_blocks
from zfkernels.cuda.few_rows import FEW, few_rows
from zfkernels.cuda.linear import add_shares, linear_adjoint_b
from zfkernels.cuda.products import MULTIPROCESSORS, Entries, Places, Strides, entries, places, product
from zfkernels.geometry import Axis, Padding, Pair


def _taps(channels: int, kernel_size: Pair, input_size: Pair, dilation: Pair) -> Entries:
    """The taps of a filter: in the image, in the filter, and as steps down and across."""
    (KH, KW), (H, W) = kernel_size, input_size
    c, kh, kw = np.ogrid[:channels, :KH, :KW]
    ih, iw = kh * dilation[0], kw * dilation[1]
    return entries(c * (H * W) + ih * W + iw, (c * KH + kh) * KW + kw, ih, iw)


def _windows(outputs: Pair, input_size: Pair, stride: Pair, padding: Padding) -> Entries:
    """The windows of an image: their first pixels, which may lie before it, and the outputs they make."""
    oh, ow = np.ogrid[: outputs[0], : outputs[1]]
    ih, iw = oh * stride[0] - padding[0][0], ow * stride[1] - padding[1][0]
    return entries(ih * input_size[1] + iw, oh * outputs[1] + ow, ih, iw)


@lru_cache(maxsize=256)
def _forward(channels: int, kernel_size: Pair, outputs: Pair, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Places:
    taps = _taps(channels, kernel_size, input_size, dilation)
    return places([(taps, _windows(outputs, input_size, stride, padding))], input_size)


def _conv2d(x: Any, w: Any, b: Any, stride: Pair, padding: Padding, dilation: Pair, groups: int, rectified: bool) -> DeviceArray:
    (N, C, H, W), (O, CG, KH, KW) = x.shape, w.shape
    OH, OW = geometry.output_size((H, W), (KH, KW), stride, padding, dilation)
    y = empty((N, O, OH, OW), x.dtype)
    filters, taps, plane = O // groups, CG * KH * KW, OH * OW
    product(
        y, resident(w), resident(x), None if b is None else resident(b),
        _forward(CG, (KH, KW), (OH, OW), (H, W), stride, padding, dilation), groups, filters,
        Strides(filters * taps, taps, 0), Strides(CG * H * W, 0, C * H * W), Strides(filters * plane, plane, O * plane),
        images=N, rectified=rectified,
    )  # fmt: skip
    return y


def conv2d(x: Any, w: Any, b: Any, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> DeviceArray:
    """Each output is one filter against one window, plus a bias; see the reference. A block for every tile of filters and outputs."""
    return _conv2d(x, w, b, stride, padding, dilation, groups, rectified=False)


def conv2d_relu(x: Any, w: Any, b: Any, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> DeviceArray:
    """The positive part of the convolution, taken as it is stored; see the reference."""
    return _conv2d(x, w, b, stride, padding, dilation, groups, rectified=True)


# ---- the adjoint in x


def _free_stride(outputs: Pair, kernel_size: Pair, stride: Pair, dilation: Pair) -> Pair:
    """The stride; on an axis with a single output, where any stride is right, the extent of the window: no two taps reach one class."""
    extents = (Axis(1, k, dilation=d).extent for k, d in zip(kernel_size, dilation, strict=True))
    height, width = (extent if o == 1 else s for o, extent, s in zip(outputs, extents, stride, strict=True))
    return height, width


def _classes(size: int, outputs: int, kernel: int, stride: int, before: int, dilation: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """The pixels ``first + q*stride`` of an axis by remainder: (first, taps that reach them, output - q for each tap)."""
    classes = []
    for first in range(min(stride, size)):
        shifts, remainders = np.divmod(first + before - np.arange(kernel) * dilation, stride)
        last = (size - 1 - first) // stride
        taps = np.flatnonzero((remainders == 0) & (shifts + last >= 0) & (shifts < outputs))
        classes.append((first, taps, shifts[taps]))
    return classes


@lru_cache(maxsize=256)
def _backward(
    filters: int, channels: int, kernel_size: Pair, outputs: Pair, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> Places:
    (KH, KW), (OH, OW), (H, W) = kernel_size, outputs, input_size
    SH, SW = _free_stride(outputs, kernel_size, stride, dilation)
    o, classes = np.arange(filters)[:, None, None], []
    for top, rows, shifts in _classes(H, OH, KH, SH, padding[0][0], dilation[0]):
        kh, down = rows[:, None], shifts[:, None]
        qh = np.arange(-(-(H - top) // SH))[:, None]
        for left, kw, across in _classes(W, OW, KW, SW, padding[1][0], dilation[1]):
            qw = np.arange(-(-(W - left) // SW))
            taps = entries((o * OH + down) * OW + across, (o * channels * KH + kh) * KW + kw, down, across)
            classes.append((taps, entries(qh * OW + qw, (top + qh * SH) * W + left + qw * SW, qh, qw)))
    classes.sort(key=lambda one: -len(one[0][0]))  # the longest sums first, the short ones fill the end
    return places(classes, outputs)


def conv2d_adjoint_x(gy: Any, w: Any, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> DeviceArray:
    """Each output puts its filter, weighted, back into its window; see the reference.

    A block for every tile of channels and pixels of one class; pixels that no window meets are sums of nothing.
    """
    (N, O, OH, OW), (_, CG, KH, KW), (H, W), filters = gy.shape, w.shape, input_size, w.shape[0] // groups
    gx = empty((N, groups * CG, H, W), gy.dtype)
    where = _backward(filters, CG, (KH, KW), (OH, OW), (H, W), stride, padding, dilation)
    of_w, of_gy = Strides(filters * CG * KH * KW, KH * KW, 0), Strides(filters * OH * OW, 0, O * OH * OW)
    of_gx = Strides(CG * H * W, H * W, groups * CG * H * W)
    if CG <= FEW:
        few_rows(gx, resident(w), resident(gy), where, groups, CG, of_w, of_gy, of_gx, images=N, maps=filters, plane=OH * OW)
    else:
        product(gx, resident(w), resident(gy), None, where, groups, CG, of_w, of_gy, of_gx, images=N)
    return gx


# ---- the adjoints in w and b


@lru_cache(maxsize=256)
def _across(channels: int, kernel_size: Pair, outputs: Pair, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Places:
    taps = _taps(channels, kernel_size, input_size, dilation)
    return places([(_windows(outputs, input_size, stride, padding), taps)], input_size)


def conv2d_adjoint_w(gy: Any, x: Any, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> DeviceArray:
    """Each output adds its window, weighted, to its filter; see the reference.

    A block for every tile of filters and taps and some of the outputs; the sums over those are added in order.
    """
    (N, O, OH, OW), (_, C, H, W), (KH, KW) = gy.shape, x.shape, kernel_size
    CG, filters, taps = C // groups, O // groups, C // groups * KH * KW
    gw = empty((O, CG, KH, KW), gy.dtype)
    product(
        gw, resident(gy), resident(x), None,
        _across(CG, kernel_size, (OH, OW), (H, W), stride, padding, dilation), groups, filters,
        Strides(filters * OH * OW, OH * OW, O * OH * OW), Strides(CG * H * W, 0, C * H * W), Strides(filters * taps, taps, 0),
        k_images=N, by_pixels=True,
    )  # fmt: skip
    return gw


EACH = 4
"""Elements of a map that a thread asks for at once."""


@cuda.jit(cache=True)
def _summed(parts, gy, share, images, maps, plane):
    """A share of the sum over a map's elements in all images: a block's threads side by side, then in pairs."""
    sums = cuda.shared.array(THREADS, gy.dtype)
    t, o, part = cuda.threadIdx.x, cuda.blockIdx.x % maps, cuda.blockIdx.x // maps
    first = part * share + t
    last = min((part + 1) * share, images * plane)
    image = first // plane
    p = first - image * plane
    more_images = THREADS // plane
    more = THREADS - more_images * plane
    total = gy.dtype.type(0)
    at = cuda.local.array(EACH, numba.int64)
    terms = cuda.local.array(EACH, gy.dtype)
    for i in range(first, last, EACH * THREADS):
        for lane in range(EACH):
            at[lane] = (image * maps + o) * plane + p
            image += more_images
            p += more
            if p >= plane:
                p -= plane
                image += 1
        if i + (EACH - 1) * THREADS < last:
            for lane in range(EACH):  # all requests before the first answer
                terms[lane] = gy[np.uint64(at[lane])]
            for lane in range(EACH):
                total += terms[lane]
        else:
            for lane in range(EACH):
                if i + lane * THREADS < last:
                    total += gy[np.uint64(at[lane])]
    sums[t] = total
    width = THREADS
    while width > 1:
        half = (width + 1) // 2
        cuda.syncthreads()
        if t < width - half:
            sums[t] += sums[t + half]
        width = half
    if t == 0:
        parts[part * maps + o] = sums[0]


BLOCKS = 8 * MULTIPROCESSORS
"""Enough for every device to be full."""


def conv2d_adjoint_b(gy: Any) -> DeviceArray:
    """Each bias gathers the signal of its whole map; see the reference. Some blocks a map, whose sums are added in order."""
    N, O, OH, OW = gy.shape
    if OH * OW == 1:
        return linear_adjoint_b(gy.reshape(N, O))
    gb, terms = empty((O,), gy.dtype), N * OH * OW
    splits = max(min(-(-BLOCKS // O), terms // (8 * THREADS)), 1)
    parts = gb if splits == 1 else empty((splits * O,), gy.dtype)
    launch_blocks(_summed, splits * O, THREADS, parts, resident(gy), -(-terms // splits), N, O, OH * OW)
    if splits > 1:
        launch(add_shares, O, gb, parts, splits)
    return gb
