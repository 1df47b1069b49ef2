"""Figure 7 of the paper: a grey square slides over an image; what becomes of a map, of the probability of a class, of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.pictures import Picture
from zfcore.data.sources import ImageSource
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.experiments.occlusion import AT_ONCE, Squares, occlude
from zfcore.experiments.progress import bar, say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.strongest import nothing_found, search
from zfcore.experiments.subject import Subject
from zfcore.experiments.views import Views
from zfcore.figures.occlude import Row, occlusion_figure
from zfcore.rules import Rule, resolve
from zfcore.stages import deepest_map

OTHERS = 3
"""Projections from other images."""


def run(
    subject: Subject,
    pictures: Sequence[Picture],
    out: Path,
    *,
    label: str | None = None,
    layer: str | None = None,
    number: int | None = None,
    square: int | None = None,
    stride: int | None = None,
    grey: int | None = None,
    others: ImageSource | None = None,
    incremental: bool = True,
    rule: str | Rule = "deconvnet",
    at_once: int = AT_ONCE,
) -> Outcome:
    """Hide, draw and write.

    Parameters
    ----------
    subject : Subject
        A network that classifies.
    pictures : sequence of Picture
        A row of the figure each.
    out : path
        Folder for the results; it is made.
    label : str, optional
        The class whose probability is drawn, by name or number; see `Subject.class_of`.
    layer : str, optional
        Whose map is summed; `deepest_map` if not given.
    number : int, optional
        Which map; if not given, the one with the largest sum for the whole image.
    square, stride : int, optional
        In pixels of what the network sees; 27 and 7 for 224 pixels, in proportion for others.
    grey : int, optional
        The square's level, 0 to 255; if not given the mean that preprocessing subtracts, where there is one.
    others : ImageSource, optional
        Images in which the map is strongest are shown beside.
    incremental : bool
        See `occlude`.
    rule : str or Rule
        How activations come down to pixels.
    at_once : int
        See `occlude`.

    Raises
    ------
    ZfcoreError
        If an option is wrong, the network does not classify or its answer is not finite, or a file cannot be written.
    """
    net, rule = subject.net, resolve(rule)
    classes, layer = subject.classes, layer or deepest_map(net)  # a network that does not classify is refused
    net.layer(layer)
    if len(net.shapes[layer]) != 3:
        raise ZfcoreError(f"layer: {layer!r} has no map of pixels, its shape is {net.shapes[layer]}; needed one like {deepest_map(net)!r}")
    if number is not None and number >= net.shapes[layer][0]:
        raise ZfcoreError(f"map: got {number}, layer {layer!r} has maps 0 to {net.shapes[layer][0] - 1}")
    if grey is not None and grey > 255:
        raise ZfcoreError(f"grey: got {grey}, needed 0 to 255")
    if label is not None:
        subject.class_number(label)
    H, W = net.input_shape[1:]
    squares = Squares.over((H, W), square, stride)
    cover = np.zeros(net.input_shape) if grey is None else subject.preprocessing(np.full((H, W, 3), grey, np.uint8))
    plan = Plan(subject, squares, cover, layer, number, label, others, incremental, rule, at_once)
    results = Results(out, "occlude")
    report.say_preprocessing(subject.choice)
    say(f"{squares.shape[0]} x {squares.shape[1]} places of a square of {squares.side} pixels in {H} x {W}, {_described(grey)}")
    try:
        looked = [_looked_at(plan, picture) for picture in pictures]
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"{str(interrupt) or 'stopped while hiding squares'}; nothing was written") from None
    rows, facts = [row for row, _ in looked], [found for _, found in looked]
    title = f"{subject.name}: a square of {squares.side} px, {_described(grey)}, hides a part of the image; maps of {layer}"
    results.plot("occlude", occlusion_figure(rows, classes), title)
    arrays = {name: np.stack([getattr(row, name) for row in rows]) for name in ("sums", "probability", "best")}
    results.arrays("occlude", tops=squares.tops, lefts=squares.lefts, **arrays)
    sentences = " ".join(found["found"] for found in facts)
    return results.conclude(subject, _configuration(plan, grey), {"images": facts}, sentences, remarks=(report.CAVEAT,))


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that was asked for, the same for every image; the fields are those of `run` and `occlude`."""

    subject: Subject
    squares: Squares
    cover: np.ndarray
    layer: str
    number: int | None
    label: str | None
    others: ImageSource | None
    incremental: bool
    rule: Rule
    at_once: int


def _configuration(plan: Plan, grey: int | None) -> dict[str, Any]:
    """Every choice, for the record."""
    tops, net = plan.squares.tops, plan.subject.net
    return {
        "layer": report.described_layer(net, plan.layer),
        "map": "largest sum for the whole image" if plan.number is None else plan.number,
        "square": plan.squares.side,
        "stride": int(tops[1] - tops[0]) if len(tops) > 1 else None,
        "places": list(plan.squares.shape),
        "grey": _described(grey),
        "recomputed": "what the square changes" if plan.incremental else "everything",
        "algorithm": net.algorithm,
        "others": None if plan.others is None else plan.others.described,
        "rule": report.described_rule(plan.rule),
    }


def _described(grey: int | None) -> str:
    return "in the mean colour" if grey is None else f"of grey {grey}"


def _looked_at(plan: Plan, picture: Picture) -> tuple[Row, dict[str, Any]]:
    """One image: its row of the figure, and its numbers."""
    subject, squares, layers = plan.subject, plan.squares, (plan.layer, plan.subject.logits)
    x = subject.preprocessing(picture.pixels)
    clean = subject.net.forward(x[None], record=False)
    answer = subject.probabilities(clean[layers[1]])[0]
    if not np.isfinite(answer).all():
        raise ZfcoreError(f"{picture.name}: the answer of {subject.given} is not finite; see to weights and preprocessing")
    wanted, why = subject.class_of(picture, plan.label, answer)
    totals = clean[plan.layer][0].sum(axis=(1, 2), dtype=np.float64)
    chosen = int(totals.argmax()) if plan.number is None else plan.number
    with bar(squares.shape[0] * squares.shape[1], f"hiding parts of {picture.name}", "square") as progress:
        found = occlude(
            subject.net,
            x,
            squares,
            plan.cover,
            layers,
            chosen,
            incremental=plan.incremental,
            clean=clean,
            at_once=plan.at_once,
            on_squares=progress.update,
        )
    p = subject.probabilities(found.logits.reshape(-1, len(answer))).reshape(*squares.shape, -1)
    projection, patches = _projections(plan, x, picture, chosen)
    row = Row(
        name=printable(picture.name),
        frame=subject.preprocessing.frame(picture.pixels),
        side=squares.side,
        tops=squares.tops,
        lefts=squares.lefts,
        map=chosen,
        sums=found.sums,
        clean_sum=float(totals[chosen]),
        projection=projection,
        others=patches,
        label=wanted,
        probability=p[..., wanted],
        clean_probability=float(answer[wanted]),
        best=p.argmax(axis=2),
    )
    numbers = _numbers(subject, row, why, int(answer.argmax()))
    say(numbers["found"])
    return row, numbers


def _projections(plan: Plan, x: np.ndarray, picture: Picture, number: int) -> tuple[np.ndarray | None, list[tuple[np.ndarray, np.ndarray]]]:
    """The map's strongest activation in this image brought down to pixels, and its strongest ones in others, beside their patches."""
    net, preprocessing, layer, rule, others = plan.subject.net, plan.subject.preprocessing, plan.layer, plan.rule, plan.others

    def shown(image: np.ndarray, place: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        trace = net.forward(preprocessing(image)[None], keep=[layer], record=rule)
        views = Views.of(net, layer, [place])
        (projection,) = views.projections(trace, [(0, number, *place)], rule, preprocessing)
        return projection, views.patch(preprocessing.frame(image), place)

    own = net.forward(x[None], keep=[layer], record=False)[layer][0, number]
    place = tuple(map(int, np.unravel_index(own.argmax(), own.shape)))
    projection = shown(picture.pixels, place)[0] if own[place] > 0 else None
    if others is None:
        return projection, []
    known = search(net, others, preprocessing, nothing_found(net, {layer: [number]}, OTHERS)).found[layer]
    found = zip(known.images[0], known.positions[0], known.active[0], strict=True)
    return projection, [shown(others.read(int(i)), tuple(at.tolist())) for i, at, active in found if active]


def _numbers(subject: Subject, row: Row, why: str, answer: int) -> dict[str, Any]:
    """What a row came to, and in a sentence."""
    lowest = np.unravel_index(row.probability.argmin(), row.probability.shape)
    centre = [int(row.tops[lowest[0]]) + row.side // 2, int(row.lefts[lowest[1]]) + row.side // 2]
    changed = float((row.best != answer).mean())
    least = float(row.probability[lowest])
    name = printable(subject.classes[row.label])
    fall = max(0.0, 1 - float(row.sums.min()) / row.clean_sum) if row.clean_sum > 0 else None
    words = "" if fall is None else f"; the sum of map {row.map} falls by {fall:.0%} at most"
    found = (
        f"{row.name}: P({name}) is {row.clean_probability:.2f}, at its lowest {least:.2f}, with the square around row {centre[0]}, "
        f"column {centre[1]}; "
        f"the answer is another at {changed:.0%} of the places{words}."
    )
    return {
        "image": row.name,
        "class": name,
        "class_is": why,
        "probability": row.clean_probability,
        "answer": printable(subject.classes[answer]),
        "lowest_probability": least,
        "lowest_around": centre,
        "answer_changes_at": changed,
        "map": row.map,
        "sum": row.clean_sum,
        "lowest_sum": float(row.sums.min()),
        "highest_sum": float(row.sums.max()),
        "found": found,
    }
