"""Figure 5: pictures shifted, scaled and rotated; how far the features of a low and a high layer move, what becomes of the class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zfcore import stages
from zfcore.data.pictures import Picture, open_picture
from zfcore.data.transforms import BORDERS, DOWN, ORDERS, RIGHT, ROTATION, SCALE, transformed
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.movement import Moved, Series, fill_colour, moved
from zfcore.experiments.progress import say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.steadiness import facts, picture_facts, sentence, table
from zfcore.experiments.subject import Subject
from zfcore.figures.invariance import Row, invariance_figure
from zfcore.network import Network

AT = 224
"""The side at which the paper's shifts are given."""
SHIFT, SMALL_SHIFT = 60, 10
"""Pixels at that side: the farthest, and what is still called small."""
STEPS = {DOWN: 25, RIGHT: 25, SCALE: 17, ROTATION: 36}
"""Steps of 5 pixels (at 224), of 0.05 and of 10 degrees."""
FARTHEST, MOST_STEPS = 100_000, 1_000
"""Pixels of a shift, and amounts of a transform, that can be asked for."""
SAMPLED, MOST_SAMPLED = 5, 5
"""Amounts, and pictures, in the column of samples."""
NOTE = (
    "Left: pictures as the network is shown them, in the colour of their line. Right: how far their features are from those of the same "
    "picture untransformed, and the probability of its class. The lower a line, the less the layer is moved; a column has one scale."
)
LONGEST_NAME = 32
"""Signs of a layer's name above a column."""
REMARKS = ("high layers of untrained networks move less than their first, too: compare with one before crediting training",)
MEASURES = {
    "relative": ("relative distance", "Distance divided by the norm of the untransformed picture's features, on one scale for all layers."),
    "euclidean": ("Euclidean distance", "Layers differ in the size and number of their features: compare shapes, not heights."),
}


def run(
    subject: Subject,
    images: Sequence[str | Path | Picture],
    *,
    out: Path,
    layers: Sequence[str] | None = None,
    classes: Sequence[str] = (),
    shift: int | None = None,
    scale: float = 1.8,
    rotation: float = 350.0,
    steps: int | None = None,
    border: str = "mean",
    order: int = 1,
    batch: int = 16,
) -> Outcome:
    """Transform pictures, compare features, draw and write.

    Parameters
    ----------
    subject : Subject
    images : sequence of path
        What `open_picture` takes.
    out : Path
        Folder for the results.
    layers : sequence of str, optional
        Whose features are compared, from the lowest to the highest; the first and the last stage if not given.
    classes : sequence of str
        Whose probability is followed: one for each picture, or one for all. None: a picture's label where it is known and the network
        has it, else what the network finds most probable.
    shift : int, optional
        The farthest shift in pixels; 60 of 224, of the input's side, if not given.
    scale, rotation : float
        The largest factor, and the last angle in degrees.
    steps : int, optional
        Amounts of every transform; 25 shifts, 17 factors and 36 angles if not given.
    border, order
        As for `transformed`.
    batch : int
        Pictures computed at a time.

    Raises
    ------
    ZfcoreError
        If a picture, layer, class or option is wrong, features are not finite, or the results cannot be written.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    net = subject.net
    layers = _layers(net, layers)
    _check(images, classes, shift, scale, rotation, steps, border, order)
    pictures = [open_picture(image) for image in images]
    chosen = [followed_class(subject, picture, classes[n % len(classes)] if classes else None) for n, picture in enumerate(pictures)]
    frames = np.stack([subject.preprocessing.frame(picture.pixels) for picture in pictures])
    series = amounts(frames.shape[1:3], shift, scale, rotation, steps)
    results = Results(out, "invariance")
    small = small_shift(frames.shape[1:3])
    configuration = {
        "pictures": [picture.name for picture in pictures],
        "layers": list(layers),
        "transforms": {one.transform.name: one.amounts.tolist() for one in series},
        "shifts": "whole pixels, so that they are not mixed with the blur of interpolation",
        "transformed": "the resized, cropped picture, about its centre, to whole levels; mean and scale after",
        "border": border,
        "fill": list(fill_colour(subject.preprocessing)) if border == "mean" else None,
        "order": order,
        "batch": batch,
        "small_shift": small,
    }
    report.say_preprocessing(subject.choice)
    say(f"layers: {', '.join(layers)}" + ("" if len(layers) > 1 else "; one alone, there is nothing to compare it with"))
    for one in series:
        said = f"{one.amounts[0]:g} to {one.amounts[-1]:g} {one.transform.unit}".strip()
        say(f"{one.transform.name}: {said}, {len(one.amounts)} amounts")
    outside = f"the mean colour {fill_colour(subject.preprocessing)}" if border == "mean" else border
    say(f"border: {outside}; interpolation of order {order} (the paper leaves both open)")
    got = moved(subject, frames, series, layers, [c for c, _ in chosen], border, order, batch)
    for picture, (_, why), line in zip(pictures, chosen, _described(subject, got), strict=True):
        say(f"{picture.name}: {line}" + (f" ({why})" if got.classes is not None else ""))
    shown = _samples(frames, series, border, order, fill_colour(subject.preprocessing))
    labels = [f"{n}: {p.name}; {line}" for n, (p, line) in enumerate(zip(pictures, _described(subject, got), strict=True), 1)]
    for measure, (called, note) in MEASURES.items():
        title = f"{subject.name}: {len(pictures)} picture{'s' * (len(pictures) > 1)} transformed, {called} of features"
        more = f" The first {MOST_SAMPLED} of {len(pictures)} pictures are shown." if len(pictures) > MOST_SAMPLED else ""
        rows, columns, tops = _rows(got, shown, measure)
        name = "invariance" if measure == "relative" else f"invariance-{measure}"
        results.plot(name, invariance_figure(rows, columns, tops, labels, f"{NOTE} {note}{more}"), title)
    results.arrays("invariance", **_arrays(got))
    numbers = facts(got, small)
    numbers["pictures"] = [
        {"name": picture.name, "class_from": why} | own
        for picture, (_, why), own in zip(pictures, chosen, picture_facts(subject, got), strict=True)
    ]
    return results.conclude(subject, configuration, numbers, sentence(numbers), table(numbers), REMARKS)


def _layers(net: Network, layers: Sequence[str] | None) -> tuple[str, ...]:
    if layers is None:
        found = stages.stages(net) or (net.outputs[0],)
        return tuple(dict.fromkeys((found[0], found[-1])))
    return tuple(dict.fromkeys(net.layer(layer).name for layer in layers))


def _check(
    images: Sequence[str | Path | Picture],
    classes: Sequence[str],
    shift: int | None,
    scale: float,
    rotation: float,
    steps: int | None,
    border: str,
    order: int,
) -> None:
    if not images:
        raise ZfcoreError("images: got none, needed one or more")
    if len(classes) not in (0, 1, len(images)):
        raise ZfcoreError(f"class: got {len(classes)} for {len(images)} pictures, needed one for each, or one for all")
    if shift is not None and not 1 <= shift <= FARTHEST:
        raise ZfcoreError(f"shift: got {shift}, needed 1 to {FARTHEST} pixels")
    if not 1 < scale <= 100:
        raise ZfcoreError(f"scale: got {scale:g}, needed more than 1, at most 100")
    if not 0 < abs(rotation) <= 360:
        raise ZfcoreError(f"rotation: got {rotation:g}, needed degrees up to 360, not 0")
    if steps is not None and not 2 <= steps <= MOST_STEPS:
        raise ZfcoreError(f"steps: got {steps}, needed 2 to {MOST_STEPS}")
    if border not in BORDERS:
        raise ZfcoreError(f"border: got {border!r}, needed one of {', '.join(BORDERS)}")
    if order not in ORDERS:
        raise ZfcoreError(f"order: got {order!r}, needed {ORDERS[0]} to {ORDERS[-1]}")


def followed_class(subject: Subject, picture: Picture, given: str | None) -> tuple[int | None, str]:
    """The class to follow, if it is not the most probable one; and how it was chosen."""
    if given is not None:
        return subject.class_number(given), "given"
    if picture.label is not None and stages.logits(subject.net) is not None and picture.label in subject.classes:
        return subject.classes.index(picture.label), "its label"
    return None, "most probable"


def amounts(
    size: tuple[int, ...], shift: int | None = None, scale: float = 1.8, rotation: float = 350.0, steps: int | None = None
) -> list[Series]:
    """The four transforms and their amounts for pictures of (H, W).

    Shifts are whole pixels, as many different ones as there are; none at all and the small ones are always among them.

    Examples
    --------
    >>> [len(one.amounts) for one in amounts((224, 224))], [len(one.amounts) for one in amounts((28, 28))]
    ([25, 25, 17, 36], [17, 17, 17, 36])
    """
    count = {transform: usual if steps is None else steps for transform, usual in STEPS.items()}
    found = []
    for transform, side in zip((DOWN, RIGHT), size, strict=True):
        most = max(1, round(SHIFT * side / AT)) if shift is None else shift
        small = min(small_shift(size), most)
        spread = np.rint(np.linspace(-most, most, count[transform]))
        found.append(Series(transform, np.unique([*spread, -small, 0.0, small])))
    found.append(Series(SCALE, np.linspace(1, scale, count[SCALE])))
    found.append(Series(ROTATION, np.linspace(0, rotation, count[ROTATION])))
    return found


def small_shift(size: tuple[int, ...]) -> int:
    """Pixels: 10 of 224, at least 1."""
    return max(1, round(SMALL_SHIFT * min(size) / AT))


# ---- pictures and arrays


def _described(subject: Subject, got: Moved) -> list[str]:
    """Of each picture the class that is followed, and its probability."""
    return [f"{own['class']}, P = {own['probability']:.2f}" if "class" in own else "no classes" for own in picture_facts(subject, got)]


def _samples(
    frames: np.ndarray, series: Sequence[Series], border: str, order: int, fill: tuple[int, ...]
) -> list[tuple[list[list[np.ndarray]], list[float]]]:
    """For each series samples of the first pictures, and their amounts."""
    found = []
    for one in series:
        places = np.unique(np.rint(np.linspace(0, len(one.amounts) - 1, SAMPLED)).astype(int))
        by = one.amounts[places].tolist()
        found.append(([[transformed(frame, one.transform, a, border, order, fill) for a in by] for frame in frames[:MOST_SAMPLED]], by))
    return found


def _rows(
    got: Moved, shown: Sequence[tuple[list[list[np.ndarray]], list[float]]], measure: str
) -> tuple[list[Row], list[str], list[float]]:
    """The figure's rows, the titles of its columns of curves, and where these columns' axes end."""
    curves = [
        [got.relative(layer, s) if measure == "relative" else got.distances[layer][s] for layer in got.layers] for s in range(len(shown))
    ]
    highest = [1.05 * max(float(np.nan_to_num(own[column]).max()) for own in curves) or 1.0 for column in range(len(got.layers))]
    tops = [max(highest)] * len(highest) if measure == "relative" else highest  # only relative ones can be compared
    columns = [f"{MEASURES[measure][0]} of\n{_short(layer)}" for layer in got.layers]
    if got.probabilities is not None:
        columns, tops = [*columns, "probability of the class"], [*tops, 1.02]
        curves = [[*own, probability] for own, probability in zip(curves, got.probabilities, strict=True)]
    rows = [
        Row(one.transform.name, one.transform.unit, one.amounts, samples, sampled, own)
        for one, (samples, sampled), own in zip(got.series, shown, curves, strict=True)
    ]
    return rows, columns, tops


def _short(layer: str) -> str:
    """The end of a long name, which differs from layer to layer more than the beginning."""
    return layer if len(layer) <= LONGEST_NAME else "..." + layer[3 - LONGEST_NAME :]


def _arrays(got: Moved) -> dict[str, np.ndarray]:
    """By transform and what it is; layers are numbered in the order of the record's configuration."""
    arrays: dict[str, np.ndarray] = {}
    for s, one in enumerate(got.series):
        stem = one.transform.name.replace(" ", "_")
        arrays[f"{stem}_amounts"] = one.amounts
        arrays[f"{stem}_distances"] = np.stack([got.distances[layer][s] for layer in got.layers])
        if got.probabilities is not None:
            arrays[f"{stem}_probabilities"] = got.probabilities[s]
    arrays["norms"] = np.stack([got.norms[layer] for layer in got.layers])
    arrays["between"] = np.array([got.between[layer] for layer in got.layers])
    return arrays
