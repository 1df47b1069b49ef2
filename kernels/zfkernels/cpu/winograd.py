"""Convolution of 3x3 and stride 1 by Winograd's minimal filtering; see `zfkernels.minimal_filtering` for its matrices and errors.

Three transforms stand before and behind a product of matrices at each point, tiles by channels times channels by filters. It has
tiles for rows, so that a single image of 13x13 pixels, which is 9 of them, still fills the micro-kernel.

With many tiles, all filters are transformed first; then a task owns a block of tiles, from its inputs to its outputs. With few,
the transformed filters would cost more to write and to read than all the rest: then all tiles are transformed first, and a task
owns a panel of filters, which it transforms a piece of their channels at a time, where they are used.

Each product is summed in the order of channels, whatever the blocks, the way and the number of threads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
from numba import njit, prange

from zfkernels import geometry
from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.microkernel import MR, NV, add_products
from zfkernels.cpu.processor import VECTOR
from zfkernels.cpu.vectors import address, offset
from zfkernels.cpu.winograd_tiles import Sizes, put_filters, put_inputs, take_outputs
from zfkernels.geometry import Padding
from zfkernels.minimal_filtering import KERNEL_SIZE, TAPS, outputs_for, tiles

SLAB = 128
"""Channels at a time: of so many, a panel of filters takes half of a first-level cache of 48 KB at one point."""
PIECE = 64
"""Channels of filters that a task transforms at a time: a panel of them at all points stays in the second-level cache."""
FEW = 160
"""Tiles for each thread from which on all filters are transformed first. Of no more, a panel's products stay in that cache, too."""
CACHE, ROOM = 5 << 18, 24 << 20
"""Bytes of a block's inputs and products at all points: so many that it stays in the second-level cache, where the filters are not
more themselves; else so many that the filters are seldom read."""


class Plan(NamedTuple):
    """How the work is shared out, and where things lie: elements from one tile to the next and from one point to the next."""

    few: bool
    blocks: int
    panels: int
    points: int
    pitch: int
    v_plane: int
    u_plane: int
    m_plane: int


@njit(cache=True)
def _panel(panel, panels, filters, lanes):
    """The filters ``first <= o < last`` of a panel: an even share of whole vectors, NV at most."""
    vectors = (filters + lanes - 1) // lanes
    return vectors * panel // panels * lanes, min(vectors * (panel + 1) // panels * lanes, filters)


@njit(cache=True)
def _bands(first, last, down):
    """The lines of tiles ``first <= line < last`` of all images, image by image: (image, its first, its last, how many before)."""
    bands = np.empty(((last - 1) // down - first // down + 1, 4), np.int64)
    for i in range(len(bands)):
        n = first // down + i
        begin = max(first - n * down, 0)
        bands[i] = n, begin, min(last - n * down, down), n * down + begin - first
    return bands


@njit(cache=True)
def _multiply(m, m_first, count, v, v_rows, v_first, u, u_first, u_rows, channels, vectors, fresh):
    """At one point, ``m[tile, filter] += sum over channels of v[tile, channel] * u[channel, filter]``; from zero if `fresh`."""
    width, calls, panel = NV * VECTOR // m.itemsize, (count + MR - 1) // MR, u[u_first:]
    if fresh:
        m[m_first : m_first + count * width] = 0
    for call in range(calls):
        i, end = count * call // calls, count * (call + 1) // calls
        add_products(
            m, m_first + i * width, width, v, v_rows, v_first + i, channels, panel, u_rows, len(channels), 0, end - i, vectors
        )


@njit(cache=True)
def _outputs(y, m, bias, rectified, s, plan, group, panel, bands, buffer):
    """From the products of a panel to outputs."""
    lanes = VECTOR // y.itemsize
    first, last = _panel(panel, plan.panels, s.filters, lanes)
    for n, begin, end, before in bands:
        for o in range(first, last, lanes):
            to, shift = (n * s.groups + group) * s.filters + o, offset(address(bias), group * s.filters + o)
            products = offset(m, before * s.across * NV * lanes + o - first)
            of_map, count = offset(address(y), to * s.OH * s.OW), min(lanes, last - o)
            take_outputs(of_map, lanes, products, plan.m_plane, shift, count, rectified, s, begin, end, buffer)


@njit(cache=True)
def _inputs(v, x, s, plan, group, n, begin, end, c, buffer):
    """Some lines of tiles of an image, of the channels from c on that share a vector."""
    lanes = VECTOR // x.itemsize
    base, count = ((n * s.groups + group) * s.channels + c) * s.H * s.W, min(lanes, s.channels - c)
    put_inputs(v, lanes, plan.v_plane, plan.pitch, address(x), x.size, base, count, s, begin, end, buffer)


@njit(cache=True)
def _filters(u, w, s, plan, group, panel, first, last, buffer):
    """Some channels of a panel of filters."""
    lanes = VECTOR // w.itemsize
    o, end = _panel(panel, plan.panels, s.filters, lanes)
    base = (group * s.filters + o) * s.channels * TAPS * TAPS
    put_filters(u, lanes, plan.u_plane, address(w), w.size, base, end - o, s, first, last, buffer)


# ---- many tiles


@njit(parallel=True, cache=True)
def _all_filters(u, w, s, plan, scratch):
    width, slabs, workers = NV * VECTOR // w.itemsize, (s.channels + SLAB - 1) // SLAB, len(scratch)
    tasks = s.groups * plan.panels * slabs
    for worker in prange(workers):
        buffer = scratch[worker]
        for task in range(worker * tasks // workers, (worker + 1) * tasks // workers):
            group, panel, c = task // (slabs * plan.panels), task // slabs % plan.panels, task % slabs * SLAB
            to = offset(address(u), group * plan.points * plan.u_plane + (panel * s.channels + c) * width)
            _filters(to, w, s, plan, group, panel, c, min(c + SLAB, s.channels), address(buffer))


@njit(cache=True)
def _block_of_tiles(y, x, u, v_rows, bias, rectified, s, plan, group, first, last, v, m, buffer):
    """The lines of tiles ``first <= line < last``, all filters of a group."""
    lanes, count, bands = VECTOR // y.itemsize, (last - first) * s.across, _bands(first, last, s.down)
    width, u_rows = NV * lanes, np.arange(SLAB) * NV * lanes
    for n, begin, end, before in bands:
        for c in range(0, s.channels, lanes):
            to = offset(address(v), before * s.across * plan.pitch + c)
            _inputs(to, x, s, plan, group, n, begin, end, c, address(buffer))
    for p in range(plan.points):
        for c in range(0, s.channels, SLAB):
            channels = np.arange(c, min(c + SLAB, s.channels))
            for panel in range(plan.panels):
                o, end = _panel(panel, plan.panels, s.filters, lanes)
                to, of = p * plan.m_plane + panel * count * width, p * plan.u_plane + (panel * s.channels + c) * width
                _multiply(m, to, count, v, v_rows[p], 0, u, of, u_rows, channels, (end - o + lanes - 1) // lanes, c == 0)
    for panel in range(plan.panels):
        products = offset(address(m), panel * count * width)
        _outputs(y, products, bias, rectified, s, plan, group, panel, bands, address(buffer))


@njit(parallel=True, cache=True)
def _by_tiles(y, x, u, v_rows, bias, rectified, s, plan, scratch, buffer_size):
    tasks, workers, lines = s.groups * plan.blocks, len(scratch), s.images * s.down
    m_end = buffer_size + plan.points * plan.m_plane
    for worker in prange(workers):
        buffer, m, v = scratch[worker, :buffer_size], scratch[worker, buffer_size:m_end], scratch[worker, m_end:]
        for task in range(worker * tasks // workers, (worker + 1) * tasks // workers):
            group, block = task // plan.blocks, task % plan.blocks
            first, last = block * lines // plan.blocks, (block + 1) * lines // plan.blocks
            of_group = u[group * plan.points * plan.u_plane :]
            _block_of_tiles(y, x, of_group, v_rows, bias, rectified, s, plan, group, first, last, v, m, buffer)


# ---- few tiles


@njit(parallel=True, cache=True)
def _all_inputs(v, x, s, plan, scratch):
    lanes, workers = VECTOR // x.itemsize, len(scratch)
    vectors = (s.channels + lanes - 1) // lanes
    tasks = s.groups * s.images * vectors
    for worker in prange(workers):
        buffer = scratch[worker]
        for task in range(worker * tasks // workers, (worker + 1) * tasks // workers):
            group, n, c = task // (s.images * vectors), task // vectors % s.images, task % vectors * lanes
            piece = (group * ((s.channels + PIECE - 1) // PIECE) + c // PIECE) * plan.points * plan.v_plane
            to = offset(address(v), piece + n * s.down * s.across * plan.pitch + c % PIECE)
            _inputs(to, x, s, plan, group, n, 0, s.down, c, address(buffer))


@njit(cache=True)
def _panel_of_filters(y, w, v, v_rows, bias, rectified, s, plan, group, panel, first, last, u, m, buffer):
    """The lines of tiles ``first <= line < last``, one panel of filters of a group."""
    lanes, count = VECTOR // y.itemsize, (last - first) * s.across
    pieces, u_rows = (s.channels + PIECE - 1) // PIECE, np.arange(PIECE) * NV * lanes
    o, end = _panel(panel, plan.panels, s.filters, lanes)
    for c in range(0, s.channels, PIECE):
        channels = np.arange(min(PIECE, s.channels - c))
        inputs = v[(group * pieces + c // PIECE) * plan.points * plan.v_plane :]
        _filters(address(u), w, s, plan, group, panel, c, c + len(channels), address(buffer))
        for p in range(plan.points):
            to, of, vectors = p * plan.m_plane, p * plan.u_plane, (end - o + lanes - 1) // lanes
            _multiply(m, to, count, inputs, v_rows[p], first * s.across, u, of, u_rows, channels, vectors, c == 0)
    _outputs(y, address(m), bias, rectified, s, plan, group, panel, _bands(first, last, s.down), address(buffer))


@njit(parallel=True, cache=True)
def _by_filters(y, w, v, v_rows, bias, rectified, s, plan, scratch, buffer_size):
    tasks, workers, lines = s.groups * plan.blocks * plan.panels, len(scratch), s.images * s.down
    m_end = buffer_size + plan.points * plan.m_plane
    for worker in prange(workers):
        buffer, m, u = scratch[worker, :buffer_size], scratch[worker, buffer_size:m_end], scratch[worker, m_end:]
        for task in range(worker * tasks // workers, (worker + 1) * tasks // workers):
            group, block, panel = task // (plan.blocks * plan.panels), task // plan.panels % plan.blocks, task % plan.panels
            first, last = block * lines // plan.blocks, (block + 1) * lines // plan.blocks
            _panel_of_filters(y, w, v, v_rows, bias, rectified, s, plan, group, panel, first, last, u, m, buffer)


# ---- the whole


def _shares(s: Sizes, lanes: int, itemsize: int, threads: int) -> tuple[bool, int, int]:
    """Whether there are few tiles, blocks of them, and panels of filters: about as many tasks as make even shares."""
    lines, vectors = s.images * s.down, -(-s.filters // lanes)
    count, panels, points = lines * s.across, -(-vectors // NV), (s.outputs + TAPS - 1) ** 2
    if count < FEW * threads:
        blocks = -(-count // FEW)
        tasks = {more: -(-s.groups * blocks * more // threads) * -(-vectors // more) for more in range(panels, 2 * panels + 1)}
        return True, min(blocks, lines), min(tasks, key=tasks.__getitem__)
    tile, filters = points * itemsize * (s.channels + s.filters), points * itemsize * s.channels * s.filters
    blocks = -(-count * tile // (CACHE if filters < CACHE else ROOM))
    blocks = next(more for more in range(blocks, blocks + threads) if s.groups * more % threads == 0)
    return False, min(blocks, lines), panels


@lru_cache(maxsize=1024)
def _plan(s: Sizes, lanes: int, itemsize: int, threads: int) -> tuple[Plan, int, np.ndarray]:
    """The plan, the most lines of tiles in a block, and where the tiles begin in the planes of inputs."""
    few, blocks, panels = _shares(s, lanes, itemsize, threads)
    lines, width, pitch = s.images * s.down, NV * lanes, -(-s.channels // lanes) * lanes
    most, points = -(-lines // blocks), (s.outputs + TAPS - 1) ** 2
    if few:
        pitch = min(pitch, PIECE)
        planes = lines * s.across * pitch, PIECE * width, most * s.across * width
    else:
        planes = most * s.across * pitch, panels * s.channels * width, most * s.across * panels * width
    v_plane, u_plane, m_plane = (plane + lanes for plane in planes)  # so that they begin in different sets of a cache
    rows = np.arange(points)[:, None] * v_plane + np.arange(0, planes[0], pitch)
    return Plan(few, blocks, panels, points, pitch, v_plane, u_plane, m_plane), most, frozen(rows)


def _room(size: int, dtype: np.dtype) -> np.ndarray:
    """An array that begins where a vector does: none of its vectors lies in two lines of a cache."""
    array = empty((size + VECTOR // dtype.itemsize,), dtype)
    return array[-array.ctypes.data % VECTOR // dtype.itemsize :][:size]


def _conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, padding: Padding, groups: int, rectified: bool) -> np.ndarray:
    (N, C, H, W), O, lanes, threads = x.shape, len(w), VECTOR // x.itemsize, numba.get_num_threads()
    size = geometry.output_size((H, W), KERNEL_SIZE, padding=padding)
    y = empty((N, O, *size), x.dtype)
    if y.size == 0:
        return y
    m = outputs_for(size)
    s = Sizes(N, groups, C // groups, O // groups, H, W, *size, padding[0][0], padding[1][0], m, *tiles(size, m))
    plan, most, v_rows = _plan(s, lanes, x.itemsize, threads)
    buffer = max(s.cells(s.down if plan.few else min(s.down, most)) + lanes, TAPS * TAPS * lanes) * lanes
    own = buffer + plan.points * (plan.m_plane + (plan.u_plane if plan.few else plan.v_plane))
    scratch = _room(threads * own, x.dtype).reshape(threads, own)
    bias = np.zeros(O + lanes, x.dtype)
    if b is not None:
        bias[:O] = b
    pixels, taps, outputs = frozen(x).reshape(-1), frozen(w).reshape(-1), y.reshape(-1)
    if plan.few:
        v = _room(groups * -(-s.channels // PIECE) * plan.points * plan.v_plane, x.dtype)
        _all_inputs(v, pixels, s, plan, scratch)
        _by_filters(outputs, taps, v, v_rows, bias, rectified, s, plan, scratch, buffer)
    else:
        u = _room(groups * plan.points * plan.u_plane, x.dtype)
        _all_filters(u, taps, s, plan, scratch)
        _by_tiles(outputs, pixels, u, v_rows, bias, rectified, s, plan, scratch, buffer)
    return y


def conv2d_winograd(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, padding: Padding, groups: int) -> np.ndarray:
    """Each output is one filter against one window, plus a bias; see the reference.

    Parallel over groups and blocks of tiles, or panels of filters. Half to a third of the multiplications of `conv2d` on small
    maps, a quarter on large ones, and a few times its rounding errors; see `zfkernels.minimal_filtering.term_sizes` for their bound.
    """
    return _conv2d(x, w, b, padding, groups, rectified=False)


def conv2d_winograd_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, padding: Padding, groups: int) -> np.ndarray:
    """The positive part of the convolution, taken as it is stored; see the reference."""
    return _conv2d(x, w, b, padding, groups, rectified=True)
