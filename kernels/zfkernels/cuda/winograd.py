"""Convolution of 3x3 and stride 1 by Winograd's minimal filtering; see `zfkernels.minimal_filtering` for its matrices and errors.

Filters and tiles of images are transformed (`zfkernels.cuda.winograd_tiles`), multiplied as matrices at each point, filters by channels
times channels by tiles, and transformed back. Each product is summed in the order of channels, whatever the blocks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, from_dtype

from zfkernels.cache import kept_by_source
from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import SIMULATED, launch, launch_blocks
from zfkernels.cuda.products import MULTIPROCESSORS
from zfkernels.cuda.winograd_tiles import put_filters, put_inputs, take_outputs
from zfkernels.geometry import Padding, output_size
from zfkernels.minimal_filtering import KERNEL_SIZE, TAPS, outputs_for, tiles

WORKSPACE = 128 << 20
"""Bytes of transformed inputs and products at a time: enough for all of a layer of ZFNet with 64 images, and to fill a device many
times over; little beside the layer's own arrays where maps are large."""

RESIDENT = 512
"""Threads on a multiprocessor at once, of which some multiply while others wait. They share its 64 Ki registers: 128 for each."""

VECTOR = 16
"""Bytes that a thread reads from shared memory at once."""


# ---- product of matrices


class Block(NamedTuple):
    """What a block of threads computes: threads down and across, results of each down and across, and channels at a time.

    A warp is one line of threads: all of it reads the same filters at once, and stores results that lie side by side. The filters
    of a block divide its threads, and so do its tiles.
    """

    down: int
    across: int
    height: int
    width: int
    depth: int

    @property
    def shape(self) -> tuple[int, int]:
        """Filters by tiles."""
        return self.down * self.height, self.across * self.width

    def needed(self, planes: int, filters: int, tiles: int) -> int:
        """Blocks for the whole product."""
        rows, columns = self.shape
        return planes * -(-filters // rows) * -(-tiles // columns)

    def cost(self, *sizes: int) -> int:
        """About the time of the whole product, if the blocks are shared out evenly: arithmetic, and reading both operands."""
        rows, columns = self.shape
        return -(-self.needed(*sizes) // MULTIPROCESSORS) * (rows * columns + 16 * (rows + columns))


BLOCKS = {
    4: (Block(8, 32, 16, 4, 16), Block(4, 32, 16, 4, 16), Block(4, 32, 16, 2, 16), Block(4, 32, 16, 1, 16), Block(4, 32, 8, 1, 16)),
    8: (Block(8, 32, 8, 4, 8), Block(4, 32, 8, 4, 8), Block(4, 32, 8, 2, 8), Block(4, 32, 8, 1, 8)),
}
"""Bytes of a number -> blocks to choose from."""

SIMULATED_BLOCKS = Block(2, 5, 5, 2, 5), Block(2, 5, 1, 2, 5)
"""So small that there are several of them, with tails, in a test."""


@lru_cache(maxsize=32)
@kept_by_source()
def _product(block: Block, dtype: np.dtype) -> Any:
    """``product(m, u, v, filters, channels, tiles)``: plane by plane ``m[o, t] = sum over c of u[c, o] * v[c, t]``.

    While the threads multiply some channels in shared memory, the next ones are on their way into registers.
    """
    (rows, columns), (down, across, height, width, depth), kind, zero = block.shape, block, from_dtype(dtype), dtype.type(0)
    threads = down * across
    u_lines, v_lines = threads // rows, threads // columns  # channels that all threads fetch at once
    u_each, v_each, u_room, v_room = depth // u_lines, depth // v_lines, (2 * depth, rows), (2 * depth, columns)
    bounds = {} if SIMULATED else {"launch_bounds": (threads, RESIDENT // threads)}

    @cuda.jit(cache=True, **bounds)
    def product(m, u, v, filters, channels, tiles):
        us = cuda.shared.array(u_room, kind, alignment=VECTOR)
        vs = cuda.shared.array(v_room, kind, alignment=VECTOR)
        u_next = cuda.local.array(u_each, kind)
        v_next = cuda.local.array(v_each, kind)
        a = cuda.local.array(height, kind)
        b = cuda.local.array(width, kind)
        sums = cuda.local.array((height, width), kind)
        one = np.uint64(1)
        for i in range(height):
            for j in range(width):
                sums[i, j] = zero

        # Of unsigned numbers the compiler knows that as indices they do not count from the end.
        x, y = np.uint32(cuda.threadIdx.x), np.uint32(cuda.threadIdx.y)
        thread = y * across + x
        u_line, u_place, v_line, v_place = thread // rows, thread % rows, thread // columns, thread % columns
        panels, bands = (filters + rows - 1) // rows, (tiles + columns - 1) // columns
        plane, at = cuda.blockIdx.x // (panels * bands), cuda.blockIdx.x % (panels * bands)
        o_first, t_first = at % panels * rows, at // panels * columns
        # Beyond the last filter or tile the last one is read again: nobody stores what comes of it.
        u_at = (plane * channels + u_line) * filters + min(o_first + u_place, filters - 1)
        v_at = (plane * channels + v_line) * tiles + min(t_first + v_place, tiles - 1)

        steps = (channels + depth - 1) // depth
        for step in range(steps + 1):
            old, new = ((step + 1) & 1) * depth, (step & 1) * depth
            if step < steps:
                left = channels - step * depth
                for i in range(u_each):
                    u_next[i] = u[np.uint64(u_at)] if u_line + i * u_lines < left else zero
                    u_at += u_lines * filters
                for i in range(v_each):
                    v_next[i] = v[np.uint64(v_at)] if v_line + i * v_lines < left else zero
                    v_at += v_lines * tiles
            if step > 0:
                c = np.uint64(old)
                for _ in range(depth):
                    for i in range(height):
                        a[i] = us[c, y * height + i]
                    for j in range(width):
                        b[j] = vs[c, j * across + x]
                    c += one
                    for i in range(height):
                        for j in range(width):
                            sums[i, j] += a[i] * b[j]
            if step < steps:
                for i in range(u_each):
                    us[new + u_line + i * u_lines, u_place] = u_next[i]
                for i in range(v_each):
                    vs[new + v_line + i * v_lines, v_place] = v_next[i]
            cuda.syncthreads()

        o, t = o_first + y * height, t_first + x
        to = (plane * filters + o) * tiles + t
        for i in range(height):
            if o + i < filters:
                for j in range(width):
                    if t + j * across < tiles:
                        m[np.uint64(to + j * across)] = sums[i, j]
            to += tiles

    return product


def _multiply(m: DeviceArray, u: DeviceArray, v: DeviceArray, planes: int, filters: int, channels: int, count: int) -> None:
    """``m[p] = u[p]' @ v[p]``, p < planes."""
    sizes = planes, filters, count
    block = min(SIMULATED_BLOCKS if SIMULATED else BLOCKS[m.dtype.itemsize], key=lambda block: block.cost(*sizes))
    kernel = _product(block, m.dtype)
    launch_blocks(kernel, block.needed(*sizes), (block.across, block.down), m, u, v, filters, channels, count)


# ---- the whole


def _conv2d(x: Any, w: Any, b: Any, padding: Padding, groups: int, rectified: bool) -> DeviceArray:
    (N, C, H, W), O, dtype = x.shape, len(w), x.dtype
    OH, OW = output_size((H, W), KERNEL_SIZE, padding=padding)
    y = empty((N, O, OH, OW), dtype)
    if y.size == 0:
        return y
    outputs, filters, channels = outputs_for((OH, OW)), O // groups, C // groups
    (down, across), points, (top, _), (left, _) = tiles((OH, OW), outputs), (outputs + TAPS - 1) ** 2, *padding
    pixels, bias = resident(x), empty((0,), dtype) if b is None else resident(b)
    u = empty((points, groups, channels, filters), dtype)
    launch(put_filters(outputs, dtype), O * channels, u, resident(w), filters, channels)

    whole = N * down * across
    most = -(-whole // -(-whole * points * (C + O) * dtype.itemsize // WORKSPACE))
    v, m = empty((points * C * most,), dtype), empty((points * O * most,), dtype)
    for first in range(0, whole, most):
        count = min(most, whole - first)
        launch(put_inputs(outputs, dtype), C * count, v, pixels, C, H, W, top, left, down, across, first, count)
        _multiply(m, u, v, points * groups, filters, channels, count)
        part = down, across, first, count
        launch(take_outputs(outputs, dtype), O * count, y, m, bias, b is not None, rectified, O, OH, OW, *part)
    return y


def conv2d_winograd(x: Any, w: Any, b: Any, padding: Padding, groups: int) -> DeviceArray:
    """Each output is one filter against one window, plus a bias; see the reference.

    A thread for every filter and channel, for every tile and channel, and for every tile and filter; in between, blocks of results
    for each point and group. Errors as `zfkernels.minimal_filtering.term_sizes` bounds them.
    """
    return _conv2d(x, w, b, padding, groups, rectified=False)


def conv2d_winograd_relu(x: Any, w: Any, b: Any, padding: Padding, groups: int) -> DeviceArray:
    """The positive part of the convolution, taken as it is stored; see the reference."""
    return _conv2d(x, w, b, padding, groups, rectified=True)
