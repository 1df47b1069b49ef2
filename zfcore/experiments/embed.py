"""Codes of many images placed in the plane (CS231n, lecture 9): which images a network finds alike."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zfcore import stages
from zfcore.data.gallery import Gallery, open_images
from zfcore.data.sources import read_ahead
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.codes import codes
from zfcore.experiments.neighbours import (
    MOST_ON_GRID,
    PCA,
    check_perplexity,
    components,
    grid_cells,
    nearest_ones,
    neighbours_kept,
    plane,
    same_class,
    same_class_by_chance,
    unit_square,
    usual_perplexity,
)
from zfcore.experiments.progress import bar, say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.subject import Subject
from zfcore.figures.embed import SCATTERED, dots_figure, grid_picture, scatter_picture, thumbnail, thumbnail_side
from zfcore.figures.grid import EMPTY, shrunk

RAW = 32
"""Pixels: the side to which pictures are reduced where pixels themselves are compared; smaller ones stay."""
MEANING = "Near each other are images with like codes; directions and distances from far away mean nothing."


def run(
    subject: Subject,
    images: str | Path,
    *,
    out: Path,
    layer: str | None = None,
    part: str | None = None,
    count: int = 1000,
    seed: int = 0,
    perplexity: float | None = None,
    neighbours: int = 10,
    batch: int = 32,
) -> Outcome:
    """Compute codes, place them, measure, draw and write.

    Parameters
    ----------
    subject : Subject
    images : path
        What `open_images` takes.
    out : Path
        Folder for the results.
    layer : str, optional
        Whose features are the codes; the last stage, the paper's layer 7 after its ReLU, if not given.
    part : str, optional
        Of labelled data.
    count : int
        Images at most; where there are more they are drawn.
    seed : int
        Of the draw and of t-SNE.
    perplexity : float, optional
        Of t-SNE; 30, or of few images a third of the others, if not given.
    neighbours : int
        How many of an image are looked at; of few images less.
    batch : int
        Images computed at a time.

    Raises
    ------
    ZfcoreError
        If the layer, the images or an option is wrong, features are not finite or all alike, or the results cannot be written.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    net = subject.net
    layer = net.layer(layer).name if layer is not None else (stages.stages(net) or (net.outputs[0],))[-1]
    for name, value in (("count", count), ("neighbours", neighbours)):
        if value < 1:
            raise ZfcoreError(f"{name}: got {value}, needed 1 or more")
    gallery = open_images(images, part)
    report.keep_out_of(images, out)
    numbers = drawn(len(gallery), count, seed)
    check_perplexity(usual_perplexity(len(numbers)) if perplexity is None else perplexity, len(numbers))
    results = Results(out, "embed")
    report.say_preprocessing(subject.choice)
    some = f"{len(numbers):,} of " if len(numbers) < len(gallery) else ""
    say(f"images: {some}{len(gallery):,} of {gallery.source.described}{f', part {gallery.part}' if gallery.part else ''}; seed {seed}")
    say(f"codes: features of {layer}, {' x '.join(map(str, net.shapes[layer]))}")

    got = codes(subject, gallery.source, numbers.tolist(), [layer], batch)
    features, used = got.values[layer], got.numbers
    perplexity = usual_perplexity(len(used)) if perplexity is None else perplexity
    check_perplexity(perplexity, len(used))
    side = thumbnail_side(min(len(used), MOST_ON_GRID))
    tiles, small, raw = _thumbnails(subject, gallery, used, side)
    pca = min(PCA, *features.shape)
    say(f"t-SNE of {len(used):,} images: {pca} principal components, perplexity {perplexity:g}; a minute for some thousands")
    start = time.monotonic()
    try:
        few = components(features, seed)
        places = unit_square(plane(few, perplexity, seed))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped during t-SNE; nothing was written") from None
    say(f"t-SNE took {time.monotonic() - start:.0f} s")
    labels = None if gallery.labelled is None else gallery.labelled.labels[used]
    k = min(neighbours, len(used) - 1)
    numbers_found = measures({"code": features, "components": few, "plane": places, "raw_pixels": raw}, labels, k)

    place = ", ".join(filter(None, (Path(images).resolve().name, gallery.part)))
    title = f"{subject.name}, {layer}: t-SNE of {len(used):,} images of {place}"
    on_grid = drawn(len(used), MOST_ON_GRID, seed)
    cells = grid_cells(places[on_grid])
    fewer = f" {MOST_ON_GRID:,} of {len(used):,} images, drawn: more are not assigned." if len(on_grid) < len(used) else ""
    note = f"Each image once, in the cell of a grid that is nearest to its place in the plane, all together (optimal assignment).{fewer}"
    results.picture("embed-grid", grid_picture([tiles[i] for i in on_grid], cells, title, f"{note} {MEANING}"))
    results.picture("embed-scatter", scatter_picture(small, places, title, f"Images at their places; they hide each other. {MEANING}"))
    if labels is not None and gallery.labelled is not None:
        results.plot("embed-classes", dots_figure(places, labels, gallery.labelled.classes, MEANING), title)
    arrays = {"numbers": used, "places": places, "on_grid": on_grid, "cells": cells}
    results.arrays("embed", **arrays, **({} if labels is None else {"labels": labels}))
    configuration = {
        "images": str(images),
        "part": gallery.part,
        "count": len(used),
        "available": len(gallery),
        "seed": seed,
        "layer": report.described_layer(net, layer),
        "pca": pca,
        "perplexity": perplexity,
        "init": "pca",
        "learning_rate": "auto",
        "neighbours": k,
        "raw_pixels": f"RGB pictures of at most {RAW} pixels a side",
        "distance": "Euclidean",
        "batch": batch,
    }
    record = {"images": len(used), "skipped": dict(got.skipped), **numbers_found}
    return results.conclude(subject, configuration, record, sentence(layer, numbers_found, k), table(layer, numbers_found, k))


def drawn(available: int, count: int, seed: int) -> np.ndarray:
    """Numbers of images, ascending: all of them, or `count` drawn.

    Examples
    --------
    >>> drawn(5, 9, 0).tolist(), len(drawn(100, 9, 0))
    ([0, 1, 2, 3, 4], 9)
    """
    if count >= available:
        return np.arange(available)
    return np.sort(np.random.default_rng(seed).choice(available, count, replace=False))


def _thumbnails(
    subject: Subject, gallery: Gallery, numbers: np.ndarray, side: int
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Of each image the thumbnails of the grid and of the scatter, and its pixels (N, F) float32, reduced."""
    tiles: list[np.ndarray] = []
    small: list[np.ndarray] = []
    pixels: list[np.ndarray] = []
    smaller = max(1, round(side * SCATTERED))
    shape = subject.net.input_shape[1:]
    try:
        with bar(len(numbers), "thumbnails", "image") as progress:
            for number, frame in read_ahead(lambda i: subject.preprocessing.frame(gallery.source.read(i)), numbers.tolist(), ahead=64):
                if isinstance(frame, ZfcoreError):  # gone since its code was computed
                    say(f"no thumbnail of {gallery.source.name(number)}: {getattr(frame, 'reason', frame)}")
                    frame = np.full((*shape, 3), EMPTY[0], np.uint8)
                tiles.append(thumbnail(frame, side))
                small.append(thumbnail(frame, smaller))
                pixels.append(shrunk(frame, RAW).astype(np.float32).ravel())
                progress.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped after the thumbnails of {len(tiles):,} images; nothing was written") from None
    return tiles, small, np.stack(pixels)


# ---- what was found


def measures(spaces: Mapping[str, np.ndarray], labels: np.ndarray | None, k: int) -> dict[str, Any]:
    """Of the k nearest neighbours of an image: the share that the plane keeps and, where classes are known, the share of its class.

    Parameters
    ----------
    spaces : dict of str to array (N, F)
        The images' "code", their "plane", and others to compare.
    labels : int array (N,), optional
        Classes.
    k : int
    """
    near = {space: nearest_ones(points, k) for space, points in spaces.items()}
    found: dict[str, Any] = {"neighbours": k, "neighbours_kept_in_the_plane": neighbours_kept(near["code"], near["plane"])}
    if labels is not None:
        shares = {space: same_class(own, labels) for space, own in near.items()}
        found["neighbours_of_the_same_class"] = {**shares, "chance": same_class_by_chance(labels)}
    return found


def sentence(layer: str, found: dict[str, Any], k: int) -> str:
    """What was found."""
    kept = f"the plane keeps {_percent(found['neighbours_kept_in_the_plane'])} of these neighbours"
    if "neighbours_of_the_same_class" not in found:
        return f"Of the {k} nearest neighbours of an image by its code, {layer}, {kept}; classes are not known."
    own = {space: _percent(share) for space, share in found["neighbours_of_the_same_class"].items()}
    return (
        f"Of the {k} nearest neighbours of an image by its code, {layer}, {own['code']} have its class, by raw pixels {own['raw_pixels']}, "
        f"by chance {own['chance']}; in the plane, which is what the pictures show, {own['plane']}, after {own['components']} in the "
        f"principal components that t-SNE begins from ({kept})."
    )


def table(layer: str, found: dict[str, Any], k: int) -> str:
    """The shares; empty where classes are not known."""
    if "neighbours_of_the_same_class" not in found:
        return ""
    own = found["neighbours_of_the_same_class"]
    names = {
        "code": f"code, {layer}",
        "components": "its principal components",
        "plane": "plane of t-SNE",
        "raw_pixels": f"raw pixels, {RAW} a side",
        "chance": "chance",
    }
    cells: Sequence[Sequence[str]] = [["neighbours by", f"of {k}, same class"], *([names[space], _percent(own[space])] for space in names)]
    return "\n".join(report.columns(cells))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
