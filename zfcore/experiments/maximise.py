"""`zfcore maximise`: images that maximise a class's score or a unit, and whether the network sees in them what it was asked for."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.gallery import Gallery
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.ascent import STYLES, Style
from zfcore.experiments.climber import Climbed, Climber, Target, climbed
from zfcore.experiments.codes import codes
from zfcore.experiments.examined import gallery_of
from zfcore.experiments.progress import say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.subject import Subject
from zfcore.figures.maximise import course_figure, maximise_picture
from zfcore.layers import Clip, LeakyReLU, ReLU

ALONE, MOST = 20, 200
"""Classes that are taken when none is named; targets that one page holds."""
KEPT = "maximise-kept"
"""Folder of batches that are ready, while others are not."""
BEGINNINGS = ("zero", "noise")


def run(
    subject: Subject,
    *,
    out: Path,
    classes: Sequence[str] = (),
    every_class: bool = False,
    layer: str | None = None,
    unit: Sequence[int] | None = None,
    maps: Sequence[int] = (),
    style: str = "l2",
    changes: dict[str, Any] | None = None,
    starts: int = 1,
    begin: str = "zero",
    noise: float = 10.0,
    steps: int = 200,
    step: float = 4.0,
    bounded: bool = True,
    seed: int = 0,
    batch: int = 10,
    images: str | Path | None = None,
    limit: int = 200,
) -> Outcome:
    """Climb, look at what was found, draw and write; what is ready is kept in `out`, and the same call goes on with it.

    Parameters
    ----------
    subject : Subject
    out : Path
        Folder for the results; it is made.
    classes : sequence of str
        Names or numbers, also several in one with commas between them; without any, and without a layer, all if they are few.
    every_class : bool
        All of them.
    layer, unit, maps : optional
        Instead of classes a unit of a layer, or the means of some of its maps. Of a rectifier what comes into it is climbed: where it is
        closed, its output has no slope.
    style, changes : str, dict
        One of `STYLES`, and fields of `Style` that replace its own; None replaces nothing.
    starts : int
        Images of each target: the first from the zero image, the others from noise.
    begin : {"zero", "noise"}
        With "noise" the first too.
    noise : float
        Standard deviation, in grey levels.
    steps, step : int, float
        How many, and how long the first is: root mean square over the image, in grey levels.
    bounded : bool
        Keep the image between black and white after every step.
    seed : int
        Of the noise.
    batch : int
        Images computed together. No result hangs on it.
    images, limit : path, int
        Compare with the scores of at most so many real images.

    Raises
    ------
    ZfcoreError
        If something asked for is wrong or does not exist, or results cannot be written.
    KeyboardInterrupt
        When interrupted, with a line that says what is kept.
    """
    of_classes = layer is None
    layer, targets = _targets(subject, classes, every_class, layer, unit, maps)
    chosen = styled(style, changes or {})
    _check_numbers(starts=starts, steps=steps, step=step, noise=noise, batch=batch, limit=limit)
    if begin not in BEGINNINGS:
        raise ZfcoreError(f"begin: got {begin!r}, needed one of {', '.join(BEGINNINGS)}")
    if len(targets) * starts > MOST:
        raise ZfcoreError(f"starts: got {starts} of {len(targets)} targets, a page holds {MOST} images")
    gallery = None if images is None else gallery_of(images, out)
    results = Results(out, "maximise")
    report.say_preprocessing(subject.choice)
    _say_choices(style, chosen, steps, step, begin, bounded)
    say(f"{len(targets)} targets of {layer}, {starts} start{'s' if starts > 1 else ''} each")
    options: dict[str, Any] = {
        "layer": layer, "targets": [list(target.place) for target in targets], "style": dataclasses.asdict(chosen), "starts": starts,
        "begin": begin, "noise": noise, "steps": steps, "step": step, "bounded": bounded, "seed": seed,
    }  # fmt: skip
    climber = Climber(subject, layer, targets, chosen, options)
    real = None if gallery is None else _scores_of(gallery, climber, limit, batch)  # first: what is wrong with images costs no climb
    ascent, kicked = climbed(climber, out / KEPT, batch)
    found = climber.looked_at(ascent, of_classes, batch)
    _draw(results, subject, layer, targets, found, starts, style, of_classes)
    outcome = results.conclude(
        subject,
        {
            **options,
            "style_name": style,
            "score": "before the softmax" if of_classes else "the unit's value, or the map's mean",
            "gradient": "normalised to a root mean square of 1",
            "lengths_of_steps": "falling linearly to 0" if chosen.only_penalty else "all alike",
            "unit_of_image": "255 grey levels; lambda is that of the squared norm in this unit",
            "bounds": [0, 255] if bounded else None,
            "began_from_noise_for_want_of_a_slope": kicked,
            "images": None if images is None else str(images),
        },
        _numbers(subject, targets, found, starts, real),
        _found(subject, layer, targets, found, starts, of_classes, real),
        _table(subject, targets, found, starts, real),
        [
            "an image that maximises a score is no image of the class: most of the space around it was never seen in training",
            "regularisers choose among many images of a like score; another style shows others",
        ],
    )
    shutil.rmtree(out / KEPT, ignore_errors=True)
    return outcome


def _scores_of(gallery: Gallery, climber: Climber, limit: int, batch: int) -> np.ndarray:
    """Of every target (axis 0) the scores of at most so many real images, evenly chosen; float64."""
    numbers = np.unique(np.linspace(0, len(gallery) - 1, min(limit, len(gallery))).round().astype(int)).tolist()
    seen = codes(climber.subject, gallery.source, numbers, [climber.layer], batch).values[climber.layer]
    return np.stack([seen @ climber.signal(target.place).ravel() for target in climber.targets]).astype(np.float64)


def _say_choices(name: str, style: Style, steps: int, step: float, begin: str, bounded: bool) -> None:
    parts = {part: value for part, value in dataclasses.asdict(style).items() if value and (part != "every" or style.blur)}
    say(f"style {name}: {', '.join(f'{part} {value:g}' for part, value in parts.items()) or 'no regulariser'}")
    lengths = "falling to 0" if style.only_penalty else "all alike"
    say(f"{steps} steps along the normalised gradient, {step:g} grey levels long (root mean square), {lengths}")
    origin = "noise" if begin == "noise" else "the zero image, which is the mean, and further starts from noise"
    say(f"from {origin}; {'kept within' if bounded else 'free to leave'} 0 to 255")


def styled(name: str, changes: dict[str, Any]) -> Style:
    """A style by name, with some of its fields replaced.

    Raises
    ------
    ZfcoreError
        If there is none, or a field is out of its range.
    """
    if name not in STYLES:
        raise ZfcoreError(f"style: got {name!r}, needed one of {', '.join(STYLES)}")
    return dataclasses.replace(STYLES[name], **{field: value for field, value in changes.items() if value is not None})


def _check_numbers(**numbers: float) -> None:
    for name, value in numbers.items():
        least = 0 if name == "noise" else np.nextafter(0, 1) if name == "step" else 1
        if not least <= value < np.inf:
            raise ZfcoreError(f"{name}: got {value}, needed a finite number, " + ("more than 0" if name == "step" else f"at least {least}"))


# ---- what is climbed


def _targets(
    subject: Subject, classes: Sequence[str], every_class: bool, layer: str | None, unit: Sequence[int] | None, maps: Sequence[int]
) -> tuple[str, list[Target]]:
    if layer is None:
        if unit is not None or maps:
            raise ZfcoreError("unit, maps: got one without a layer; name its layer with --layer")
        return subject.logits, [Target(subject.classes[k], (k,)) for k in class_numbers(subject, classes, every_class)]
    if classes or every_class:
        raise ZfcoreError(f"class: got some and the layer {layer!r}; needed one of them")
    if (unit is None) == (not maps):
        raise ZfcoreError(f"layer {layer!r}: needed a unit of it, --unit C,Y,X, or maps, --maps C,C,...: one of them")
    below = before_rectifier(subject, layer)
    if unit is not None:
        place = subject.net.unit(below, unit)
        return below, [Target(f"unit {','.join(map(str, place))}", place)]
    count = subject.net.shapes[below][0]
    wrong = [c for c in maps if not 0 <= c < count]
    if wrong or len(maps) > MOST:
        raise ZfcoreError(f"maps: got {wrong[0] if wrong else len(maps)}, layer {layer!r} has 0 to {count - 1}, and a page holds {MOST}")
    return below, [Target(f"map {c}", (c,)) for c in dict.fromkeys(maps)]


def before_rectifier(subject: Subject, layer: str) -> str:
    """The layer, or of a rectifier what comes into it, which is said."""
    found = subject.net.layer(layer)
    if not isinstance(found, ReLU | LeakyReLU | Clip):
        return layer
    say(f"{layer} is a rectifier: what comes into it, {found.inputs[0]}, is climbed; it has a slope also where the rectifier is closed")
    return found.inputs[0]


def class_numbers(subject: Subject, wanted: Sequence[str], every_class: bool) -> list[int]:
    """Classes by name or number, each text one or several with commas between them; without any all, if they are few.

    Raises
    ------
    ZfcoreError
        If there is no such class, or they are too many.
    """
    names = subject.classes
    if not wanted:
        most = MOST if every_class else ALONE
        if len(names) > most:
            beyond = every_class or len(names) > MOST
            hint = f"name some with --class; a page holds {MOST}" if beyond else "name some with --class, or give --all"
            raise ZfcoreError(f"class: {subject.given} has {len(names):,} classes; {hint}")
        return list(range(len(names)))
    if every_class:
        raise ZfcoreError("class: got some and --all; needed one of them")
    texts = [part for text in wanted for part in ([text] if text in names else text.split(","))]
    found = list(dict.fromkeys(subject.class_number(text.strip()) for text in texts))
    if len(found) > MOST:
        raise ZfcoreError(f"class: got {len(found)}, a page holds {MOST}")
    return found


# ---- what is written


def _draw(
    results: Results, subject: Subject, layer: str, targets: Sequence[Target], found: Climbed, starts: int, style: str, of_classes: bool
) -> None:
    rgb = np.stack([subject.preprocessing.to_rgb(picture) for picture in found.pictures])
    captions = []
    for item, score in enumerate(found.shown):
        sure = "" if found.probabilities is None else f" p {found.probabilities[item]:.2f}"
        captions.append((targets[item // starts].name, f"  {score:.3g}{sure}"))
    judged = " before the softmax, and the probability of its class" if of_classes else ""
    note = (
        f"Above each its target, the score of the 8-bit picture that is seen here{judged}. "
        "The mean is added back; nothing is stretched: these are the pixels that the network was shown."
        + (f" {starts} starts of each target side by side." if starts > 1 else "")
    )
    title = f"{subject.name}, {layer}: images that maximise {'classes' if of_classes else 'units'}, style {style}"
    results.picture("maximise", maximise_picture(rgb, captions, starts, title, note))
    axis = "score before the softmax" if of_classes else f"value in {layer}"
    figure = course_figure([target.name for target in targets], found.scores, starts, axis)
    results.plot("maximise-course", figure, f"{subject.name}, {layer}: the score from step to step, style {style}")
    results.arrays("maximise", pictures=rgb, scores=found.scores, shown=found.shown)


def _rows(subject: Subject, targets: Sequence[Target], found: Climbed, starts: int, real: np.ndarray | None) -> list[dict[str, Any]]:
    rows = []
    for item, shown in enumerate(found.shown.tolist()):
        target = item // starts
        row: dict[str, Any] = {
            "target": targets[target].name,
            "place": list(targets[target].place),
            "start": item % starts,
            "first_score": float(found.scores[item, 0]),
            "last_score": float(found.scores[item, -1]),
            "score_of_8_bit_picture": shown,
        }
        if found.probabilities is not None and found.answers is not None:
            row |= {"probability": float(found.probabilities[item]), "taken_for": subject.classes[found.answers[item]]}
        if real is not None:
            row |= {"highest_of_real_images": float(real[target].max()), "share_of_real_images_above": float((real[target] > shown).mean())}
        rows.append(row)
    return rows


def _numbers(subject: Subject, targets: Sequence[Target], found: Climbed, starts: int, real: np.ndarray | None) -> dict[str, Any]:
    rows = _rows(subject, targets, found, starts, real)
    return {"images": rows, "real_images": 0 if real is None else real.shape[1]}


def _found(
    subject: Subject, layer: str, targets: Sequence[Target], found: Climbed, starts: int, of_classes: bool, real: np.ndarray | None
) -> str:
    first, last = np.median(found.scores[:, 0]), np.median(found.scores[:, -1])
    text = f"{subject.name}, {layer}, {len(targets)} targets with {starts} start{'s' if starts > 1 else ''} each: the score "
    text += f"{'rose' if last > first else 'went'} from {first:.3g} to {last:.3g} (medians)"
    if found.probabilities is not None and found.answers is not None:
        own = np.repeat([target.place[0] for target in targets], starts)
        right = int(((found.answers == own) & np.isfinite(found.probabilities)).sum())
        text += (
            f"; as 8-bit pictures {right} of {len(own)} are taken for their class, with a median probability of "
            f"{np.median(found.probabilities):.2f}"
        )
    else:
        text += f"; as 8-bit pictures {np.median(found.shown):.3g}"
    if real is not None:
        above = int((found.shown > np.repeat(real.max(axis=1), starts)).sum())
        text += f"; {above} of {len(found.shown)} have a higher score than any of {real.shape[1]} real images"
    return text + "."


def _table(subject: Subject, targets: Sequence[Target], found: Climbed, starts: int, real: np.ndarray | None) -> str:
    rows = _rows(subject, targets, found, starts, real)
    cells = [["target", "start", "first score", "last score", "8-bit picture"]]
    cells[0] += ["probability", "taken for"] if found.probabilities is not None else []
    cells[0] += ["highest real", "real above"] if real is not None else []
    for row in rows:
        line = [row["target"], str(row["start"] + 1), *(f"{row[k]:.4g}" for k in ("first_score", "last_score", "score_of_8_bit_picture"))]
        line += [f"{row['probability']:.3f}", row["taken_for"]] if "probability" in row else []
        line += [f"{row['highest_of_real_images']:.4g}", f"{100 * row['share_of_real_images_above']:.1f} %"] if real is not None else []
        cells.append(line)
    return "\n".join(report.columns(cells))
