"""The frames of labelled images: every image read once, damaged ones found, and kept in memory where they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zfcore.data.crops import Crops
from zfcore.data.labelled import Labelled
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.sources import read_ahead
from zfcore.errors import ZfcoreError

KEPT_BYTES = 2 << 30
"""Frames that take no more are kept in memory; those of more are read and decoded again every epoch."""
AHEAD = 64
"""Images that are decoded ahead of whoever asks for them."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Images of a data set as frames, by their number in it.

    Parameters
    ----------
    images : Labelled
        All of them.
    frame : Preprocessing
        Makes the frames; what it subtracts and multiplies is not used here.
    kept : uint8 array (M, C, H, W), optional
        The frames in memory.
    rows : int64 array (N,)
        Where in `kept` the frame of each image is, -1 for those that are not wanted.
    """

    images: Labelled
    frame: Preprocessing
    kept: np.ndarray | None
    rows: np.ndarray

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        """Frames (B, C, H, W) uint8 of images by number.

        Raises
        ------
        ImageError
            If an image that has to be read again has become unreadable.
        """
        if self.kept is not None:
            return self.kept[self.rows[numbers]]
        return np.stack([self.frame.pixels(self.images.source.read(int(i))) for i in numbers])

    def batches(self, numbers: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(numbers, frames) of so many images at a time, in order, read ahead."""
        parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        for part, frames in read_ahead(lambda k: self[parts[k]], range(len(parts)), ahead=2):
            if isinstance(frames, ZfcoreError):
                raise frames
            yield parts[part], frames


@dataclass(frozen=True, eq=False)
class Gathered:
    """What reading images once came to: their frames, what is wrong with those that cannot be used, and the mean frame.

    The mean (C, H, W), float64, is over those it was asked for; summed in integers, it has the same bits in any order (paper, section 3).
    """

    frames: Frames
    damaged: dict[int, ZfcoreError]
    mean: np.ndarray


def frame_shape(frame: Preprocessing) -> tuple[int, ...]:
    """(C, H, W) of frames."""
    return frame.pixels(np.zeros((8, 8, 3), np.uint8)).shape


def fits(frame: Preprocessing, count: int) -> bool:
    """Whether so many frames are kept in memory."""
    return bool(count * np.prod(frame_shape(frame), dtype=float) <= KEPT_BYTES)


def gathered(
    images: Labelled,
    frame: Preprocessing,
    numbers: Sequence[int] | np.ndarray,
    averaged: Sequence[int] | np.ndarray,
    on_image: Callable[[int, ZfcoreError | None], None] = lambda number, error: None,
) -> Gathered:
    """Read images once.

    Parameters
    ----------
    images, frame
        As for `Frames`.
    numbers : sequence of int
        Which images.
    averaged : sequence of int
        Those among them that the mean is taken of.
    on_image : callable (number, error or None), optional
        Called after each image.
    """
    shape = frame_shape(frame)
    kept = np.empty((len(numbers), *shape), np.uint8) if fits(frame, len(numbers)) else None
    rows, damaged, counted = np.full(len(images), -1), dict[int, ZfcoreError](), np.zeros(len(images), bool)
    counted[averaged] = True
    total = np.zeros(shape, np.int64)
    wanted = [int(i) for i in numbers]
    for row, (number, pixels) in enumerate(read_ahead(lambda i: frame.pixels(images.source.read(i)), wanted, ahead=AHEAD)):
        if isinstance(pixels, ZfcoreError):
            damaged[number], counted[number] = pixels, False
            on_image(number, pixels)
            continue
        rows[number] = row
        if kept is not None:
            kept[row] = pixels
        if counted[number]:
            total += pixels
        on_image(number, None)
    return Gathered(Frames(images, frame, kept, rows), damaged, total / max(1, counted.sum()))


def crops_of(frames: Frames, mean: np.ndarray, pixel_scale: float, size: tuple[int, int]) -> Crops:
    """How those frames become inputs of that size: less the mean image, divided by the scale."""
    return Crops(replace(frames.frame, mean=mean, scale=np.full(len(mean), 1 / pixel_scale)), size)
