"""Images laid out so that what one tap sees at a line of outputs is one contiguous run of memory.

A padded image of stride SH, SW has SH*SW phases: phase (rh, rw) holds the pixels ``(qh*SH + rh, qw*SW + rw)``; those that no
tap meets are left out. The tap (kh, kw) lies in one phase, and at output (oh, ow) it sees there the place (oh, ow) moved by a
constant. So with the outputs counted in lines as long as a line of the phase, ``j = oh*width + ow``, the tap's row of im2col's
matrix *is* the phase's memory from some start on: the matrix of the convolution exists without being made.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.im2col import span
from zfkernels.cpu.vectors import LANES, address, but_not, evens, first_lanes, load, offset, select, splat, store
from zfkernels.geometry import Padding, Pair

Phases = tuple[np.ndarray, np.ndarray]
NO_PHASES = frozen(np.zeros(1, np.int64)), frozen(np.zeros(1, np.int64))
SLACK = 64
"""Elements behind the last image, so that whole vectors can be read from its last pixels."""


class Layout(NamedTuple):
    """Images of C channels, each of some phases of `height` lines of `width` elements; `values` holds all of them, flat."""

    values: np.ndarray
    phases: int
    height: int
    width: int

    @property
    def channel(self) -> int:
        """Elements from one channel to the next."""
        return self.phases * self.height * self.width


@njit(cache=True)
def _lay_vectors(out, width, source, stride, low, high, zero):
    """The pixels of the outputs ``low <= i < high``, zeros beside them; the last vector overwrites what follows the line."""
    zeros = splat(zero)
    for i in range(0, width, LANES):
        here, place = but_not(first_lanes(high - i), first_lanes(low - i)), i * stride
        if stride == 1:
            pixels = load(source, place)
        elif stride == 2:
            pixels = evens(load(source, place), load(source, place + LANES))
        else:
            half = evens(load(source, place), load(source, place + LANES))
            pixels = evens(half, evens(load(source, place + 2 * LANES), load(source, place + 3 * LANES)))
        store(out, i, select(here, pixels, zeros))


@njit(parallel=True, cache=True)
def _lay_out(out, size, source, image, stride, rows, columns, start):
    (height, width), (H, W), (SH, SW) = size, image, stride
    phases, zero = len(rows) * len(columns) * height * width, out.dtype.type(0)
    reach = (width + LANES) * SW
    for plane in prange(len(source) // max(H * W, 1)):
        for phase in range(len(rows) * len(columns)):
            row, column = rows[phase // len(columns)] + start[0], columns[phase % len(columns)] + start[1]
            low, high = span(W, width, SW, column)
            for qh in range(height):
                to, ih = (phase * height + qh) * width, qh * SH + row
                of = (plane * H + ih) * W + column
                if SW in (1, 2, 4) and 0 <= ih < H and 0 <= of <= len(source) - reach and to + width + LANES <= phases:
                    there = offset(address(out), plane * phases + to)
                    _lay_vectors(there, width, offset(address(source), of), SW, low, high, zero)
                else:
                    for i in range(width):
                        inside = 0 <= ih < H and low <= i < high
                        out[plane * phases + to + i] = source[of + i * SW] if inside else zero


def lay_out(source: np.ndarray, size: Pair, start: Pair, stride: Pair = (1, 1), phases: Phases = NO_PHASES) -> Layout:
    """Each element goes to its phase of ``height, width = size``; the pixel `start`, which may be padding, is where phases begin.

    ``out[n, c, rh, rw, qh, qw] = source[n, c, qh*SH + rows[rh] + start[0], qw*SW + columns[rw] + start[1]]``,
    ``rows, columns = phases``, zero beyond.

    Shapes: source (N, C, H, W) -> out, flat. Parallel over images and channels.
    """
    N, C, H, W = source.shape
    rows, columns = phases
    if len(rows) == len(columns) == 1 and (size, stride, start) == ((H, W), (1, 1), (0, 0)) and rows[0] == columns[0] == 0:
        return Layout(frozen(source).reshape(-1), 1, H, W)  # it lies so already
    values = empty((N * C * len(rows) * len(columns) * size[0] * size[1] + SLACK,), source.dtype)
    values[-SLACK:] = 0
    _lay_out(values, size, frozen(source).reshape(-1), (H, W), stride, rows, columns, start)
    return Layout(frozen(values), len(rows) * len(columns), *size)


def phases_of(taps: np.ndarray, stride: int, outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the phases of an axis begin, the phase of each tap, and by how much it is moved there.

    Either the phases of the stride that taps meet, or a phase for every tap alone, whichever is shorter. The latter are shorter
    where windows reach much further than they move: wide dilation, and a single output, by which a fully connected layer
    written as a convolution becomes the plain matrix product that it is.

    Examples
    --------
    Three taps next to each other, then far apart, at four outputs of stride 2:

    >>> [a.tolist() for a in phases_of(np.array([0, 1, 2]), 2, 4)]
    [[0, 1], [0, 1, 0], [0, 0, 1]]
    >>> [a.tolist() for a in phases_of(np.array([0, 100, 200]), 2, 4)]
    [[0, 100, 200], [0, 1, 2], [0, 0, 0]]
    """
    shifts, remainders = np.divmod(taps, stride)
    firsts, phase = np.unique(remainders, return_inverse=True)
    if len(taps) * outputs <= len(firsts) * (outputs + shifts[-1]):
        return taps, np.arange(len(taps)), np.zeros_like(taps)
    return firsts, phase, shifts


class Taps(NamedTuple):
    """What `windows` needs to know of a geometry: the phases, their size, and where in an image the run of each tap starts."""

    phases: Phases
    size: Pair
    starts: np.ndarray


@lru_cache(maxsize=256)
def _windows(channels: int, kernel_size: Pair, stride: Pair, dilation: Pair, grid: Pair) -> Taps:
    taps_h, taps_w = (np.arange(k) * d for k, d in zip(kernel_size, dilation, strict=True))
    rows, phase_h, shift_h = phases_of(taps_h, stride[0], grid[0])
    columns, phase_w, shift_w = phases_of(taps_w, stride[1], grid[1])
    size = grid[0] + int(shift_h[-1]), grid[1] + int(shift_w[-1])
    phase = (np.arange(channels)[:, None, None] * len(rows) + phase_h[:, None]) * len(columns) + phase_w
    starts = phase * (size[0] * size[1]) + shift_h[:, None] * size[1] + shift_w
    return Taps((frozen(rows), frozen(columns)), size, frozen(starts.reshape(-1).astype(np.int64)))


def windows(
    x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, grid: Pair, groups: int
) -> tuple[Layout, np.ndarray]:
    """x laid out for windows at the outputs of `grid`, and where in an image the run of each tap of a group starts."""
    phases, size, starts = _windows(x.shape[1] // groups, kernel_size, stride, dilation, grid)
    return lay_out(x, size, (-padding[0][0], -padding[1][0]), stride, phases), starts
