"""Aliasing in projections (paper, figure 6 d and e): energy at the frequencies with which the first layer samples the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from zfcore.experiments.first_layer import plane, spectrum

CORE, NEIGHBOURHOOD = 1 / 8, 3 / 8
"""Radii around a multiple of the sampling frequency, in units of that frequency: of what is at it, and of what it is compared with."""
UNSEEN = 1e-4
"""Of the mean energy, added to that of every frequency: an amplitude of a hundredth is not seen, and nothing over nothing is not asked."""


@dataclass(frozen=True, eq=False)
class Aliasing:
    """Energy of projections, and of the patches that caused them, at the multiples of the first layer's sampling frequency.

    Parameters
    ----------
    projections, patches : float
        `excess` of the mean spectrum of each: about 1 where the sampling left no trace.
    share : float
        Of the projections' energy what lies at these multiples.
    spectra : float64 array (2, n, n)
        Mean spectra of projections and patches, each projection and patch with the sum 1; frequencies in the order of `numpy.fft.fftfreq`.
    count : int
        Projections.
    """

    projections: float
    patches: float
    share: float
    spectra: np.ndarray
    count: int

    @property
    def index(self) -> float:
        """Excess of the projections over that of the patches: above 1 the projections have a pattern that the images have not."""
        return self.projections / self.patches


def distances(size: int, stride: tuple[int, int]) -> np.ndarray:
    """How far frequencies are from the nearest multiple of the sampling frequency, in units of that, (size, size); inf near zero itself.

    A layer of stride s has a sample every s pixels, and so repeats whatever spectrum it answers with at k / s cycles per pixel: at
    (k / s, l / s) for whole numbers k and l.
    """
    vertical, horizontal, _ = plane(size)
    cells = vertical * stride[0], horizontal * stride[1]
    nearest = [np.rint(cell) for cell in cells]
    found = np.hypot(cells[0] - nearest[0], cells[1] - nearest[1])
    return np.where((nearest[0] == 0) & (nearest[1] == 0), np.inf, found)


def excess(power: np.ndarray, stride: tuple[int, int]) -> float:
    """How much energy a spectrum has at the multiples of the sampling frequency, compared with their neighbourhood.

    The geometric mean of the energy within 1/8 of the sampling frequency around its multiples, zero left out, over that between 1/8 and
    3/8. The logarithm of any power of the frequency is harmonic in the plane, so that its mean on a circle is its value at the centre:
    with geometric means the fall of natural images' spectra counts as nothing, and the excess is 1.

    Parameters
    ----------
    power : float64 array (n, n)
        Frequencies in the order of `numpy.fft.fftfreq`.
    stride : (int, int)
        Of the first layer; not both 1, which samples every pixel.

    Examples
    --------
    >>> excess(np.ones((32, 32)), (4, 4))
    1.0
    """
    distance = distances(len(power), stride)
    logarithms = np.log(power + UNSEEN * power.mean())
    inside, around = distance <= CORE, (distance > CORE) & (distance <= NEIGHBOURHOOD)
    return float(np.exp(logarithms[inside].mean() - logarithms[around].mean()))


def resolved(size: tuple[int, int], stride: tuple[int, int]) -> bool:
    """Whether windows of `size` pixels can tell the multiples from their neighbourhood.

    Along an axis that is sampled more coarsely than every pixel the main lobe of the window, 2 / size to either side, has to lie in the
    neighbourhood.
    """
    return max(stride) > 1 and all(s == 1 or 2 / length <= NEIGHBOURHOOD / s for length, s in zip(size, stride, strict=True))


def aliasing(pairs: Iterable[tuple[np.ndarray, np.ndarray]], stride: tuple[int, int]) -> Aliasing | None:
    """Measure projections and their patches.

    Parameters
    ----------
    pairs : iterable of (array (C, h, w), array (C, h, w))
        Projections and patches, all of one size, whole: nothing in them lies outside the image. Flat ones are left out.
    stride : (int, int)
        Of the first layer.

    Returns
    -------
    Aliasing or None
        None if the stride is 1, so that there is nothing to find; windows are too small to see it (`resolved`); or there is no pair.

    Notes
    -----
    Means are removed and borders faded out by Hann's window first, both per channel.
    """
    total: np.ndarray | None = None
    count = 0
    for pair in pairs:
        size = pair[0].shape[1:]
        if not resolved(size, stride):
            return None
        fade = np.hanning(size[0] + 2)[1:-1, None] * np.hanning(size[1] + 2)[1:-1]
        faded = [(picture - picture.mean(axis=(1, 2), keepdims=True)) * fade for picture in pair]
        if all(np.isfinite(picture).all() and picture.any() for picture in faded):
            side = max(128, 1 << (2 * max(size) - 1).bit_length())
            found = np.concatenate([spectrum(picture[None].astype(np.float64), side) for picture in faded])
            total = found if total is None else total + found
            count += 1
    if total is None:
        return None
    mean = total / count
    share = float(mean[0][distances(len(mean[0]), stride) <= CORE].sum())
    return Aliasing(excess(mean[0], stride), excess(mean[1], stride), share, mean, count)
