"""From images, filters and products to tiles at Winograd's points, and back.

The lanes of a vector are channels, or filters: runs of pixels of as many channels are turned, so that every pixel is one vector, and
so are the taps of as many filters. At each of the (m + 2)^2 points lies a plane: of inputs, tiles by channels; of filters, channels
by a panel of filters, NV vectors wide; of products, tiles by a panel of filters. Planes and arrays come as addresses.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

from zfkernels.cpu.microkernel import NV, transpose_tile
from zfkernels.cpu.transforms import both_sides
from zfkernels.cpu.vectors import offset
from zfkernels.minimal_filtering import TAPS, TRANSFORMS

transform_inputs = both_sides({m: matrices.inputs for m, matrices in TRANSFORMS.items()})
transform_filters = both_sides({m: matrices.filters for m, matrices in TRANSFORMS.items()})
transform_outputs = both_sides({m: matrices.outputs for m, matrices in TRANSFORMS.items()}, biased=True)


class Sizes(NamedTuple):
    """Images; groups, channels and filters of each; pixels; outputs of a tile to a side, m; tiles down and across an image."""

    images: int
    groups: int
    channels: int
    filters: int
    H: int
    W: int
    OH: int
    OW: int
    top: int
    left: int
    outputs: int
    down: int
    across: int

    def cells(self, lines: int) -> int:
        """Pixels, padded, of so many lines of tiles, or what their outputs take, whichever is more."""
        return (lines * self.outputs + TAPS - 1) * (self.across * self.outputs + TAPS - 1)


@njit(cache=True)
def _turn(target, lanes, source, size, base, stride, rows, columns):
    """``target[j*lanes + i] = source[base + i*stride + j]``, i < rows, j < columns, of a source of `size` elements.

    Whole vectors are turned where they are full; what they write too much, the next or nobody needs.
    """
    for j in range(0, columns, lanes):
        if rows == lanes and base + (lanes - 1) * stride + j + lanes <= size:
            transpose_tile(target, j * lanes, lanes, source, base + j, stride)
        else:
            for i in range(rows):
                for k in range(j, min(j + lanes, columns)):
                    target[k * lanes + i] = source[base + i * stride + k]


@njit(cache=True)
def _clear(target, first, last):
    for i in range(first, last):
        target[i] = 0


@njit(cache=True)
def put_inputs(v, lanes, plane, pitch, x, size, base, channels, s, begin, end, buffer):
    """The lines of tiles ``begin <= line < end`` of an image, of the channels from `base` on that share a vector."""
    cells, tile = (s.across * s.outputs + TAPS - 1) * lanes, s.outputs + TAPS - 1  # a line of padded pixels
    rows, left, right = (end - begin) * s.outputs + TAPS - 1, s.left * lanes, (s.left + s.W) * lanes
    for r in range(rows):
        ih = begin * s.outputs + r - s.top
        if 0 <= ih < s.H:
            _turn(offset(buffer, r * cells + left), lanes, x, size, base + ih * s.W, s.H * s.W, channels, s.W)
        else:
            _clear(buffer, r * cells, (r + 1) * cells)
    for r in range(rows):  # only now: turning has written beyond the ends of rows
        _clear(buffer, r * cells, r * cells + left)
        _clear(buffer, r * cells + right, (r + 1) * cells)
    for line in range(end - begin):
        for across in range(s.across):
            to, of = (line * s.across + across) * pitch, s.outputs * (line * cells + across * lanes)
            transform_inputs(s.outputs, v, to, tile * plane, plane, buffer, of, cells, lanes)


@njit(cache=True)
def put_filters(u, lanes, plane, w, size, base, count, s, first, last, buffer):
    """A panel of `count` filters from `base` on, of their channels ``first <= c < last``."""
    stride, taps, tile = s.channels * TAPS * TAPS, TAPS * TAPS * lanes, s.outputs + TAPS - 1
    for c in range(first, last, lanes):
        channels = min(lanes, last - c)
        for j in range(0, count, lanes):
            of = base + j * stride + c * TAPS * TAPS
            _turn(buffer, lanes, w, size, of, stride, min(lanes, count - j), channels * TAPS * TAPS)
            for k in range(channels):
                to = (c + k - first) * NV * lanes + j
                transform_filters(s.outputs, u, to, tile * plane, plane, buffer, k * taps, TAPS * lanes, lanes)


@njit(cache=True)
def take_outputs(y, lanes, m, plane, bias, filters, rectified, s, begin, end, buffer):
    """The outputs of the lines ``begin <= line < end`` of tiles, for the filters from y on that share a vector."""
    width, row, area, tile = NV * lanes, s.OW * lanes, s.OH * s.OW, s.outputs + TAPS - 1
    for line in range(end - begin):
        for across in range(s.across - 1, -1, -1):  # what a tile has beyond the end of a row, the next one overwrites
            to, of = s.outputs * (line * row + across * lanes), (line * s.across + across) * width
            transform_outputs(s.outputs, buffer, to, row, lanes, m, of, tile * plane, plane, bias, rectified)
    first, pixels = begin * s.outputs * s.OW, (min(end * s.outputs, s.OH) - begin * s.outputs) * s.OW
    for j in range(0, pixels, lanes):
        if filters == lanes <= pixels:
            at = min(j, pixels - lanes)  # the last vector overlaps the one before
            transpose_tile(y, first + at, area, buffer, at * lanes, lanes)
        else:
            for i in range(filters):
                for k in range(j, min(j + lanes, pixels)):
                    y[first + i * area + k] = buffer[k * lanes + i]
