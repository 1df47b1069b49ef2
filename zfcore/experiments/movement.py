"""How far features move, and how the probability of a class changes, when pictures are transformed (paper, section 4.1, figure 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from math import prod

import numpy as np
from tqdm import tqdm

from zfcore import stages
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.transforms import Transform, transformed
from zfcore.errors import ZfcoreError
from zfcore.experiments.codes import MOST_BYTES
from zfcore.experiments.progress import bar
from zfcore.experiments.subject import Subject


@dataclass(frozen=True, eq=False)
class Series:
    """A transform by several amounts: `amounts` (V,) float64."""

    transform: Transform
    amounts: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """(V,) how far each is from the amount that changes nothing."""
        return np.abs(self.amounts - self.transform.neutral)


@dataclass(frozen=True, eq=False)
class Moved:
    """What transformed pictures do to features, of I pictures, V amounts in each series.

    Parameters
    ----------
    series : tuple of Series
    distances : dict of str to tuple, for each series, of float64 array (I, V)
        By layer: Euclidean distance of the features from those of the untransformed picture.
    norms : dict of str to float64 array (I,)
        Euclidean norm of the untransformed picture's features.
    between : dict of str to float
        Mean distance of the features of two different pictures, untransformed; NaN of one picture.
    classes : int64 array (I,), or None
        Whose probability it is; None of a network that does not classify.
    clean : float64 array (I,), or None
        The probability for the untransformed picture.
    probabilities : tuple, for each series, of float64 array (I, V); or None
    kept : tuple, for each series, of bool array (I, V); or None
        Whether the class is the most probable one.
    """

    series: tuple[Series, ...]
    distances: Mapping[str, tuple[np.ndarray, ...]]
    norms: Mapping[str, np.ndarray]
    between: Mapping[str, float]
    classes: np.ndarray | None
    clean: np.ndarray | None
    probabilities: tuple[np.ndarray, ...] | None
    kept: tuple[np.ndarray, ...] | None

    @property
    def layers(self) -> tuple[str, ...]:
        """As they were asked for."""
        return tuple(self.norms)

    def relative(self, layer: str, number: int) -> np.ndarray:
        """(I, V) distances of a series, divided by the norm of the untransformed picture's features; NaN where that is 0."""
        norms = self.norms[layer][:, None]
        return self.distances[layer][number] / np.where(norms > 0, norms, np.nan)

    def per_difference(self, layer: str, number: int) -> np.ndarray:
        """(I, V) distances of a series, divided by the mean distance of different pictures; NaN where that is 0 or there is one picture."""
        between = self.between[layer]
        return self.distances[layer][number] / (between if between > 0 else np.nan)


def fill_colour(preprocessing: Preprocessing) -> tuple[int, int, int]:
    """The mean colour, RGB, in whole levels: what becomes 0, or nearly, when the mean is subtracted."""
    mean = preprocessing.mean.reshape(len(preprocessing.mean), -1).mean(axis=1)
    red, green, blue = np.rint(preprocessing.to_rgb(mean[:, None, None])[0, 0]).clip(0, 255).astype(int).tolist()
    return red, green, blue


def moved(
    subject: Subject,
    frames: np.ndarray,
    series: Sequence[Series],
    layers: Sequence[str],
    classes: Sequence[int | None] | None = None,
    border: str = "mean",
    order: int = 1,
    batch: int = 32,
) -> Moved:
    """Transform pictures, and compare what the network makes of them with what it makes of the untransformed ones.

    Parameters
    ----------
    subject : Subject
    frames : array (I, H, W, 3), uint8
        The pictures as the network is shown them (`Preprocessing.frame`). They are transformed as such, to whole levels; mean and scale
        come after.
    series : sequence of Series
    layers : sequence of str
    classes : sequence of int or None
        Of each picture the class whose probability is followed; None: the most probable one of the untransformed picture.
    border, order
        As for `transformed`; the colour outside is the mean.
    batch : int
        Pictures computed at a time.

    Raises
    ------
    ZfcoreError
        If there is no such layer, features are not finite, or those of the untransformed pictures do not fit in memory.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    layers = tuple(dict.fromkeys(layers))
    _check_memory(subject, len(frames), layers)
    move = partial(transformed, border=border, order=order, fill=fill_colour(subject.preprocessing))
    moves = [(one.transform, amount) for one in series for amount in one.amounts.tolist()]
    jobs = list(product(range(len(frames)), range(len(moves))))
    shape, done = (len(frames), len(moves)), 0
    distances = {layer: np.empty(shape) for layer in layers}
    probabilities, kept = np.empty(shape), np.empty(shape, bool)
    try:
        with bar(len(frames) + len(jobs), "transforming", "picture") as progress:
            clean, answers = _untransformed(subject, frames, layers, batch, progress)
            followed = None if answers is None else _followed(answers, classes)
            for some in (jobs[start : start + batch] for start in range(0, len(jobs), batch)):
                features, said = _seen(subject, np.stack([move(frames[n], *moves[m]) for n, m in some]), layers)
                for row, (n, m) in enumerate(some):
                    for layer in layers:
                        distances[layer][n, m] = _distance(features[layer][row], clean[layer][n])
                    if said is not None and followed is not None:
                        probabilities[n, m] = said[row, followed[n]]
                        kept[n, m] = said[row].argmax() == followed[n]
                done += len(some)
                progress.update(len(some))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped after {done:,} of {len(jobs):,} transformed pictures; nothing was written") from None

    def apart(values: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(np.split(values, np.cumsum([len(one.amounts) for one in series])[:-1], axis=1))

    zero = np.zeros(1, np.float32)
    return Moved(
        tuple(series),
        {layer: apart(distances[layer]) for layer in layers},
        {layer: np.array([_distance(own, zero) for own in clean[layer]]) for layer in layers},
        {layer: _mean_distance(clean[layer]) for layer in layers},
        followed,
        None if answers is None or followed is None else answers[np.arange(len(frames)), followed],
        None if followed is None else apart(probabilities),
        None if followed is None else apart(kept),
    )


def _check_memory(subject: Subject, pictures: int, layers: Sequence[str]) -> None:
    net = subject.net
    needed = 4 * pictures * sum(prod(net.shapes[net.layer(layer).name]) for layer in layers)
    if needed > MOST_BYTES:
        raise ZfcoreError(
            f"features of {pictures:,} pictures at {', '.join(layers)} would take {needed / 2**30:.1f} GiB, "
            f"at most {MOST_BYTES / 2**30:.0f} are kept; take fewer pictures or smaller layers"
        )


def _seen(subject: Subject, frames: np.ndarray, layers: Sequence[str]) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Features (N, F) by layer, and probabilities (N, K) if the network classifies, of frames (N, H, W, 3)."""
    size = frames.shape[1], frames.shape[2]
    as_it_is = replace(subject.preprocessing, size=size, crop=size)
    logits = stages.logits(subject.net)
    keep = list(dict.fromkeys([*layers, *([] if logits is None else [logits])]))
    trace = subject.net.forward(np.stack([as_it_is(frame) for frame in frames]), keep=keep, record=False)
    for layer in keep:
        if not np.isfinite(trace[layer]).all():
            raise ZfcoreError(f"{subject.given}: values of {layer} are not finite; see to weights and preprocessing")
    features = {layer: trace[layer].reshape(len(frames), -1) for layer in layers}
    return features, None if logits is None else subject.probabilities(trace[logits])


def _untransformed(
    subject: Subject, frames: np.ndarray, layers: Sequence[str], batch: int, progress: tqdm
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """As `_seen`, of all pictures."""
    features: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    answers = []
    for some in np.split(frames, range(batch, len(frames), batch)):
        own, said = _seen(subject, some, layers)
        for layer in layers:
            features[layer].append(own[layer])
        answers.append(said)
        progress.update(len(some))
    known = [said for said in answers if said is not None]
    return {layer: np.concatenate(parts) for layer, parts in features.items()}, np.concatenate(known) if known else None


def _followed(answers: np.ndarray, classes: Sequence[int | None] | None) -> np.ndarray:
    best = answers.argmax(axis=1)
    return best if classes is None else np.array([b if c is None else c for b, c in zip(best, classes, strict=True)])


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Euclidean, summed in float64."""
    return float(np.linalg.norm(one.astype(np.float64) - other))


def _mean_distance(features: np.ndarray) -> float:
    """Of different rows of (I, F)."""
    pairs = [_distance(one, other) for one, other in combinations(features, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


# ---- summaries


def linearity(size: np.ndarray, distances: np.ndarray) -> float:
    """How straight distances grow with the size of the transform: squared correlation of the two, mean over pictures.

    Parameters
    ----------
    size : array (V,)
        How far each amount is from the one that changes nothing.
    distances : array (I, V)

    Returns
    -------
    float
        1 for a straight line; NaN if none of the pictures' distances, or the sizes, differ.

    Examples
    --------
    >>> linearity(np.array([0.0, 1, 2, 3]), np.array([[0.0, 2, 4, 6]]))
    1.0
    """
    varied = distances[np.ptp(distances, axis=1) > 0]
    if not len(varied) or not np.ptp(size) > 0:
        return float("nan")
    return float(np.mean([np.corrcoef(size, row)[0, 1] ** 2 for row in varied]).round(12))


def small_moves(series: Series, most: float) -> np.ndarray:
    """(V,) bool: the amounts that change something, but by no more than `most`; the least of them if none is so small."""
    changes = series.size > 0
    small = changes & (series.size <= most)
    return small if small.any() else changes & (series.size == series.size[changes].min(initial=np.inf))
