"""Frames and the windows that are cut from them: the paper's 256 pixels and its ten crops of 224 (section 3), and the like of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError

CROPS = ("ten", "anywhere", "centre")
"""From where in a frame a training input is cut: one of the paper's five places, any place, the centre alone."""


def usual_frame(size: int) -> int:
    """The frame's side for a network's input side: wider by the paper's ratio, 256 to 224, and an even number of pixels.

    Examples
    --------
    >>> usual_frame(224), usual_frame(64), usual_frame(28)
    (256, 74, 32)
    """
    return size + 2 * round(size / 14)


@dataclass(frozen=True)
class Crops:
    """How images become inputs: each is brought to a frame, and a window of the frame, less the same window of the mean image, goes in.

    Parameters
    ----------
    frame : Preprocessing
        Of the whole frame: its `crop` is the frame's size, its mean an image of that size or a value per channel.
    size : (int, int)
        (H, W) of the windows, the network's input; the frame is larger by an even number of pixels, so that there is a centre.

    Raises
    ------
    ZfcoreError
        If the windows do not fit.
    """

    frame: Preprocessing
    size: tuple[int, int]

    def __post_init__(self) -> None:
        whole = self.frame.crop
        if whole is None or any(f < s or (f - s) % 2 for f, s in zip(whole, self.size, strict=True)):
            raise ZfcoreError(f"frame: got {whole}, needed the input's size, {self.size}, or an even number of pixels more")

    @classmethod
    def around(cls, preprocessing: Preprocessing, size: tuple[int, int]) -> Crops:
        """For a network that is known by the preprocessing of its input alone: a frame larger by the paper's ratio.

        A mean image is continued beyond its border by its mean values.
        """
        frame = usual_frame(size[0]), usual_frame(size[1])
        mean = preprocessing.mean if preprocessing.mean.ndim == 1 else preprocessing.mean.mean(axis=(1, 2))
        shorter = max(frame) if frame[0] == frame[1] else frame
        return cls(replace(preprocessing, size=shorter, crop=frame, mean=mean), size)

    @property
    def margin(self) -> tuple[int, int]:
        """By how many rows and columns the frame is larger than the windows."""
        assert self.frame.crop is not None
        return self.frame.crop[0] - self.size[0], self.frame.crop[1] - self.size[1]

    @property
    def centre(self) -> np.ndarray:
        """(1, 3) int64: row, column and mirroring (0 or 1) of the window in the middle."""
        return np.array([[self.margin[0] // 2, self.margin[1] // 2, 0]])

    @property
    def ten(self) -> np.ndarray:
        """(10, 3): the four corners and the centre, then the same mirrored (paper, section 3)."""
        down, right = self.margin
        five = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
        return np.array([(*place, mirrored) for mirrored in (0, 1) for place in five])

    def drawn(self, rng: np.random.Generator, count: int, crops: str, flip: bool) -> np.ndarray:
        """(count, 3): windows drawn for training, one for each image; with `flip` half of them are mirrored."""
        if crops == "anywhere":
            places = rng.integers(0, np.array(self.margin) + 1, (count, 2))
        else:
            places = (self.ten[:5] if crops == "ten" else self.centre)[:, :2]
            places = places[rng.integers(0, len(places), count)]
        mirrored = rng.integers(0, 2, (count, 1)) if flip else np.zeros((count, 1), np.int64)
        return np.concatenate([places, mirrored], axis=1)

    def inputs(self, frames: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Windows of frames, one of each, as inputs (N, C, H, W) float32.

        Parameters
        ----------
        frames : uint8 array (N, C, FH, FW)
            As `frame.pixels` makes them.
        places : int array (N, 3) or (1, 3)
            Row, column, mirroring.
        """
        H, W = self.size
        x = np.empty((len(frames), frames.shape[1], H, W), np.float32)
        mean = self.frame.mean.astype(np.float32)
        mean = mean if mean.ndim == 3 else np.broadcast_to(mean[:, None, None], frames.shape[1:])
        for n, (top, left, mirrored) in enumerate(np.broadcast_to(places, (len(frames), 3)).tolist()):
            window = np.s_[:, top : top + H, left : left + W]
            np.subtract(frames[n][window], mean[window], out=x[n, :, :, ::-1] if mirrored else x[n], dtype=np.float32)
        x *= self.frame.scale.astype(np.float32)[:, None, None]
        return x

    @property
    def preprocessing(self) -> Preprocessing:
        """Of the window in the middle, for whoever knows no frames."""
        top, left, _ = self.centre[0].tolist()
        mean = self.frame.mean
        if mean.ndim == 3:
            mean = mean[:, top : top + self.size[0], left : left + self.size[1]]
        return replace(self.frame, crop=self.size, mean=mean)
