"""How steady features and class were while pictures were transformed: the numbers of figure 5, a table and a sentence of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zfcore.data.transforms import DOWN, RIGHT, ROTATION
from zfcore.experiments import report
from zfcore.experiments.movement import Moved, linearity, small_moves
from zfcore.experiments.subject import Subject


def facts(got: Moved, small: float) -> dict[str, Any]:
    """The numbers: of small shifts, and of every transform."""
    relative, per_difference, compared = {}, {}, {}
    shifts = [(s, small_moves(one, small)) for s, one in enumerate(got.series) if one.transform in (DOWN, RIGHT)]
    for layer in got.layers:
        compared[layer] = np.concatenate([got.relative(layer, s)[:, chosen] for s, chosen in shifts], axis=1).mean(axis=1)
        relative[layer] = float(compared[layer].mean())
        per_difference[layer] = float(np.mean([got.per_difference(layer, s)[:, chosen].mean() for s, chosen in shifts]))
    pixels = sorted({int(by) for s, chosen in shifts for by in got.series[s].size[chosen]})
    first, last = got.layers[0], got.layers[-1]
    return {
        "small_shifts": {
            "pixels": pixels,
            "relative_distance": relative,
            "distance_per_difference_of_pictures": per_difference,
            "relative_distance_per_picture": {layer: compared[layer].tolist() for layer in got.layers},
            "pictures_whose_first_layer_moves_more": int((compared[first] > compared[last]).sum()),
        },
        "mean_distance_of_different_pictures": dict(got.between),
        "transforms": {one.transform.name: _transform_facts(got, s) for s, one in enumerate(got.series)},
    }


def _transform_facts(got: Moved, number: int) -> dict[str, Any]:
    one, straight = got.series[number], {}
    if one.transform is not ROTATION:  # whose largest angles are small ones again
        straight = {"linearity": {layer: linearity(one.size, got.distances[layer][number]) for layer in got.layers}}
    answers = {}
    if got.probabilities is not None and got.kept is not None:
        answers = {"probability": float(got.probabilities[number].mean()), "class_is_first": float(got.kept[number].mean())}
    return {
        "distance": {layer: float(got.distances[layer][number].mean()) for layer in got.layers},
        "relative_distance": {layer: float(got.relative(layer, number).mean()) for layer in got.layers},
        "distance_per_difference_of_pictures": {layer: float(got.per_difference(layer, number).mean()) for layer in got.layers},
        **straight,
        **answers,
    }


def picture_facts(subject: Subject, got: Moved) -> list[dict[str, Any]]:
    """Of each picture the norms of its features; the class that is followed, and its probability."""
    found = []
    for n in range(len(next(iter(got.norms.values())))):
        own: dict[str, Any] = {"norms": {layer: float(got.norms[layer][n]) for layer in got.layers}}
        if got.classes is not None and got.clean is not None:
            own |= {"class": subject.classes[got.classes[n]], "class_number": int(got.classes[n]), "probability": float(got.clean[n])}
        found.append(own)
    return found


def sentence(numbers: dict[str, Any]) -> str:
    """What was found."""
    small, pictures = numbers["small_shifts"], len(numbers["pictures"])
    moves = small["relative_distance"]
    (first, low), (last, high) = next(iter(moves.items())), list(moves.items())[-1]
    shifts = f"For shifts of {_range(small['pixels'])}"
    if len(moves) == 1:
        told = [f"{shifts} {first} moves by {_number(low)} of its norm"]
    elif not np.isfinite(low + high):
        told = [f"{first if np.isfinite(high) else last} is all zero for a picture: by how much of its norm it moves cannot be said"]
    else:
        told_apart = _number(low) != _number(high)
        order = "as far as" if not told_apart else "more (as in the paper) than" if low > high else "less (unlike in the paper) than"
        count = small["pictures_whose_first_layer_moves_more"]
        told = [
            f"{shifts} {first} moves {order} {last}, by {_number(low)} against {_number(high)} of its norm (mean of {pictures} "
            f"picture{'s' * (pictures > 1)}; {first} moves more in {count} of {pictures})"
        ]
    transforms = numbers["transforms"]
    straight = [f"{_number(own['linearity'][last])} for {name}" for name, own in transforms.items() if "linearity" in own]
    told.append(f"How straight the distance of {last} grows with the size of the transform (r2): {', '.join(straight)}")
    if "class_is_first" in transforms[ROTATION.name]:
        first_in = [f"{100 * own['class_is_first']:.0f} % of {name}s" for name, own in transforms.items()]
        told.append(f"The class is the most probable one in {', '.join(first_in)}")
    return ". ".join(told) + "."


def _range(values: Sequence[int]) -> str:
    """From the least to the most pixels."""
    one = f"{values[0]} to " if values[0] != values[-1] else ""
    return f"{one}{values[-1]} pixel{'s' * (values[-1] > 1)}"


def table(numbers: dict[str, Any]) -> str:
    """Lines for every transform: means over pictures and amounts."""
    known = "probability" in numbers["transforms"][DOWN.name]
    several = any(np.isfinite(value) for value in numbers["mean_distance_of_different_pictures"].values())
    cells = [["transform", "layer", "distance / norm", *(["distance / that between pictures"] if several else []), "straight (r2)"]]
    cells[0] += ["P(class)", "is first"] if known else []
    for name, own in numbers["transforms"].items():
        for first, layer in zip((True, *[False] * len(own["distance"])), own["distance"], strict=False):
            line = [name if first else "", layer, _number(own["relative_distance"][layer])]
            line += [_number(own["distance_per_difference_of_pictures"][layer])] if several else []
            line += [_number(own["linearity"][layer]) if "linearity" in own else ""]
            told = [f"{own['probability']:.2f}", f"{100 * own['class_is_first']:.0f} %"] if known else []
            cells.append(line + (told if first else [""] * len(told)))
    return "\n".join(report.columns(cells, left=2))


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"
