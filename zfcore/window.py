"""Rectangles of pixels: receptive fields, patches, the part of a map that a projection touches."""

from __future__ import annotations

from typing import NamedTuple


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


def whole(size: tuple[int, int]) -> Window:
    """The window that is a map of `size` (H, W)."""
    return Window(0, size[0], 0, size[1])
