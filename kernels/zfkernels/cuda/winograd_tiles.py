"""From images and filters to tiles at Winograd's points, and from products there to outputs: a thread for every tile.

At each of the (m + 2)^2 points lies a plane: of filters, channels by filters of each group; of inputs, channels by tiles; of products,
filters by tiles. Neighbouring threads have neighbouring filters or tiles, so they write, and read again, what lies side by side.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cache import kept_by_source
from zfkernels.cuda.transforms import Code, element
from zfkernels.minimal_filtering import TAPS, TRANSFORMS

# ---- what a thread does with its tile


def _put(code: Code, lines: list[list[str]]) -> None:
    """Each value of a tile to its point."""
    for point, value in enumerate(value for line in lines for value in line):
        code.lines.append(f"{element('target', f'to + {point} * plane')} = {value}")


def _filter_to_points(outputs: int, dtype: np.dtype) -> Any:
    code = Code(dtype)
    taps = [[element("w", f"first + {TAPS * i + j}") for j in range(TAPS)] for i in range(TAPS)]
    _put(code, code.both_sides(TRANSFORMS[outputs].filters, taps))
    return code.device_function("filter_to_points", "target", "to", "plane", "w", "first")


def _pixels_to_points(outputs: int, dtype: np.dtype) -> Any:
    """Padding is read where the nearest pixel is, and then replaced by zero: that takes no branch."""
    code, side = Code(dtype), range(outputs + TAPS - 1)
    zero = code.constant(0)
    rows, columns = (
        [(code.value(f"({at} + {i} >= 0) & ({at} + {i} < {size})"), code.value(f"min(max({at} + {i}, 0), {size} - 1)")) for i in side]
        for at, size in (("ih", "H"), ("iw", "W"))
    )
    lines = [code.value(f"first + {ih} * W") for _, ih in rows]
    read = [[code.value(element("x", f"{line} + {iw}")) for _, iw in columns] for line in lines]
    pixels = [
        [f"{pixel} if {inside} & {within} else {zero}" for pixel, (within, _) in zip(line, columns, strict=True)]
        for line, (inside, _) in zip(read, rows, strict=True)
    ]
    _put(code, code.both_sides(TRANSFORMS[outputs].inputs, pixels))
    return code.device_function("pixels_to_points", "target", "to", "plane", "x", "first", "H", "W", "ih", "iw")


def _points_to_outputs(outputs: int, dtype: np.dtype) -> Any:
    """NaN is not less than zero: it stays."""
    code, side = Code(dtype), range(outputs + TAPS - 1)
    zero = code.constant(0)
    products = [[element("products", f"of + {len(side) * i + j} * plane") for j in side] for i in side]
    for i, line in enumerate(code.both_sides(TRANSFORMS[outputs].outputs, products)):
        for j, value in enumerate(line):
            shifted = code.value(f"{value} + shift")
            kept = code.value(f"{zero} if rectified & ({shifted} <= {zero}) else {shifted}")
            code.lines += [f"if ({i} < rows) & ({j} < columns):", f"    {element('y', f'to + {i} * OW + {j}')} = {kept}"]
    return code.device_function("points_to_outputs", "y", "to", "OW", "rows", "columns", "products", "of", "plane", "shift", "rectified")


# ---- kernels


@lru_cache(maxsize=16)
@kept_by_source()
def put_filters(outputs: int, dtype: np.dtype) -> Any:
    """``put(u, w, filters, channels)``: w (groups, filters, channels, 3, 3) to u (points, groups, channels, filters)."""
    filter_to_points = _filter_to_points(outputs, dtype)

    @cuda.jit(cache=True)
    def put(u, w, filters, channels):
        i, plane = cuda.grid(1), w.shape[0] // (TAPS * TAPS)
        if i < plane:
            line, o = i // filters, i % filters
            group, c = line // channels, line % channels
            filter_to_points(u, i, plane, w, ((group * filters + o) * channels + c) * TAPS * TAPS)

    return put


@lru_cache(maxsize=16)
@kept_by_source()
def put_inputs(outputs: int, dtype: np.dtype) -> Any:
    """``put(v, x, C, H, W, top, left, down, across, first, tiles)``: x (N, C, H, W) to v (points, C, tiles).

    Of all images' tiles, `down` times `across` each, so many from the first on.
    """
    pixels_to_points = _pixels_to_points(outputs, dtype)

    @cuda.jit(cache=True)
    def put(v, x, C, H, W, top, left, down, across, first, tiles):
        i = cuda.grid(1)
        if i < C * tiles:
            c, tile = i // tiles, first + i % tiles
            line, tw = tile // across, tile % across
            n, th = line // down, line % down
            pixels_to_points(v, i, C * tiles, x, (n * C + c) * H * W, H, W, th * outputs - top, tw * outputs - left)

    return put


@lru_cache(maxsize=16)
@kept_by_source()
def take_outputs(outputs: int, dtype: np.dtype) -> Any:
    """``take(y, m, b, biased, rectified, O, OH, OW, down, across, first, tiles)``: m (points, O, tiles) to y (N, O, OH, OW).

    With b (O,) added if `biased`, and of that the positive part if `rectified`.
    """
    points_to_outputs, zero = _points_to_outputs(outputs, dtype), dtype.type(0)

    @cuda.jit(cache=True)
    def take(y, m, b, biased, rectified, O, OH, OW, down, across, first, tiles):
        i = cuda.grid(1)
        if i < O * tiles:
            o, tile = i // tiles, first + i % tiles
            line, tw = tile // across, tile % across
            n, th = line // down, line % down
            oh, ow = th * outputs, tw * outputs
            shift = b[o] if biased else zero
            to = ((n * O + o) * OH + oh) * OW + ow
            points_to_outputs(y, to, OW, OH - oh, OW - ow, m, i, O * tiles, shift, rectified)

    return take
