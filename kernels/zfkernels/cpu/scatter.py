"""The convolution's adjoint in x where most of gy is zero, as unpooling leaves it: what is zero is not multiplied.

Each element of gy that is not zero adds its filter, weighted, to its window. Some channels of gx lie together for that, pixel by
pixel, and so do those of a filter, which is turned just before it is used: a row of a window is then a run of whole vectors.

To every element of gx the terms are added in the order of `products`: by filter, then by tap. Taps ascend where outputs descend, so
the last output of a map comes first. What is left out there are zeros, and the bits are the same.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numba
import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.microkernel import pick_vector, prefetch
from zfkernels.cpu.processor import VECTOR
from zfkernels.cpu.products import aligned, transpose
from zfkernels.cpu.vectors import LANES, address, differs, keep, load, multiply_add, splat, store
from zfkernels.geometry import Axis, Padding, Pair

BLOCK = 1 << 18
"""Bytes of gx that a task adds to: they stay in the second-level cache."""
AHEAD = 2
"""So many filters ahead, weights are asked for: the caches' own guesses do not reach from filter to filter."""
SAMPLE = 512
"""Vectors of gy that are looked at, to know how many of its elements are zero."""
OVERHEAD = 10
"""What an element that is not zero costs besides its window, in vectors that are added to."""
TURN = 100
"""What turning a block of a filter costs, in the same."""
BRING = 6
"""What `products` pays for a row of b before it meets the channels, each of which costs 1."""
GAIN = 4
"""Vectors that `products` multiplies and adds in registers while one in memory is added to; 2 to 4 were measured."""
ROOM = 4
"""Times the image: more is not taken for one with its padding."""


class Patch(NamedTuple):
    """How pixels and windows lie: channel c of a block is at ``ih*line + iw*together + c``, ih and iw in the padded image.

    Parameters
    ----------
    together : int
        Channels of a block: a power of two, at most LANES, so that windows begin at few places of a vector.
    line : int
        Numbers from a row of pixels to the next: whole vectors.
    height : int
        Rows of a window, from its first to its last.
    places : int64 (OH*OW,)
        Where each window begins.
    runs : int64 (R,)
        Where each run of a window begins, counted from the window: a row of it, or under dilation a pixel.
    length : int
        Numbers of a run.
    phase : int
        Runs begin at multiples of it.
    pitch : int
        Numbers from a run to the next in a turned filter: whole vectors, wherever in a vector the run begins.
    """

    together: int
    line: int
    height: int
    places: np.ndarray
    runs: np.ndarray
    length: int
    phase: int
    pitch: int


@lru_cache(maxsize=256)
def _patch(outputs: Pair, kernel_size: Pair, stride: Pair, dilation: Pair, channels: int, width: int) -> Patch:
    """`width`: pixels of a row that have to have a place."""
    (OH, OW), (KH, KW), (SH, SW), (DH, DW) = outputs, kernel_size, stride, dilation
    together = min(1 << (channels - 1).bit_length(), LANES)
    line = -(-max((OW - 1) * SW + Axis(1, KW, dilation=DW).extent, width) * together // LANES) * LANES
    places = np.arange(OH, dtype=np.int64)[:, None] * (SH * line) + np.arange(OW, dtype=np.int64) * (SW * together)
    rows, columns = np.arange(KH, dtype=np.int64) * (DH * line), np.arange(KW, dtype=np.int64) * (DW * together)
    runs, length = (rows, KW * together) if DW == 1 else ((rows[:, None] + columns).reshape(-1), together)
    phase = gcd(LANES, SW * together, LANES if DW == 1 else DW * together)
    pitch = -(-(LANES - phase + length) // LANES) * LANES
    return Patch(together, line, Axis(1, KH, dilation=DH).extent, frozen(places.reshape(-1)), frozen(runs), length, phase, pitch)


# ---- is it worth it


@njit(cache=True)
def _nonzeros(values, step):
    """How many of the sixteen numbers at each of the places 0, step, 2*step... are not zero."""
    count, zero = 0, values.dtype.type(0)
    for i in range(0, len(values) - LANES + 1, step):
        for lane in range(LANES):
            count += values[i + lane] != zero
    return count


def pays(gy: np.ndarray, w: np.ndarray, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> bool:
    """Whether so much of gy is zero that `scatter` is the faster adjoint; judged by a sample, so that dense ones do not wait."""
    (N, _, OH, OW), (_, CG, KH, KW), (H, W) = gy.shape, w.shape, input_size
    dense = KH * KW * (min(CG, LANES) + BRING) / LANES / GAIN
    turning = TURN / max(N * OH * OW, 1)
    if turning >= dense:
        return False
    patch = _patch((OH, OW), (KH, KW), stride, dilation, CG, padding[1][0] + W)
    room = ((OH - 1) * stride[0] + patch.height + padding[0][0]) * patch.line
    if room > ROOM * H * W * patch.together:
        return False
    window = len(patch.runs) * (patch.pitch // LANES) + OVERHEAD
    step = max(gy.size // SAMPLE, LANES)
    seen = ((gy.size - LANES) // step + 1) * LANES
    return window * _nonzeros(frozen(gy).reshape(-1), step) < (dense - turning) * seen


# ---- the kernels


@njit(parallel=True, cache=True)
def _find(spots, counts, gy, lanes):
    """Of every map the places of what is not zero, in order."""
    planes, P = gy.shape
    for plane in prange(planes):
        values, found, to = address(gy[plane]), address(spots[plane]), 0
        zeros, whole = splat(gy.dtype.type(0)), P - P % LANES
        here, step = load(address(lanes), 0), splat(np.int32(LANES))
        for p in range(0, whole, LANES):
            to += keep(found, to, here, differs(load(values, p), zeros))
            here = here + step
        for p in range(whole, P):
            if gy[plane, p] != 0:
                spots[plane, to] = p
                to += 1
        counts[plane] = to


@njit(cache=True)
def _turn(turned, w, first, channels, taps, together, length, phase, pitch):
    """``turned[f*phase + run*pitch + tap*together + c] = w[first + c*taps + tap of all runs]``, for every f a filter of its own."""
    lanes = VECTOR // w.itemsize
    reach = (taps + lanes - 1) // lanes * lanes
    if channels == LANES and first + (channels - 1) * taps + reach <= len(w):
        # Squares reach over the end of a channel's taps into the next channel's; what comes of it lies behind the last tap.
        transpose(turned, 0, LANES, w, first, taps, LANES, reach, lanes)
        return
    of_run = length // together
    for run in range(taps // of_run):
        for tap in range(of_run):
            for c in range(channels):
                number, to = w[first + c * taps + run * of_run + tap], run * pitch + tap * together + c
                for f in range(LANES // phase):
                    turned[f * (taps // of_run * pitch + phase) + to] = number


@njit(cache=True, forceinline=True)
def _add_window(c, at, runs, count, turned, of, value, vectors):
    """So many vectors in each run of a window. Where the caller writes a literal, there is no loop over them."""
    for r in range(count):
        start = at + runs[r]
        for j in range(vectors):
            store(c, start + j * LANES, multiply_add(value, load(turned, of + j * LANES), load(c, start + j * LANES)))
        of += vectors * LANES


@njit(cache=True)
def _add_map(c, base, turned, gy, spots, count, low, high, places, runs, length, phase, pitch):
    """What the outputs ``low <= p < high`` of a map add to the image at `base`, the last of them first."""
    to, taps, values, found, place, run = address(c), address(turned), address(gy), address(spots), address(places), address(runs)
    while count > 0 and found[count - 1] >= high:
        count -= 1
    while count > 0 and found[count - 1] >= low:
        count -= 1
        number, at = values[found[count]], base + place[found[count]]
        f = at % LANES
        of = f // phase * len(runs) * pitch
        if number - number == 0:
            value = splat(number)
            if pitch == 3 * LANES:
                _add_window(to, at - f, run, len(runs), taps, of, value, 3)
            elif pitch == 5 * LANES:
                _add_window(to, at - f, run, len(runs), taps, of, value, 5)
            else:
                _add_window(to, at - f, run, len(runs), taps, of, value, pitch // LANES)
        else:  # NaN or infinite: times the zeros that fill up a vector it would reach pixels beside its window
            for r in range(len(runs)):
                for j in range(length):
                    to[at + run[r] + j] += number * taps[of + r * pitch + f + j]


@njit(cache=True)
def _store(gx, to, plane, pixels, c, of, together, channels):
    """Pixels in a row, to their channels' planes."""
    lanes = VECTOR // gx.itemsize
    if together == LANES:
        transpose(gx, to, plane, c, of, together, pixels, channels, lanes)
        return
    for k in range(channels):
        if together <= 4 and pixels >= lanes:
            for i in range(0, pixels, lanes):
                pixel = min(i, pixels - lanes)  # the last vector reaches back
                pick_vector(gx, to + k * plane + pixel, c, of + k + pixel * together, together)
        else:
            for i in range(pixels):
                gx[to + k * plane + i] = c[of + i * together + k]


@njit(cache=True)
def _task(gx, gy, w, spots, counts, group, block, first, last, size, corner, outputs, stride, taps, patch):
    """Rows ``first <= ih < last`` of the block of channels from `block` on, in some images.

    Shapes: gx (n, groups, CG, H*W), gy and spots (n, groups, filters, OH*OW), counts (n, groups, filters), w (groups, filters*CG*taps).
    """
    (H, W), (top, left), (OH, OW) = size, corner, outputs
    together, line, height, places, runs, length, phase, pitch = patch
    (images, groups, channels), w, filters = gx.shape[:3], w[group], gy.shape[2]
    here = min(together, channels)
    begin = min(block, channels - here)  # the last block reaches back over channels that are the one's before
    # The rows of outputs whose windows meet these rows, and all rows of the padded image that those windows meet.
    low, high = min(max((first + top - height) // stride + 1, 0), OH), max(min((last + top - 1) // stride + 1, OH), 0)
    upper, lower = min(first + top, low * stride), max(last + top, (high - 1) * stride + height)
    image = (lower - upper) * line
    c, turned = aligned(images * image + 4 * LANES, gx), aligned(LANES // phase * len(runs) * pitch + LANES * LANES, gx)
    c[:] = 0
    turned[:] = 0
    for o in range(filters):
        needed = True
        for n in range(images):
            if counts[n, group, o] == 0:
                continue
            if needed:
                for i in range(0, here * taps, 64 // w.itemsize):
                    prefetch(w, (min(o + AHEAD, filters - 1) * channels + begin) * taps + i)
                _turn(turned, w, (o * channels + begin) * taps, here, taps, together, length, phase, pitch)
                needed = False
            _add_map(
                c, n * image - upper * line, turned, gy[n, group, o], spots[n, group, o], counts[n, group, o],
                low * OW, high * OW, places, runs, length, phase, pitch,
            )  # fmt: skip
    pixels = (last - first) * W if line == W * together else W  # rows without anything between them are one
    for n in range(images):
        plane, of = (n * groups + group) * channels + block, n * image + left * together + block - begin
        for row in range(0, (last - first) * W // pixels):
            ih = first + row
            _store(gx.reshape(-1), (plane * H + ih) * W, H * W, pixels, c, of + (ih + top - upper) * line, together, begin + here - block)


@njit(parallel=True, cache=True)
def _scatter(gx, gy, w, spots, counts, size, corner, outputs, stride, taps, chunk, bands, patch):
    (N, groups, channels), together, H = gx.shape[:3], patch[0], size[0]
    chunks, blocks, rows = (N + chunk - 1) // chunk, (channels + together - 1) // together, (H + bands - 1) // bands
    for task in prange(chunks * groups * blocks * bands):
        first, block = task % bands * rows, task // bands % blocks * together
        group, n = task // (bands * blocks) % groups, task // (bands * blocks * groups) * chunk
        if first < H:
            _task(
                gx[n : n + chunk], gy[n : n + chunk], w, spots[n : n + chunk], counts[n : n + chunk], group, block,
                first, min(first + rows, H), size, corner, outputs, stride, taps, patch,
            )  # fmt: skip


STEPS = frozen(np.arange(LANES, dtype=np.int32))


def scatter(gy: np.ndarray, w: np.ndarray, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> np.ndarray:
    """The adjoint in x, element by element of gy, without those that are zero; arguments and result are `conv2d_adjoint_x`'s.

    A zero times an infinite or NaN weight is left out, too, where a product of matrices has NaN.

    Parallel over images, groups, blocks of channels, and bands of rows where those are too few for the threads.
    """
    (N, O, OH, OW), (_, CG, KH, KW), (H, W) = gy.shape, w.shape, input_size
    gx, spots, counts = empty((N, groups * CG, H, W), gy.dtype), empty((N * O, OH * OW), np.int32), np.empty(N * O, np.int64)
    _find(spots, counts, frozen(gy).reshape(N * O, OH * OW), STEPS)
    (top, _), (left, _) = padding
    patch = _patch((OH, OW), (KH, KW), stride, dilation, CG, left + W)
    threads, tasks = numba.get_num_threads(), groups * -(-CG // patch.together)
    image = ((OH - 1) * stride[0] + patch.height) * patch.line * gy.itemsize
    chunk = max(min(BLOCK // image, -(-N * tasks // threads), N), 1)
    tasks *= -(-N // chunk)
    maps = N, groups, O // groups
    _scatter(
        gx.reshape(N, groups, CG, H * W), frozen(gy).reshape(*maps, OH * OW), frozen(w).reshape(groups, -1),
        spots.reshape(*maps, OH * OW), counts.reshape(maps),
        input_size, (top, left), (OH, OW), stride[0], KH * KW, chunk, max(-(-threads // max(tasks, 1)), 1), tuple(patch),
    )  # fmt: skip
    return gx
