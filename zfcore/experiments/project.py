"""One image, units of one layer: each brought down to pixels, beside its patch and its place in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zfcore
from zfcore.data.choice import Choice, choose
from zfcore.data.images import read_image
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.progress import say
from zfcore.experiments.strongest import Strongest
from zfcore.experiments.views import Position, Views, described_window, place_names
from zfcore.figures.project import exceeds, projections_picture
from zfcore.layers import Softmax
from zfcore.network import Network
from zfcore.rules import Rule, resolve

SEES_MORE = "; receptive field larger than the picture, centre at the cross"


@dataclass(frozen=True)
class Unit:
    """A unit of a layer and its activation."""

    number: int
    position: Position
    value: float


def run(
    net: Network,
    image: str | Path,
    layer: str,
    out: str | Path,
    *,
    unit: Sequence[int] | None = None,
    strongest: int = 1,
    rule: str | Rule = "deconvnet",
    choice: Choice | None = None,
    model: str | Path | None = None,
) -> list[Path]:
    """Project, draw and write.

    Parameters
    ----------
    net : Network
        Whose units.
    image : path
        An image file.
    layer : str
        The layer.
    out : path
        Folder for the results; it is made.
    unit : (map, row, column) or (map,), optional
        Which unit; a layer whose maps have no pixels takes the map alone.
    strongest : int
        Where `unit` is not given: so many of the strongest units, one per map.
    rule : str or Rule
        How the signal comes down.
    choice : Choice, optional
        Preprocessing; `choose(net)` if not given.
    model : path or str, optional
        The file or name that the network was loaded from, for the record.

    Returns
    -------
    list of Path
        Picture, arrays, JSON.

    Raises
    ------
    ZfcoreError
        If the image, layer, unit or an option is wrong, nothing in the layer is above 0, or a file cannot be written.
    """
    image, out, rule = Path(image), Path(out), resolve(rule)
    answer = answer_layer(net)
    net.layer(layer)
    if unit is None:
        _check_count(net, layer, strongest)
    else:
        unit = net.unit(layer, unit)
    choice = choose(net) if choice is None else choice
    pixels = read_image(image)
    report.make_folder(out)
    report.say_preprocessing(choice)
    trace = net.forward(choice.preprocessing(pixels)[None], keep=list({layer, answer or layer}), record=rule)
    activations = trace[layer]
    if not np.isfinite(activations).all():
        say(f"activations of {layer} are not finite (NaN or infinite): see to weights and scale")
    units = strongest_units(activations, layer, strongest) if unit is None else [_unit(activations, unit)]
    views = Views.of(net, layer, [u.position for u in units])
    projections = np.stack(list(views.projections(trace, [(0, u.number, *u.position) for u in units], rule, choice.preprocessing)))
    frame = choice.preprocessing.frame(pixels)
    patches = np.stack([views.patch(frame, u.position) for u in units])

    predicted = None if answer is None else prediction(net, trace[answer][0])
    stem = report.file_names([f"{image.name.replace('.', '_')}-{layer}"]).popitem()[1]
    stem += "" if unit is None else "-unit" + "_".join(map(str, unit))
    paths = [out / f"{stem}.{suffix}" for suffix in ("png", "npz", "json")]
    identity = report.described_model(net, model)
    facts = {
        "zfcore": zfcore.__version__,
        "experiment": "project",
        "model": identity,
        "layer": report.described_layer(net, layer),
        "image": image.name,
        "rule": report.described_rule(rule),
        "preprocessing": choice.to_dict(),
        "caveat": report.CAVEAT,
        "prediction": predicted,
        "shown_size": list(views.size),
        "units": [_described(u, views) for u in units],
    }
    title = f"{image.name} in {identity['name']}, {layer}: {rule.rectifier} projections, {views.described}"
    fields = [views.fields[u.position] for u in units]
    captions = [_caption(u) + SEES_MORE * exceeds(views.fields[u.position], frame) for u in units]
    picture = projections_picture(frame, fields, patches, projections, captions, title)
    paths[2].unlink(missing_ok=True)  # written last: with it, all is there
    report.write_arrays(
        paths[1],
        frame=frame,
        projections=projections,
        patches=patches,
        units=np.array([(u.number, *u.position) for u in units]),
        values=np.array([u.value for u in units], net.dtype),
    )
    report.write_picture(paths[0], picture)
    report.write_json(paths[2], facts | {"files": report.described_files(*paths[:2])})
    for u in units:
        say(_caption(u) + ("" if u.value > 0 else "; not above 0: the image does not excite this unit"))
    if predicted is not None:
        say("the network says: {class} ({probability:.2f})".format(**predicted))
    return paths


def answer_layer(net: Network) -> str | None:
    """The output that is a softmax over classes, if the network has one."""
    return next((name for name in net.outputs if isinstance(net.layer(name), Softmax) and net.shapes[name][1:] in ((), (1, 1))), None)


def prediction(net: Network, probabilities: np.ndarray) -> dict[str, Any] | None:
    """The class that the network finds most probable, by name if it knows names; None where that is not a number."""
    probabilities = probabilities.ravel()
    if not np.isfinite(probabilities).all():
        return None
    index = int(probabilities.argmax())
    classes = net.classes or ()
    name = classes[index] if len(classes) == len(probabilities) else f"class {index}"
    return {"index": index, "class": name, "probability": float(probabilities[index])}


def strongest_units(activations: np.ndarray, layer: str, count: int) -> list[Unit]:
    """The `count` strongest units above 0 of a layer's activations (1, C, ...), one per map; of equals the lower map first.

    Raises
    ------
    ZfcoreError
        If there is none.
    """
    maps = activations.shape[1]
    best = Strongest.none_yet(range(maps), 1, activations.dtype, activations.ndim - 2).with_batch(activations, [0])
    order = np.argsort(-best.values[:, 0], kind="stable")[:count]
    units = [Unit(int(m), tuple(best.positions[m, 0].tolist()), float(best.values[m, 0])) for m in order if best.active[m, 0]]
    if not units:
        wrong = "" if np.isfinite(activations).all() else " and not all are finite"
        raise ZfcoreError(f"layer {layer!r}: no unit is above 0 for this image{wrong}; name one with --unit")
    return units


def _check_count(net: Network, layer: str, count: int) -> None:
    maps = net.shapes[layer][0]
    if not 1 <= count <= maps:
        raise ZfcoreError(f"strongest: got {count}, needed 1 to {maps}, the maps of layer {layer!r}")


def _unit(activations: np.ndarray, unit: Sequence[int]) -> Unit:
    return Unit(unit[0], tuple(unit[1:]), float(activations[(0, *unit)]))


def _caption(unit: Unit) -> str:
    names = place_names(len(unit.position))
    place = "".join(f", {name} {index}" for name, index in zip(names, unit.position, strict=True))
    return f"map {unit.number}{place}: activation {unit.value:.5g}"


def _described(unit: Unit, views: Views) -> dict[str, Any]:
    return {
        "map": unit.number,
        "position": list(unit.position) or None,
        "value": unit.value,
        "receptive_field": described_window(views.fields[unit.position]),
        "shown": described_window(views.shown(unit.position)),
    }
