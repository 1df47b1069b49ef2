"""The product of `products` where the result has a row or a few, and k is (map, tap): the adjoint in x of a layer of few channels.

A tile would have rows for nothing. Here a thread owns a few columns with all their rows. Whether a tap of a column is on the image holds
for all maps, so it is found once for `MAPS` of them; then an element of b costs its reading, and is multiplied once for each row by a
weight that all threads of a block share.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import cuda

from zfkernels.cache import kept_by_source
from zfkernels.cuda.arrays import DeviceArray, empty
from zfkernels.cuda.device import SIMULATED, THREADS, launch, launch_blocks
from zfkernels.cuda.products import MULTIPROCESSORS, OUTSIDE, Places, Strides, add_parts
from zfkernels.cuda.vectors import inside, load, quotient

LANES = 4
"""Rows at most; of more, a tile of 8 is not much worse."""
FEW = 2 if SIMULATED else LANES
"""Rows for which this is chosen; fewer in the simulator, so that products of few channels are tested both ways."""
COLUMNS = 2
"""Of a thread."""
MAPS = 4 if SIMULATED else 8
"""Whose requests are out at once."""
TAPS = 3 if SIMULATED else 16
"""Whose weights are in shared memory at once."""


@lru_cache(maxsize=16)
@kept_by_source()
def _kernel(dtype: np.dtype, rows: int) -> Any:
    element, VECTOR = numba.from_dtype(dtype), 16 // dtype.itemsize
    WEIGHTS, SUMS, VALUES = TAPS * MAPS * LANES, COLUMNS * rows, COLUMNS * MAPS

    @cuda.jit(cache=True)
    def few_rows(y, a, b, steps, columns, classes, tiles, counts, of_a, of_b, of_y, size):
        column_tiles, splits, class_count = tiles
        maps, plane, images = counts
        a_group, a_row, _ = of_a
        b_group, _, b_image = of_b
        y_group, y_row, y_image, y_split = of_y
        height, width = numba.int32(size[0]), numba.int32(size[1])

        shared = cuda.shared.array(WEIGHTS, element, alignment=16)
        sums = cuda.local.array(SUMS, element)
        weights = cuda.local.array(LANES, element)
        values = cuda.local.array(VALUES, element)
        entry = cuda.local.array(4, numba.int32)
        b_at = cuda.local.array(COLUMNS, numba.int64)
        y_at = cuda.local.array(COLUMNS, numba.int64)
        b_row = cuda.local.array(COLUMNS, numba.int32)
        b_column = cuda.local.array(COLUMNS, numba.int32)
        on_image = cuda.local.array(COLUMNS, numba.boolean)
        zero = element(0)

        t, rest = cuda.threadIdx.x, quotient(cuda.blockIdx.x, column_tiles)
        first_column = (cuda.blockIdx.x - rest * column_tiles) * THREADS * COLUMNS
        split, rest = rest, quotient(rest, splits)
        split -= rest * splits
        group = quotient(rest, class_count)
        load(entry, 0, classes, (rest - group * class_count) * 4, 4)
        class_k, taps, class_column, class_columns = entry[0], quotient(entry[1], maps), entry[2], entry[3]
        columns_left = images * class_columns - first_column
        if columns_left <= 0:
            return  # the whole block: another class has more columns

        for i in range(COLUMNS):
            b_row[i] = OUTSIDE
            b_column[i] = 0
            b_at[i] = 0
            y_at[i] = 0
            column = i * THREADS + t
            if column < columns_left:
                image = quotient(first_column + column, class_columns)
                p = class_column + first_column + column - image * class_columns
                load(entry, 0, columns, p * 4, 4)
                b_row[i] = entry[2]
                b_column[i] = entry[3]
                b_at[i] = group * b_group + image * b_image + entry[0]
                y_at[i] = group * y_group + split * y_split + image * y_image + (entry[1] if splits == 1 else p)
        for i in range(SUMS):
            sums[i] = zero

        share = quotient(maps + splits * MAPS - 1, splits * MAPS) * MAPS
        last_map = min((split + 1) * share, maps)
        for first_map in range(split * share, last_map, MAPS):
            maps_left = last_map - first_map
            for first_tap in range(0, taps, TAPS):
                cuda.syncthreads()
                for i in range(t, WEIGHTS, THREADS):
                    row, o, tap = i % LANES, i // LANES % MAPS, i // (LANES * MAPS)
                    values[0] = zero
                    if row < rows and o < maps_left and first_tap + tap < taps:
                        load(entry, 0, steps, (class_k + (first_map + o) * taps + first_tap + tap) * 4, 4)
                        load(values, 0, a, group * a_group + row * a_row + entry[1], 1)
                    shared[i] = values[0]
                cuda.syncthreads()
                for tap in range(min(TAPS, taps - first_tap)):
                    load(entry, 0, steps, (class_k + first_map * taps + first_tap + tap) * 4, 4)
                    for i in range(COLUMNS):
                        on_image[i] = inside(b_row[i], entry[2], height) & inside(b_column[i], entry[3], width)
                    for i in range(COLUMNS):
                        at = b_at[i] + entry[0]
                        for o in range(MAPS):
                            values[i * MAPS + o] = zero
                            if on_image[i] & (o < maps_left):
                                load(values, i * MAPS + o, b, at, 1)
                            at += plane
                    for o in range(MAPS):
                        for row in range(0, LANES, VECTOR):
                            load(weights, row, shared, (tap * MAPS + o) * LANES + row, VECTOR)
                        for i in range(COLUMNS):
                            for row in range(rows):
                                sums[i * rows + row] += values[i * MAPS + o] * weights[row]

        for i in range(COLUMNS):
            if i * THREADS + t < columns_left:
                for row in range(rows):
                    y[y_at[i] + row * y_row] = sums[i * rows + row]

    return few_rows


def few_rows(
    y: DeviceArray, a: DeviceArray, b: DeviceArray, where: Places, groups: int, rows: int,
    of_a: Strides, of_b: Strides, of_y: Strides, *, images: int, maps: int, plane: int,
) -> None:  # fmt: skip
    """As `products.product`, without bias; the k are the taps of `maps` maps of `plane` elements, map by map."""
    image_columns = sum(columns for _, columns in where.counts)
    width = images * image_columns
    if not groups * width:
        return
    column_tiles = -(-images * max(columns for _, columns in where.counts) // (COLUMNS * THREADS))
    blocks = column_tiles * len(where.counts) * groups
    splits = max(min(4 * MULTIPROCESSORS // blocks, -(-maps // MAPS)), 1)
    target, placed = y, (*of_y, 0)
    if splits > 1:
        target = empty((splits * groups * rows * width,), y.dtype)
        placed = rows * width, width, image_columns, groups * rows * width
    launch_blocks(
        _kernel(y.dtype, rows), blocks * splits, THREADS, target, a, b, where.steps, where.columns, where.classes,
        (column_tiles, splits, len(where.counts)), (maps, plane, images), of_a, of_b, placed, where.size,
    )  # fmt: skip
    if splits > 1:
        sizes, behind = (groups, rows, width, image_columns), (False, False)
        launch(add_parts, groups * rows * width, y, target, a, where.columns, splits, sizes, of_y, behind)
