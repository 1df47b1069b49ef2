"""Signals on their way down: one for each of some units, each only inside the window of the map that it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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

    def trimmed(self) -> Signals | None:
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
        return replace(self, values=gathered(self.values, None, kept), windows=windows)

    def over(self, size: tuple[int, int]) -> Signals:
        """The same in windows that are the whole map of `size` (H, W)."""
        extent = Windows.alone(whole(size))
        return self if self.windows is None else replace(self, values=placed([self], extent), windows=extent)


def _extent(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row of bools the first place that is true, and that behind the last; (0, 0) where none is."""
    first, last = occupied.argmax(axis=1), occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
    return first, np.where(occupied.any(axis=1), last, 0)


def gathered(a: np.ndarray, images: np.ndarray | None, windows: Windows | None) -> np.ndarray:
    """Of maps (N, C, H, W) each unit's window in its image, (B, C, h, w); a view where there is one for all.

    `images` (B,) says which image is each unit's; None: the images are the units, or one image is everyone's. Windows of None are all
    that there is.
    """
    if windows is None or windows.shared:
        part = a if windows is None else a[..., *windows.window(0).slices]
        if images is None:
            return part
        return part[images] if len(images) > 1 else part[images[0] : images[0] + 1]
    found = np.empty((len(windows.low), a.shape[1], *windows.size), a.dtype)
    for unit, window in enumerate(windows.each()):
        image = images[unit] if images is not None else 0 if len(a) == 1 else unit
        found[unit] = a[image, :, *window.slices]
    return found


def together(signals: Sequence[Signals], size: tuple[int, int] | None) -> Signals:
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
    return Signals(placed(signals, windows), windows, sparse)


def placed(signals: Sequence[Signals], windows: Windows) -> np.ndarray:
    """The sum of signals inside other windows, which all have one size; (B, C, h, w). No signal is changed."""
    first = signals[0]
    assert first.windows is not None
    if len(signals) == 1 and first.windows.size == windows.size and bool((first.windows.low == windows.low).all()):
        return first.values
    total = np.zeros((*first.values.shape[:2], *windows.size), first.values.dtype)
    for signal in signals:
        assert signal.windows is not None
        shared = signal.windows.shared and windows.shared
        for unit in [...] if shared else range(len(total)):
            row = 0 if unit is ... else unit
            target, window = windows.window(row), signal.windows.window(row)
            common = target.intersection(window)
            if not common.empty:
                part = signal.values[unit][..., *common.relative_to(window).slices]
                there = total[unit][..., *common.relative_to(target).slices]
                there[...] = part if signal is first else there + part
    return total
