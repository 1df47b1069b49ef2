"""Every product of matrices of this backend: the convolution, its adjoints, the fully connected layer.

The result has rows and columns, and each of its elements is a sum over k of ``a[row, k] * b[k, column]``. Neither matrix exists as such:
b is im2col's matrix, or a part of it, and where its elements lie in an image is the sum of what a table says of k and what another says
of the column (implicit im2col, as in cuDNN: Chetlur et al. 2014, arXiv 1410.0759). So is the pixel they are; if it is not on the image,
the element is zero.

A block of threads owns a tile of the result. In every step it brings `depth` values of k of both matrices into shared memory, while it
multiplies those of the step before; each thread keeps its part of the tile in registers. Where the tiles are too few for the device, the
sum over k is split over several blocks, and a second kernel adds their parts, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import cuda

from zfkernels.cache import kept_by_source
from zfkernels.cuda.arrays import DeviceArray, asarray, empty
from zfkernels.cuda.device import SIMULATED, launch, launch_blocks
from zfkernels.cuda.vectors import inside, load, quotient, store
from zfkernels.geometry import Pair

# ---- tiles


class Tile(NamedTuple):
    """A block's share of the result, and how its threads share it."""

    rows: int
    columns: int
    depth: int  #: Values of k in a step.
    rows_each: int  #: Of a thread.
    columns_each: int
    warp: Pair  #: Threads of a warp (down, across); an even number down.
    vector: int  #: Elements that are read at once, of shared memory or of a: 16 bytes.
    blocks: int  #: That a multiprocessor shall hold, which bounds a thread's registers.

    @property
    def threads(self) -> int:
        """Threads of the block."""
        return self.rows // self.rows_each * (self.columns // self.columns_each)

    def instructions(self) -> int:
        """About what the block issues in a step, in cycles of a multiprocessor that issues for 128 threads at once.

        Besides the multiplications a thread reads its rows and columns from shared memory, and brings a few elements of both matrices
        from global memory: of b, whose places have to be found, at a greater cost.
        """
        multiplications = self.rows_each * self.columns_each * self.depth
        reads = (self.rows_each // gcd(self.rows_each, self.vector) + self.columns_each // gcd(self.columns_each, self.vector)) * self.depth
        brought = (6 * self.rows + 14 * self.columns) * self.depth // self.threads
        return (multiplications + 2 * reads + brought + 20) * self.threads // 128


#: For each size of an element. The largest tile multiplies most for what it reads; the second is for multiples of 96 filters; small ones
#: are for small results. The last two are for a batch of a few through a fully connected layer, as columns and as rows.
DEVICE_TILES = {
    4: (
        Tile(128, 128, 8, 8, 8, (4, 8), 4, 2),
        Tile(96, 128, 8, 6, 8, (4, 8), 4, 2),
        Tile(64, 64, 8, 8, 4, (4, 8), 4, 5),
        Tile(32, 32, 8, 4, 4, (4, 8), 4, 10),
        Tile(128, 8, 16, 1, 8, (32, 1), 4, 5),
        Tile(8, 128, 8, 4, 2, (2, 16), 4, 5),
    ),
    8: (
        Tile(64, 64, 8, 4, 4, (4, 8), 2, 2),
        Tile(32, 32, 8, 4, 4, (4, 8), 2, 8),
        Tile(128, 8, 16, 1, 8, (32, 1), 2, 3),
        Tile(8, 128, 8, 4, 2, (2, 16), 2, 4),
    ),
}
#: Those that are chosen from: in the simulator one of ten threads, so that there are tails.
TILES = {size: (Tile(4, 10, 10, 2, 2, (2, 5), 2, 1),) for size in DEVICE_TILES} if SIMULATED else DEVICE_TILES

BANK_ROW = 128
"""Bytes that shared memory serves at once, 4 from each of 32 banks; see `_pitch`."""


def _pitch(length: int, depth: int, itemsize: int, vector: int) -> int:
    """Elements from one k to the next in shared memory, where `length` lie side by side.

    Where threads of a warp walk k first, one access has `depth` of them in 128/(depth*itemsize) rows. With so many elements of padding
    the bank of (k, row) is ``k*padding + row``: all different. With float32 and depth 8: k moves by 4 banks, and 4 rows lie between. If
    four adjacent k are brought at once, by pairs of threads, the pairs lie 4*4 = 16 banks apart, and 16 rows between. Threads that walk
    columns first take one row of banks for a warp. (The 8 columns of a narrow tile meet in pairs; they are a sixteenth of its traffic.)

    Reads are of vectors of 16 bytes that lie side by side for the threads of a warp: 4 of them down and 8 across make 64 bytes of
    a and 128 bytes of b, one row of banks. Threads i and i^1 read the same of b, i and i^2 the same of a, so that the four quarters, by
    which a warp reads such vectors, are served in pairs.
    """
    padding = BANK_ROW // (depth * itemsize)
    return length + -(-padding // vector) * vector


# ---- where the elements are

OUTSIDE = -(1 << 30)
"""The row of a pixel that is on no image, whatever is added to it once."""
SPARE = 256
"""Entries behind the last of a table, for what a tile reads beyond it: the longest side of a tile will do."""


class Places(NamedTuple):
    """Where the elements of the matrices lie, as tables on the device of 4 integers an entry.

    Of k: (place in b, place in a, row, column). Of the columns of the result: (place in b, place in the result, row, column). An element
    of b is zero where the sums of rows and of columns are not on an image of `size`. Columns may be of several classes, each with its own
    k: an entry of `classes` is (first k, number of k, first column, number of columns).
    """

    steps: DeviceArray
    columns: DeviceArray
    classes: DeviceArray
    counts: tuple[Pair, ...]  #: Of each class: numbers of (k, columns).
    size: Pair
    in_order: bool  #: Whether the place in a of k is k.


Entries = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def entries(*parts: Any) -> Entries:
    """The four numbers of some entries, each of any shape that fits the others, row by row."""
    first, second, third, fourth = (part.reshape(-1) for part in np.broadcast_arrays(*parts))
    return first, second, third, fourth


def _table(lists: Sequence[Entries], spare: Sequence[int]) -> DeviceArray:
    """Lists of entries, each with some behind it that are on no image."""
    table = np.zeros((sum(len(part[0]) for part in lists) + sum(spare), 4), np.int32)
    table[:, 2], first = OUTSIDE, 0
    for part, more in zip(lists, spare, strict=True):
        last = first + len(part[0])
        whole = np.stack(part, axis=1)
        if whole.size and max(whole.max(), -whole.min()) > -OUTSIDE:
            raise OverflowError(f"an image, a filter or a matrix of weights has more than {-OUTSIDE} elements")
        table[first:last] = whole
        first = last + more
    return asarray(table.reshape(-1))


def places(classes: Sequence[tuple[Entries, Entries]], size: Pair) -> Places:
    """Tables of the k and of the columns of each class."""
    steps, columns = [k for k, _ in classes], [column for _, column in classes]
    counts = tuple((len(k[0]), len(column[0])) for k, column in classes)
    records, first_k, first_column = [], 0, 0
    for ks, width in counts:
        records.append((first_k, ks, first_column, width))
        first_k, first_column = first_k + ks + SPARE, first_column + width
    in_order = len(classes) == 1 and bool((steps[0][1] == np.arange(counts[0][0])).all())
    return Places(
        _table(steps, [SPARE] * len(steps)),
        _table(columns, [0] * (len(columns) - 1) + [SPARE]),
        asarray(np.array(records, np.int32).reshape(-1)),
        counts,
        size,
        in_order,
    )


class Strides(NamedTuple):
    """From group to group, from row to row, and from image to image; of b there are no rows."""

    group: int
    row: int
    image: int


# ---- the kernels


@lru_cache(maxsize=256)
@kept_by_source()
def _kernel(dtype: np.dtype, tile: Tile, by_pixels: bool, wide: bool) -> Any:
    """The kernel of a tile.

    by_pixels: what is adjacent in global memory are not the columns but the k, of which there are so many in each of several images.
    wide: a is read in vectors.
    """
    element = numba.from_dtype(dtype)
    ROWS, COLUMNS, DEPTH, ROWS_EACH, COLUMNS_EACH, (WARP_DOWN, WARP_ACROSS), VECTOR, _ = tile
    THREADS = tile.threads
    WARP, WARPS_ACROSS = WARP_DOWN * WARP_ACROSS, COLUMNS // COLUMNS_EACH // WARP_ACROSS
    ROW_VECTOR, COLUMN_VECTOR = gcd(ROWS_EACH, VECTOR), gcd(COLUMNS_EACH, VECTOR)
    NEXT_ROWS, NEXT_COLUMNS = ROWS // ROWS_EACH * ROW_VECTOR, COLUMNS // COLUMNS_EACH * COLUMN_VECTOR  # to a thread's next vector
    A_PITCH, B_PITCH = _pitch(ROWS, DEPTH, dtype.itemsize, ROW_VECTOR), _pitch(COLUMNS, DEPTH, dtype.itemsize, COLUMN_VECTOR)
    A_SIZE, B_SIZE = DEPTH * A_PITCH, DEPTH * B_PITCH
    DOWN, SUMS = ROWS // ROWS_EACH, ROWS_EACH * COLUMNS_EACH
    SHARED = max(2 * (A_SIZE + B_SIZE), min(ROWS_EACH, 2) * DOWN * B_PITCH)
    # What a thread brings: of a along k, A_AT_ONCE each from A_LOADS rows; of b one each from B_LOADS columns, or k.
    A_AT_ONCE = VECTOR if wide else 1
    A_ACROSS = DEPTH // A_AT_ONCE
    A_DOWN = THREADS // A_ACROSS
    A_LOADS = -(-ROWS // A_DOWN)
    A_WHOLE = A_LOADS * A_DOWN == ROWS
    B_DOWN = THREADS // DEPTH if by_pixels else THREADS // COLUMNS
    B_LOADS = (COLUMNS if by_pixels else DEPTH) // B_DOWN
    A_NEXT = A_LOADS * A_AT_ONCE
    # What of the result passes through shared memory at once, so that a warp writes a row: so many rows of each thread.
    AT_ONCE = max(rows for rows in range(1, ROWS_EACH + 1) if ROWS_EACH % rows == 0 and rows * DOWN * B_PITCH <= SHARED)
    OUT_DOWN = THREADS // COLUMNS
    assert A_DOWN * A_ACROSS == THREADS and B_LOADS * B_DOWN == (COLUMNS if by_pixels else DEPTH)
    assert DEPTH % 2 == 0 and THREADS % COLUMNS == 0 and max(ROWS, COLUMNS, DEPTH) <= SPARE

    @cuda.jit(cache=True, **({} if SIMULATED else {"launch_bounds": (THREADS, tile.blocks)}))
    def product(y, a, b, bias, steps, columns, classes, tiles, counts, of_a, of_b, of_y, size, behind):
        row_tiles, column_tiles, splits, class_count = tiles
        rows, k_images, images = counts
        a_group, a_row, a_image = of_a
        b_group, b_k_image, b_image = of_b
        y_group, y_row, y_image, y_split = of_y
        height, width = numba.int32(size[0]), numba.int32(size[1])
        biased, rectified = behind

        shared = cuda.shared.array(SHARED, element, alignment=16)
        sums = cuda.local.array(SUMS, element)
        a_part = cuda.local.array(ROWS_EACH, element)
        b_part = cuda.local.array(COLUMNS_EACH, element)
        a_next = cuda.local.array(A_NEXT, element)
        b_next = cuda.local.array(B_LOADS, element)
        entry = cuda.local.array(4, numba.int32)
        moving = cuda.local.array(4, numba.int32)
        value = cuda.local.array(1, element)
        zero = element(0)

        # Which tile: blocks that run together share columns, so that b comes from the cache.
        t, rest = cuda.threadIdx.x, quotient(cuda.blockIdx.x, row_tiles)
        first_row = (cuda.blockIdx.x - rest * row_tiles) * ROWS
        first_column, rest = rest, quotient(rest, column_tiles)
        first_column = (first_column - rest * column_tiles) * COLUMNS
        split, rest = rest, quotient(rest, splits)
        split -= rest * splits
        group = quotient(rest, class_count)
        load(entry, 0, classes, (rest - group * class_count) * 4, 4)
        class_k, class_ks, class_column, class_columns = entry[0], entry[1], entry[2], entry[3]
        rows_left, columns_left = rows - first_row, images * class_columns - first_column
        if columns_left <= 0:
            return  # the whole block: another class has more columns
        ks = k_images * class_ks
        share = quotient(ks + splits * DEPTH - 1, splits * DEPTH) * DEPTH
        first_k = split * share
        last_k = min(first_k + share, ks)

        # Where this thread's column lies in b and in the result.
        column = t % COLUMNS
        image = quotient(first_column + column, class_columns)
        p = class_column + first_column + column - image * class_columns
        b_row, b_column, b_at = numba.int32(OUTSIDE), numba.int32(0), group * b_group
        y_at = group * y_group + split * y_split + image * y_image + p
        if column < columns_left:
            load(entry, 0, columns, p * 4, 4)
            if not by_pixels:
                b_row, b_column, b_at = entry[2], entry[3], b_at + image * b_image + entry[0]
            if splits == 1:
                y_at += entry[1] - p

        # The k of this thread, which walks on by DEPTH.
        a_k, a_down = t % A_ACROSS * A_AT_ONCE, t // A_ACROSS
        a_rows = min(rows_left, ROWS)
        a_at = group * a_group + (first_row + a_down) * a_row
        b_k, b_down = (t % DEPTH, t // DEPTH) if by_pixels else (t // COLUMNS, t % COLUMNS)
        k_image = 0
        p = first_k + a_k
        if by_pixels and class_ks > 0:
            k_image = quotient(p, class_ks)
            p -= k_image * class_ks

        warp, lane = t // WARP, t % WARP
        down = warp // WARPS_ACROSS * WARP_DOWN + lane % 2 + lane // (2 * WARP_ACROSS) * 2
        across = warp % WARPS_ACROSS * WARP_ACROSS + lane % (2 * WARP_ACROSS) // 2
        across *= COLUMN_VECTOR
        for i in range(SUMS):
            sums[i] = zero

        buffer = 0  # 0 or 1: where the next step goes
        for k in range(first_k, last_k + DEPTH, DEPTH):
            # Bring the next step to registers; zeros where there is none, in both matrices: what lies elsewhere may be NaN.
            if k < last_k:
                there = k + a_k < last_k
                if by_pixels:
                    entry[0], entry[1], entry[2], entry[3] = 0, 0, OUTSIDE, 0
                    if there:
                        load(entry, 0, steps, (class_k + p) * 4, 4)
                    b_row, b_column = entry[2], entry[3]
                    a_from = a_at + k_image * a_image + entry[1]
                    b_from = b_at + k_image * b_k_image + entry[0]
                    p += DEPTH
                    if p >= class_ks:
                        more = quotient(p, class_ks)
                        k_image += more
                        p -= more * class_ks
                else:
                    a_from, b_from = a_at + k + a_k, b_at
                    if not wide and there:
                        load(moving, 0, steps, (class_k + k + a_k) * 4 + 1, 1)
                        a_from = a_at + moving[0]
                for i in range(A_LOADS):
                    for j in range(A_AT_ONCE):
                        a_next[i * A_AT_ONCE + j] = zero
                    if there & (a_down + i * A_DOWN < a_rows):
                        load(a_next, i * A_AT_ONCE, a, a_from + i * A_DOWN * a_row, A_AT_ONCE)
                for i in range(B_LOADS):
                    if by_pixels:
                        load(moving, 0, columns, (class_column + first_column + b_down + i * B_DOWN) * 4, 4)
                    else:
                        load(moving, 0, steps, (class_k + k + b_k + i * B_DOWN) * 4, 4)
                    b_next[i] = zero
                    if inside(b_row, moving[2], height) & inside(b_column, moving[3], width):
                        load(b_next, i, b, b_from + moving[0], 1)

            # Multiply the step before.
            if k > first_k:
                a_here, b_here = (1 - buffer) * A_SIZE + down * ROW_VECTOR, 2 * A_SIZE + (1 - buffer) * B_SIZE + across
                for _ in range(0, DEPTH, 2):
                    for _ in range(2):  # which the compiler writes out
                        for i in range(0, ROWS_EACH, ROW_VECTOR):
                            load(a_part, i, shared, a_here + i // ROW_VECTOR * NEXT_ROWS, ROW_VECTOR)
                        for j in range(0, COLUMNS_EACH, COLUMN_VECTOR):
                            load(b_part, j, shared, b_here + j // COLUMN_VECTOR * NEXT_COLUMNS, COLUMN_VECTOR)
                        for i in range(ROWS_EACH):
                            for j in range(COLUMNS_EACH):
                                sums[i * COLUMNS_EACH + j] += a_part[i] * b_part[j]
                        a_here += A_PITCH
                        b_here += B_PITCH

            # Nobody reads the other buffer any more.
            if k < last_k:
                for i in range(A_LOADS):
                    for j in range(A_AT_ONCE):
                        if A_WHOLE or a_down + i * A_DOWN < ROWS:
                            store(shared, buffer * A_SIZE + (a_k + j) * A_PITCH + a_down + i * A_DOWN, a_next, i * A_AT_ONCE + j, 1)
                for i in range(B_LOADS):
                    if by_pixels:
                        store(shared, 2 * A_SIZE + buffer * B_SIZE + b_k * B_PITCH + b_down + i * B_DOWN, b_next, i, 1)
                    else:
                        store(shared, 2 * A_SIZE + buffer * B_SIZE + (b_k + i * B_DOWN) * B_PITCH + b_down, b_next, i, 1)
            buffer = 1 - buffer
            cuda.syncthreads()

        out_down = t // COLUMNS
        for first in range(0, ROWS_EACH, AT_ONCE):
            for i in range(ROWS_EACH):
                for j in range(0, COLUMNS_EACH, COLUMN_VECTOR):
                    if first <= i < first + AT_ONCE:
                        at = ((i - first) * DOWN + down) * B_PITCH + across + j // COLUMN_VECTOR * NEXT_COLUMNS
                        store(shared, at, sums, i * COLUMNS_EACH + j, COLUMN_VECTOR)
            cuda.syncthreads()
            if column < columns_left:
                for line in range(out_down, AT_ONCE * DOWN, OUT_DOWN):
                    i = first + line // DOWN
                    row = i // ROW_VECTOR * NEXT_ROWS + line % DOWN * ROW_VECTOR + i % ROW_VECTOR
                    if row < rows_left:
                        row += first_row
                        load(value, 0, shared, line * B_PITCH + column, 1)
                        if biased:
                            load(b_part, 0, bias, group * rows + row, 1)
                            value[0] += b_part[0]
                        if rectified and value[0] <= zero:
                            value[0] = zero
                        store(y, y_at + row * y_row, value, 0, 1)
            cuda.syncthreads()

    return product


@cuda.jit(cache=True)
def add_parts(y, parts, bias, columns, splits, counts, of_y, behind):
    """The parts of each sum, in order: a thread for every element of the result."""
    groups, rows, width, image_columns = counts
    y_group, y_row, y_image = of_y
    biased, rectified = behind
    i = cuda.grid(1)
    line, column = i // width, i % width
    if line < groups * rows:
        value = parts[i]
        for split in range(1, splits):
            value += parts[split * groups * rows * width + i]
        if biased:
            value += bias[line]
        zero = y.dtype.type(0)
        image = column // image_columns
        place = columns[(column - image * image_columns) * 4 + 1]
        group = line // rows
        y[group * y_group + (line - group * rows) * y_row + image * y_image + place] = zero if rectified and value <= zero else value


# ---- how a product is shared

MULTIPROCESSORS = 132
"""For so many (an H100 has them) the work is shared, whatever the device: it decides how sums are split, and so the bits."""
LATENCY = 800
"""Cycles that a step takes at least, from the request for memory over the barrier."""
SPLIT = 4000
"""Cycles of the second kernel, besides what it reads."""
BYTES = 1500
"""That the memory moves in a cycle."""


@lru_cache(maxsize=4096)
def shares(tiles: tuple[Tile, ...], rows: int, counts: tuple[Pair, ...], groups: int, itemsize: int) -> tuple[Tile, int]:
    """The tile, and into how many parts the sums are split, that should take the least time; `counts` of (k, columns) of every class."""
    best: tuple[float, int, int] = (np.inf, 0, 1)
    size = groups * rows * sum(columns for _, columns in counts) * itemsize
    for number, tile in enumerate(tiles):
        jobs = [(groups * -(-rows // tile.rows) * -(-columns // tile.columns), -(-k // tile.depth)) for k, columns in counts]
        longest, splits = max(steps for _, steps in jobs), 1
        while splits <= max(min(longest // 4, 256), 1):
            blocks = splits * sum(count for count, _ in jobs)
            steps = splits * sum(count * (-(-steps // splits) + 4) for count, steps in jobs)  # 4: to begin and to store
            waiting = -(-blocks // MULTIPROCESSORS)
            time = steps / blocks * waiting * max(tile.instructions(), LATENCY / min(waiting, tile.blocks))
            if splits > 1:
                time += SPLIT + (splits + 1) * size / BYTES
            best = min(best, (time, number, splits))
            splits += max(1, splits // 4)
    return tiles[best[1]], best[2]


def product(
    y: DeviceArray, a: DeviceArray, b: DeviceArray, bias: DeviceArray | None, where: Places, groups: int, rows: int,
    of_a: Strides, of_b: Strides, of_y: Strides, *, images: int = 1, k_images: int = 1, by_pixels: bool = False, rectified: bool = False,
) -> None:  # fmt: skip
    """Compute ``y[group, row, image, column] = bias[group, row] + sum over k of a[group, row, k] * b[group, k, image, column]``.

    Parameters
    ----------
    y : DeviceArray
        The result, of undefined contents.
    a, b, bias : DeviceArray
        `bias` (groups*rows,) may be None.
    where : Places
        Of every k and of every column of an image.
    of_a, of_b, of_y : Strides
        The rest of their places: of a and b (whose second stride does not count), by group, row and image of k; of y, by image of columns.
    images : int
        That the columns go on through.
    k_images : int
        That the sums go on through, if `by_pixels`.
    by_pixels : bool
        Whether adjacent k are adjacent in b, rather than columns; then there is one image of columns.
    rectified : bool
        Store the positive part only.
    """
    counts = tuple((k_images * k, images * columns) for k, columns in where.counts)
    image_columns = sum(columns for _, columns in where.counts)
    width = images * image_columns
    if not groups * rows * width:
        return
    tile, splits = shares(TILES[y.dtype.itemsize], rows, counts, groups, y.dtype.itemsize)
    wide = not by_pixels and where.in_order and not (counts[0][0] | of_a.row | of_a.group) % tile.vector
    kernel = _kernel(y.dtype, tile, by_pixels, wide)
    row_tiles, column_tiles = -(-rows // tile.rows), max(-(-columns // tile.columns) for _, columns in counts)
    behind = bias is not None, rectified
    bias = a if bias is None else bias
    if splits == 1:
        target, placed = y, (*of_y, 0)
    else:
        target = empty((splits * groups * rows * width,), y.dtype)
        placed = rows * width, width, image_columns, groups * rows * width
    launch_blocks(
        kernel, row_tiles * column_tiles * splits * len(counts) * groups, tile.threads,
        target, a, b, bias, where.steps, where.columns, where.classes,
        (row_tiles, column_tiles, splits, len(counts)), (rows, k_images, images),
        of_a, (of_b.group, of_b.image if by_pixels else 0, of_b.image), placed, where.size,
        (behind[0] and splits == 1, rectified and splits == 1),
    )  # fmt: skip
    if splits > 1:
        launch(
            add_parts, groups * rows * width, y, target, bias, where.columns,
            splits, (groups, rows, width, image_columns), of_y, behind,
        )  # fmt: skip
