"""`zfcore saliency`: four maps of what a class or a unit hangs on, and whether they hang on what the network has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.pictures import Picture, open_picture
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.progress import bar, say
from zfcore.experiments.project import strongest_units
from zfcore.experiments.randomisation import Check, depths_of, randomisation_check, summary, weighted
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.saliency_maps import METHODS, Maps, saliency_maps
from zfcore.experiments.subject import Subject
from zfcore.figures.saliency import randomisation_figure, randomisation_picture, saliency_picture
from zfcore.rules import RULES

SHOWN = 6
"""Columns of maps with random weights in the picture."""
EXPECTED = {"guided", "deconvnet"}
"""Those that change least, after Adebayo et al. 2018 and Nie et al. 2018."""

NOT_RIGHT = "a rank correlation near 1 says that a map does not depend on the weights; one near 0 does not say that a map is right"


@dataclass(frozen=True)
class Target:
    """A unit that is explained, and what to call it."""

    layer: str
    unit: tuple[int, ...]
    name: str
    why: str


def run(
    subject: Subject,
    image: str | Path | Picture,
    *,
    out: Path,
    layer: str | None = None,
    unit: Sequence[int] | None = None,
    wanted: str | None = None,
    draws: int = 5,
    points: int = 10,
    independent: bool = False,
    seed: int = 0,
) -> Outcome:
    """Compute, check, draw and write.

    Parameters
    ----------
    subject : Subject
    image : path
        As `open_picture` takes it.
    out : Path
        Folder for the results; it is made.
    layer, unit : str, (c, y, x) or (c,), optional
        Explain a unit; of a layer without one its strongest.
    wanted : str, optional
        Explain a class, by name or number, before the softmax: without layer and class that of the picture where it is known and the
        network has it, else the most probable.
    draws, points, independent, seed
        Of the check, as `randomisation_check` takes them.

    Raises
    ------
    ZfcoreError
        If the image, class, layer or unit is wrong, its value is not finite, or results cannot be written.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    net, picture = subject.net, open_picture(image)
    if layer is None and unit is not None:
        raise ZfcoreError("unit: got one without a layer; name its layer with --layer")
    if layer is not None and wanted is not None:
        raise ZfcoreError(f"class: got {wanted!r} and the layer {layer!r}; needed one of them")
    if draws < 1 or points < 1:
        raise ZfcoreError(f"draws, points: got {draws} and {points}, needed at least 1 of each")
    x = subject.preprocessing(picture.pixels)
    target = chosen_unit(subject, x, layer, unit) if layer is not None else chosen_class(subject, x, picture, wanted)
    order = weighted(net, target.layer)
    report.say_preprocessing(subject.choice)
    say(f"explained: {target.name}: {target.why}")
    maps = saliency_maps(net, x, target.layer, target.unit)
    if not np.isfinite(maps.value):
        raise ZfcoreError(f"{subject.given}: the value of {target.name} is {maps.value}; see to weights and preprocessing")
    _warn(maps)
    results, total = Results(out, "saliency"), draws * len(depths_of(len(order), points))
    say(
        f"check: weights of {len(order)} layers random, {'one at a time' if independent else 'from the top down'}, normal with the layer's "
        f"own standard deviation, {draws} draws, seed {seed}"
    )
    compared = 0
    with bar(total, "randomising", "network") as progress:

        def done() -> None:  # a bar that is not shown does not count
            nonlocal compared
            compared += 1
            progress.update()

        try:
            options: dict[str, Any] = {"draws": draws, "points": points, "independent": independent, "seed": seed}
            check = randomisation_check(net, x, target.layer, target.unit, **options, done=done)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped after {compared} of {total} networks with random weights; nothing was written") from None
    _draw(results, subject, picture, target, maps, check, independent)
    configuration = {
        "image": picture.name,
        "layer": report.described_layer(net, target.layer),
        "unit": list(target.unit),
        "explained": target.name,
        "why": target.why,
        "signal": "1 at the unit, before the softmax where it is a class",
        "methods": {name: report.described_rule(RULES[name]) for name in METHODS if name in RULES}
        | {"gradient x input": "the gradient times the preprocessed input"},
        "check": {
            **options,
            "random": "weights and biases normal, mean 0, standard deviation of the layer's own; normalisations stay as they are",
            "correlation": "Spearman, over every channel of every pixel, equal values sharing their mean rank",
            "layers_from_the_top": list(check.order),
        },
    }
    return results.conclude(
        subject,
        configuration,
        _numbers(maps, check),
        _found(subject, picture, target, maps, check, independent),
        _table(check),
        [report.CAVEAT, NOT_RIGHT],
    )


# ---- what is explained


def chosen_unit(subject: Subject, x: np.ndarray, layer: str, unit: Sequence[int] | None) -> Target:
    """The unit of that place, or the layer's strongest for an image x (C, H, W).

    Raises
    ------
    ZfcoreError
        If there is no such layer or unit, or no unit is above 0.
    """
    subject.net.layer(layer)
    if unit is not None:
        place, why = subject.net.unit(layer, unit), "as asked"
    else:
        trace = subject.net.forward(x[None], keep=[layer], record=False)
        (found,), why = strongest_units(trace[layer], layer, 1), "the layer's strongest for this image"
        place = (found.number, *found.position)
    return Target(layer, place, f"unit {','.join(map(str, place))} of {layer}", why)


def chosen_class(subject: Subject, x: np.ndarray, picture: Picture, wanted: str | None) -> Target:
    """The score of a class: the one wanted, else the picture's own, else the most probable for x (C, H, W).

    Raises
    ------
    ZfcoreError
        If the network does not classify, has no such class, or its answer is not finite.
    """
    layer = subject.logits
    if wanted is not None:
        number, why = subject.class_number(wanted), "as asked"
    elif picture.label is not None and picture.label in subject.classes:
        number, why = subject.classes.index(picture.label), "the picture's own"
    else:
        scores = subject.net.forward(x[None], keep=[layer], record=False)[layer].ravel()
        if not np.isfinite(scores).all():
            raise ZfcoreError(f"{subject.given}: its scores of {picture.name} are not finite; see to weights and preprocessing")
        number, why = int(scores.argmax()), "the most probable"
    where = (number,) + (0,) * (len(subject.net.shapes[layer]) - 1)
    return Target(layer, where, f"class {subject.classes[number]!r} before the softmax", why)


def _warn(maps: Maps) -> None:
    for method, values in maps.maps.items():
        if not np.isfinite(values).all():
            say(f"warning: the map {method} is not finite; see to weights and preprocessing")
        elif not values.any():
            say(f"warning: the map {method} is zero everywhere: nothing of it comes down to the pixels")


# ---- what is written


def _draw(results: Results, subject: Subject, picture: Picture, target: Target, maps: Maps, check: Check, independent: bool) -> None:
    def in_rgb(found: Maps) -> dict[str, np.ndarray]:
        return {method: subject.preprocessing.to_rgb(values).transpose(2, 0, 1) for method, values in found.maps.items()}

    title = f"{subject.name}, {picture.name}: {target.name}"
    frame, original = subject.preprocessing.frame(picture.pixels), in_rgb(maps)
    results.picture("saliency", saliency_picture(frame, original, f"{title} = {maps.value:.4g}"))
    columns: list[tuple[str, dict[str, np.ndarray], dict[str, float]]] = [("", original, {})]
    count = len(check.depths)
    for point in sorted({round(p) for p in np.linspace(0, count - 1, min(SHOWN, count))}):
        correlations = dict(zip(METHODS, check.absolute[0, point].tolist(), strict=True))
        columns.append((check.layers[point], in_rgb(check.shown[point]), correlations))
    draws = len(check.absolute)
    results.picture("randomisation", randomisation_picture(columns, draws, independent, f"{title}; maps of networks with random weights"))
    figure = randomisation_figure(check.layers, METHODS, summary(check.absolute), summary(check.signed), independent)
    spread = f"; mean and standard deviation of {draws} draws" if draws > 1 else "; one draw"
    results.plot("randomisation-plot", figure, title + spread)
    named = {method.replace(" ", "_"): values for method, values in original.items()}
    results.arrays("saliency", frame=frame, **named, absolute=check.absolute, signed=check.signed)


def _numbers(maps: Maps, check: Check) -> dict[str, Any]:
    per_method: dict[str, dict[str, Any]] = {}
    for m, method in enumerate(METHODS):
        per_method[method] = {}
        for name, values in (("absolute", check.absolute), ("signed", check.signed)):
            mean, deviation = summary(values)
            per_method[method][name] = {"mean": mean[:, m].tolist(), "deviation": deviation[:, m].tolist()}
        per_method[method]["undefined"] = np.isnan(check.absolute[..., m]).sum(axis=0).tolist()
    return {"value": maps.value, "depths": list(check.depths), "layers": list(check.layers), "correlation": per_method}


def _found(subject: Subject, picture: Picture, target: Target, maps: Maps, check: Check, independent: bool) -> str:
    mean, signed = summary(check.absolute)[0], summary(check.signed)[0]
    said = f"{subject.name}, {picture.name}, {target.name} (value {maps.value:.4g}): rank correlation of |map| with the original"
    if independent:
        lowest = np.where(np.isfinite(mean), mean, np.inf).min(axis=0)
        return f"{said} when one layer at a time has random weights, at the layer where it is lowest: {_each(lowest)}."
    if len(check.order) == 1:
        return f"{said} when its only layer is random: {_each(mean[0])}; with signs: {_each(signed[0])}."
    point = check.depths.index(len(check.order) - 1)
    return (
        f"{said} when only the top layer has random weights: {_each(mean[0])}; when all of {len(check.order)} but the lowest have: "
        f"{_each(mean[point])}; all: {_each(mean[-1])}. Over all depths, {_least(mean)}; with signs, {_least(signed)}."
    )


def _each(values: np.ndarray) -> str:
    return ", ".join(f"{method} {_told(value)}" for method, value in zip(METHODS, values, strict=True))


def _least(mean: np.ndarray) -> str:
    """Which maps change least over the depths (points, methods), and whether those that were expected to."""
    defined = np.isfinite(mean)
    whole = np.where(defined.any(axis=0), np.where(defined, mean, 0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1), np.nan)
    order = [m for m in np.argsort(-whole, kind="stable") if np.isfinite(whole[m])]
    if len(order) < len(METHODS):
        return "some maps are undefined throughout, so that they cannot be ordered"
    first, second = (METHODS[m] for m in order[:2])
    expected = "as expected" if {first, second} == EXPECTED else "where guided and deconvnet were expected"
    values = ", ".join(f"{METHODS[m]} {_told(whole[m])}" for m in order)
    return f"{first} and {second} change least, {expected} (means {values})"


def _told(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "undefined"


def _table(check: Check) -> str:
    mean, _ = summary(check.absolute)
    signed, _ = summary(check.signed)
    cells = [["random down to", *METHODS, *(f"{method}, signed" for method in METHODS)]]
    for point, layer in enumerate(check.layers):
        cells.append([layer, *map(_told, mean[point]), *map(_told, signed[point])])
    return "\n".join(report.columns(cells))
