"""Signals on their way down: one for each of some units, each only inside the window of the map that it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from zfcore.window import Windows, whole


@dataclass(frozen=True)
class Signals:
    """The signals of B units at one layer.

    Parameters
    ----------
    values : array (B, C, h, w), or (B, ...) at a layer that has no map of pixels
        Of every unit what lies in its window; all else is zero.
    windows : Windows or None
        All of one size (h, w); None at a layer that has no map of pixels.
    sparse : bool
        Whether it is worth looking for zeros: nothing has mixed channels since the seed, of which most is zero.
    """

    values: np.ndarray
    windows: Windows | None
    sparse: bool

    def trimmed(self, k: ModuleType) -> Signals | None:
        """The same without rows and columns that are zero in all channels, as far as windows of one size allow; None if all is zero."""
        if self.windows is None or self.windows.size == (1, 1):
            return self if self.values.any() else None
        occupied = np.any(self.values, axis=1)
        if not occupied.any():
            return None
        rows, columns = (_extent(np.any(occupied, axis=axis)) for axis in (2, 1))
        inside = Windows(np.stack([rows[0], columns[0]], axis=1), np.stack([rows[1], columns[1]], axis=1))
        kept = inside.alike(self.windows.size)
        if kept.size == self.windows.size:
            return self
        windows = Windows(self.windows.low + kept.low, self.windows.low + kept.high)
        return replace(self, values=gathered(k, self.values, None, kept), windows=windows)

    def over(self, k: ModuleType, size: tuple[int, int]) -> Signals:
        """The same in windows that are the whole map of `size` (H, W)."""
        extent = Windows.alone(whole(size))
        return self if self.windows is None else replace(self, values=placed(k, [self], extent), windows=extent)


def _extent(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row of bools the first place that is true, and that behind the last; (0, 0) where none is."""
    first, last = occupied.argmax(axis=1), occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
    return first, np.where(occupied.any(axis=1), last, 0)


def gathered(k: ModuleType, a: np.ndarray, images: np.ndarray | None, windows: Windows | None) -> np.ndarray:
    """Of maps (N, C, H, W) each unit's window in its image, (B, C, h, w); a view where there is one for all.

    `images` (B,) says which image is each unit's; None: the images are the units, or one image is everyone's. Windows of None are all
    that there is.
    """
    if windows is None or windows.shared:
        part = a if windows is None else a[..., *windows.window(0).slices]
        if images is None:
            return part
        if len(images) == 1:
            return part[images[0] : images[0] + 1]
        if windows is None:
            first = np.zeros((len(images), 2), np.int64)
            return k.cut_windows(a.reshape(len(a), -1, 1, 1), images, first, (1, 1)).reshape(-1, *a.shape[1:])
    if images is None:
        images = np.arange(len(windows.low)) if len(a) > 1 else np.zeros(len(windows.low), np.int64)
    return k.cut_windows(a, images, windows.low_of(len(images)), windows.size)


def together(k: ModuleType, signals: Sequence[Signals], size: tuple[int, int] | None) -> Signals:
    """The sum of signals that reached one layer by several ways, in windows that lie in its map of `size`."""
    sparse = all(s.sparse for s in signals)
    if size is None:
        return Signals(sum((s.values for s in signals[1:]), signals[0].values), None, sparse)
    if len(signals) == 1 and signals[0].windows is not None and signals[0].windows.within(size):
        return signals[0]
    reached: Windows | None = None
    for s in signals:
        assert s.windows is not None
        inside = s.windows.inside(size)
        reached = inside if reached is None else reached.union(inside)
    assert reached is not None
    windows = reached.alike(size)
    return Signals(placed(k, signals, windows), windows, sparse)


def placed(k: ModuleType, signals: Sequence[Signals], windows: Windows) -> np.ndarray:
    """The sum of signals inside other windows, which all have one size; (B, C, h, w). No signal is changed."""
    total = None
    for signal in signals:
        assert signal.windows is not None
        there = signal.values
        if signal.windows.size != windows.size or (signal.windows.low != windows.low).any():
            count = len(there)
            there = k.place_windows(there, signal.windows.low_of(count) - windows.low_of(count), windows.size)
        total = there if total is None else total + there
    assert total is not None
    return total
