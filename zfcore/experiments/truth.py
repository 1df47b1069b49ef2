"""Explanations scored against the truth: on the scenes it is known where the object is, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.datasets import MOST_SCENES
from zfcore.data.pictures import open_picture
from zfcore.data.scenes import CLASSES
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.correspond import brought, default_layers, measured, overall, p_text, scene_groups
from zfcore.experiments.occlusion import Squares, occlude
from zfcore.experiments.pointing import central, edges, estimate, flat, score, seed_means, unit_words
from zfcore.experiments.progress import bar, say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.subject import Subject
from zfcore.figures.truth import Shown, scores_plot, truth_picture
from zfcore.stages import deepest_map

RULES = ("gradient", "guided", "deconvnet")
EXPLANATIONS = ("occlusion", *RULES, "gradient x input")
BASELINES = ("edges", "centre", "chance")
METHODS = (*EXPLANATIONS, *BASELINES)
RIVAL = "edges"
REDUCTIONS = ("sum", "max")
GREY = 128
SCENES, DRAWS = 20, 5
SHOWN = 6
PERMUTATIONS = 9999


@dataclass(frozen=True, eq=False)
class Scores:
    """What every map scored.

    Parameters
    ----------
    hits, shares : float64 array (methods, M, D, n)
        In the order of `METHODS`, for M networks and D draws of n scenes.
    right : bool array (M, D, n)
        Whether the network's most probable class is the true one.
    """

    hits: np.ndarray
    shares: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Options:
    """How maps are made and scored; sizes in pixels of the frame.

    Parameters
    ----------
    square, stride : int, optional
        Of the occlusion; 3/16 of the shorter side and a third of that, if not given.
    reduce : {"sum", "max"}
        Of absolute values over channels.
    tolerance : float
        Of the pointing game.
    """

    square: int | None = None
    stride: int | None = None
    reduce: str = "sum"
    tolerance: float = 0.0


def run(
    subjects: Sequence[Subject],
    *,
    out: Path,
    scenes: int = SCENES,
    draws: int = DRAWS,
    first: int = 0,
    options: Options = Options(),
    part_images: int = 5,
    part_draws: int = 5,
    seed: int = 0,
) -> Outcome:
    """Score explanations on held-out scenes, write.

    Parameters
    ----------
    subjects : sequence of Subject
        Networks that know the scenes' classes; several should be runs of different seeds.
    out : Path
    scenes, draws : int
        So many draws of so many scenes: test scenes `first` to ``first + scenes * draws - 1``, which no training has seen.
    first : int
    options : Options
    part_images, part_draws : int
        Scenes of each class, and random masks, for the correspondence of parts; 0 images leave it out.
    seed : int
        Of the random masks.

    Raises
    ------
    ZfcoreError
        If a network does not know the classes, an option is wrong, or a map is not finite.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    _check(subjects, scenes, draws, first, options)
    if part_images == 1:
        raise ZfcoreError("part images: got 1, needed 0 or at least 2: correspondence compares images")
    results = Results(out, "truth")
    for subject in subjects:
        say(f"{subject.given}: preprocessing {subject.preprocessing.describe()} ({subject.choice.origin})")
    say(f"test scenes {first} to {first + scenes * draws - 1}, {draws} draws of {scenes}; maps start at the true class, before the softmax")
    scores, shown = _scored(subjects, scenes, draws, first, options)
    parts = [_part_numbers(subject, part_images, part_draws, seed) for subject in subjects] if part_images else []

    names = ", ".join(subject.name for subject in subjects)
    described = f"network {names}, {draws} draws of {scenes} scenes"
    interval = unit_words(scores.right.shape)
    figure = scores_plot(METHODS, BASELINES, scores.hits, scores.shares, interval)
    results.plot("truth", figure, f"explanations against the truth: {described}")
    sheet = truth_picture(METHODS[:-1], shown, f"where explanations point: network {subjects[0].name}, test scenes from {first}")
    results.picture("truth-maps", sheet)
    results.arrays("truth", methods=np.array(METHODS), hits=scores.hits, shares=scores.shares, right=scores.right)
    numbers: dict[str, Any] = {
        "accuracy": asdict(estimate(scores.right.astype(np.float64))),
        "methods": {name: _method_numbers(scores, m) for m, name in enumerate(METHODS)},
        "parts": parts,
    }
    configuration = {
        "scenes": [first, first + scenes * draws - 1],
        "draws": draws,
        **asdict(options),
        "square_and_stride": [_square(subject, options) for subject in subjects],
        "occlusion": "fall of the probability of the true class under a mid-grey square, mean over the squares on a pixel; rises cut to 0",
        "seed_of_maps": "1 at the true class before the softmax",
        "interval": interval,
        "centre": "Gaussian, its deviation a quarter of either side",
        "parts": {"images": part_images, "draws": part_draws, "seed": seed, "fill": "grey", "region": "object"},
        "permutations": PERMUTATIONS,
    }
    table = "\n".join(_table(numbers["methods"], interval, options.tolerance))
    return results.conclude(subjects, configuration, numbers, _found(numbers, subjects), table, [report.CAVEAT])


def _check(subjects: Sequence[Subject], scenes: int, draws: int, first: int, options: Options) -> None:
    if not subjects or scenes < 1 or draws < 1:
        raise ZfcoreError(f"got {len(subjects)} networks, {draws} draws of {scenes} scenes; needed one or more of each")
    if first + scenes * draws > MOST_SCENES:
        raise ZfcoreError(f"first: got {first}, needed at most {MOST_SCENES - scenes * draws} for {draws} draws of {scenes} scenes")
    if options.reduce not in REDUCTIONS or not 0 <= options.tolerance < np.inf:
        needed = f"one of {', '.join(REDUCTIONS)}, and pixels, 0 or more"
        raise ZfcoreError(f"reduce and tolerance: got {options.reduce!r} and {options.tolerance}, needed {needed}")
    for subject in subjects:
        known = subject.net.classes or ()
        lacking = [name for name in CLASSES if name not in known]
        if lacking:
            raise ZfcoreError(
                f"{subject.given}: does not know the scenes' classes by name, lacks {', '.join(lacking[:3])}"
                f"{', ...' * (len(lacking) > 3)}; needed a network trained on the scenes (zfcore train --data scenes)"
            )
        height, width = subject.net.input_shape[1:]
        square, stride = _square(subject, options)
        if not 1 <= square <= min(height, width) or not 1 <= stride <= square:
            raise ZfcoreError(
                f"square and stride: got {square} and {stride}, needed a square of at most {min(height, width)}, the side of the input of "
                f"{subject.given}, and a stride of at most the square, so that every pixel is covered"
            )


def _square(subject: Subject, options: Options) -> tuple[int, int]:
    square = max(1, 3 * min(subject.net.input_shape[1:]) // 16) if options.square is None else options.square
    return square, max(1, square // 3) if options.stride is None else options.stride


def _scored(subjects: Sequence[Subject], scenes: int, draws: int, first: int, options: Options) -> tuple[Scores, list[Shown]]:
    shape = len(METHODS), len(subjects), draws, scenes
    hits, shares = np.full(shape, np.nan), np.full(shape, np.nan)
    right = np.zeros(shape[1:], bool)
    shown = []
    done = 0
    try:
        with bar(len(subjects) * draws * scenes, "scoring explanations", "scene") as progress:
            for m, subject in enumerate(subjects):
                for number in range(draws * scenes):
                    d, n = divmod(number, scenes)
                    frame, mask, maps, right[m, d, n] = explained(subject, first + number, options)
                    for k, name in enumerate(METHODS):
                        got = score(maps[name], mask, options.tolerance)
                        hits[k, m, d, n], shares[k, m, d, n] = got.hit, got.share
                    if m == 0 and number < SHOWN:
                        shown.append(Shown(frame, mask, [maps[name] for name in METHODS[:-1]], hits[:-1, m, d, n].tolist()))
                    done += 1
                    progress.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped after {done:,} of {len(subjects) * draws * scenes:,} scenes; nothing was written") from None
    return Scores(hits, shares, right), shown


def explained(subject: Subject, number: int, options: Options) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], bool]:
    """Every map of one test scene, in the network's frame.

    Returns
    -------
    frame : uint8 array (H, W, 3)
    mask : bool array (H, W)
        Where the frame shows the object: the mask through the same resize and crop, at least half.
    maps : dict of str to float array (H, W)
        For each of `METHODS`, not negative.
    right : bool
        Whether the network names the class.

    Raises
    ------
    ZfcoreError
        If a map is not finite, or the frame does not show the object.
    """
    scene = open_picture(f"scenes/{number}").scene
    assert scene is not None
    seen = subject.preprocessing
    frame = seen.frame(scene.image)
    mask = seen.frame(np.repeat(scene.mask[..., None] * np.uint8(255), 3, axis=2))[..., 0] >= GREY
    x, label = seen(scene.image)[None], subject.class_number(CLASSES[scene.label])
    signed, right = _descents(subject, x, label)
    combine = np.sum if options.reduce == "sum" else np.max
    maps = {name: combine(np.abs(pixels), axis=0) for name, pixels in signed.items()}
    maps["occlusion"] = np.maximum(occlusion_map(subject, x[0], label, Squares.over(mask.shape, *_square(subject, options))), 0)
    maps |= {"edges": edges(frame), "centre": central(mask.shape), "chance": flat(mask.shape)}
    wrong = [name for name, values in maps.items() if not np.isfinite(values).all()]
    if wrong:
        raise ZfcoreError(f"{subject.given}: the map {wrong[0]} of scene {number} is not finite; see to weights and preprocessing")
    return frame, mask, maps, right


def _descents(subject: Subject, x: np.ndarray, label: int) -> tuple[dict[str, np.ndarray], bool]:
    """The score of a class brought down by each rule, (C, H, W), and gradient times input; whether the class is the answer."""
    net, layer = subject.net, subject.logits
    trace = net.forward(x, keep=[layer])
    logits = trace[layer].reshape(1, -1)
    seed = np.zeros_like(logits)
    seed[0, label] = 1
    found = {rule: net.pullback(trace, layer, seed.reshape(trace[layer].shape), rule)[0] for rule in RULES}
    return found | {"gradient x input": found["gradient"] * x[0]}, int(logits.argmax()) == label


def occlusion_map(subject: Subject, x: np.ndarray, label: int, squares: Squares) -> np.ndarray:
    """At every pixel what the mid-grey squares that hide it take from the probability of a class, on average; (H, W), 0 where none does."""
    net, layers = subject.net, (deepest_map(subject.net), subject.logits)
    H, W = x.shape[1:]
    cover = subject.preprocessing(np.full((H, W, 3), GREY, np.uint8))
    clean = net.forward(x[None], record=False)
    found = occlude(net, x, squares, cover, layers, 0, clean=clean)
    answers = subject.probabilities(np.concatenate([clean[layers[1]].reshape(1, -1), found.logits.reshape(-1, found.logits.shape[-1])]))
    drops = (answers[0, label] - answers[1:, label]).reshape(squares.shape)
    return np.nan_to_num(squares.spread(drops, (H, W)), nan=0.0) if np.isfinite(drops).all() else np.full((H, W), np.nan)


# ---- what was found


def _part_numbers(subject: Subject, images: int, draws: int, seed: int) -> dict[str, Any]:
    """Whether correspondence of parts beats chance, over all classes' parts, at the two default layers."""
    layers = default_layers(subject)
    groups = brought(scene_groups(None, images), subject.preprocessing)
    rows = measured(subject, groups, layers, "grey", "object", draws, PERMUTATIONS, seed, 64)
    return {layer: overall(rows, layer) for layer in layers}


def _method_numbers(scores: Scores, method: int) -> dict[str, Any]:
    chance, rival = METHODS.index("chance"), METHODS.index(RIVAL)
    found: dict[str, Any] = {}
    for name, values in (("pointing", scores.hits), ("share", scores.shares)):
        e = estimate(values[method])
        found[name] = {"mean": e.mean, "low": max(e.low, 0.0), "high": min(e.high, 1.0), "draws": seed_means(values[method]).tolist()}
        found[f"{name}_over_chance"] = asdict(estimate(values[method] - values[chance]))
        found[f"{name}_over_{RIVAL}"] = asdict(estimate(values[method] - values[rival]))
    return found


def _span(e: dict[str, float], signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{100 * e['mean']:{sign}.1f} [{100 * e['low']:{sign}.1f}, {100 * e['high']:{sign}.1f}]"


def _table(methods: dict[str, dict[str, Any]], interval: str, tolerance: float) -> list[str]:
    cells = [["map", "pointing game", f"over {RIVAL}", "share inside", f"over {RIVAL}"]]
    for name, m in methods.items():
        over = [_span(m[f"{what}_over_{RIVAL}"], True) if name != RIVAL else "" for what in ("pointing", "share")]
        cells.append([name, _span(m["pointing"]), over[0], _span(m["share"]), over[1]])
    within = f" or within {tolerance:g} pixels of it" if tolerance else ""
    heading = f"in %, with 95 % intervals: {interval}; pointing: the map's maximum inside the object's mask{within}"
    return [heading, *report.columns(cells)]


def _found(numbers: dict[str, Any], subjects: Sequence[Subject]) -> str:
    methods = numbers["methods"]
    chance, rival = methods["chance"], methods[RIVAL]
    sentences = [
        f"Chance, the object's share of the image, is {_span(chance['share'])} %; the picture's own edges put "
        f"{_span(rival['share'])} % of their sum on the object, and their maximum in {_span(rival['pointing'])} % of scenes; a Gaussian on "
        f"the middle {_span(methods['centre']['share'])} % and {_span(methods['centre']['pointing'])} %."
    ]
    for name in EXPLANATIONS:
        m = methods[name]
        sentences.append(
            f"{name.capitalize()}: {_span(m['share'])} % of the sum, {_verdict(m['share_over_chance'])} chance and "
            f"{_verdict(m[f'share_over_{RIVAL}'])} edges; maximum inside {_span(m['pointing'])} %, "
            f"{_verdict(m['pointing_over_chance'])} chance and {_verdict(m[f'pointing_over_{RIVAL}'])} edges."
        )
    for subject, layers in zip(subjects, numbers["parts"], strict=False):
        for layer, o in layers.items():
            sentences.append(
                f"Correspondence of parts in {subject.name} at {layer}: Delta {o['delta_parts']:.4f}, masks at random places "
                f"{o['delta_apart']:.4f} ({p_text(o['p_apart'], PERMUTATIONS)}), at one random place of all images "
                f"{o['delta_together']:.4f} ({p_text(o['p_together'], PERMUTATIONS)})."
            )
    return " ".join(sentences)


def _verdict(difference: dict[str, float]) -> str:
    """Of an interval of a difference."""
    return "above" if difference["low"] > 0 else "below" if difference["high"] < 0 else "not told apart from"
