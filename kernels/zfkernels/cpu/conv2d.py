"""Convolution and its adjoints as matrix products on images that are laid out for it once (see `layout`).

With outputs (n, oh, ow) as columns, the convolution is ``y = w @ im2col(x)``, and the rows of im2col's matrix are runs of the
laid out x. A task owns a block of rows and a tile of columns of the result and sums all taps into it.

The adjoint in x is the same product. The pixels of x that leave the same remainder on division by the stride see the same taps
of w, and the outputs that reach them through one tap lie side by side. So each of the SH*SW classes of pixels is a convolution
of gy with stride 1 by its share of the taps: no zeros are put between the elements of gy, and none is multiplied.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels import geometry
from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.gemm import accumulate, dots, even_block, load_coefficients, row_starts
from zfkernels.cpu.im2col import tap_offsets
from zfkernels.cpu.layout import layout_of, unsplit, windows
from zfkernels.cpu.relu import relu
from zfkernels.geometry import Axis, Padding, Pair

PixelClass = tuple[int, np.ndarray, np.ndarray]


@njit(cache=True)
def _correlate_tile(
    out, image, o, rows, first, last, source, shift, starts, w, base, row_stride, offsets, bias, layout, grid, origin, step
):  # fmt: skip
    """The outputs of the columns ``first <= j < last`` of the lump that begins at `image`, for the rows from o on."""
    sums = np.empty(((rows + 3) // 4 * 4, last - first), out.dtype)
    for r in range(sums.shape[0]):
        sums[r] = bias[o + min(r, rows - 1)]
    slab = min(starts.shape[0], 128)  # taps whose runs stay in the first-level cache while all rows of w pass
    a = np.empty((slab, 4), out.dtype)
    for k in range(0, starts.shape[0], slab):
        for r in range(0, rows, 4):
            load_coefficients(a, w, base + r * row_stride, row_stride, offsets[k : k + slab], rows - r)
            accumulate(sums, r, a, source, starts[k : k + slab], shift + first)
    _, height, width = layout
    for row in range(first // width, (last - 1) // width + 1):
        n, qh = image + row // height, row % height
        if n >= out.shape[0] or qh >= grid[0]:
            continue
        low, high = max(first - row * width, 0), min(last - row * width, grid[1])
        for r in range(rows):
            line = out[n, o + r, origin[0] + qh * step[0]]
            for qw in range(low, high):
                line[origin[1] + qw * step[1]] = sums[r, row * width + qw - first]


@njit(parallel=True, cache=True)
def _correlate(
    out, source, starts, w, row_stride, offsets, bias, groups, layout, columns, grid, origin, step, block, tile
):  # fmt: skip
    """``out[n, o, origin + q*step] = bias[o] + sum over k of w[o*row_stride + offsets[k]] * source[starts[k] + column of q]``

    for every q on the grid. Within a group: o, offsets and starts count from the group's first row, weight and channel.
    """
    lumps, rows = -(-out.shape[0] // layout[0]), out.shape[1] // groups
    blocks, tiles = -(-rows // block), -(-columns // tile)
    for task in prange(groups * blocks * lumps * tiles):  # tiles innermost: a thread meets the same weights again
        g, r = task // (blocks * lumps * tiles), task // (lumps * tiles) % blocks * block
        lump, first = task // tiles % lumps, task % tiles * tile
        shift = (lump * groups + g) * (source.shape[0] // (lumps * groups))
        base = g * (w.shape[0] // groups) + r * row_stride
        _correlate_tile(
            out, lump * layout[0], g * rows + r, min(block, rows - r), first, min(first + tile, columns),
            source, shift, starts, w, base, row_stride, offsets, bias, layout, grid, origin, step,
        )  # fmt: skip


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> np.ndarray:
    """Each output is one filter against one window, plus a bias; see the reference.

    Parallel over groups, blocks of filters and tiles of outputs.
    """
    O, _, KH, KW = w.shape
    grid = geometry.output_size(x.shape[2:], (KH, KW), stride, padding, dilation)
    y = np.empty((x.shape[0], O, *grid), x.dtype)
    source, layout, starts = windows(x, (KH, KW), stride, padding, dilation, grid, groups)
    bias = frozen(np.zeros(O, x.dtype) if b is None else b)
    offsets = frozen(row_starts(len(starts), 1))
    columns = layout.columns(grid)
    block, tile = even_block(O // groups, 128, 4), even_block(columns, 256, 16)
    _correlate(
        y, source, starts, frozen(w).reshape(-1), len(starts), offsets, bias,
        groups, tuple(layout), columns, grid, (0, 0), (1, 1), block, tile,
    )  # fmt: skip
    return y


def conv2d_relu(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """The positive part of the convolution; see the reference."""
    return relu(conv2d(x, w, b, stride, padding, dilation, groups))


def _free_stride(outputs: Pair, kernel_size: Pair, stride: Pair, dilation: Pair) -> Pair:
    """The stride; on an axis with a single output, where any stride is right, the extent of the window.

    No two taps then reach pixels of one class, and the adjoint of a fully connected layer written as a convolution becomes
    the plain matrix product that it is.
    """
    extents = (Axis(1, k, dilation=d).extent for k, d in zip(kernel_size, dilation, strict=True))
    height, width = (extent if o == 1 else s for o, extent, s in zip(outputs, extents, stride, strict=True))
    return height, width


def _classes(size: int, outputs: int, offsets: np.ndarray, stride: int) -> list[PixelClass]:
    """The pixels ``i = first + q*stride`` of an axis by remainder: (first, taps that reach them, output - q for each tap)."""
    classes = []
    for first in range(min(stride, size)):
        shifts, remainders = np.divmod(first - offsets, stride)
        last = (size - 1 - first) // stride
        taps = np.flatnonzero((remainders == 0) & (shifts + last >= 0) & (shifts < outputs))
        if len(taps):
            classes.append((first, taps, shifts[taps]))
    return classes


def _reach(classes: list[PixelClass], size: int, stride: int) -> Pair:
    """The first output that any class sees at q = 0, and how many outputs all of them see at all q."""
    first = min(int(outputs.min()) for _, _, outputs in classes)
    return first, max(int(outputs.max()) for _, _, outputs in classes) - first + -(-size // stride)


def conv2d_adjoint_x(
    gy: np.ndarray, w: np.ndarray, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output puts its filter, weighted, back into its window; see the reference.

    Parallel over groups, blocks of channels and tiles of pixels, one class of pixels after another.
    """
    O, CG, KH, KW = w.shape
    OH, OW = gy.shape[2:]
    stride = _free_stride((OH, OW), (KH, KW), stride, dilation)
    gx = np.zeros((gy.shape[0], groups * CG, *input_size), gy.dtype)  # pixels between the windows stay zero
    tap_rows, tap_columns = tap_offsets((KH, KW), padding, dilation)
    vertical = _classes(input_size[0], OH, tap_rows, stride[0])
    horizontal = _classes(input_size[1], OW, tap_columns, stride[1])
    if not vertical or not horizontal:
        return gx
    top, height = _reach(vertical, input_size[0], stride[0])
    left, width = _reach(horizontal, input_size[1], stride[1])
    layout = layout_of(gy.shape[0], height, width)
    source = unsplit(gy, layout, (top, left))
    w_flat, bias = frozen(w).reshape(-1), frozen(np.zeros(groups * CG, gy.dtype))
    maps = row_starts(O // groups, layout.run)[:, None, None]
    filters = row_starts(O // groups, CG * KH * KW)[:, None, None]
    for ih, kh, oh in vertical:
        for iw, kw, ow in horizontal:
            grid = -(-(input_size[0] - ih) // stride[0]), -(-(input_size[1] - iw) // stride[1])
            starts = maps + (oh - top)[:, None] * width + (ow - left)
            offsets = filters + kh[:, None] * KW + kw
            columns = layout.columns(grid)
            block, tile = even_block(CG, 128, 4), even_block(columns, 256, 16)
            _correlate(
                gx, source, frozen(starts.reshape(-1)), w_flat, KH * KW, frozen(offsets.reshape(-1)), bias,
                groups, tuple(layout), columns, grid, (ih, iw), stride, block, tile,
            )  # fmt: skip
    return gx


@njit(cache=True)
def _adjoint_w_tile(gw, o, k, signal, map_starts, source, tap_starts, group, groups, lumps, columns):
    rows, taps = map_starts.shape[0], tap_starts.shape[0]
    sums = np.zeros(((rows + 3) // 4 * 4, (taps + 3) // 4 * 4), gw.dtype)
    for lump in range(lumps):
        a_shift = (lump * groups + group) * (signal.shape[0] // (lumps * groups))
        b_shift = (lump * groups + group) * (source.shape[0] // (lumps * groups))
        for first in range(0, columns, 512):  # 64 rows of 512 float32 are 128 KB, in the second-level cache
            length = min(512, columns - first)
            for r in range(0, rows, 4):
                for t in range(0, taps, 4):
                    dots(
                        sums, r, t, signal, map_starts, a_shift + first, source, tap_starts, b_shift + first, length
                    )  # fmt: skip
    gw[o : o + rows, k : k + taps] = sums[:rows, :taps]


@njit(parallel=True, cache=True)
def _adjoint_w(gw, signal, map_starts, source, tap_starts, groups, lumps, columns, block, slab):
    rows, taps = map_starts.shape[0], tap_starts.shape[0]
    blocks, slabs = -(-rows // block), -(-taps // slab)
    for task in prange(groups * blocks * slabs):
        g, r, k = task // (blocks * slabs), task // slabs % blocks * block, task % slabs * slab
        _adjoint_w_tile(
            gw, g * rows + r, k, signal, map_starts[r : r + block], source, tap_starts[k : k + slab],
            g, groups, lumps, columns,
        )  # fmt: skip


def conv2d_adjoint_w(
    gy: np.ndarray, x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output adds its window, weighted, to its filter; see the reference.

    Parallel over groups, blocks of filters and slabs of taps; each walks all images in order.

    Edge cases: columns without an output have gy = 0, so an infinite or NaN pixel can give NaN in every tap of its channel.
    """
    N, O, OH, OW = gy.shape
    source, layout, tap_starts = windows(x, kernel_size, stride, padding, dilation, (OH, OW), groups)
    signal = unsplit(gy, layout, (0, 0))
    map_starts = frozen(row_starts(O // groups, layout.run))
    gw = np.empty((O, len(tap_starts)), gy.dtype)
    block, slab = even_block(O // groups, 64, 4), even_block(len(tap_starts), 64, 4)
    lumps, columns = -(-N // layout.lump), layout.columns((OH, OW))
    _adjoint_w(gw, signal, map_starts, source, tap_starts, groups, lumps, columns, block, slab)
    return gw.reshape(O, x.shape[1] // groups, *kernel_size)


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
