"""What a labelled data set holds, as it is found: parts, classes, sizes, damaged files, and a contact sheet.

Every image is read once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import zfcore
from zfcore.data.datasets import open_data
from zfcore.data.images import ImageError
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.sources import read_ahead
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.experiments.progress import bar, say
from zfcore.figures.contact import contact_sheet

AHEAD = 64
"""Images read before they are asked for."""
SHEET_CLASSES, SHEET_IMAGES = 20, 8
TABLE_CLASSES, TABLE_ENDS = 40, 10
"""Of more classes than the first the table shows only so many of the smallest and of the largest."""
PICTURE, RECORD = "contact-sheet.png", "data.json"


@dataclass(frozen=True)
class Seen:
    """What reading a part came to.

    Parameters
    ----------
    sizes : Counter of (height, width)
    grey : int
        Images whose three channels are equal.
    damaged : dict of int to str
        Images that cannot be used, and why.
    digests : uint64 array (N,)
        Equal where the pixels are; 0, which is as good as no image's, where it is damaged.
    """

    sizes: Counter[tuple[int, int]]
    grey: int
    damaged: dict[int, str]
    digests: np.ndarray


@dataclass(frozen=True)
class Survey:
    """A data set, and of every part what was seen and which of its images are in train, too."""

    data: DataSet
    seen: dict[str, Seen]
    in_train: dict[str, np.ndarray]


def run(path: str | Path, out: Path | None = None, seed: int = 0) -> Survey:
    """Read every image, say what is wrong with which, and write a contact sheet and a record.

    Parameters
    ----------
    path : str or Path
        As `open_data` takes it.
    out : Path, optional
        Folder for the results; without it nothing is written.
    seed : int
        Of the scenes and of the choice of images for the sheet.

    Raises
    ------
    ZfcoreError
        If there is no data set, none of its images can be read, or the results cannot be written.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    data = open_data(path, seed)
    if out is not None:
        report.keep_out_of(data.path, out)
        report.make_folder(out)
    for note in data.notes:
        say(f"note: {note}")
    survey = surveyed(data)
    if out is not None:
        report.write_picture(out / PICTURE, _sheet(survey, seed))
        report.write_json(out / RECORD, {"zfcore": zfcore.__version__, "experiment": "data", "seed": seed, **facts(survey)})
        say(f"written: {out / PICTURE}, {out / RECORD}")
    return survey


def surveyed(data: DataSet) -> Survey:
    """Read every image once; what is damaged is said at once, what is in two parts at the end."""
    total = sum(map(len, data.parts.values()))
    seen: dict[str, Seen] = {}
    with bar(total, "reading", "image") as progress:
        for name, part in data.parts.items():
            seen[name] = _seen(name, part, progress)
    survey = Survey(data, seen, {name: _in_train(seen, name) for name in seen if name != "train"})
    for name, indices in survey.in_train.items():
        if len(indices):
            first = data.parts[name].source.name(indices[0])
            say(f"warning: {name}: {_images(len(indices))} with the same pixels in train, too; the first is {first}")
    return survey


def _seen(name: str, part: Labelled, progress: Any) -> Seen:
    sizes: Counter[tuple[int, int]] = Counter()
    grey, damaged, digests = 0, {}, np.zeros(len(part), np.uint64)
    try:
        for index, found in read_ahead(lambda i: _looked_at(part.source.read(i), part.grey), range(len(part)), AHEAD):
            progress.update()
            if isinstance(found, ZfcoreError):
                damaged[index] = getattr(found, "reason", str(found))
                say(f"damaged: {name}: {part.source.name(index)}: {damaged[index]}")
            else:
                size, is_grey, digests[index] = found
                sizes[size] += 1
                grey += is_grey
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped after {sizes.total() + len(damaged):,} of {_images(len(part))} of part {name}") from None
    if len(damaged) == len(part):
        first = part.source.name(0)
        raise ZfcoreError(f"{part.source.described}: none of {len(part):,} images can be read; the first, {first}: {damaged[0]}")
    return Seen(sizes, grey, damaged, digests)


def _looked_at(image: np.ndarray, known_grey: bool) -> tuple[tuple[int, int], bool, int]:
    """Size, whether the channels are equal, and a digest of the pixels."""
    height, width = image.shape[:2]
    grey = known_grey or bool((image[..., :2] == image[..., 1:]).all())
    # 8 bytes: among a million images two differing ones share a digest once in 30 million times.
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8, key=f"{height}x{width}".encode()).digest()
    return (height, width), grey, int.from_bytes(digest)


def _in_train(seen: dict[str, Seen], name: str) -> np.ndarray:
    """Indices of a part's images whose pixels are in train, too."""
    known = np.delete(seen["train"].digests, list(seen["train"].damaged))
    return np.flatnonzero(np.isin(seen[name].digests, known))


# ---- as plain values and as text


def facts(survey: Survey) -> dict[str, Any]:
    """All of it as plain values, for JSON."""
    data = survey.data
    return {
        "path": data.path,
        "kind": data.kind,
        "notes": list(data.notes),
        "classes": list(data.classes),
        "parts": {name: _part_facts(survey, name) for name in data.parts},
    }


def _part_facts(survey: Survey, name: str) -> dict[str, Any]:
    part, seen = survey.data.parts[name], survey.seen[name]
    heights, widths = zip(*seen.sizes, strict=True)
    (common, times), *_ = seen.sizes.most_common(1)
    return {
        "images": len(part),
        "per_class": part.counts.tolist(),
        "channels": 1 if part.grey else 3,
        "grey": seen.grey,
        "height": [min(heights), max(heights)],
        "width": [min(widths), max(widths)],
        "most_common_size": {"height": common[0], "width": common[1], "images": times},
        "damaged": [{"image": part.source.name(index), "reason": reason} for index, reason in seen.damaged.items()],
        "in_train_too": [part.source.name(int(index)) for index in survey.in_train.get(name, ())],
    }


HEADINGS = ("part", "images", "fewest", "median", "most", "damaged", "in train, too", "height", "width", "most common", "colour")


def table(survey: Survey) -> str:
    """All of it as text."""
    data = survey.data
    few = ", ".join(data.classes[:12]) + ", ..." * (len(data.classes) > 12)
    summary = [f"data     {data.path}", f"kind     {data.kind}", f"classes  {len(data.classes):,}: {few}"]
    parts = [HEADINGS, *(_part_cells(survey, name) for name in data.parts)]
    reading = ["fewest, median, most: images of a class; height, width, most common: of the images, in pixels."]
    return "\n".join([*map(printable, summary), "", *report.columns(parts), "", *reading, "", *_class_lines(data)])


def _part_cells(survey: Survey, name: str) -> tuple[str, ...]:
    part, seen = survey.data.parts[name], survey.seen[name]
    counts, read = part.counts, seen.sizes.total()
    ranges = (sorted({min(sides), max(sides)}) for sides in zip(*seen.sizes, strict=True))
    heights, widths = (" to ".join(map(str, ends)) for ends in ranges)
    ((height, width), times), *_ = seen.sizes.most_common(1)
    colour = "grey" if seen.grey == read else f"colour, {seen.grey:,} grey" if seen.grey else "colour"
    numbers = (len(part), counts.min(), np.median(counts), counts.max(), len(seen.damaged))
    doubled = f"{len(survey.in_train[name]):,}" if name in survey.in_train else "-"
    common = f"{height}x{width}" + (f" ({times / read:.0%})" if times < read else "")
    return (name, *(f"{number:,g}" if number % 1 else f"{number:,.0f}" for number in numbers), doubled, heights, widths, common, colour)


def _class_lines(data: DataSet) -> list[str]:
    """A line for every class, or for the smallest and largest where there are many."""
    counts = np.stack([part.counts for part in data.parts.values()], axis=1)
    order, heading = np.arange(len(data.classes)), "class"
    gap = None
    if len(order) > TABLE_CLASSES:
        by_size = np.argsort(counts[:, list(data.parts).index("train")], kind="stable")
        order, gap = np.concatenate([by_size[:TABLE_ENDS], by_size[-TABLE_ENDS:]]), TABLE_ENDS
        heading = f"the {TABLE_ENDS} smallest and {TABLE_ENDS} largest of {len(data.classes):,} classes"
    cells = [(printable(data.classes[k]), *(f"{count:,}" for count in counts[k])) for k in order]
    lines = report.columns([(heading, *data.parts), *cells], left=1)
    if gap is not None:
        lines.insert(2 + gap, "...")
    return lines


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


# ---- the contact sheet


def _sheet(survey: Survey, seed: int) -> Image.Image:
    """Images of train, drawn by seed; a class all of whose images are damaged has none."""
    data, part = survey.data, survey.data.parts["train"]
    rng = np.random.default_rng(seed)
    shown = np.sort(rng.choice(len(data.classes), min(len(data.classes), SHEET_CLASSES), replace=False))
    good = np.ones(len(part), bool)
    good[list(survey.seen["train"].damaged)] = False
    rows = []
    for k in shown:
        chosen = np.sort(rng.permutation(np.flatnonzero(good & (part.labels == k)))[:SHEET_IMAGES])
        images = _still_readable(part, chosen)
        rows.append((f"{data.classes[k]} ({len(images)} of {part.counts[k]:,})", images))
    tiles = sum(len(images) for _, images in rows)
    classes = "Every class" if len(shown) == len(data.classes) else f"{len(shown)} of {len(data.classes):,} classes, drawn by seed {seed}"
    note = f"{classes}; of each up to {SHEET_IMAGES} images, drawn by seed {seed}: {tiles} of the {len(part):,} of part train."
    return contact_sheet(rows, f"{data.path}: {data.kind}", f"{note} Small images are enlarged by whole factors.")


def _still_readable(part: Labelled, indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """Those images; a file may have gone since it was looked at."""
    images = []
    for index in indices:
        try:
            images.append(part.source.read(int(index)))
        except ImageError as error:
            say(f"left out of the sheet: {error}")
    return images
