"""Maps pooled to a coarse grid, so that features of early layers are few enough to keep and to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from zfcore.network import Network

MOST_NUMBERS = 10_000
"""Of a layer, for one image, where no side is asked for: about the 9,216 of the paper's layer 5. The paper is silent on the others."""
KINDS = ("average", "max")


@dataclass(frozen=True)
class Pooling:
    """Maps (C, H, W) become (C, h, w): every unit of the grid is the mean, or the largest, of its share of the map.

    Parameters
    ----------
    grid : (int, int)
        (h, w), at most (H, W). The shares are as equal as whole pixels allow, and do not overlap.
    kind : {"average", "max"}

    Examples
    --------
    >>> Pooling((1, 2), "max")(np.arange(12.0).reshape(1, 1, 3, 4))
    array([[ 9., 11.]])
    """

    grid: tuple[int, int]
    kind: str = "average"

    def __call__(self, maps: np.ndarray) -> np.ndarray:
        """(N, C * h * w), of maps (N, C, H, W)."""
        H, W = maps.shape[2:]
        rows, columns = (np.arange(n) * size // n for n, size in zip(self.grid, (H, W), strict=True))
        reduce = np.maximum if self.kind == "max" else np.add
        pooled = reduce.reduceat(reduce.reduceat(maps, rows, axis=2), columns, axis=3)
        if self.kind == "average":
            pooled = pooled / np.outer(np.diff(rows, append=H), np.diff(columns, append=W)).astype(maps.dtype)
        return pooled.reshape(len(maps), -1)

    @property
    def said(self) -> str:
        """For people."""
        return f"{self.kind} of {self.grid[0]}x{self.grid[1]} parts"


def poolings(net: Network, layers: Sequence[str], side: int | None = None, kind: str = "average") -> dict[str, Pooling]:
    """How to pool each of those layers that have to be.

    Parameters
    ----------
    net : Network
    layers : sequence of str
    side : int, optional
        Maps larger than side x side are pooled to that. Default: the largest with which a layer has at most `MOST_NUMBERS`.
    kind : {"average", "max"}
    """
    found = {}
    for layer in layers:
        shape = net.shapes[net.layer(layer).name]
        if len(shape) != 3:
            continue
        C, H, W = shape
        if side is None:
            fits = [n for n in range(1, max(H, W) + 1) if C * min(n, H) * min(n, W) <= MOST_NUMBERS]
            grid = min(max(fits, default=1), H), min(max(fits, default=1), W)
        else:
            grid = min(side, H), min(side, W)
        if grid != (H, W):
            found[layer] = Pooling(grid, kind)
    return found


def size_of(net: Network, layer: str, pooling: Mapping[str, Pooling]) -> int:
    """Numbers that a layer's features of one image are."""
    shape = net.shapes[net.layer(layer).name]
    return shape[0] * prod(pooling[layer].grid) if layer in pooling else prod(shape)
