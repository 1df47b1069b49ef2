"""Average pooling and its adjoint."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.pool_rows import column_stride, lay_row, rows_of, store_row, together
from zfkernels.cpu.vectors import LANES, address, hold, load, lower_pairs, offset, splat, store, upper_pairs
from zfkernels.geometry import Axis, Padding, Pair, axes, pool_output_size


def _counts(axis: Axis, outputs: int, count_include_pad: bool) -> np.ndarray:
    """Taps of every window that the average divides by: those on the padded image, or on the image alone."""
    first = np.arange(outputs) * axis.stride - axis.before
    if count_include_pad:
        return np.minimum(first + axis.kernel, axis.size + axis.after) - first
    return np.minimum(first + axis.kernel, axis.size) - np.maximum(first, 0)


@lru_cache
def _divisors(window: tuple[Axis, Axis], size: Pair, count_include_pad: bool, divisor_override: int | None, dtype: np.dtype) -> np.ndarray:
    """What every window's sum is divided by, (OH, OW) filled up to whole vectors."""
    divisors = np.ones((size[0], -(-size[1] // LANES) * LANES), dtype)
    counts = (_counts(axis, outputs, count_include_pad) for axis, outputs in zip(window, size, strict=True))
    divisors[:, : size[1]] = divisor_override or np.outer(*counts)
    return frozen(divisors)


def _is_global(input_size: Pair, outputs: Pair, kernel_size: Pair, padding: Padding) -> bool:
    """Whether there is one window, and it holds the whole image."""
    reach = (k - before for k, (before, _) in zip(kernel_size, padding, strict=True))
    return outputs == (1, 1) and all(size <= r for size, r in zip(input_size, reach, strict=True))


@njit(cache=True)
def _average_plane(
    y, laid, few, x, plane, planes, size, outputs, kernel_size, stride, strip, height, margin, pitch,
    zero, taps, runs, ends, divisors,
):  # fmt: skip
    (H, W), (OH, OW), (KH, KW), (SH, SW) = size, outputs, kernel_size, stride
    end, divisor_pitch = (plane + 1) * OH * OW, (OW + LANES - 1) // LANES * LANES
    for above in range(0, OH, strip):
        top = above * SH + taps[0]
        for ih in range(max(top, 0), min(top + height, H)):
            lay_row(laid, (ih - top) * SW * pitch + margin, x, (plane * H + ih) * W, planes * H * W, W, SW, pitch, ends, zero)
        for oh in range(above, min(above + strip, OH)):
            first, last = max(0, -(oh * SH + taps[0])), min(KH, H - (oh * SH + taps[0]))
            for block in range(0, OW, LANES):
                ow = max(min(block, OW - LANES), 0)  # the last block overlaps the one before
                total = splat(zero)
                for kh in range(first, last):
                    slot = ((oh - above) * SH + kh) * SW * pitch + ow
                    for kw in range(KW):
                        total = total + load(laid, slot + runs[kw])
                store_row(y, (plane * OH + oh) * OW + ow, total / load(divisors, oh * divisor_pitch + ow), end, few)


@njit(parallel=True, cache=True)
def _average(y, x, planes, size, outputs, stride, rows, divisors):
    taps, runs, strip, height, margin, pitch, ends = rows
    zero = x.dtype.type(0)
    chunk = together(planes)
    for task in prange((planes + chunk - 1) // chunk):
        laid, few = np.zeros(height * stride[1] * pitch, x.dtype), np.empty(LANES, x.dtype)
        for plane in range(task * chunk, min(task * chunk + chunk, planes)):
            _average_plane(
                address(y), address(laid), address(few), address(x), plane, planes, size, outputs,
                (taps.shape[0], runs.shape[0]), stride, strip, height, margin, pitch, zero,
                address(taps), address(runs), address(ends), address(divisors),
            )  # fmt: skip
        hold(laid)
        hold(few)


@njit(cache=True)
def _sum(x, size, few, zero):
    """Sixteen sums side by side, then these in order."""
    total = splat(zero)
    for i in range(0, size - LANES + 1, LANES):
        total = total + load(x, i)
    store(few, 0, total)
    for i in range(size - size % LANES, size):
        few[i % LANES] += x[i]
    total = zero
    for i in range(LANES):
        total += few[i]
    return total


@njit(parallel=True, cache=True)
def _average_maps(y, x, divisor):
    planes, size = x.shape
    for task in prange((planes + 63) // 64):
        few = np.empty(LANES, x.dtype)
        for plane in range(task * 64, min(task * 64 + 64, planes)):
            y[plane] = _sum(offset(address(x), plane * size), size, address(few), x.dtype.type(0)) / divisor
        hold(few)


def avg_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """The mean of each window; see the reference. Parallel over planes."""
    N, C, H, W = x.shape
    OH, OW = pool_output_size((H, W), kernel_size, stride, padding, (1, 1), ceil_mode)
    window = axes((H, W), kernel_size, stride, padding)
    divisors = _divisors(window, (OH, OW), count_include_pad, divisor_override, x.dtype)
    y = empty((N, C, OH, OW), x.dtype)
    if _is_global((H, W), (OH, OW), kernel_size, padding):
        _average_maps(y.reshape(-1), frozen(x).reshape(N * C, H * W), divisors[0, 0])
    else:
        stride = column_stride(stride, (OH, OW))
        rows = rows_of(W, (OH, OW), kernel_size, stride, padding, (1, 1))
        _average(y.reshape(-1), frozen(x).reshape(-1), N * C, (H, W), (OH, OW), stride, tuple(rows), divisors.reshape(-1))
    return y


@njit(cache=True, forceinline=True)
def _lay_shares(shares, gy, start, size, width, divisors):
    """A row of gy over its divisors, and a vector of zeros behind it."""
    if start + width + LANES <= size:
        for ow in range(0, width, LANES):
            store(shares, ow, load(gy, start + ow) / load(divisors, ow))
    else:
        for ow in range(width):
            shares[ow] = gy[start + ow] / divisors[ow]


@njit(cache=True)
def _spread_plane(
    gx, shares, few, gy, plane, planes, size, outputs, kernel_size, stride, top, margin, pitch, zero, firsts, counts, divisors
):  # fmt: skip
    (H, W), (OH, OW), (KH, _), (SH, SW) = size, outputs, kernel_size, stride
    end, divisor_pitch = (plane + 1) * H * W, (OW + LANES - 1) // LANES * LANES
    for oh in range(OH):
        row = offset(shares, oh * pitch + margin)
        _lay_shares(row, gy, (plane * OH + oh) * OW, planes * OH * OW, OW, offset(divisors, oh * divisor_pitch))
        store(row, OW, splat(zero))
    for ih in range(H):
        # The windows oh*SH - top <= ih < oh*SH - top + KH.
        first, last = max(0, (ih + top - KH + SH) // SH), min(OH, (ih + top) // SH + 1)
        for q in range(0, (W + SW - 1) // SW, LANES):
            at = (plane * H + ih) * W + q * SW
            for remainder in range(SW):
                total = splat(zero)
                for oh in range(first, last):
                    start = oh * pitch + margin + q + firsts[remainder]
                    for back in range(counts[remainder] - 1, -1, -1):
                        total = total + load(shares, start - back)
                if SW == 1:
                    store_row(gx, at, total, end, few)
                else:
                    store(few, remainder * LANES, total)
            if SW == 2 and at + 2 * LANES <= end:
                even, odd = load(few, 0), load(few, LANES)
                store(gx, at, lower_pairs(even, odd))
                store(gx, at + LANES, upper_pairs(even, odd))
            elif SW > 1:
                for i in range(min(SW * LANES, W - q * SW)):
                    gx[at + i] = few[i % SW * LANES + i // SW]


@njit(parallel=True, cache=True)
def _spread(gx, gy, planes, size, outputs, kernel_size, stride, top, margin, pitch, firsts, counts, divisors):
    zero = gy.dtype.type(0)
    chunk = together(planes)
    for task in prange((planes + chunk - 1) // chunk):
        shares, few = np.zeros(outputs[0] * pitch, gy.dtype), np.empty(stride[1] * LANES, gy.dtype)
        for plane in range(task * chunk, min(task * chunk + chunk, planes)):
            _spread_plane(
                address(gx), address(shares), address(few), address(gy), plane, planes, size, outputs, kernel_size, stride,
                top, margin, pitch, zero, address(firsts), address(counts), address(divisors),
            )  # fmt: skip
        hold(shares)
        hold(few)


@lru_cache
def _taps_of_remainders(kernel: int, stride: int, before: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the pixels ``q*stride + remainder``: the last window that holds them, less q, and how many windows do.

    Examples
    --------
    Windows of three pixels, from every second on: an even pixel lies in its own and the one before, an odd one in one.

    >>> [a.tolist() for a in _taps_of_remainders(3, 2, 0)]
    [[0, 0], [2, 1]]
    """
    firsts, taps = np.divmod(np.arange(stride) + before, stride)
    return frozen(firsts), frozen(np.maximum((kernel - 1 - taps) // stride + 1, 0))


def avg_pool2d_adjoint_x(
    gy: np.ndarray,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """Spread every element evenly over its window; see the reference. Parallel over planes."""
    N, C, OH, OW = gy.shape
    window = axes(input_size, kernel_size, stride, padding)
    divisors = _divisors(window, (OH, OW), count_include_pad, divisor_override, gy.dtype)
    if _is_global(input_size, (OH, OW), kernel_size, padding):
        return _filled(gy / divisors[0, 0], input_size)
    gx = empty((N, C, *input_size), gy.dtype)
    (top, _), (left, _) = padding
    margin = -(-kernel_size[1] // stride[1])
    columns = -(-input_size[1] // (stride[1] * LANES)) * LANES  # of windows that begin under whole vectors of pixels
    pitch = margin + max(OW, columns + -(-left // stride[1])) + LANES
    _spread(
        gx.reshape(-1), frozen(gy).reshape(-1), N * C, input_size, (OH, OW), kernel_size, stride, top, margin, pitch,
        *_taps_of_remainders(kernel_size[1], stride[1], left), divisors.reshape(-1),
    )  # fmt: skip
    return gx


def _filled(values: np.ndarray, size: Pair) -> np.ndarray:
    """Maps of one value each."""
    maps = empty((*values.shape[:2], *size), values.dtype)
    maps[...] = values
    return maps
