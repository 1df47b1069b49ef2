"""Raw activations: what every layer makes of an image, and which maps are dead on many (CS231n, lecture 9)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from zfcore import stages
from zfcore.data.gallery import Gallery
from zfcore.data.pictures import Picture, open_picture
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.experiments.dead_maps import Census, State, counted
from zfcore.experiments.examined import gallery_of, limited, some_images
from zfcore.experiments.progress import say
from zfcore.experiments.project import prediction
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.subject import Subject
from zfcore.figures.activations import maps_picture, numbers_plot, zeros_plot

MOST = 1024
"""Maps on a page."""


@dataclass(frozen=True, eq=False)
class Zeros:
    """Of a layer's activations for one image what is zero.

    Parameters
    ----------
    maps : int array
        Numbers of the maps that are zero everywhere.
    share : float
        Of all activations.
    """

    maps: np.ndarray
    share: float


def zeros(maps: np.ndarray) -> Zeros:
    """What is zero of a layer's activations (C, ...).

    Examples
    --------
    >>> found = zeros(np.array([[0.0, 0.0], [0.0, 2.0]]))
    >>> found.maps.tolist(), found.share
    ([0], 0.75)
    """
    flat = maps.reshape(len(maps), -1) == 0
    return Zeros(np.flatnonzero(flat.all(axis=1)), float(flat.mean()))


def shown_maps(maps: np.ndarray, most: int, order: str) -> list[int]:
    """Numbers of at most `most` maps (C, ...) to show: those whose largest |activation| is largest, strongest first, or the first ones.

    Of equals the lower number comes first; what is not finite comes last.
    """
    peaks = np.abs(maps.reshape(len(maps), -1)).max(axis=1)
    ranks = np.argsort(-np.where(np.isfinite(peaks), peaks, -1), kind="stable") if order == "strongest" else np.arange(len(maps))
    return ranks[:most].tolist()


def run(
    subject: Subject,
    image: str | Path | Picture,
    out: str | Path,
    *,
    layers: Sequence[str] | None = None,
    every: bool = False,
    most: int = 64,
    order: str = "strongest",
    scale: str = "layer",
    images: str | Path | Gallery | None = None,
    limit: int | None = None,
    batch: int = 16,
    restart: bool = False,
) -> Outcome:
    """Compute, count, draw and write.

    Parameters
    ----------
    subject : Subject
    image : path or Picture
        As `open_picture` takes it.
    out : path
        Folder for the results; it is made.
    layers : sequence of str, optional
        Which layers, in any order; every stage, and the answers.
    every : bool
        Every layer but the input instead.
    most : int
        Maps of a layer that are shown.
    order : {"strongest", "number"}
        Of the maps.
    scale : {"layer", "map"}
        One grey scale for a layer, or for every map.
    images : path or Gallery, optional
        Images on which dead maps are counted.
    limit : int, optional
        At most so many of them, evenly spaced.
    batch : int
        Of them computed at a time.
    restart : bool
        Count anew, whatever an earlier count left.

    Raises
    ------
    ZfcoreError
        If the image, a layer, an option or the images are wrong, or nothing can be written.
    """
    out = Path(out)
    for name, value, largest in (("most", most, MOST), ("batch", batch, 4096), ("limit", 1 if limit is None else limit, None)):
        if value < 1 or (largest is not None and value > largest):
            raise ZfcoreError(f"{name}: got {value}, needed {'at least 1' if largest is None else f'1 to {largest}'}")
    for name, given, known in (("order", order, ("strongest", "number")), ("scale", scale, ("layer", "map"))):
        if given not in known:
            raise ZfcoreError(f"{name}: got {given!r}, needed one of {', '.join(known)}")
    chosen = _chosen(subject, layers, every)
    picture = open_picture(image)
    gallery = None if images is None else gallery_of(images, out)
    results = Results(out, "activations")
    report.say_preprocessing(subject.choice)
    answers = stages.answers(subject.net)
    keep = list(dict.fromkeys([*chosen, *([] if answers is None else [subject.logits])]))
    trace = subject.net.forward(subject.preprocessing(picture.pixels)[None], keep=keep, record=False)
    values = {layer: trace[layer][0] for layer in chosen}
    said = None if answers is None else prediction(subject.net, subject.probabilities(trace[subject.logits])[0])
    for layer, a in values.items():
        if not np.isfinite(a).all():
            say(f"activations of {layer} are not finite (NaN or infinite): see to weights and scale")
    census = None if gallery is None else _census(subject, gallery, chosen, limit, batch, restart, out)
    found = {layer: zeros(a) for layer, a in values.items()}
    for layer, stem in report.file_names(chosen).items():
        _draw(results, subject, picture, layer, stem, values[layer], most, order, scale)
    if census is not None:
        dead = {layer: (len(census.dead(layer)), subject.net.shapes[layer][0]) for layer in chosen}
        shares = {layer: _zero_share(census, subject, layer) for layer in chosen}
        assert gallery is not None
        title = f"{subject.name} on {some_images(census.used)} of {gallery.source.described}: what is zero"
        results.plot("dead-maps", zeros_plot(dead, shares, census.used), title)
    results.arrays("activations", **{stem: values[layer] for layer, stem in report.file_names(chosen).items()})
    configuration = {
        "image": picture.name,
        "layers": chosen,
        "most": most,
        "order": order,
        "scale": scale,
        "images": None if gallery is None else gallery.source.described,
        "limit": limit,
        "dead": "zero everywhere on every image",
    }
    numbers = {"prediction": said, "layers": {layer: _facts(subject, layer, found[layer], census) for layer in chosen}}
    if census is not None:
        numbers["images"] = {"used": census.used, "skipped": dict(census.skipped)}
    words = _sentence(subject, picture, said, found, census)
    return results.conclude(subject, configuration, numbers, words, _table(subject, found, census))


def _chosen(subject: Subject, layers: Sequence[str] | None, every: bool) -> list[str]:
    net = subject.net
    if every and layers is not None:
        raise ZfcoreError("layers: got names and every layer, needed one or the other")
    if every:
        return [name for name in net.layers if name != net.input]
    if layers is None:
        answers = stages.answers(net)
        return list(dict.fromkeys([*stages.stages(net), *([] if answers is None else [answers])])) or [net.outputs[0]]
    if not layers:
        raise ZfcoreError("layers: got none, needed a name or more")
    named = {net.layer(name).name for name in layers}
    return [name for name in net.layers if name in named]


def _census(subject: Subject, gallery: Gallery, layers: list[str], limit: int | None, batch: int, restart: bool, out: Path) -> Census:
    source = limited(gallery.source, limit)
    mean = subject.preprocessing.mean
    job = {
        "model": subject.described["sha256"],
        "backend": subject.net.backend,
        "images": source.listing(),
        "layers": layers,
        "preprocessing": subject.preprocessing.to_dict() | {"mean_image": zlib.crc32(mean.tobytes()) if mean.ndim == 3 else None},
    }
    say(f"{some_images(len(source))} of {source.described}: counting what is zero at {len(layers)} layers")
    found = counted(subject, source, layers, batch, State(out / "activations-count.npz", job, restart))
    for layer in layers:
        lost = np.count_nonzero(found.not_finite[layer])
        if lost:
            say(f"activations of {layer} are not finite (NaN or infinite) in {lost} of its maps on some image: see to weights and scale")
    return found


def _draw(
    results: Results, subject: Subject, picture: Picture, layer: str, stem: str, maps: np.ndarray, most: int, order: str, scale: str
) -> None:
    title = f"{picture.name} in {subject.name}, {layer}"
    if maps.ndim != 3 or maps.shape[1:] == (1, 1):
        answers = stages.answers(subject.net)
        of_classes = answers is not None and layer in (answers, subject.logits)
        names = subject.classes if of_classes and subject.net.classes else None
        figure = numbers_plot(maps.ravel(), "class" if of_classes else "unit", names)
        results.plot(stem, figure, f"{title}: {maps.size:,} numbers")
        return
    shown = shown_maps(maps, most, order)
    count, height, width = maps.shape
    which = "all" if len(shown) == count else f"{len(shown)} of"
    words = "strongest first" if order == "strongest" else "by number"
    if len(shown) < count:
        say(f"{layer}: {len(shown)} of {count} maps are shown, {words}")
    full = printable(f"{title}: {which} {count} maps of {height} x {width}, {words}")
    results.picture(stem, maps_picture(maps, shown, full, scale == "map"))


def _zero_share(census: Census, subject: Subject, layer: str) -> float:
    return float(census.zeros[layer].sum() / (census.used * prod(subject.net.shapes[layer])))


def _facts(subject: Subject, layer: str, found: Zeros, census: Census | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        **report.described_layer(subject.net, layer),
        "zero_maps": found.maps.tolist(),
        "zero_share": found.share,
    }
    if census is not None:
        dead = census.dead(layer)
        facts["on_images"] = {
            "dead_maps": dead.tolist(),
            "dead_share": len(dead) / len(census.alive[layer]),
            "zero_share": _zero_share(census, subject, layer),
            "images_on_which_each_map_is_alive": census.alive[layer].tolist(),
            "maps_not_finite": np.flatnonzero(census.not_finite[layer]).tolist(),
        }
    return facts


def _table(subject: Subject, found: Mapping[str, Zeros], census: Census | None) -> str:
    heads = ["layer", "shape", "zero maps", "zero activations"]
    heads += [] if census is None else [f"dead on {some_images(census.used)}", "zero activations on them"]
    rows = []
    for layer, zero in found.items():
        shape = subject.net.shapes[layer]
        row = [printable(layer), " x ".join(map(str, shape)), f"{len(zero.maps)} of {shape[0]}", _percent(zero.share)]
        if census is not None:
            row += [f"{len(census.dead(layer))} of {shape[0]}", _percent(_zero_share(census, subject, layer))]
        rows.append(row)
    return "\n".join(report.columns([heads, *rows]))


def _sentence(
    subject: Subject, picture: Picture, said: Mapping[str, Any] | None, found: Mapping[str, Zeros], census: Census | None
) -> str:
    answer = "" if said is None else " The network says {class} ({probability:.2f}).".format(**said)
    answers = stages.answers(subject.net)
    looked = [layer for layer in found if layer not in (answers, *([] if answers is None else [subject.logits]))] or list(found)
    first, last = looked[0], looked[-1]
    words = f"{picture.name} in {subject.name}:{answer} At {first} {_percent(found[first].share)} of the activations are zero"
    words += f", at {last} {_percent(found[last].share)}." if last != first else "."
    if census is None:
        return words
    dead = {layer: len(census.dead(layer)) for layer in looked}
    listed = ", ".join(f"{layer} {count} of {subject.net.shapes[layer][0]}" for layer, count in dead.items() if count)
    return f"{words} On {some_images(census.used)} {'dead maps are at ' + listed if listed else 'no map is dead'}."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
