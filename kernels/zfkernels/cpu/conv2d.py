"""Convolution and its adjoints as products of matrices on images that are laid out for it once (see `layout`).

With outputs (n, oh, ow) as columns, the convolution is ``y = w @ im2col(x)``, and the rows of im2col's matrix are runs of the
laid out x.

The adjoint in x is the same product. The pixels of x that leave the same remainder on division by the stride see the same taps
of w, and the outputs that reach them through one tap lie side by side. So each of the SH*SW classes of pixels is a convolution
of gy with stride 1 by its share of the taps: no zeros are put between the elements of gy, and none is multiplied.

The adjoint in w sums over outputs: ``gw' = im2col(x) @ gy'``, with filters as columns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from zfkernels import geometry
from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.im2col import tap_offsets
from zfkernels.cpu.layout import lay_out, windows
from zfkernels.cpu.products import Factor, Source, Target, products, transposed, walks
from zfkernels.cpu.scatter import pays, scatter
from zfkernels.geometry import Axis, Padding, Pair

Shape = tuple[int, ...]
AxisClass = tuple[int, np.ndarray, np.ndarray]


def _steps(count: int, step: int) -> np.ndarray:
    return frozen(np.arange(count, dtype=np.int64) * step)


_remembered = lru_cache(maxsize=256)(_steps)


def steps(count: int, step: int) -> np.ndarray:
    """``0, step, 2*step, ...``; short ones are remembered."""
    return (_remembered if count <= 1 << 14 else _steps)(count, step)


def _conv2d(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, dilation: Pair, groups: int, rectified: bool
) -> np.ndarray:
    (N, C), (O, CG, KH, KW) = x.shape[:2], w.shape
    OH, OW = geometry.output_size(x.shape[2:], (KH, KW), stride, padding, dilation)
    y = empty((N, O, OH, OW), x.dtype)
    layout, starts = windows(x, (KH, KW), stride, padding, dilation, (OH, OW), groups)
    filters, taps, plane = O // groups, CG * KH * KW, OH * OW
    bias = np.zeros((groups, filters), x.dtype) if b is None else frozen(b).reshape(groups, filters)
    there, here = walks(filters, (OH, OW), (C * layout.channel, layout.width), (O * plane, OW))
    products(
        Target(y.reshape(-1), steps(filters, plane), filters * plane, here),
        Factor(frozen(w).reshape(-1), steps(filters, taps), steps(taps, 1), filters * taps),
        Source(layout.values, starts, CG * layout.channel, there),
        N, bias, rectified=rectified,
    )  # fmt: skip
    return y


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> np.ndarray:
    """Each output is one filter against one window, plus a bias; see the reference.

    Parallel over groups, blocks of filters and tiles of outputs.
    """
    return _conv2d(x, w, b, stride, padding, dilation, groups, rectified=False)


def conv2d_relu(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """The positive part of the convolution, taken as it is stored; see the reference."""
    return _conv2d(x, w, b, stride, padding, dilation, groups, rectified=True)


def _free_stride(outputs: Pair, kernel_size: Pair, stride: Pair, dilation: Pair) -> Pair:
    """The stride; on an axis with a single output, where any stride is right, the extent of the window.

    No two taps then reach pixels of one class, and the adjoint of a fully connected layer written as a convolution becomes
    the plain matrix product that it is.
    """
    extents = (Axis(1, k, dilation=d).extent for k, d in zip(kernel_size, dilation, strict=True))
    height, width = (extent if o == 1 else s for o, extent, s in zip(outputs, extents, stride, strict=True))
    return height, width


def _classes(size: int, outputs: int, offsets: np.ndarray, stride: int) -> list[AxisClass]:
    """The pixels ``i = first + q*stride`` of an axis by remainder: (first, taps that reach them, output - q for each tap)."""
    classes = []
    for first in range(min(stride, size)):
        shifts, remainders = np.divmod(first - offsets, stride)
        last = (size - 1 - first) // stride
        taps = np.flatnonzero((remainders == 0) & (shifts + last >= 0) & (shifts < outputs))
        if len(taps):
            classes.append((first, taps, shifts[taps]))
    return classes


def _reach(classes: list[AxisClass], size: int, stride: int) -> Pair:
    """The first output that any class sees at q = 0, and how many outputs all of them see at all q."""
    first = min(int(outputs.min()) for _, _, outputs in classes)
    return first, max(int(outputs.max()) for _, _, outputs in classes) - first + -(-size // stride)


class PixelClass(NamedTuple):
    """The pixels ``first + q*stride`` of an image: how many, and which taps of which filters meet which element of gy there."""

    first: Pair
    grid: Pair
    taps: np.ndarray
    starts: np.ndarray


class Residues(NamedTuple):
    """How gy is laid out for the way down, and what each class of pixels takes from it."""

    size: Pair
    start: Pair
    stride: Pair
    classes: tuple[PixelClass, ...]
    whole: bool


@lru_cache(maxsize=256)
def residues(outputs: Pair, filters: Shape, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Residues:
    O, CG, KH, KW = filters
    H, W = input_size
    SH, SW = stride = _free_stride(outputs, (KH, KW), stride, dilation)
    tap_rows, tap_columns = tap_offsets((KH, KW), padding, dilation)
    vertical, horizontal = _classes(H, outputs[0], tap_rows, SH), _classes(W, outputs[1], tap_columns, SW)
    whole = len(vertical) * len(horizontal) == min(SH, H) * min(SW, W)
    if not vertical or not horizontal:
        return Residues((0, 0), (0, 0), stride, (), whole)
    top, height = _reach(vertical, H, SH)
    left, width = _reach(horizontal, W, SW)
    maps, classes = np.arange(O, dtype=np.int64)[:, None, None], []
    for ih, kh, oh in vertical:
        for iw, kw, ow in horizontal:
            taps = maps * (CG * KH * KW) + kh[:, None] * KW + kw
            starts = maps * (height * width) + (oh - top)[:, None] * width + (ow - left)
            grid = -(-(H - ih) // SH), -(-(W - iw) // SW)
            classes.append(PixelClass((ih, iw), grid, frozen(taps.reshape(-1)), frozen(starts.reshape(-1))))
    return Residues((height, width), (top, left), stride, tuple(classes), whole)


def _spread(gy: np.ndarray, w: np.ndarray, groups: int) -> np.ndarray:
    """The adjoint in x where the image is one window: a plain product of matrices, a column for every pixel."""
    N, O, (CG, KH, KW), filters = gy.shape[0], w.shape[0], w.shape[1:], w.shape[0] // groups
    gx = empty((N, groups * CG, KH, KW), gy.dtype)
    pixels = CG * KH * KW
    there, here = walks(N, (1, pixels), (0, pixels), (0, pixels))
    products(
        Target(gx.reshape(-1), steps(N, groups * pixels), pixels, here),
        Factor(frozen(gy).reshape(-1), steps(N, O), steps(filters, 1), filters),
        Source(frozen(w).reshape(-1), steps(filters, pixels), filters * pixels, there),
        1, np.zeros((groups, N), gy.dtype),
    )  # fmt: skip
    return gx


def conv2d_adjoint_x(
    gy: np.ndarray, w: np.ndarray, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output puts its filter, weighted, back into its window; see the reference.

    Parallel over groups, blocks of channels and tiles of pixels, one class of pixels after another.
    """
    O, CG, KH, KW = w.shape
    (H, W), N, filters = input_size, gy.shape[0], O // groups
    if (H, W) == (KH, KW) and gy.shape[2:] == (1, 1) and padding == ((0, 0), (0, 0)):
        return _spread(gy, w, groups)
    if pays(gy, w, input_size, stride, padding, dilation):  # the same bits
        return scatter(gy, w, input_size, stride, padding, dilation, groups)
    down = residues(gy.shape[2:], (filters, *w.shape[1:]), input_size, stride, padding, dilation)
    gx = (empty if down.whole else np.zeros)((N, groups * CG, H, W), gy.dtype)  # pixels between the windows stay zero
    if not down.classes:
        return gx
    layout = lay_out(gy, down.size, down.start)
    w_flat, bias = frozen(w).reshape(-1), np.zeros((groups, CG), gy.dtype)
    for (ih, iw), grid, taps, starts in down.classes:
        lines = groups * CG * H * W, down.stride[0] * W
        there, here = walks(CG, grid, (O * layout.channel, layout.width), lines, down.stride[1])
        products(
            Target(gx.reshape(-1)[ih * W + iw :], steps(CG, H * W), CG * H * W, here),
            Factor(w_flat, steps(CG, KH * KW), taps, filters * CG * KH * KW),
            Source(layout.values, starts, filters * layout.channel, there),
            N, bias,
        )  # fmt: skip
    return gx


def places(images: int, height: int, width: int, image: int, line: int) -> np.ndarray:
    """Where every output of a batch lies in images that are laid out."""
    return frozen((steps(images, image)[:, None, None] + steps(height, line)[:, None] + steps(width, 1)).reshape(-1))


def conv2d_adjoint_w(
    gy: np.ndarray, x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output adds its window, weighted, to its filter; see the reference.

    Parallel over groups, blocks of taps and tiles of filters; each walks all outputs in order, slab by slab.
    """
    (N, O, OH, OW), C = gy.shape, x.shape[1]
    (KH, KW), CG, OG = kernel_size, C // groups, O // groups
    layout, taps = windows(x, kernel_size, stride, padding, dilation, (OH, OW), groups)
    pixels = places(N, OH, OW, C * layout.channel, layout.width)
    gw = empty((O, CG, KH, KW), gy.dtype)
    there, here = walks(taps.size, (1, OG), (0, OG), (0, OG * taps.size), taps.size)
    products(
        Target(gw.reshape(-1), steps(taps.size, 1), OG * taps.size, here),
        Factor(layout.values, taps, pixels, CG * layout.channel),
        Source(transposed(gy.reshape(N, O, OH * OW)), steps(N * OH * OW, O), OG, there),
        1, np.zeros((groups, taps.size), gy.dtype), fresh=True,
    )  # fmt: skip
    return gw


@njit(parallel=True, cache=True)
def _adjoint_b(gb, gy):
    N, O, P = gy.shape
    whole = P - P % 16
    for o in prange(O):
        # Sixteen sums side by side make vectors and keep digits. The order is written out because "reassoc" left it to LLVM,
        # which chose another in the process that compiled than in those that load the compiled code.
        sums = np.zeros(16, gb.dtype)
        for n in range(N):
            of_map = gy[n, o]
            for p in range(0, whole, 16):
                for lane in range(16):
                    sums[lane] += of_map[p + lane]
            for p in range(whole, P):
                sums[p - whole] += of_map[p]
        gb[o] = sums.sum()


def conv2d_adjoint_b(gy: np.ndarray) -> np.ndarray:
    """Each bias gathers the signal of its whole map; see the reference. Parallel over maps."""
    N, O, OH, OW = gy.shape
    gb = np.empty(O, gy.dtype)
    _adjoint_b(gb, frozen(gy).reshape(N, O, OH * OW))
    return gb
