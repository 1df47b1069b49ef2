"""Table 1 and figure 8: do features change alike when the same part is masked in several images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.preprocessing import Preprocessing
from zfcore.data.scene_objects import Box
from zfcore.data.scenes import CLASSES
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.experiments.correspondence import LEVEL, Comparison, compared, holm, pooled, random_boxes
from zfcore.experiments.parts import Framed, Marked, framed, read_parts, scene_parts
from zfcore.experiments.progress import bar, say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.subject import Subject
from zfcore.figures.correspond import comparison_plot, masks_picture
from zfcore.stages import deepest_map, stages

FILLS = ("grey", "mean")
REGIONS = ("object", "frame")
GREY = 128
COUNT, DRAWS, PERMUTATIONS = 10, 10, 9999
SHOWN = 5
"""Images in a picture of masks."""
MOST_DISTANCES = 2**31
MOST_PERMUTATIONS = 10**6
MOST_SIGNS = 2**30
"""Bytes of the signs of one part's changes, which are kept in memory."""
PAPER = {"right eye": (0.067, 0.069), "left eye": (0.069, 0.068), "nose": (0.079, 0.069), "random": (0.107, 0.073)}
"""Table 1: layers 5 and 7."""


@dataclass(frozen=True, eq=False)
class Row:
    """One part of one group of images.

    Parameters
    ----------
    group, part : str
    images : sequence of Framed
        Those that show it.
    boxes : int64 array (n, 1 + 2 K, 4)
        The part's mask in each, then K masks apart and K together, as (y0, x0, y1, x1).
    layers : dict of str to Comparison
    """

    group: str
    part: str
    images: Sequence[Framed]
    boxes: np.ndarray
    layers: Mapping[str, Comparison]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.group}: {self.part}" if self.group else self.part


def run(
    subject: Subject,
    *,
    out: Path,
    parts: Path | None = None,
    scenes: Sequence[str] | None = None,
    count: int = COUNT,
    layers: Sequence[str] | None = None,
    fill: str = "grey",
    region: str = "object",
    draws: int = DRAWS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    batch: int = 64,
) -> Outcome:
    """Mask parts, compare the changes, write.

    Parameters
    ----------
    subject : Subject
    out : Path
    parts : Path, optional
        JSON file of images and boxes; without it the built-in scenes.
    scenes : sequence of str, optional
        Their classes; all by default.
    count : int
        Scenes of each class.
    layers : sequence of str, optional
        `default_layers` if not given.
    fill : {"grey", "mean"}
        What masks are filled with: mid-grey, or the mean that preprocessing subtracts.
    region : {"object", "frame"}
        Where the centres of random masks lie; where no object is known, in the frame.
    draws, permutations : int
        Random masks of each kind for each part and image, and permutations of the tests.
    seed : int
        Of random masks, permutations and bootstrap.
    batch : int
        Images computed at a time.

    Raises
    ------
    ZfcoreError
        If images, boxes or layers are wrong, no part is seen in two images, or features are not finite.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    for name, got, choices in (("fill", fill, FILLS), ("region", region, REGIONS)):
        if got not in choices:
            raise ZfcoreError(f"{name}: got {got!r}, needed one of {', '.join(choices)}")
    if count < 2 or draws < 1:
        raise ZfcoreError(f"count and draws: got {count} and {draws}, needed two images of a class or more, and one draw or more")
    if not 1 <= permutations <= MOST_PERMUTATIONS:
        raise ZfcoreError(f"permutations: got {permutations}, needed 1 to {MOST_PERMUTATIONS:,}")
    layers = default_layers(subject) if layers is None else tuple(dict.fromkeys(subject.net.layer(name).name for name in layers))
    if not layers:
        raise ZfcoreError("layers: got none, needed one or more")
    given = {"": read_parts(parts)} if parts is not None else scene_groups(scenes, count)
    results = Results(out, "correspond")
    report.say_preprocessing(subject.choice)
    images = brought(given, subject.preprocessing)
    say(f"layers {', '.join(layers)}; masks are {FILL_WORDS[fill]}")
    say(f"random masks: {draws} apart and {draws} together for each part and image, centres in the {region}")
    rows = measured(subject, images, layers, fill, region, draws, permutations, seed, batch)

    source = "built-in scenes" if parts is None else str(parts)
    _draw(results, subject, rows, layers, fill, source)
    numbers = {"paper_table_1": {"layers": [5, 7], **PAPER}, "layers": {layer: _layer_numbers(rows, layer) for layer in layers}}
    configuration = {
        "images": source,
        "names": {group: [image.name for image in those] for group, those in images.items()},
        "layers": [report.described_layer(subject.net, layer) for layer in layers],
        "fill": fill,
        "region": region,
        "draws": draws,
        "permutations": permutations,
        "seed": seed,
        "sign": "three-valued; 0 where a feature is exactly the same",
        "random_masks": "size of the part in the same image, centre uniform in the region, moved into the frame; may overlap the part",
        "deviation": "over pairs of images, as in the paper; error: bootstrap over images",
        "test": "apart: in every image the part's mask is exchanged with its random ones; together: whole sets of masks are exchanged",
    }
    remarks = ["masks at random places lie elsewhere in each image; parts of aligned images do not: see the column 'together'"]
    return results.conclude(subject, configuration, numbers, _found(rows, layers), "\n".join(_table(rows, layers)), remarks)


FILL_WORDS = {"grey": "mid-grey (128)", "mean": "the mean that preprocessing subtracts"}


def default_layers(subject: Subject) -> tuple[str, ...]:
    """The paper's layers 5 and 7: the deepest map and the last stage; where these are one, the stage below it and that."""
    known, deep = stages(subject.net), deepest_map(subject.net)
    if not known or deep == known[-1]:
        return tuple(dict.fromkeys((*known[-2:], deep)))
    order = list(subject.net.layers)
    return tuple(sorted((deep, known[-1]), key=order.index))


def scene_groups(classes: Sequence[str] | None, count: int, first: int = 0) -> dict[str, list[Marked]]:
    """Scenes of each class."""
    return {name: scene_parts(name, count, first) for name in dict.fromkeys(CLASSES if classes is None else classes)}


def brought(groups: Mapping[str, Sequence[Marked]], preprocessing: Preprocessing) -> dict[str, list[Framed]]:
    """Into the network's frame; what is left out is said."""
    found = {group: [framed(image, preprocessing) for image in images] for group, images in groups.items()}
    left_out = [(image.name, part, why) for images in found.values() for image in images for part, why in image.left_out.items()]
    for name, part, why in left_out[:5]:
        say(f"left out: {part} of {name}: {why}")
    if len(left_out) > 5:
        say(f"left out: {len(left_out) - 5:,} more parts that are too small or outside what the network sees")
    return found


def measured(
    subject: Subject,
    groups: Mapping[str, Sequence[Framed]],
    layers: Sequence[str],
    fill: str,
    region: str,
    draws: int,
    permutations: int,
    seed: int,
    batch: int,
) -> list[Row]:
    """A row for every part that two images of a group or more show; parameters and errors as for `run`."""
    chosen = _parts_of(groups)
    if not chosen:
        raise ZfcoreError("parts: none is seen in two images or more, which a comparison needs; give more images, or larger boxes")
    rows = []
    clean: dict[int, dict[str, np.ndarray]] = {}
    try:
        with bar(sum(len(images) for _, _, images in chosen), "masking parts", "image") as progress:
            for number, (group, part, images) in enumerate(chosen):
                rng = np.random.default_rng((seed, number))
                boxes = _boxes(part, images, region, draws, rng)
                signs = {layer: _kept(len(images), boxes.shape[1], subject, layer) for layer in layers}
                for i, image in enumerate(images):
                    if id(image) not in clean:
                        clean[id(image)] = _features(subject, image.x[None], layers)
                    for start in range(0, boxes.shape[1], batch):
                        some = slice(start, start + batch)
                        changed = _features(subject, masked(image.x, boxes[i, some], subject.preprocessing, fill), layers)
                        for layer in layers:
                            signs[layer][i, some] = np.sign(clean[id(image)][layer] - changed[layer])
                    progress.update()
                found = {layer: compared(signs[layer], draws, permutations, rng) for layer in layers}
                rows.append(Row(group, part, images, boxes, found))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped after {len(rows)} of {len(chosen)} parts; nothing was written") from None
    return rows


def _parts_of(groups: Mapping[str, Sequence[Framed]]) -> list[tuple[str, str, list[Framed]]]:
    chosen = []
    for group, images in groups.items():
        for part in dict.fromkeys(part for image in images for part in image.parts):
            having = [image for image in images if part in image.parts]
            if len(having) >= 2:
                chosen.append((group, part, having))
            else:
                say(f"left out: {part}: seen in one image only, {having[0].name}")
    return chosen


def _boxes(part: str, images: Sequence[Framed], region: str, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 1 + 2 K, 4): the part's box in each image, K boxes apart, K together."""
    own = np.array([image.parts[part] for image in images])
    frame = images[0].frame.shape[:2]
    regions = np.array([image.object if region == "object" else Box(0, 0, *frame) for image in images])
    sizes = own[:, 2:] - own[:, :2]
    random = [random_boxes(sizes, regions, frame, rng, together) for together in (False, True) for _ in range(draws)]
    return np.stack([own, *random], axis=1)


def masked(x: np.ndarray, boxes: np.ndarray, preprocessing: Preprocessing, fill: str) -> np.ndarray:
    """An input (C, H, W) once for each of some boxes (M, 4) in its frame, with that box filled: (M, C, H, W)."""
    mean = preprocessing.mean if preprocessing.mean.ndim == 3 else preprocessing.mean[:, None, None]
    grey = ((GREY - mean) * preprocessing.scale[:, None, None]).astype(x.dtype)
    filled = np.broadcast_to(grey if fill == "grey" else np.zeros_like(grey), x.shape)
    copies = np.repeat(x[None], len(boxes), axis=0)
    for copy, (y0, x0, y1, x1) in zip(copies, boxes, strict=True):
        copy[:, y0:y1, x0:x1] = filled[:, y0:y1, x0:x1]
    return copies


def _kept(images: int, masks: int, subject: Subject, layer: str) -> np.ndarray:
    size = int(np.prod(subject.net.shapes[layer]))
    if (images * masks) ** 2 * 8 > MOST_DISTANCES:
        taken, most = (images * masks) ** 2 * 8 / 2**30, MOST_DISTANCES / 2**30
        raise ZfcoreError(
            f"{images} images with {masks} masks each: the distances of all pairs would take {taken:.1f} GiB, at most {most:.0f} are kept; "
            "take fewer images or --draws"
        )
    if images * masks * size > MOST_SIGNS:
        raise ZfcoreError(
            f"{layer}: the changes of {images} images with {masks} masks each would take {images * masks * size / 2**30:.1f} GiB, "
            f"at most {MOST_SIGNS / 2**30:.0f} are kept; take fewer images or --draws, or a smaller layer"
        )
    return np.empty((images, masks, size), np.int8)


def _features(subject: Subject, xs: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
    """(M, F) for each layer."""
    trace = subject.net.forward(xs, keep=layers, record=False)
    found = {layer: trace[layer].reshape(len(xs), -1) for layer in layers}
    wrong = [layer for layer in layers if not np.isfinite(found[layer]).all()]
    if wrong:
        raise ZfcoreError(f"{subject.given}: features of {wrong[0]} are not finite; see to weights and preprocessing")
    return found


# ---- what was found


def overall(rows: Sequence[Row], layer: str) -> dict[str, Any]:
    """Over all parts: mean Delta of parts, of masks apart and together, and the tests."""
    found = [row.layers[layer] for row in rows]
    p = np.array([c.p_apart for c in found])
    return {
        "parts": len(found),
        "delta_parts": float(np.mean([c.part for c in found])),
        "delta_apart": float(np.mean([c.apart.mean() for c in found])),
        "delta_together": float(np.mean([c.together.mean() for c in found])),
        "p_apart": pooled(found, "apart"),
        "p_together": pooled(found, "together"),
        "p_looser_apart": pooled(found, "apart", looser=True),
        "p_looser_together": pooled(found, "together", looser=True),
        "parts_below_apart": int(sum(c.part < c.apart.mean() for c in found)),
        "parts_below_together": int(sum(c.part < c.together.mean() for c in found)),
        "significant": int((p < LEVEL).sum()),
        "significant_holm": int((holm(p) < LEVEL).sum()),
    }


def _layer_numbers(rows: Sequence[Row], layer: str) -> dict[str, Any]:
    return {"overall": overall(rows, layer), "parts": [{"group": r.group, "part": r.part, **_facts(r.layers[layer])} for r in rows]}


def _facts(c: Comparison) -> dict[str, Any]:
    return {
        "images": c.images,
        "delta": c.part,
        "deviation_over_pairs": c.part_deviation,
        "error": c.part_error,
        "apart": {
            "delta": float(c.apart.mean()),
            "deviation_over_pairs": c.apart_deviation,
            "deviation_over_draws": float(c.apart.std()),
            "draws": c.apart.tolist(),
            "p": c.p_apart,
        },
        "together": {
            "delta": float(c.together.mean()),
            "deviation_over_draws": float(c.together.std()),
            "draws": c.together.tolist(),
            "p": c.p_together,
        },
        "gain_over_apart_95": list(c.gain),
    }


def p_text(p: float, permutations: int) -> str:
    """A p-value, no finer than permutations can tell."""
    least = 1 / (1 + permutations)
    return f"p <= {least:.1g}" if p <= least else f"p = {p:.2g}"


def _verdict(o: Mapping[str, Any], against: str) -> str:
    if o[f"p_{against}"] < LEVEL:
        return "tighter than"
    return "looser than" if o[f"p_looser_{against}"] < LEVEL else "neither clearly tighter nor looser than"


def _found(rows: Sequence[Row], layers: Sequence[str]) -> str:
    permutations = len(rows[0].layers[layers[0]].null_apart)
    sentences = []
    for layer in layers:
        o = overall(rows, layer)
        sentences.append(
            f"At {layer} masked parts change features {_verdict(o, 'apart')} masks at random places: mean Delta "
            f"{o['delta_parts']:.4f} over {o['parts']} parts against {o['delta_apart']:.4f} "
            f"({p_text(o['p_apart'], permutations)}; {o['parts_below_apart']} parts lie below, {o['significant']} with p < {LEVEL}, "
            f"{o['significant_holm']} after Holm's correction); and {_verdict(o, 'together')} masks at one random place of all images, "
            f"{o['delta_together']:.4f} ({p_text(o['p_together'], permutations)})."
        )
    return " ".join(sentences)


def _table(rows: Sequence[Row], layers: Sequence[str]) -> list[str]:
    """Delta of each part, mean and deviation over pairs, beside those of random masks."""
    lines = []
    for layer in layers:
        cells = [["part", "images", "Delta", "+-", "apart", "+-", "together", "p (apart)", "p (together)"]]
        for row in rows:
            c = row.layers[layer]
            numbers = (c.part, c.part_deviation, c.apart.mean(), c.apart_deviation, c.together.mean(), c.p_apart, c.p_together)
            cells.append([printable(row.name), str(c.images), *(f"{number:.4f}" for number in numbers)])
        o = overall(rows, layer)
        means = [f"{o['delta_parts']:.4f}", "", f"{o['delta_apart']:.4f}", "", f"{o['delta_together']:.4f}"]
        cells.append(["mean of the parts", "", *means, f"{o['p_apart']:.4f}", f"{o['p_together']:.4f}"])
        least = 1 / (1 + len(rows[0].layers[layer].together))
        heading = f"{layer}: Delta, the share of signs that differ; +- over pairs of images; p (together) of a part is {least:.2g} at least"
        lines += [heading, *report.columns(cells), ""]
    five, seven = (", ".join(f"{name} {values[i]:.3f}" for name, values in PAPER.items()) for i in (0, 1))
    return [*lines, f"the paper (5 dogs, ImageNet): layer 5: {five}; layer 7: {seven}"]


def _draw(results: Results, subject: Subject, rows: Sequence[Row], layers: Sequence[str], fill: str, source: str) -> None:
    names = [row.name for row in rows]
    figure = comparison_plot(names, [(layer, [row.layers[layer] for row in rows]) for layer in layers])
    results.plot("correspond", figure, f"correspondence of parts: network {subject.name} on {source}; a lower Delta is tighter")
    groups = list(dict.fromkeys(row.group for row in rows))
    stems = report.file_names([f"masks-{group}" if group else "masks" for group in groups])
    colour = GREY if fill == "grey" else _mean_picture(subject)
    for group, stem in zip(groups, stems.values(), strict=True):
        those = [row for row in rows if row.group == group]
        captions, columns = _mask_columns(those, colour)
        title = f"masked parts, network {subject.name}{': ' + group if group else ''}, {len(those[0].images)} images (figure 8)"
        results.picture(stem, masks_picture(captions, columns, title))


def _mean_picture(subject: Subject) -> np.ndarray:
    """The mean that is subtracted, as a frame (H, W, 3) uint8."""
    mean = subject.preprocessing.mean
    full = np.broadcast_to(mean if mean.ndim == 3 else mean[:, None, None], subject.net.input_shape)
    return np.clip(np.rint(subject.preprocessing.to_rgb(full)), 0, 255).astype(np.uint8)


def _mask_columns(rows: Sequence[Row], colour: int | np.ndarray) -> tuple[list[str], list[list[np.ndarray]]]:
    """The images; these with each part masked; with the first part's random masks, apart and together."""
    first = rows[0]
    shown = first.images[:SHOWN]
    draws = (first.boxes.shape[1] - 1) // 2
    captions, columns = ["images"], [[image.frame for image in shown]]

    def column(caption: str, row: Row, mask: int) -> None:
        where = {id(image): row.boxes[i, mask] for i, image in enumerate(row.images)}
        captions.append(caption)
        columns.append([_filled(image.frame, where.get(id(image)), colour) for image in shown])

    for row in rows:
        column(row.part, row, 0)
    column("random, apart", first, 1)
    column("random, together", first, 1 + draws)
    return captions, columns


def _filled(frame: np.ndarray, box: np.ndarray | None, colour: int | np.ndarray) -> np.ndarray:
    if box is None:
        return np.full_like(frame, 255)
    filled = frame.copy()
    y0, x0, y1, x1 = box
    filled[y0:y1, x0:x1] = colour if isinstance(colour, int) else colour[y0:y1, x0:x1]
    return filled
