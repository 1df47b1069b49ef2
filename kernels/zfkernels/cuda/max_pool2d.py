"""Max-pooling with switches, the gather at those switches, and unpooling, its adjoint."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda, from_dtype, int32

from zfkernels.cache import kept_by_source
from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import SIMULATED, THREADS, launch_blocks
from zfkernels.cuda.im2col import taps_on
from zfkernels.cuda.indices import divisor, element, launch_lines, launch_planes, quotient
from zfkernels.geometry import Padding, Pair, pool_output_size

#: Taps of a window that are no longer one thread's work.
MANY = 5 if SIMULATED else 65

# ---- pooling


@cuda.jit(device=True)
def _beats(value, old):
    """Whether a later pixel takes the place of an earlier one: it is larger, or the first NaN."""
    return old == old and not value <= old


@lru_cache
@kept_by_source()
def _pooling(KH: int, KW: int, DH: int, DW: int) -> Any:
    """A kernel for windows of these taps: the loops over them are gone, and their places in a row are constants of its loads."""

    @cuda.jit(cache=True)
    def pool(y, switches, x, size, outputs, stride, start, by_width):
        plane, p = cuda.blockIdx.x, element()
        (H, W), (OH, OW) = size, outputs
        if p < OH * OW:
            oh = quotient(p, by_width)
            ih, iw = oh * stride[0] + start[0], (p - oh * OW) * stride[1] + start[1]
            corner = (plane * H + ih) * W + iw
            if 0 <= ih and ih + (KH - 1) * DH < H and 0 <= iw and iw + (KW - 1) * DW < W:
                best, tap = x[np.uint64(corner)], 0
                for kh in range(KH):
                    for kw in range(KW):
                        value = x[np.uint64(corner + kh * DH * W + kw * DW)]
                        if _beats(value, best):
                            best, tap = value, kh * KW + kw
            else:
                (low_h, high_h), (low_w, high_w) = taps_on(ih, H, KH, DH), taps_on(iw, W, KW, DW)
                tap = low_h * KW + low_w
                best = x[corner + low_h * DH * W + low_w * DW]
                for kh in range(low_h, high_h):
                    for kw in range(low_w, high_w):
                        value = x[corner + kh * DH * W + kw * DW]
                        if _beats(value, best):
                            best, tap = value, kh * KW + kw
            y[plane * OH * OW + p] = best
            switches[plane * OH * OW + p] = (ih + tap // KW * DH) * W + iw + tap % KW * DW

    return pool


@cuda.jit(device=True)
def _precedes(value, place, best, where):
    """Whether one of two pixels is a window's maximum: the larger one, NaN above all, of equals the first."""
    if best != best:
        return value != value and place < where
    return value != value or value > best or (value == best and place < where)


@lru_cache
@kept_by_source()
def _searching(dtype: np.dtype) -> Any:
    """A kernel for large windows: the threads of a line search one together, and compare what they have found."""
    number = from_dtype(dtype)

    @cuda.jit(cache=True)
    def search(y, switches, x, size, outputs, kernel_size, stride, start, dilation):
        values = cuda.shared.array(THREADS, number)
        places = cuda.shared.array(THREADS, int32)
        lane, lanes = cuda.threadIdx.x, cuda.blockDim.x
        me, window = cuda.threadIdx.y * lanes + lane, cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
        (H, W), (OH, OW), (DH, DW) = size, outputs, dilation
        best, where = x.dtype.type(-math.inf), H * W  # behind all that there is
        if window < y.shape[0]:
            row = window // OW
            plane = row // OH
            ih, iw = (row - plane * OH) * stride[0] + start[0], (window - row * OW) * stride[1] + start[1]
            (low_h, high_h), (low_w, high_w) = taps_on(ih, H, kernel_size[0], DH), taps_on(iw, W, kernel_size[1], DW)
            width = high_w - low_w
            down = lanes // width  # a thread's next tap is so many rows down, and the rest to the right
            right = lanes - down * width
            kh = low_h + lane // width
            kw = lane % width
            if kh < high_h:
                where = (ih + kh * DH) * W + iw + (low_w + kw) * DW
                best = x[plane * H * W + where]
            while kh < high_h:
                place = (ih + kh * DH) * W + iw + (low_w + kw) * DW
                value = x[np.uint64(plane * H * W + place)]
                if _beats(value, best):
                    best, where = value, place
                kh += down
                kw += right
                if kw >= width:
                    kw -= width
                    kh += 1
        values[me] = best
        places[me] = where
        half = lanes // 2
        while half > 0:
            cuda.syncthreads()
            if lane < half and _precedes(values[me + half], places[me + half], values[me], places[me]):
                values[me] = values[me + half]
                places[me] = places[me + half]
            half //= 2
        if lane == 0 and window < y.shape[0]:
            y[window] = values[me]
            switches[window] = places[me]

    return search


def max_pool2d(
    x: Any, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> tuple[DeviceArray, DeviceArray]:
    """The largest pixel of each window, and where it was; see the reference. A thread for every window, a line of them if it is large."""
    N, C, H, W = x.shape
    OH, OW = pool_output_size((H, W), kernel_size, stride, padding, dilation, ceil_mode)
    y, switches = empty((N, C, OH, OW), x.dtype), empty((N, C, OH, OW), np.int32)
    arrays, sizes, start = (y, switches, resident(x)), ((H, W), (OH, OW)), (-padding[0][0], -padding[1][0])
    taps = kernel_size[0] * kernel_size[1]
    if taps < MANY:
        launch_planes(_pooling(*kernel_size, *dilation), N * C, OH * OW, *arrays, *sizes, stride, start, divisor(OW))
    else:
        launch_lines(_searching(x.dtype), y.size, taps, *arrays, *sizes, kernel_size, stride, start, dilation)
    return y, switches


@cuda.jit(cache=True)
def _gather(y, x, switches, count, size):
    plane, p = cuda.blockIdx.x, element()
    if p < count:
        y[plane * count + p] = x[plane * size + switches[plane * count + p]]


def max_pool2d_gather(x: Any, switches: Any) -> DeviceArray:
    """Pick the pixels that the switches name; see the reference. A thread for every switch."""
    N, C, OH, OW = switches.shape
    y = empty(switches.shape, x.dtype)
    launch_planes(_gather, N * C, OH * OW, y, resident(x), resident(switches), OH * OW, x.shape[2] * x.shape[3])
    return y


# ---- unpooling

ADD, MAX, LAST = 0, 1, 2
COLLISIONS = {"add": ADD, "max": MAX, "last": LAST}

#: (pixels of a tile, threads of a block) for planes of at most so many pixels, and for all others: of float32 a tile takes 2 or 16 KiB
#: of a multiprocessor's shared memory, so that as many blocks find room there as it can run.
SHAPES = ((6, 2), (16, 8)) if SIMULATED else ((512, 64), (4096, 256))

#: Blocks that keep a device busy: two for each of its multiprocessors.
ENOUGH = 4 if SIMULATED else 264

FAR = 1 << 30  #: Further than any switch is from its window.


@lru_cache
@kept_by_source()
def _unpooling(dtype: np.dtype, collisions: int, pixels: int, threads: int) -> Any:
    """A kernel in which a block puts a plane together in shared memory, tile by tile.

    Who writes when two switches name one pixel must not be left to chance, and nothing is known of the windows. So the block first looks
    how far switches are from their window's place, which is taken to be (oh*SH, ow*SW): all are in a rectangle around it. Windows whose
    rectangles do not meet cannot name the same pixel, and write at once: those P rows apart, or Q columns, with P*SH and Q*SW no smaller
    than the rectangle. So cells of P x Q windows have a thread each, and their windows take turns. Of pooling with 3x3 pixels every two
    that is four turns; of switches in any order whatever as many as there are windows, at worst, and the result is as right.

    A sum's order is that of the turns, the same in every run. For "last" a tile holds which window was the last.
    """
    number = int32 if collisions == LAST else from_dtype(dtype)

    @cuda.jit(cache=True)
    def unpool(x, y, switches, size, outputs, stride, by_width, by_outputs):
        tile = cuda.shared.array(pixels, number)
        ends = cuda.shared.array((4, threads), int32)
        me, plane = cuda.threadIdx.x, cuda.blockIdx.x
        (H, W), (OH, OW), (SH, SW) = size, outputs, stride
        windows, nothing = plane * OH * OW, -1 if collisions == LAST else 0

        # The rectangle: first and last row, first and last column. In 32 bits, which cost half as much.
        top, left, bottom, right = np.int32(FAR), np.int32(FAR), np.int32(-FAR), np.int32(-FAR)
        for p in range(me, OH * OW, threads):
            place = switches[np.uint64(windows + p)]
            ih, oh = np.int32(quotient(place, by_width)), np.int32(quotient(p, by_outputs))
            row, column = np.int32(ih - oh * SH), np.int32(place - ih * W - (p - oh * OW) * SW)
            top, left, bottom, right = min(top, row), min(left, column), max(bottom, row), max(right, column)
        ends[0, me] = top
        ends[1, me] = left
        ends[2, me] = -bottom
        ends[3, me] = -right
        half = threads // 2
        while half > 0:
            cuda.syncthreads()
            if me < half:
                for k in range(4):
                    ends[k, me] = min(ends[k, me], ends[k, me + half])
            half //= 2
        for k in range(me, pixels, threads):
            tile[k] = nothing
        cuda.syncthreads()
        top, bottom = ends[0, 0], -ends[2, 0]
        P, Q = min((bottom - top) // SH + 1, OH), min((-ends[3, 0] - ends[1, 0]) // SW + 1, OW)

        # Cells lie in rows of so many; a thread's next one is so many windows down, and so many to the right.
        across = (OW + Q - 1) // Q
        first_row, first_column = np.int32(me // across * P), np.int32(me % across * Q)
        down, over, around = np.int32(threads // across * P), np.int32(threads % across * Q), np.int32(across * Q)
        first = cuda.blockIdx.y * pixels
        while first < H * W:
            count = min(pixels, H * W - first)
            # The rows of windows that may name a pixel of the tile.
            above, below = quotient(first, by_width) - bottom + SH - 1, quotient(first + count - 1, by_width) - top
            low, high = max(above // SH, 0), min(below // SH + 1, OH)
            for oh_of_cell in range(P):
                for ow_of_cell in range(Q):
                    oh, column = np.int32(low + first_row + oh_of_cell), first_column
                    while oh < high:
                        ow = np.int32(column + ow_of_cell)
                        if ow < OW:
                            p = np.int32(oh * OW + ow)
                            place, value = np.int32(switches[np.uint64(windows + p)] - first), y[np.uint64(windows + p)]
                            if (value != 0) & (place >= 0) & (place < count):  # both are asked for before either is looked at
                                old = tile[np.uint64(place)]
                                if collisions == ADD:
                                    tile[np.uint64(place)] = old + value
                                elif collisions == MAX:
                                    if old == 0 or _beats(value, old):
                                        tile[np.uint64(place)] = value
                                elif p > old:
                                    tile[np.uint64(place)] = p
                        oh, column = np.int32(oh + down), np.int32(column + over)
                        if column >= around:
                            oh, column = np.int32(oh + P), np.int32(column - around)
                    cuda.syncthreads()
            for k in range(me, count, threads):
                of = tile[np.uint64(k)]
                if collisions == LAST:
                    x[np.uint64(plane * H * W + first + k)] = y[windows + of] if of >= 0 else y.dtype.type(0)
                else:
                    x[np.uint64(plane * H * W + first + k)] = of
                tile[np.uint64(k)] = nothing
            cuda.syncthreads()
            first += cuda.gridDim.y * pixels

    return unpool


def max_unpool2d(y: Any, switches: Any, output_size: Pair, collisions: str) -> DeviceArray:
    """Put every element back where its switch says; see the reference. A block for every plane, several where planes are few."""
    (N, C, OH, OW), (H, W) = y.shape, output_size
    x = empty((N, C, H, W), y.dtype)
    if x.size:
        pixels, threads = next((shape for shape in SHAPES if H * W <= shape[0]), SHAPES[-1])
        kernel = _unpooling(y.dtype, COLLISIONS[collisions], pixels, threads)
        blocks = N * C, min(-(-H * W // pixels), -(-ENOUGH // (N * C)))
        stride = _stride(H, OH), _stride(W, OW)
        launch_blocks(kernel, blocks, threads, x, resident(y), resident(switches), (H, W), (OH, OW), stride, divisor(W), divisor(OW))
    return x


def _stride(size: int, outputs: int) -> int:
    """By how much the windows of a pooling have moved, if they were much smaller than the map."""
    return max(round((size - 1) / (outputs - 1)), 1) if outputs > 1 else 1
