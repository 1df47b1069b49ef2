"""How the threads of a block agree on a sum or a maximum: pairwise, always in the same order.

Numbers to be reduced lie in rows. A *team* of threads has one row, a block several teams. Neighbouring threads load neighbouring numbers:
those of a row where it lies in one piece, else those of neighbouring rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from numba import cuda

from zfkernels.cuda.device import SIMULATED

#: Threads of a block; rows abreast where rows do not lie in one piece: of so many a memory transaction is full; and numbers for each
#: thread where they do, if there are enough: agreeing costs a thread as much as a few numbers. All powers of two.
BLOCK, ABREAST, SHARE = (8, 2, 1) if SIMULATED else (256, 32, 16)


def teams(rows: int, length: int, apart: int) -> tuple[int, tuple[int, int]]:
    """(blocks, threads) for so many rows of a length, whose numbers lie `apart`."""
    if apart > 1:
        return -(-rows // ABREAST), (ABREAST, BLOCK // ABREAST)
    members = min(1 << max(length // SHARE - 1, 0).bit_length(), BLOCK)
    return -(-rows // (BLOCK // members)), (members, BLOCK // members)


@cuda.jit(device=True)
def team(apart):
    """(row of the thread's team, (the thread's number in it, threads of the team, from one to the next in the block))."""
    if apart > 1:
        return cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x, (cuda.threadIdx.y, cuda.blockDim.y, cuda.blockDim.x)
    return cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y, (cuda.threadIdx.x, cuda.blockDim.x, 1)


def _reduction(combined: Callable[[Any, Any], Any]) -> Any:
    @cuda.jit(device=True)
    def reduced(shared, value, place):
        """What the values of a team's threads come to, for each of them; all threads of the block have to call it."""
        member, members, step = place
        thread = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        shared[thread] = value
        cuda.syncthreads()
        half = members >> 1
        while half > 0:
            if member < half:
                shared[thread] = combined(shared[thread], shared[thread + half * step])
            cuda.syncthreads()
            half >>= 1
        result = shared[thread - member * step]
        cuda.syncthreads()
        return result

    return reduced


total = _reduction(operator.add)
largest = _reduction(max)
