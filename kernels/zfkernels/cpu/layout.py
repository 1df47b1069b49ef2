"""Images laid out so that what one tap sees at all outputs is one contiguous run of memory.

A padded image of stride SH, SW has SH*SW phases: phase (rh, rw) holds the pixels ``(qh*SH + rh, qw*SW + rw)``; those that no
tap meets are left out. The tap (kh, kw) lies in one phase, and at output (oh, ow) it sees there the place (oh, ow) moved by a
constant. So with the outputs counted in rows as long as a row of the phase, ``j = oh*width + ow``, the tap's row of im2col's
matrix *is* the phase's memory from some start on: the matrix of the convolution exists without being made. The price is a few
columns j without an output, at the end of every row.

Small images are laid out several to a run, so that the run is worth a vector loop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.im2col import copy_row
from zfkernels.geometry import Padding, Pair

Phases = tuple[np.ndarray, np.ndarray]


class Layout(NamedTuple):
    """`lump` images of `height` rows of `width` elements to a run."""

    lump: int
    height: int
    width: int

    @property
    def run(self) -> int:
        """Elements of one phase of one channel of a lump."""
        return self.lump * self.height * self.width

    def columns(self, grid: Pair) -> int:
        """Elements of a run from the first output to the last, of OH by OW outputs an image."""
        return ((self.lump - 1) * self.height + grid[0] - 1) * self.width + grid[1]


def layout_of(images: int, height: int, width: int) -> Layout:
    """As many images to a run as make it about 128 long: eight vectors of 16, above which a loop's ends do not matter."""
    return Layout(max(1, min(images, 128 // (height * width))), height, width)


@njit(parallel=True, cache=True)
def _lay_out(out, source, stride, rows, columns, start):
    N, C, H, _ = source.shape
    lumps, _, RH, RW, lump, height, _ = out.shape
    (SH, SW), (top, left) = stride, start
    for plane in prange(lumps * C):
        j, c = plane // C, plane % C
        for rh in range(RH):
            for rw in range(RW):
                for i in range(lump):
                    n = j * lump + i
                    for qh in range(height):
                        target, ih = out[j, c, rh, rw, i, qh], qh * SH + rows[rh] + top
                        if n < N and 0 <= ih < H:
                            copy_row(target, source[n, c, ih], SW, columns[rw] + left)
                        else:
                            target[:] = out.dtype.type(0)


def lay_out(source: np.ndarray, layout: Layout, stride: Pair, phases: Phases, start: Pair) -> np.ndarray:
    """Each element goes to its phase; the pixel `start`, which may be padding, is where the phases are counted from.

    ``out[j, c, rh, rw, i, qh, qw] = source[j*lump + i, c, qh*SH + rows[rh] + start[0], qw*SW + columns[rw] + start[1]]``,
    ``rows, columns = phases``, zero beyond.

    Shapes: source (N, C, H, W) -> out, flat. Parallel over lumps and channels.
    """
    N, C, H, W = source.shape
    rows, columns = phases
    single = len(rows) == len(columns) == 1
    if single and (layout.lump, layout.height, layout.width, stride, start) == (1, H, W, (1, 1), (0, 0)):
        return frozen(source).reshape(-1)  # it lies so already
    out = np.empty((-(-N // layout.lump), C, len(rows), len(columns), *layout), source.dtype)
    _lay_out(out, frozen(source), stride, frozen(rows), frozen(columns), start)
    return frozen(out.reshape(-1))


def unsplit(source: np.ndarray, layout: Layout, start: Pair) -> np.ndarray:
    """`source` laid out for stride 1, from the element `start` on, which may lie before the first: a single phase."""
    return lay_out(source, layout, (1, 1), (np.zeros(1, np.int64), np.zeros(1, np.int64)), start)


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


def windows(
    x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, grid: Pair, groups: int
) -> tuple[np.ndarray, Layout, np.ndarray]:
    """x laid out for windows at the outputs of `grid`: (flat, layout, where the run of each tap of a group starts)."""
    channels, (taps_h, taps_w) = x.shape[1] // groups, (np.arange(k) * d for k, d in zip(kernel_size, dilation, strict=True))
    rows, phase_h, shift_h = phases_of(taps_h, stride[0], grid[0])
    columns, phase_w, shift_w = phases_of(taps_w, stride[1], grid[1])
    layout = layout_of(x.shape[0], grid[0] + int(shift_h[-1]), grid[1] + int(shift_w[-1]))
    flat = lay_out(x, layout, stride, (rows, columns), (-padding[0][0], -padding[1][0]))
    phase = (np.arange(channels)[:, None, None] * len(rows) + phase_h[:, None]) * len(columns) + phase_w
    starts = phase * layout.run + shift_h[:, None] * layout.width + shift_w
    return flat, layout, frozen(starts.reshape(-1).astype(np.int64))
