"""From a thread to the elements that are its: kernels over planes, kernels over long lines, and division by what the host knows.

An index into an array is made unsigned where it costs most: Numba lets a negative one count from the end, and asks every time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.device import SIMULATED, THREADS, launch_blocks
from zfkernels.geometry import Pair

#: Threads that run in step.
WARP = 4 if SIMULATED else 32

#: Elements of a line from which on a whole block shares it, and not a warp.
LONG = 8 if SIMULATED else 1024

#: Blocks along y, and along z, at most.
MOST = 2 if SIMULATED else 65535


def launch_planes(kernel: Any, planes: int, size: int, *arguments: Any) -> None:
    """Run a kernel with a thread for each of so many elements of planes, and some more: of plane ``blockIdx.x`` that of `element()`."""
    if planes * size:
        threads = min(-(-size // WARP), THREADS // WARP) * WARP
        blocks = -(-size // threads)
        launch_blocks(kernel, (planes, min(blocks, MOST), -(-blocks // MOST)), threads, *arguments)


@cuda.jit(device=True)
def element():
    """Which of its plane's elements is the thread's, under `launch_planes`; beyond the last, perhaps."""
    return (cuda.blockIdx.z * cuda.gridDim.y + cuda.blockIdx.y) * cuda.blockDim.x + cuda.threadIdx.x


def launch_lines(kernel: Any, lines: int, length: int, *arguments: Any) -> None:
    """Run a kernel with a line of threads, along x, for each of so many lines, and some more; their number is a power of two."""
    if lines * length:
        across, most = 1, THREADS if length >= LONG else WARP
        while across < length and 2 * across <= most:
            across *= 2
        down = THREADS // across
        launch_blocks(kernel, -(-lines // down), (across, down), *arguments)


def divisor(n: int) -> Pair:
    """What `quotient` needs to divide by n: a factor and a shift.

    The factor is ``2**k / n`` rounded up, too large by a part in 2**31 at most: the quotients of numbers below 2**31 are exact, and no
    product overflows.

    Examples
    --------
    >>> factor, shift = divisor(55)
    >>> all(a * factor >> shift == a // 55 for a in (0, 54, 55, 2**31 - 1))
    True
    """
    shift = 31 + (n - 1).bit_length()
    return -(-(1 << shift) // n), shift


@cuda.jit(device=True)
def quotient(a, by):
    """``a // n`` for ``0 <= a < 2**31`` and ``by = divisor(n)``, in a quarter of a division's time."""
    return np.int64(a) * by[0] >> by[1]
