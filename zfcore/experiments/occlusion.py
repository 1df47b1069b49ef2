"""A grey square hides a part of an image, at every place in turn: what becomes of a map, and of the scores of the classes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from zfcore.errors import ZfcoreError
from zfcore.incremental import Changes, recomputed
from zfcore.network import Network
from zfcore.trace import Trace
from zfcore.window import Windows

AT_ONCE = 6
"""Squares along a side of a block of neighbours that are computed together: what they change lies close together, and has one size."""
SQUARE, STRIDE, OF = 27, 7, 224
"""The usual square and stride, in pixels of an image of 224; of another size in proportion. The paper does not say."""


@dataclass(frozen=True, eq=False)
class Squares:
    """Where the square lies: its side, and the first rows and columns of all its places, which make a grid.

    Parameters
    ----------
    side : int
        In pixels.
    tops : int64 array (P,)
    lefts : int64 array (Q,)
    """

    side: int
    tops: np.ndarray
    lefts: np.ndarray

    @classmethod
    def over(cls, size: tuple[int, int], side: int | None = None, stride: int | None = None) -> Squares:
        """Squares that lie inside an image of `size` (H, W), `stride` pixels apart, with what is left over shared out at both borders.

        Raises
        ------
        ZfcoreError
            If a square is larger than the image.

        Examples
        --------
        >>> squares = Squares.over((224, 224))
        >>> squares.side, len(squares.tops), squares.tops[:3].tolist()
        (27, 29, [0, 7, 14])
        """
        side = max(1, round(SQUARE * min(size) / OF)) if side is None else side
        stride = max(1, round(STRIDE * min(size) / OF)) if stride is None else stride
        if side > min(size):
            raise ZfcoreError(f"square: got {side}, needed at most {min(size)}, the shorter side of what the network sees")
        stride = min(stride, max(size))  # one place is all that a larger one leaves
        counts = [(n - side) // stride + 1 for n in size]
        tops, lefts = ((n - side - (count - 1) * stride) // 2 + stride * np.arange(count) for n, count in zip(size, counts, strict=True))
        return cls(side, tops, lefts)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, Q): how many places there are along the rows and along the columns."""
        return len(self.tops), len(self.lefts)

    def blocks(self, at_once: int) -> Iterator[tuple[slice, slice]]:
        """The places in blocks of about `at_once` times `at_once` neighbours."""
        for rows in _parts(len(self.tops), at_once):
            for columns in _parts(len(self.lefts), at_once):
                yield rows, columns

    def corners(self, rows: slice, columns: slice) -> np.ndarray:
        """(B, 2): first row and column of the squares of a block, row by row."""
        return np.stack(np.meshgrid(self.tops[rows], self.lefts[columns], indexing="ij"), axis=2).reshape(-1, 2)

    def spread(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A number for every place (P, Q) as a picture (H, W): at a pixel the mean over the squares that hide it, NaN where none does."""
        total, count = np.zeros(size), np.zeros(size)
        for p, top in enumerate(self.tops):
            for q, left in enumerate(self.lefts):
                total[top : top + self.side, left : left + self.side] += values[p, q]
                count[top : top + self.side, left : left + self.side] += 1
        return np.divide(total, count, out=np.full(size, np.nan), where=count > 0)


def _parts(count: int, at_once: int) -> list[slice]:
    """0 to `count` in parts of nearly one size, at most `at_once`."""
    ends = np.linspace(0, count, -(-count // at_once) + 1).round().astype(int).tolist()
    return [slice(first, last) for first, last in itertools.pairwise(ends)]


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What a square did at each of its places.

    Parameters
    ----------
    squares : Squares
    sums : float64 array (P, Q)
        Sum over the pixels of one map.
    logits : array (P, Q, K)
        The scores of the classes, before the softmax.
    """

    squares: Squares
    sums: np.ndarray
    logits: np.ndarray


def occlude(
    net: Network,
    x: np.ndarray,
    squares: Squares,
    cover: np.ndarray,
    layers: tuple[str, str],
    number: int,
    *,
    incremental: bool = True,
    clean: Trace | None = None,
    at_once: int = AT_ONCE,
    on_squares: Callable[[int], object] = lambda count: None,
) -> Occlusion:
    """Hide a square of an image, at every place in turn (paper, section 4.2).

    Parameters
    ----------
    net : Network
    x : array (C, H, W)
        The image, as the network's input.
    squares : Squares
    cover : array (C, H, W)
        What is seen where the image is hidden.
    layers : (str, str)
        The layer whose map is summed, and the one with the scores of the classes.
    number : int
        The map.
    incremental : bool
        Recompute only what the square changes. The numbers are the same either way: the same bits with the algorithm "im2col";
        Winograd's tiles lie elsewhere in a part of a map, which changes rounding errors, and "auto" may choose otherwise there.
    clean : Trace, optional
        Of ``x[None]`` with every layer, where that is known.
    at_once : int
        Squares along a side of the blocks that are computed together.
    on_squares : callable
        Told how many more are done.
    """
    (watched, scores), k = layers, net.kernels
    x = x.astype(net.dtype, copy=False)
    if incremental and clean is None:
        clean = net.forward(x[None], record=False)
    sums = np.empty(squares.shape)
    logits = np.empty((*squares.shape, *net.shapes[scores][:1]), net.dtype)
    for rows, columns in squares.blocks(at_once):
        corners = squares.corners(rows, columns)
        windows = Windows(corners, corners + squares.side)
        hidden = np.stack([cover[:, *window.slices] for window in map(windows.window, range(len(corners)))]).astype(net.dtype)
        change = Changes(k.asarray(hidden), windows)
        if clean is not None and incremental:
            found = recomputed(net, clean, change, layers)
            maps = k.to_numpy(found[watched].of_map(number).within(k, clean.values[watched][:, number : number + 1], None))
            scored = k.to_numpy(found[scores].within(k, clean.values[scores], None))
        else:
            trace = net.forward(change.within(k, k.asarray(x[None]), None), keep=layers, record=False)
            maps, scored = k.to_numpy(trace.values[watched][:, number : number + 1]), trace[scores]
        place = len(squares.tops[rows]), len(squares.lefts[columns])
        sums[rows, columns] = maps.reshape(*place, -1).sum(axis=2, dtype=np.float64)
        logits[rows, columns] = scored.reshape(*place, -1)
        on_squares(len(corners))
    return Occlusion(squares, sums, logits)
