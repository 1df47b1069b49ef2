"""How a grid of threads covers images of maps of pixels: the threads of a block have neighbouring pixels of neighbouring maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zfkernels.cuda.device import SIMULATED, THREADS

#: Pixels abreast, of which a memory transaction is full; and images of which a thread has its pixels: what it has to know of its map
#: costs it as much as one of them.
ABREAST, IMAGES = (4, 2) if SIMULATED else (32, 4)

#: A grid's most blocks along its last axis; with more images, a thread has more of them.
MOST = 65535


def extents(shape: Sequence[int]) -> tuple[int, int, int]:
    """(images, maps, pixels)."""
    return shape[0], shape[1], math.prod(shape[2:])


def covering(shape: Sequence[int], pixels_each: int = 1, threads: int = THREADS) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """(blocks, threads), both as (pixels, maps, ...), for arrays of a shape where a thread has so many pixels of a map.

    And those of several images: from image blockIdx.z on, every gridDim.z-th.
    """
    N, C, P = extents(shape)
    wide = min(1 << (P - 1).bit_length(), ABREAST)
    high = threads // wide
    return (-(-P // (wide * pixels_each)), -(-C // high), min(-(-N // IMAGES), MOST)), (wide, high)
