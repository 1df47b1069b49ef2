"""Images laid out so that what one tap sees at all outputs is one contiguous run of memory.

A padded image of stride SH, SW is split into its SH*SW phases: phase (rh, rw) holds the pixels ``(qh*SH + rh, qw*SW + rw)``.
The tap (kh, kw) lies in one phase, and at output (oh, ow) it sees there the place (oh, ow) moved by a constant. So with the
outputs counted in rows as long as a row of the phase, ``j = oh*width + ow``, the tap's row of im2col's matrix *is* the phase's
memory from some start on: the matrix of the convolution exists without being made. The price is a few columns j without an
output, at the end of every row.

Small images are laid out several to a run, so that the run is worth a vector loop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.im2col import copy_row
from zfkernels.geometry import Axis, Padding, Pair


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
def _lay_out(out, source, stride, start):
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
                        target, ih = out[j, c, rh, rw, i, qh], qh * SH + rh + top
                        if n < N and 0 <= ih < H:
                            copy_row(target, source[n, c, ih], SW, rw + left)
                        else:
                            target[:] = out.dtype.type(0)


def lay_out(source: np.ndarray, layout: Layout, stride: Pair, phases: Pair, start: Pair) -> np.ndarray:
    """Each element goes to its phase: the pixel (start[0], start[1]), which may be padding, is the first of phase (0, 0).

    ``out[j, c, rh, rw, i, qh, qw] = source[j*lump + i, c, qh*SH + rh + start[0], qw*SW + rw + start[1]]``, zero beyond.

    Shapes: source (N, C, H, W) -> out, flat. Parallel over lumps and channels.
    """
    N, C, H, W = source.shape
    if (layout.lump, layout.height, layout.width, stride, start) == (1, H, W, (1, 1), (0, 0)):
        return frozen(source).reshape(-1)  # it lies so already
    out = np.empty((-(-N // layout.lump), C, *phases, *layout), source.dtype)
    _lay_out(out, frozen(source), stride, start)
    return frozen(out.reshape(-1))


def free_stride(grid: Pair, kernel_size: Pair, stride: Pair, dilation: Pair) -> Pair:
    """The stride; on an axis with a single output, where any stride is right, the extent of the window.

    Every tap is then a phase of its own, an image is one element long there, and a fully connected layer written as a
    convolution becomes the plain matrix product that it is.
    """
    extents = (Axis(1, k, dilation=d).extent for k, d in zip(kernel_size, dilation, strict=True))
    height, width = (extent if outputs == 1 else s for outputs, extent, s in zip(grid, extents, stride, strict=True))
    return height, width


def windows(
    x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, grid: Pair, groups: int
) -> tuple[np.ndarray, Layout, np.ndarray]:
    """x laid out for windows at the outputs of `grid`: (flat, layout, where the run of each tap of a group starts)."""
    channels, stride = x.shape[1] // groups, free_stride(grid, kernel_size, stride, dilation)
    tap_rows, tap_columns = (np.arange(k) * d for k, d in zip(kernel_size, dilation, strict=True))
    (shift_h, phase_h), (shift_w, phase_w) = np.divmod(tap_rows, stride[0]), np.divmod(tap_columns, stride[1])
    phases = int(phase_h.max()) + 1, int(phase_w.max()) + 1
    layout = layout_of(x.shape[0], grid[0] + int(shift_h[-1]), grid[1] + int(shift_w[-1]))
    flat = lay_out(x, layout, stride, phases, (-padding[0][0], -padding[1][0]))
    phase = (np.arange(channels)[:, None, None] * phases[0] + phase_h[:, None]) * phases[1] + phase_w
    starts = phase * layout.run + shift_h[:, None] * layout.width + shift_w
    return flat, layout, frozen(starts.reshape(-1).astype(np.int64))
