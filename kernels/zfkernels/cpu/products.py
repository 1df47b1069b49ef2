"""Every product of matrices of this backend: the convolution, its adjoints, the fully connected layer.

The result has rows and columns, and each of its elements is a sum over k of ``a[row, k] * b[k, column]``. Neither matrix exists
as such. An element of a lies where a table of rows and a table of k say; a row of b is made of runs of memory, one for each line
of an image. A task owns a block of the result. It brings NV vectors of b for SLAB values of k together, which then fit the
first-level cache, and lets the tiles of `microkernel` pass over them: im2col's matrix, a crumb of it at a time.

An element's terms are added in the order of k, or in slabs of k that depend on its length alone, whatever the blocks and the number
of threads, so these choose the speed alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.microkernel import MR, NV, add_products, prefetch, transpose_tile
from zfkernels.cpu.processor import VECTOR
from zfkernels.cpu.vectors import LANES, address, first_lanes, hold, load, offset, select, store
from zfkernels.geometry import Pair

SLAB = 128
"""Values of k at a time: so many rows of b, NV vectors wide, share a first-level cache of 48 KB with what passes over."""
BLOCK = 1 << 19
"""Bytes of a task's block of the result: it stays in the second-level cache from slab to slab."""
IN_PLACE = 12
"""What it costs to bring a vector of b together, in multiply-adds of a vector."""
FEW_ROWS = 96
"""Under more rows, columns in place cost more than bringing them together: they meet in the same sets of the cache."""


class Factor(NamedTuple):
    """The matrix a: element (row, k) of group g is ``values[g*group + rows[row] + offsets[k]]``."""

    values: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray
    group: int


class Walk(NamedTuple):
    """How columns lie in memory: the place ``n*image + h*line + w*step`` is that of column ``(n*height + h)*pitch + w``, w < width.

    Where the pitch is more than the width, columns in between stand for nothing. A line is never less than the pitch, nor an image than
    its lines, so that a place is never less than its column: whole vectors can be read from where a vector's first column would lie.
    """

    height: int
    width: int
    pitch: int
    image: int
    line: int
    step: int


def walks(rows: int, size: Pair, source: Pair, target: Pair, step: int = 1) -> tuple[Walk, Walk]:
    """The walks of columns through (source, target): lines of ``height, width = size`` at (image, line) in each.

    With few rows above them, columns are not worth being brought together: then the source is read in place, and its gaps between
    lines are computed, too.
    """
    (height, width), (image, line), (there, target_line) = size, source, target
    if line == width and target_line == width * step:  # no gaps: all lines are one
        height, width, line, target_line = 1, height * width, height * width, height * width * step
    pitch = line if (line - width) * rows < IN_PLACE * width and rows <= FEW_ROWS else width
    return Walk(height, width, pitch, image, line, 1), Walk(height, width, pitch, there, target_line, step)


class Source(NamedTuple):
    """The matrix b: element (k, column) of group g is ``values[g*group + offsets[k] + place of the column]``; step is 1."""

    values: np.ndarray
    offsets: np.ndarray
    group: int
    walk: Walk


class Target(NamedTuple):
    """The result: element (row, column) of group g is ``values[g*group + rows[row] + place of the column]``."""

    values: np.ndarray
    rows: np.ndarray
    group: int
    walk: Walk


@lru_cache(maxsize=1024)
def _blocks(rows: int, columns: int, groups: int, lanes: int, threads: int) -> tuple[int, int]:
    """Rows and columns of a task: blocks that fit the cache, of which the threads get equal shares at the least cost.

    The cost, in steps of one vector: half a step for a multiply-add, three to bring a vector of b, half a step to bring a row of a.
    """
    vectors, panels = -(-columns // lanes), -(-rows // MR)
    best: tuple[float, int, int] = (np.inf, 1, 1)
    for down in sorted({*range(1, min(panels, 16) + 1), panels}):
        block = -(-panels // down) * MR
        least = -(-vectors // max(NV, BLOCK // (block * VECTOR)))
        for across in sorted({*range(least, min(least + 8, vectors) + 1), min(-(-least // threads) * threads, vectors)}):
            tile = -(-vectors // across)
            tile = tile if tile < 2 * NV else -(-tile // NV) * NV
            tasks_down, tasks_across = -(-panels * MR // block), -(-vectors // tile)
            share = -(-groups * tasks_down * tasks_across // threads)
            width = vectors / tasks_across if threads == 1 else tile
            here = min(block, rows)
            best = min(best, (share * (width * (here / 2 + 3) + here / 2), block, tile))
    return best[1], best[2] * lanes


@njit(cache=True)
def aligned(size, like):
    """An array that begins where a vector does: none of its vectors lies in two lines of a cache."""
    array = np.empty(size + VECTOR // like.itemsize, like.dtype)
    first = -array.ctypes.data % VECTOR // like.itemsize
    return array[first : first + size]


@njit(cache=True)
def _runs(first, last, walk):
    """The runs of memory that the columns ``first <= j < last`` are: (first column counted from `first`, length, place)."""
    height, width, pitch, image, line, step = walk
    runs, count = np.empty(((last - 1) // pitch - first // pitch + 1, 3), np.int64), 0
    for across in range(first // pitch, (last - 1) // pitch + 1):
        begin, end = max(first - across * pitch, 0), min(last - across * pitch, width)
        if begin < end:
            place = across // height * image + across % height * line + begin * step
            runs[count] = across * pitch + begin - first, end - begin, place
            count += 1
    return runs[:count]


@njit(cache=True)
def _place_of(first, last, walk):
    """Where the columns ``first <= j < last`` lie if all of them, and all between, lie side by side; else -1."""
    height, _, pitch, image, line, _ = walk
    n = first // (height * pitch)
    return n * image + first - n * height * pitch if line == pitch and (last - 1) // (height * pitch) == n else -1


@njit(cache=True)
def _pitch(lanes):
    """Elements from one gathered row of b to the next: a tile's columns, in whole steps of LANES."""
    return (NV * lanes + LANES - 1) // LANES * LANES


@njit(cache=True)
def _pieces(begin, runs):
    """The runs that the columns ``begin <= j < begin + LANES`` lie in: (lane where it ends, perhaps beyond the vector; place of lane 0)."""
    pieces, count = np.empty((LANES, 2), np.int64), 0
    for i in range(len(runs)):
        column, length, place = runs[i]
        if column < begin + LANES and begin < column + length:
            pieces[count] = column + length - begin, place + begin - column
            count += 1
    return pieces[:count]


@njit(cache=True)
def _gather_vector(b, pitch, source, offsets, depth, pieces):
    """``b[k*pitch + lane] = source[offsets[k] + place + lane]`` for k < depth, with the place of the lane's piece."""
    count = len(pieces)
    p0, p1, p2 = pieces[0, 1], pieces[min(1, count - 1), 1], pieces[min(2, count - 1), 1]
    m0, m1 = first_lanes(pieces[0, 0]), first_lanes(pieces[min(1, count - 1), 0])
    if count == 1:
        for k in range(depth):
            store(b, k * pitch, load(source, offsets[k] + p0))
    elif count == 2:
        for k in range(depth):
            store(b, k * pitch, select(m0, load(source, offsets[k] + p0), load(source, offsets[k] + p1)))
    else:
        for k in range(depth):
            behind = select(m1, load(source, offsets[k] + p1), load(source, offsets[k] + p2))
            store(b, k * pitch, select(m0, load(source, offsets[k] + p0), behind))
        for i in range(3, count):
            before, place = first_lanes(pieces[i - 1, 0]), pieces[i, 1]
            for k in range(depth):
                store(b, k * pitch, select(before, load(b, k * pitch), load(source, offsets[k] + place)))


@njit(cache=True)
def _gather(b, pitch, source, base, offsets, columns, runs):
    """Rows of b from runs, in whole vectors as long as they lie inside the source."""
    top = base + offsets.max() + LANES
    for j in range(0, columns, LANES):
        pieces = _pieces(j, runs)
        if len(pieces) == 0:
            continue
        if top + pieces[-1, 1] <= len(source):
            _gather_vector(offset(address(b), j), pitch, offset(address(source), base), address(offsets), len(offsets), pieces)
        else:
            for i in range(len(runs)):
                column, length, place = runs[i]
                for lane in range(max(column, j), min(column + length, j + LANES)):
                    for k in range(len(offsets)):
                        b[k * pitch + lane] = source[base + offsets[k] + place + lane - column]


@njit(cache=True)
def _rectify(c):
    zero = c.dtype.type(0)
    for i in range(len(c)):
        c[i] = zero if c[i] <= zero else c[i]


@njit(cache=True)
def _store_lines(out, places, c, stride, runs, step):
    """Columns that follow each other lie side by side, or `step` apart."""
    for i in range(len(places)):
        for r in range(len(runs)):
            to, of = places[i] + runs[r, 2], i * stride + runs[r, 0]
            line, sums = out[to : to + (runs[r, 1] - 1) * step + 1], c[of : of + runs[r, 1]]
            if step == 1:
                for j in range(len(sums)):
                    line[j] = sums[j]
            else:
                for j in range(len(sums)):
                    line[j * step] = sums[j]


@njit(cache=True)
def _store_columns(out, places, c, stride, runs, step):
    """Rows that follow each other lie side by side: squares of the block are turned over their diagonal."""
    lanes, i = VECTOR // c.itemsize, 0
    while i < len(places):
        end = i + 1
        while end < len(places) and places[end] == places[i] + end - i:
            end += 1
        for r in range(len(runs)):
            column, length, to = runs[r]
            transpose(out, places[i] + to, step, c, i * stride + column, stride, end - i, length, lanes)
        i = end


@njit(cache=True)
def transpose(out, to, out_stride, source, of, stride, rows, columns, lanes):
    """``out[to + j*out_stride + i] = source[of + i*stride + j]``; the last squares of a side reach back over those before."""
    if rows < lanes or columns < lanes:
        for i in range(rows):
            for j in range(columns):
                out[to + j * out_stride + i] = source[of + i * stride + j]
        return
    for j in range(0, columns, lanes):
        column = min(j, columns - lanes)
        for i in range(0, rows, lanes):
            row = min(i, rows - lanes)
            transpose_tile(out, to + column * out_stride + row, out_stride, source, of + row * stride + column, stride)


@njit(parallel=True, cache=True)
def _transpose_all(out, source, rows, columns):
    lanes, size = VECTOR // source.itemsize, rows * columns
    strips = (columns + 4 * lanes - 1) // (4 * lanes)  # a few cache lines of each row
    for task in prange(len(source) // size * strips):
        matrix, first = task // strips * size, task % strips * 4 * lanes
        width = min(4 * lanes, columns - first)
        transpose(out, matrix + first * rows, rows, source, matrix + first, columns, rows, width, lanes)


def transposed(matrices: np.ndarray) -> np.ndarray:
    """(N, R, C) -> (N, C, R), flat, with slack behind for whole vectors. Parallel over matrices and strips of columns."""
    _, R, C = matrices.shape
    out = empty((matrices.size + NV * VECTOR // matrices.itemsize,), matrices.dtype)
    out[matrices.size :] = 0
    if matrices.size:
        _transpose_all(out, frozen(matrices).reshape(-1), R, C)
    return frozen(out)


@njit(cache=True)
def _prefetch_rows(a, a_rows, first, last, a_offsets, depth):
    for row in range(first, last):
        for k in range(0, depth, 32):
            prefetch(a, a_rows[row] + a_offsets[k])


@njit(cache=True)
def _add_slab(c, stride, columns, a, a_rows, a_offsets, source, source_base, offsets, walk, first, b, fresh):
    """The terms of one slab of k, added to the block c."""
    rows, lanes, depth = len(a_rows), VECTOR // c.itemsize, len(offsets)
    width, pitch = NV * lanes, _pitch(lanes)
    b_offsets = np.arange(depth) * pitch
    room = len(source) - source_base - offsets.max() - width
    # As addresses: arrays that are passed on are counted, and that stops the processor.
    to, of, of_rows, of_offsets = address(c), address(a), address(a_rows), address(a_offsets)
    for j in range(0, columns, width):
        vectors, last = min(NV, (columns - j + lanes - 1) // lanes), min(j + width, columns)
        place = _place_of(first + j, first + last, walk)
        in_place = 0 <= place <= room
        if in_place:
            tile, tile_offsets = offset(address(source), source_base + place), address(offsets)
        else:
            _gather(b, pitch, source, source_base, offsets, last - j, _runs(first + j, first + last, walk))
            tile, tile_offsets = address(b), address(b_offsets)
        for i in range(0, rows, MR):
            if j == 0:  # the rows of a lie far apart: nobody but we can guess what comes next
                _prefetch_rows(of, of_rows, i + MR, min(i + 2 * MR, rows), of_offsets, depth)
            here = min(MR, rows - i)
            add_products(to, i * stride + j, stride, of, of_rows, i, of_offsets, tile, tile_offsets, depth, int(fresh), here, vectors)
    hold(b_offsets)


@njit(cache=True)
def _slab(depth):
    """Near SLAB, so that equal slabs make up all of k."""
    slabs = max(1, (2 * depth + SLAB) // (2 * SLAB))
    return max(1, (depth + slabs - 1) // slabs)


@njit(cache=True)
def _block(out, places, out_walk, a, a_rows, a_offsets, source, source_base, offsets, walk, bias, first, last, rectified, fresh):
    """Rows ``a_rows`` and columns ``first <= j < last`` of the result."""
    lanes, rows, columns, depth = VECTOR // out.itemsize, len(a_rows), last - first, len(offsets)
    stride = ((columns + lanes - 1) // lanes // 2 * 2 + 3) * lanes  # an odd number of vectors: lines meet different sets of a cache
    slab = _slab(depth) if rows > MR or fresh else SLAB // 16  # few rows use b once: then long runs of it are better than many
    c, b = aligned(rows * stride, out), aligned(slab * _pitch(lanes), out)
    b[:] = 0  # what is not gathered stands for no column; numbers left over by others may be slow to multiply
    for i in range(rows):
        c[i * stride : (i + 1) * stride] = bias[i]
    for k in range(0, depth, slab):
        _add_slab(
            c, stride, columns, a, a_rows, a_offsets[k : k + slab], source, source_base, offsets[k : k + slab], walk, first, b, fresh
        )
    if rectified:
        _rectify(c)
    runs, step = _runs(first, last, out_walk), out_walk[5]
    if step > 1 and len(places) > 1 and places[1] == places[0] + 1:
        _store_columns(out, places, c, stride, runs, step)
    else:
        _store_lines(out, places, c, stride, runs, step)


@njit(parallel=True, cache=True)
def _products(
    out, out_rows, out_group, out_walk, a, a_rows, a_offsets, a_group, source, offsets, source_group, walk,
    bias, columns, groups, block, tile, rectified, fresh,
):  # fmt: skip
    rows = len(a_rows)
    blocks, tiles = (rows + block - 1) // block, (columns + tile - 1) // tile
    for task in prange(groups * blocks * tiles):  # blocks innermost: threads meet the same columns at about the same time
        group, first, row = task // (blocks * tiles), task // blocks % tiles * tile, task % blocks * block
        end = min(row + block, rows)
        _block(
            out, out_rows[row:end] + group * out_group, out_walk,
            a, a_rows[row:end] + group * a_group, a_offsets, source, group * source_group, offsets, walk,
            bias[group, row:end], first, min(first + tile, columns), rectified, fresh,
        )  # fmt: skip


def products(
    target: Target,
    factor: Factor,
    source: Source,
    images: int,
    bias: np.ndarray,
    rectified: bool = False,
    fresh: bool = False,
) -> None:
    """``target[row, column] = bias[row] + sum over k of factor[row, k] * source[k, column]`` in every group, or its positive part.

    Parameters
    ----------
    images : int
        Of columns.
    bias : float (groups, rows)
    fresh : bool
        Sum slabs of k from zero, for smaller errors in long sums; otherwise zeros among the terms do not change a bit.
    """
    lanes, columns, groups = VECTOR // target.values.itemsize, images * source.walk.height * source.walk.pitch, len(bias)
    if columns * len(factor.rows) == 0:
        return
    block, tile = _blocks(len(factor.rows), columns, groups, lanes, numba.get_num_threads())
    _products(
        target.values, target.rows, target.group, tuple(target.walk),
        *factor, source.values, source.offsets, source.group, tuple(source.walk),
        frozen(bias), columns, groups, block, tile, rectified, fresh,
    )  # fmt: skip
