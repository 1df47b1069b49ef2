"""First-layer filters in numbers: which are dead, which dominate, and at what frequencies they look (paper, section 4.1 and figure 6)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zfcore.errors import ZfcoreError
from zfcore.experiments.subject import Subject
from zfcore.graph import Graph
from zfcore.layers import Clip, Conv2d, LeakyReLU, ReLU
from zfcore.stages import FILTERS

DEAD, DOMINATING = 0.05, 2.0
"""Filters whose RMS is at most so many times the 75th percentile are dead; those above so many times the median of the rest dominate."""
STRONG = 75
"""A percentile that is of a living filter though more than half of them be dead."""
NYQUIST = 0.5
"""Cycles per pixel."""
BANDS = ("low", "middle", "high")
"""Thirds of the range up to Nyquist's frequency; "high" has the corners of the spectrum, too, where the radial frequency is above it."""
ANNULUS = 1 / 32
"""Width of the rings that a spectrum is averaged over, in cycles per pixel."""
LEAST = 64
"""Sides of a filter's padded spectrum at the least."""


# ---- where they are


def convolutions(net: Graph) -> list[str]:
    """Names of a network's convolutions, from the image upwards."""
    return [name for name, layer in net.layers.items() if isinstance(layer, Conv2d)]


def second_convolution(net: Graph) -> str | None:
    """The second convolution of more than a pixel: of those of one pixel none adds to what a unit sees. None if there is none."""
    return next((name for name in convolutions(net)[1:] if max(net.layers[name].arrays["weight"].shape[2:]) > 1), None)


def rectified(net: Graph, name: str) -> str:
    """The rectifier behind a layer whose maps are that layer's, or the layer itself if there is none before its maps are mixed.

    Examples
    --------
    >>> from zfcore.zoo import build
    >>> rectified(build("zfnet-small"), "conv2")
    'relu2'
    """
    at = name
    while True:
        users = [user for user, layer in net.layers.items() if at in layer.inputs]
        if len(users) != 1 or isinstance(net.layers[users[0]], FILTERS) or len(net.layers[users[0]].inputs) > 1:
            return name
        at = users[0]
        if net.shapes[at][:1] != net.shapes[name][:1]:
            return name
        if isinstance(net.layers[at], ReLU | LeakyReLU | Clip):
            return at


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The first convolution of a network.

    Parameters
    ----------
    name : str
    weight : array (O, C, KH, KW), float
        C is 1 or 3: then R, G, B, also of a network that takes BGR.
    stride : (int, int)
        Vertical and horizontal, in pixels of the network's input.
    """

    name: str
    weight: np.ndarray
    stride: tuple[int, int]

    @property
    def described(self) -> str:
        """Its size, for people."""
        count, _, height, width = self.weight.shape
        strides = "x".join(map(str, dict.fromkeys(self.stride)))
        return f"{count} filters of {height}x{width}, stride {strides}"


def first_layer(subject: Subject) -> FirstLayer:
    """The first convolution of a network.

    Raises
    ------
    ZfcoreError
        If there is none, or its filters are no pictures: they look at another number of channels than 1 or 3.
    """
    names = convolutions(subject.net)
    if not names:
        raise ZfcoreError(f"{subject.given}: has no convolution, so no filters to look at; needed a convolutional network")
    layer = subject.net.layers[names[0]]
    assert isinstance(layer, Conv2d)
    weight = subject.net.to_numpy(layer.weight)
    if weight.shape[1] not in (1, 3):
        raise ZfcoreError(
            f"{subject.given}: filters of its first convolution, {names[0]!r}, look at {weight.shape[1]} channels; "
            "needed 1 or 3, to be seen as pictures"
        )
    bgr = subject.preprocessing.channels == "BGR"
    return FirstLayer(names[0], weight[:, ::-1] if bgr else weight, layer.stride)


# ---- measures


@dataclass(frozen=True, eq=False)
class Measures:
    """What `measured` finds of O filters. Frequencies are in cycles per pixel; what has no value (of a dead filter) is NaN.

    Parameters
    ----------
    rms : float64 array (O,)
        Root of the mean square of each filter's weights, their mean not removed; NaN of one that is not finite.
    limit : float
        0.05 of the 75th percentile of it.
    median : float
        Median RMS of the filters above the limit.
    dead : bool array (O,)
        Filters whose RMS is at most the limit.
    dominating : bool array (O,)
        Filters whose RMS is above 2 times the median: on one scale for all they make the others look flat.
    bands : float64 array (O, 3)
        Share of each filter's spectral energy in the low, middle and high third of the range up to Nyquist's frequency.
    peaks : float64 array (O,)
        Radial frequency where each spectrum is highest.
    beyond : float64 array (O,)
        Share of each filter's energy beyond Nyquist's frequency of the layer's own stride, 1 / (2 stride), along either axis: what comes
        out at a wrong frequency, because the output has too few samples for it.
    frequencies : float64 array (R,)
        Middles of rings in the plane of frequencies.
    density : float64 array (O, R)
        Mean energy of each spectrum in these rings, 1 where it is that of an even ("white") spectrum.
    """

    rms: np.ndarray
    limit: float
    median: float
    dead: np.ndarray
    dominating: np.ndarray
    bands: np.ndarray
    peaks: np.ndarray
    beyond: np.ndarray
    frequencies: np.ndarray
    density: np.ndarray

    @property
    def living(self) -> np.ndarray:
        """(O,) bool: finite and not dead."""
        return np.isfinite(self.rms) & ~self.dead

    @cached_property
    def band_shares(self) -> np.ndarray:
        """(3,) mean of `bands` over the living, so that each counts the same, however strong it is."""
        return _mean(self.bands[self.living])

    @cached_property
    def peak_shares(self) -> np.ndarray:
        """(3,) share of the living whose spectrum is highest in the low, middle and high third."""
        return _mean(_in_bands(self.peaks[self.living])[..., None] == np.arange(3))

    @property
    def beyond_share(self) -> float:
        """Mean of `beyond` over the living."""
        return float(_mean(self.beyond[self.living]))

    @property
    def strongest_to_median(self) -> float:
        """Largest RMS over the median RMS of the living."""
        return float(np.max(self.rms[self.living], initial=np.nan if not self.living.any() else 0) / self.median)

    @property
    def not_finite(self) -> np.ndarray:
        """(O,) bool: filters with a weight that is NaN or infinite, of which nothing else is known."""
        return np.isnan(self.rms)


def measured(weight: np.ndarray, stride: tuple[int, int] = (1, 1)) -> Measures:
    """Measures of first-layer filters.

    A filter's spectrum is the squared amplitude of its 2-D Fourier transform, padded with zeros to at least 64 x 64 and summed over its
    channels. The mean is not removed: it is the lowest frequency. The radial frequency is the root of the sum of squares of the vertical
    and the horizontal one. An even spectrum has 8.7, 26.2 and 65.1 % in the three bands, which are rings of growing area.

    The paper says of AlexNet's first layer (section 4.1) that its filters are "a mix of extremely high and low frequency information, with
    little coverage of the mid frequencies"; `Measures.band_shares` and `Measures.peak_shares` are numbers for that.

    Parameters
    ----------
    weight : array (O, C, KH, KW), float
    stride : (int, int)
        Of the layer.

    Examples
    --------
    >>> blob, grain = np.ones((1, 1, 9, 9)), np.indices((9, 9)).sum(axis=0)[None, None] % 2 - 0.5
    >>> found = measured(np.concatenate([blob, grain, 0.01 * blob]))
    >>> found.dead.tolist(), [["low", "middle", "high"][b] for b in found.bands[:2].argmax(axis=1)]
    ([False, False, True], ['low', 'high'])
    """
    weight = weight.astype(np.float64)
    finite = np.isfinite(weight).all(axis=(1, 2, 3))
    rms = np.where(finite, np.sqrt(np.mean(np.where(finite[:, None, None, None], weight, 0) ** 2, axis=(1, 2, 3))), np.nan)
    limit = DEAD * float(np.percentile(rms[finite], STRONG)) if finite.any() else float("nan")
    dead = rms <= limit
    living = finite & ~dead
    median = float(np.median(rms[living])) if living.any() else float("nan")
    size = max(LEAST, 4 * max(weight.shape[2:]))
    vertical, horizontal, radial = plane(size)
    power = np.full((len(weight), size, size), np.nan)
    power[living] = spectrum(weight[living], size)
    outside = (np.abs(vertical) > NYQUIST / stride[0]) | (np.abs(horizontal) > NYQUIST / stride[1])
    bands = np.stack([power[:, _in_bands(radial) == band].sum(axis=1) for band in range(3)], axis=1)
    peaks = np.full(len(weight), np.nan)
    peaks[living] = radial.ravel()[power[living].reshape(-1, size * size).argmax(axis=1)]
    frequencies, density = rings(power)
    return Measures(rms, limit, median, dead, rms > DOMINATING * median, bands, peaks, power[:, outside].sum(axis=1), frequencies, density)


def plane(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertical, horizontal and radial frequency in cycles per pixel of a transform of size x size; (size, 1), (1, size), (size, size)."""
    frequency = np.fft.fftfreq(size)
    return frequency[:, None], frequency[None], np.hypot(frequency[:, None], frequency[None])


def spectrum(pictures: np.ndarray, size: int) -> np.ndarray:
    """Energy of pictures (B, C, h, w) over the plane of frequencies, (B, size, size), each with the sum 1; all must have some energy."""
    scaled = pictures / np.abs(pictures).max(axis=(1, 2, 3), keepdims=True)  # so that no square is too large or too small
    energy = (np.abs(np.fft.fft2(scaled, (size, size))) ** 2).sum(axis=1)
    return energy / energy.sum(axis=(1, 2), keepdims=True)


def rings(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles of rings (R,) and mean energy of spectra (B, size, size) in them, (B, R), where an even one has 1."""
    size = power.shape[1]
    which = (plane(size)[2] / ANNULUS).astype(int)
    density = np.stack([power[:, which == ring].mean(axis=1) for ring in range(which.max() + 1)], axis=1) * size**2
    return (np.arange(which.max() + 1) + 0.5) * ANNULUS, density


def even_shares(size: int = LEAST) -> np.ndarray:
    """(3,) share of the bands in an even spectrum: their areas."""
    radial = plane(size)[2]
    return np.bincount(_in_bands(radial).ravel(), minlength=3) / radial.size


def _in_bands(radial: np.ndarray) -> np.ndarray:
    """0, 1 or 2 for radial frequencies in the low, middle or high third."""
    return np.minimum((radial * 3 / NYQUIST).astype(int), 2)


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=0) if len(values) else np.full(values.shape[1:], np.nan)
