"""Local response normalisation across maps."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cache import kept_by_source
from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import THREADS, launch_blocks
from zfkernels.cuda.maps import covering, extents

#: Threads of a block of the derivative: the more maps it has, the fewer are behind its edges, of which it computes part twice.
LARGE = 2 * THREADS

#: Numbers of one kind that such a block keeps at a time: of all its maps, and of as many behind the edges.
ROOM = 2 * LARGE


@cuda.jit(device=True)
def _power(s, beta, quarters):
    """``s**beta``, by roots where beta is a few quarters."""
    if quarters == 4:
        return s
    if quarters == 2:
        return math.sqrt(s)
    if quarters == 3:
        root = math.sqrt(s)
        return root * math.sqrt(root)
    return s**beta


@lru_cache(maxsize=64)
@kept_by_source()
def _kernels(before: int, after: int) -> tuple[Any, Any]:
    """(forward, derivative) for windows of so many maps before and after a map: for the few of a usual window without a loop."""

    @cuda.jit(device=True)
    def scale(x, at, c, C, P, alpha, k):
        """``k + alpha * sum of x[at + d*P]**2`` over the window of map c.

        Every window is summed afresh: from a running sum an infinity never leaves.
        """
        zero = x.dtype.type(0)
        total = zero
        for d in range(-before, after + 1):
            inside = 0 <= c + d < C
            a = x[np.uint64(at + d * P if inside else at)]  # loaded in any case: nothing waits for the comparison
            a = a if inside else zero
            total += a * a
        return k + alpha * total

    @cuda.jit(cache=True)
    def forward(y, x, alpha, beta, quarters, k, N, C, P):
        p = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        c = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
        n = cuda.blockIdx.z
        at = (n * C + c) * P + p
        while n < N and p < P and c < C:
            s = scale(x, at, c, C, P, alpha, k)
            y[np.uint64(at)] = x[np.uint64(at)] / _power(s, beta, quarters)
            n += cuda.gridDim.z
            at += cuda.gridDim.z * C * P

    @cuda.jit(cache=True)
    def derivative(gx, gy, x, alpha, beta, quarters, k, slope, N, C, P):
        # ``gy * s**-beta`` and ``gy * x * s**(-beta-1)`` of the block's pixels, a row for every map from `first` on
        signals = cuda.shared.array(ROOM, x.dtype)
        shares = cuda.shared.array(ROOM, x.dtype)
        wide, high = cuda.blockDim.x, cuda.blockDim.y
        p, own = cuda.blockIdx.x * wide + cuda.threadIdx.x, cuda.blockIdx.y * high
        c, end = own + cuda.threadIdx.y, min(C, own + high + before)
        n = cuda.blockIdx.z
        while n < N:
            signal = total = x.dtype.type(0)
            first = max(0, own - after)
            while first < end:
                for half in range(2):
                    row = half * high + cuda.threadIdx.y
                    i = first + row
                    if i < end and p < P:
                        at = (n * C + i) * P + p
                        s = scale(x, at, i, C, P, alpha, k)
                        scaled = gy[np.uint64(at)] / _power(s, beta, quarters)
                        signals[row * wide + cuda.threadIdx.x] = scaled
                        shares[row * wide + cuda.threadIdx.x] = scaled * x[np.uint64(at)] / s
                cuda.syncthreads()
                if p < P and c < C:
                    if first <= c < first + 2 * high:
                        signal = signals[(c - first) * wide + cuda.threadIdx.x]
                    for i in range(max(first, c - after), min(first + 2 * high, end, c + before + 1)):
                        total += shares[(i - first) * wide + cuda.threadIdx.x]
                cuda.syncthreads()
                first += 2 * high
            if p < P and c < C:
                at = (n * C + c) * P + p
                gx[np.uint64(at)] = signal - slope * x[np.uint64(at)] * total
            n += cuda.gridDim.z

    return forward, derivative


def _reach(size: int, maps: int) -> tuple[int, int]:
    """How many maps before and behind a map are in its window, at most."""
    return min(size // 2, maps - 1), min((size - 1) // 2, maps - 1)


def local_response_norm(x: Any, size: int, alpha: float, beta: float, k: float) -> DeviceArray:
    """Each activation over the power of its neighbours across maps; see the reference. Parallel over elements."""
    t, y = x.dtype.type, empty(x.shape, x.dtype)
    if y.size:
        forward, _ = _kernels(*_reach(size, x.shape[1]))
        numbers = t(alpha / size), t(beta), _quarters(beta), t(k)
        launch_blocks(forward, *covering(x.shape), y, resident(x), *numbers, *extents(x.shape))
    return y


def local_response_norm_vjp(gy: Any, x: Any, size: int, alpha: float, beta: float, k: float) -> DeviceArray:
    """The derivative's transpose; see the reference. Parallel over elements.

    Every map sends a share to all maps of its window: a block computes those of its maps, and of the maps that send to them.
    """
    t, gx = x.dtype.type, empty(x.shape, x.dtype)
    if gx.size:
        _, derivative = _kernels(*_reach(size, x.shape[1]))
        numbers = t(alpha / size), t(beta), _quarters(beta), t(k), t(2 * alpha / size * beta)
        launch_blocks(derivative, *covering(x.shape, threads=LARGE), gx, resident(gy), resident(x), *numbers, *extents(x.shape))
    return gx


def _quarters(beta: float) -> int:
    """What `_power` asks: how many quarters beta is, 0 if not whole."""
    return int(4 * beta) if (4 * beta).is_integer() else 0
