"""Climbing a score from an image (CS231n, lecture 9; Simonyan et al. 2014, section 2; Yosinski et al. 2015, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from zfcore.errors import ZfcoreError

Score = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Of images (N, C, H, W) the scores (N,) and each one's derivative by its image (N, C, H, W)."""


WIDEST = 1000.0
"""Pixels: a Gaussian that is wider leaves nothing of an image, and its kernel would fill memory."""


@dataclass(frozen=True)
class Style:
    """What keeps an image simple while its score is climbed; 0 switches a part off.

    Parameters
    ----------
    l2 : float
        lambda of ``S(z) - lambda * sum(z**2)``.
    decay : float
        Share of the image that is taken away after every step.
    blur : float
        Standard deviation, in pixels, of a Gaussian that smooths the image (reflected at its borders) ...
    every : int
        ... before the first step is judged and then every so many steps.
    norm_percentile : float
        After every step pixels whose norm over the channels lies below this percentile of the image's become 0.
    contribution_percentile : float
        Likewise of the size of the sum over channels of pixel times derivative, which is about what the score loses if the pixel becomes 0.

    Raises
    ------
    ZfcoreError
        If a part is out of its range.
    """

    l2: float = 0.0
    decay: float = 0.0
    blur: float = 0.0
    every: int = 4
    norm_percentile: float = 0.0
    contribution_percentile: float = 0.0

    def __post_init__(self) -> None:
        most = {"decay": 1.0, "blur": WIDEST, "norm_percentile": 100.0, "contribution_percentile": 100.0}
        for field in fields(self):
            value, limit = getattr(self, field.name), most.get(field.name, math.inf)
            if not 0 <= value < limit:
                below = "" if limit == math.inf else f", below {limit:g}"
                raise ZfcoreError(f"{field.name}: got {value}, needed a finite number, at least 0{below}")
        if self.every < 1:
            raise ZfcoreError(f"every: got {self.every}, needed at least 1")

    @property
    def only_penalty(self) -> bool:
        """Whether nothing but the penalty keeps the image simple: only then is there a highest point to come to rest on."""
        return not (self.decay or self.blur or self.norm_percentile or self.contribution_percentile)


STYLES = {
    "l2": Style(l2=0.1),
    "yosinski": Style(decay=0.0001, blur=1.0, every=4),
    "yosinski-norm": Style(blur=0.5, every=4, norm_percentile=50),
    "yosinski-decay": Style(decay=0.3, norm_percentile=20),
    "yosinski-contribution": Style(blur=0.5, every=4, contribution_percentile=90),
}
"""The lecture's penalty, with a lambda of ours; and the four settings of Yosinski et al. 2015, table 1: the third, of most of their
pictures, the first, the second and the fourth (doc/running-optimize-image.md of his toolbox has all four)."""


@dataclass(frozen=True, eq=False)
class Ascent:
    """Images, and how their scores rose.

    Parameters
    ----------
    images : array (N, C, H, W)
        After the last step.
    scores : float64 array (N, steps + 1)
        Before every step and after the last; without the penalty.
    """

    images: np.ndarray
    scores: np.ndarray


def ascend(
    score: Score,
    start: np.ndarray,
    style: Style,
    steps: int,
    step: float,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
    done: Callable[[], object] = lambda: None,
) -> Ascent:
    """Climb ``S(z) - lambda * sum(z**2)`` from every image by itself.

    A step goes along the gradient and is so long that its root mean square over the image is ``step``; where the penalty is the only
    regulariser, that falls linearly to ``step / steps`` at the last, else blur and decay would win in the end. Then come decay, blur
    and the two clippings of pixels, in the order of Yosinski's own program (gradient_optimizer.py of his toolbox), and the bounds;
    after the last step the bounds alone, so that a blur does not undo it.

    Parameters
    ----------
    score : callable
    start : array (N, C, H, W), float
        Not changed.
    style : Style
    steps : int
    step : float
    bounds : (lowest, highest), optional
        What values may be, arrays that fit one image.
    done : callable
        Called after every step.

    Examples
    --------
    A score ``<w, z>`` is highest, less its penalty, at ``w / (2 * lambda)``:

    >>> w = np.full((1, 1, 2, 2), 3.0)
    >>> found = ascend(lambda z: ((w * z).sum((1, 2, 3)), w), np.zeros_like(w), Style(l2=0.5), steps=100, step=0.5)
    >>> bool(abs(found.images - 3).max() <= 2 * 0.5 / 100)
    True
    """
    z, scores = start.copy(), np.empty((len(start), steps + 1))
    for number in range(steps):
        scores[:, number], slope = score(z)
        gradient = slope - 2 * style.l2 * z
        size = np.sqrt(np.square(gradient, dtype=np.float64).mean(axis=(1, 2, 3), keepdims=True))
        length = step * (1 - number / steps if style.only_penalty else 1)
        z += np.divide(length * gradient, size, out=np.zeros_like(z), where=size > 0, casting="same_kind")
        if number < steps - 1:
            z = _regularised(z, slope, style, number)
        if bounds is not None:
            np.clip(z, *bounds, out=z)
        done()
    scores[:, steps], _ = score(z)
    return Ascent(z, scores)


def _regularised(z: np.ndarray, slope: np.ndarray, style: Style, number: int) -> np.ndarray:
    if style.decay:
        z = z * z.dtype.type(1 - style.decay)
    if style.blur and number % style.every == 0:
        from scipy.ndimage import gaussian_filter

        z = gaussian_filter(z, (0, 0, style.blur, style.blur))
    if style.norm_percentile:
        z = _clipped(z, np.sqrt(np.square(z).sum(axis=1)), style.norm_percentile)
    if style.contribution_percentile:
        z = _clipped(z, np.abs((z * slope).sum(axis=1)), style.contribution_percentile)
    return z


def _clipped(z: np.ndarray, sizes: np.ndarray, percentile: float) -> np.ndarray:
    """Images with 0 in the pixels whose sizes (N, H, W) lie below a percentile of the image's."""
    least = np.percentile(sizes, percentile, axis=(1, 2), keepdims=True)
    return np.where((sizes < least)[:, None], z.dtype.type(0), z)
