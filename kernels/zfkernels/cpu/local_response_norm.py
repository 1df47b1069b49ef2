"""Local response normalisation across maps."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen
from zfkernels.cpu.vectors import LANES, address, but_not, everywhere, exceeds, hold, inverse_fourth_root, load, splat, store

#: Pixels of a task: the maps under a window of five then lie in the first-level cache.
TILE = 512

#: Of numbers up to here, and down to its inverse, the fourth power of the inverse fourth root is an ordinary float32.
HUGE = 2.0**100


@njit(cache=True, forceinline=True)
def _scale(x, at, low, high, P, alpha, k):
    """``k + alpha * sum of x[at + j*P]**2``, low <= j < high, of sixteen pixels.

    Every window is summed afresh: from a running sum an infinity never leaves.
    """
    a = load(x, at + low * P)
    total = a * a
    for j in range(low + 1, high):
        a = load(x, at + j * P)
        total = total + a * a
    return splat(k) + splat(alpha) * total


@njit(cache=True, forceinline=True)
def _inverse_power(s, beta, huge, few):
    """``s**-beta``, without a logarithm where beta is a multiple of a quarter up to 1; `few` is a place for sixteen numbers."""
    one = huge / huge
    if beta == 1:
        return splat(one) / s
    within = but_not(exceeds(s, splat(one / huge)), exceeds(s, splat(huge)))
    if (beta == 0.25 or beta == 0.5 or beta == 0.75) and everywhere(within):
        root = inverse_fourth_root(s)
        power = root
        for _ in range(int(4 * beta) - 1):
            power = power * root
        return power
    store(few, 0, s)
    for i in range(LANES):
        few[i] = few[i] ** -beta
    return load(few, 0)


@njit(cache=True)
def _norm_tile(y, x, few, start, C, P, first, last, before, after, alpha, beta, k, huge):
    for c in range(C):
        low, high = max(0, c - before), min(C, c + after + 1)
        for block in range(first, last, LANES):
            at = start + min(block, last - LANES)  # the last block overlaps the one before, never another task's
            s = _scale(x, at, low, high, P, alpha, k)
            store(y, at + c * P, load(x, at + c * P) * _inverse_power(s, beta, huge, few))


@njit(parallel=True, cache=True)
def _local_response_norm(y, x, before, after, alpha, beta, k, tiles):
    N, C, P = x.shape
    for task in prange(N * tiles):
        few = np.empty(LANES, x.dtype)
        n, i = task // tiles, task % tiles
        _norm_tile(
            address(y), address(x), address(few), n * C * P, C, P, P * i // tiles, P * (i + 1) // tiles,
            before, after, alpha, beta, k, x.dtype.type(HUGE),
        )  # fmt: skip
        hold(few)


def _maps(a: np.ndarray) -> np.ndarray:
    """`a` as (N, C, P), with pixels added where they do not fill a vector."""
    P = int(np.prod(a.shape[2:]))
    maps = frozen(a).reshape(*a.shape[:2], P)
    return maps if P >= LANES else frozen(np.pad(maps, ((0, 0), (0, 0), (0, LANES - P))))


def _reach(size: int, maps: int) -> tuple[int, int]:
    """How many maps before and behind a map are in its window, at most."""
    most = max(maps - 1, 0)
    return min(size // 2, most), min((size - 1) // 2, most)


def _unmapped(maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array of that shape whose `_maps` they are."""
    return maps[:, :, : int(np.prod(shape[2:]))].reshape(shape)


def local_response_norm(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """Each activation over the power of its neighbours across maps; see the reference.

    Parallel over images and tiles of pixels.
    """
    t, maps = x.dtype.type, _maps(x)
    y = empty(maps.shape, x.dtype)
    _local_response_norm(y, maps, *_reach(size, x.shape[1]), t(alpha / size), t(beta), t(k), max(1, maps.shape[2] // TILE))
    return _unmapped(y, x.shape)


@njit(cache=True)
def _vjp_tile(gx, gy, x, shares, few, start, C, P, first, last, before, after, alpha, beta, k, slope, huge):
    """Walk the maps once: what map i sends to the maps of its window is kept until the last of them has it."""
    size, width = before + after + 1, last - first
    ring = size * width
    for i in range(C + before):
        c = i - before
        low, high = max(0, c - after), min(C, i + 1)
        new, oldest, own = i % size * width, low % size * width, ring + c % size * width
        for block in range(first, last, LANES):
            pixel = min(block, last - LANES)
            at, slot = start + pixel, pixel - first
            if i < C:
                s = _scale(x, at, max(0, i - before), min(C, i + after + 1), P, alpha, k)
                signal = load(gy, at + i * P) * _inverse_power(s, beta, huge, few)
                store(shares, ring + new + slot, signal)
                store(shares, new + slot, signal * load(x, at + i * P) / s)
            if c >= 0:
                total, line = load(shares, oldest + slot), oldest
                for _ in range(low + 1, high):
                    line = line + width if line + width < ring else 0
                    total = total + load(shares, line + slot)
                store(gx, at + c * P, load(shares, own + slot) - splat(slope) * load(x, at + c * P) * total)


@njit(parallel=True, cache=True)
def _local_response_norm_vjp(gx, gy, x, before, after, alpha, beta, k, slope, tiles):
    N, C, P = x.shape
    for task in prange(N * tiles):
        few = np.empty(LANES, x.dtype)
        # gy * x * s**(-beta-1) and gy * s**-beta of the maps of a window
        shares = np.empty(2 * (before + after + 1) * (P // tiles + 1), x.dtype)
        n, i = task // tiles, task % tiles
        _vjp_tile(
            address(gx), address(gy), address(x), address(shares), address(few), n * C * P, C, P,
            P * i // tiles, P * (i + 1) // tiles, before, after, alpha, beta, k, slope, x.dtype.type(HUGE),
        )  # fmt: skip
        hold(few)
        hold(shares)


def local_response_norm_vjp(gy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """The derivative's transpose; see the reference. Parallel over images and tiles of pixels."""
    t, maps = x.dtype.type, _maps(x)
    gx = empty(maps.shape, x.dtype)
    _local_response_norm_vjp(
        gx, _maps(gy), maps, *_reach(size, x.shape[1]),
        t(alpha / size), t(beta), t(k), t(2 * alpha / size * beta), max(1, maps.shape[2] // TILE),
    )  # fmt: skip
    return _unmapped(gx, x.shape)
