"""Rectangles of pixels: receptive fields, patches, the part of a map that a projection touches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """Half-open rectangle: rows y0 <= y < y1, columns x0 <= x < x1, in pixels of some map; it may reach beyond the map."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.y1 <= self.y0 or self.x1 <= self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of its rows and columns in an array of the map it lies in."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def union(self, other: Window) -> Window:
        """The smallest window that holds both."""
        return Window(
            min(self.y0, other.y0), max(self.y1, other.y1), min(self.x0, other.x0), max(self.x1, other.x1)
        )

    def intersection(self, other: Window) -> Window:
        """The part that lies in both; perhaps empty."""
        return Window(
            max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1)
        )

    def relative_to(self, other: Window) -> Window:
        """The same rectangle, counted from the corner of `other`."""
        return Window(self.y0 - other.y0, self.y1 - other.y0, self.x0 - other.x0, self.x1 - other.x0)


def whole(size: Sequence[int]) -> Window:
    """The window that is a map of `size` (H, W)."""
    return Window(0, size[0], 0, size[1])


def unit_window(position: Sequence[int]) -> Window | None:
    """The window of one position (y, x) of a map; None for a unit that has no position."""
    return Window(position[0], position[0] + 1, position[1], position[1] + 1) if len(position) == 2 else None


class Windows:
    """A window of one map for each of some units, or one for them all.

    `low` (B, 2) holds the first row and column of each, `high` (B, 2) those behind its last; B is 1 where all units share one. What is
    asked of a shared one is answered by the rectangle itself: for a single unit arrays would cost more than its signal.
    """

    __slots__ = ("_bounds", "_one")

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        self._bounds: tuple[np.ndarray, np.ndarray] | None = (low, high)
        self._one = None if len(low) > 1 else Window(*(int(i) for i in (low[0, 0], high[0, 0], low[0, 1], high[0, 1])))

    @classmethod
    def alone(cls, window: Window) -> Windows:
        """One window for all units."""
        windows = cls.__new__(cls)
        windows._bounds, windows._one = None, window
        return windows

    @classmethod
    def of(cls, windows: Iterable[Window]) -> Windows:
        """The windows of units; at least one."""
        each = list(windows)
        if each.count(each[0]) == len(each):
            return cls.alone(each[0])
        bounds = np.array(each)
        return cls(bounds[:, 0::2], bounds[:, 1::2])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Windows):
            return NotImplemented
        return self.shared == other.shared and np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)

    __hash__ = None  # type: ignore[assignment]

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        if self._bounds is None:
            assert self._one is not None
            y0, y1, x0, x1 = self._one
            self._bounds = np.array([[y0, x0]]), np.array([[y1, x1]])
        return self._bounds

    @property
    def low(self) -> np.ndarray:
        """First row and column of each; (B, 2)."""
        return self._arrays()[0]

    def low_of(self, count: int) -> np.ndarray:
        """First row and column for each of so many units; int64 (count, 2)."""
        return np.broadcast_to(self.low, (count, 2)).astype(np.int64, copy=False)

    @property
    def high(self) -> np.ndarray:
        """The row and column behind the last of each; (B, 2)."""
        return self._arrays()[1]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the largest; negative where all are empty."""
        if self._one is not None:
            return self._one.size
        height, width = (self.high - self.low).max(axis=0).tolist()
        return height, width

    @property
    def shared(self) -> bool:
        """Whether all units have the same."""
        return self._one is not None

    @property
    def empty(self) -> np.ndarray:
        """For each whether it holds no pixel; (B,) bool."""
        if self._one is not None:
            return np.array([self._one.empty])
        return np.any(self.high <= self.low, axis=1)

    def window(self, unit: int) -> Window:
        """That of one unit."""
        if self._one is not None:
            return self._one
        (y0, x0), (y1, x1) = self.low[unit].tolist(), self.high[unit].tolist()
        return Window(y0, y1, x0, x1)

    def each(self) -> Iterator[Window]:
        """One by one; a single one where all units share it."""
        return (self.window(unit) for unit in range(1 if self.shared else len(self.low)))

    def union(self, other: Windows) -> Windows:
        """For each unit the smallest window that holds both."""
        if self._one is not None and other._one is not None:
            return Windows.alone(self._one.union(other._one))
        return Windows(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def inside(self, size: Sequence[int]) -> Windows:
        """The part of each that lies in a map of `size` (H, W); perhaps empty."""
        if self._one is not None:
            return Windows.alone(self._one.intersection(whole(size)))
        return Windows(np.maximum(self.low, 0), np.minimum(self.high, size))

    def within(self, size: Sequence[int]) -> bool:
        """Whether all of them lie in a map of `size` (H, W)."""
        if self._one is not None:
            y0, y1, x0, x1 = self._one
            return y0 >= 0 and x0 >= 0 and y1 <= size[0] and x1 <= size[1]
        return bool((self.low >= 0).all() and (self.high <= size).all())

    def alike(self, size: Sequence[int]) -> Windows:
        """Windows of one size that hold these, in a map of `size` (H, W) that holds these, too.

        Examples
        --------
        >>> at_borders = Windows.of([Window(0, 2, 0, 2), Window(7, 9, 6, 9)])
        >>> list(at_borders.alike((9, 9)).each())
        [Window(y0=0, y1=2, x0=0, x1=3), Window(y0=7, y1=9, x0=6, x1=9)]
        """
        if self._one is not None:
            return self
        extent = self.size
        low = np.maximum(np.minimum(self.low, np.subtract(size, extent)), 0)
        if (low == low[0]).all():
            low = low[:1]
        return Windows(low, low + extent)
