"""Images with the boxes of their parts: from a file of boxes, or the built-in scenes; and how they come into a network's frame."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.images import ImageError, read_image
from zfcore.data.pictures import open_picture
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.scene_objects import Box
from zfcore.data.scenes import CLASSES, Scene
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import say
from zfcore.names import nearest

LEAST_SIDE = 2
"""Pixels of the frame: a part that is less is too small to mask."""
LEAST_SEEN = 0.5
"""Share of a part's box that the frame must show."""
FORM = '{"images": [{"image": "dog1.jpg", "parts": {"left eye": [y0, x0, y1, x1]}, "object": [y0, x0, y1, x1]}, ...]}'


@dataclass(frozen=True, eq=False)
class Marked:
    """An image and the boxes of its parts, in its own pixels.

    Parameters
    ----------
    name : str
    pixels : uint8 array (H, W, 3)
    parts : dict of str to Box
    object : Box, optional
        Of the whole object, where that is known.
    """

    name: str
    pixels: np.ndarray = field(repr=False)
    parts: Mapping[str, Box]
    object: Box | None = None


@dataclass(frozen=True, eq=False)
class Framed:
    """The same in a network's frame.

    Parameters
    ----------
    name : str
    frame : uint8 array (H, W, 3)
        What the network sees.
    x : float32 array (C, H, W)
        Its input.
    parts : dict of str to Box
        Those that the frame shows, in its pixels.
    object : Box
        The object, or the whole frame where that is not known.
    left_out : dict of str to str
        The other parts, and why.
    """

    name: str
    frame: np.ndarray = field(repr=False)
    x: np.ndarray = field(repr=False)
    parts: Mapping[str, Box]
    object: Box
    left_out: Mapping[str, str]


def framed(image: Marked, preprocessing: Preprocessing) -> Framed:
    """An image and its boxes as a network sees them: through the resize and the crop."""
    frame = preprocessing.frame(image.pixels)
    seen, size = preprocessing.seen(*image.pixels.shape[:2]), frame.shape[:2]
    parts: dict[str, Box] = {}
    left_out: dict[str, str] = {}
    for name, box in image.parts.items():
        brought, share = brought_in(box, seen, size)
        if share < LEAST_SEEN:
            left_out[name] = f"{100 * share:.0f} % of it inside what the network sees"
        elif min(brought.y1 - brought.y0, brought.x1 - brought.x0) < LEAST_SIDE:
            left_out[name] = f"less than {LEAST_SIDE} pixels of what the network sees"
        else:
            parts[name] = brought
    whole = Box(0, 0, *size)
    of_object = whole if image.object is None else brought_in(image.object, seen, size)[0]
    empty = of_object.y0 >= of_object.y1 or of_object.x0 >= of_object.x1
    return Framed(image.name, frame, preprocessing(image.pixels), parts, whole if empty else of_object, left_out)


def brought_in(box: Sequence[float], seen: Sequence[float], size: Sequence[int]) -> tuple[Box, float]:
    """A box of the picture in pixels of a frame (H, W) that shows the rectangle `seen` of it, and the share of it that is seen.

    Every pixel is in the box that it covers by a part, but for a hundredth.

    Examples
    --------
    >>> brought_in((10, 20, 30, 40), (0, 0, 100, 100), (50, 50))
    (Box(y0=5, x0=10, y1=15, x1=20), 1.0)
    """
    ends, share = [], 1.0
    for axis in (0, 1):
        low, high, scale = seen[axis], seen[2 + axis], size[axis] / (seen[2 + axis] - seen[axis])
        start, stop = max(box[axis], low), min(box[2 + axis], high)
        share *= max(stop - start, 0) / (box[2 + axis] - box[axis])
        ends.append((max(math.floor((start - low) * scale + 0.01), 0), min(math.ceil((stop - low) * scale - 0.01), size[axis])))
    return Box(ends[0][0], ends[1][0], ends[0][1], ends[1][1]), share


# ---- the built-in scenes


def scene_parts(name: str, count: int, first: int = 0) -> list[Marked]:
    """Built-in test scenes of one class with their parts, the first with number `first` or behind.

    Raises
    ------
    ZfcoreError
        If there is no such class.
    """
    if name not in CLASSES:
        hint = nearest(name, CLASSES) or f"; needed {', '.join(CLASSES)}"
        raise ZfcoreError(f"scenes: got the class {name!r}, which they do not have{hint}")
    start = first + (CLASSES.index(name) - first) % len(CLASSES)
    return [_marked_scene(number) for number in range(start, start + count * len(CLASSES), len(CLASSES))]


def _marked_scene(number: int) -> Marked:
    picture = open_picture(f"scenes/{number}")
    scene = picture.scene
    assert scene is not None
    return Marked(picture.name, scene.image, scene.parts, object_box(scene))


def object_box(scene: Scene) -> Box:
    """The smallest box around a scene's object."""
    rows, columns = np.flatnonzero(scene.mask.any(axis=1)), np.flatnonzero(scene.mask.any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


# ---- a file of boxes


def read_parts(path: Path) -> list[Marked]:
    """The images that a JSON file names, with the boxes of their parts.

    Parameters
    ----------
    path : Path
        Of the form `FORM`; names of images are relative to its folder, "object" may be left out. A box is in pixels of the upright
        image, rows y0 <= y < y1 and columns x0 <= x < x1.

    Raises
    ------
    ZfcoreError
        If the file cannot be read or a field of it is wrong; the message names the field. Damaged images are said and left out.
    """
    found = []
    for place, entry in _entries(path):
        given = path.parent / entry["image"]
        if not given.is_file():
            raise ZfcoreError(f"{path}: {place}.image: {given}: no such file; needed an image file, its path relative to {path.parent}")
        try:
            pixels = read_image(given)
        except ImageError as error:
            say(f"skipped {entry['image']}: {error.reason}")
            continue
        size = pixels.shape[:2]
        parts = {name: _box(path, f'{place}.parts["{name}"]', box, size) for name, box in entry["parts"].items()}
        whole = _box(path, f"{place}.object", entry["object"], size) if "object" in entry else None
        found.append(Marked(entry["image"], pixels, parts, whole))
    return found


def _entries(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each image's place in the file, and its fields, checked but for the boxes."""

    def wrong(place: str, got: Any, needed: str) -> ZfcoreError:
        return ZfcoreError(f"{path}: {place}: got {_short(got)}, needed {needed}")

    content = _read_json(path)
    if not isinstance(content, dict) or list(content) != ["images"]:
        raise wrong("the whole", content, FORM)
    entries = content["images"]
    if not isinstance(entries, list) or not entries:
        raise wrong("images", entries, "a list of images, one or more")
    found = []
    for number, entry in enumerate(entries):
        place = f"images[{number}]"
        if not isinstance(entry, dict):
            raise wrong(place, entry, '{"image": ..., "parts": {...}}')
        strange = [name for name in entry if name not in ("image", "parts", "object")]
        if strange:
            raise wrong(f"{place}.{strange[0]}", entry[strange[0]], "no such field: image, parts and, if known, object")
        for name, kind, needed in (("image", str, "the path of an image"), ("parts", dict, '{"left eye": [y0, x0, y1, x1]}')):
            if not isinstance(entry.get(name), kind) or not entry[name]:
                raise wrong(f"{place}.{name}", entry.get(name), needed)
        found.append((place, entry))
    return found


def _read_json(path: Path) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ZfcoreError(f'{path}: has "{twice[0]}" twice in one place; the one would hide the other')
        return dict(pairs)

    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    except OSError as error:
        raise ZfcoreError(f"{path}: cannot be read: {error.strerror}; needed a JSON file of boxes, {FORM}") from error
    except ZfcoreError:
        raise
    except (ValueError, RecursionError) as error:
        raise ZfcoreError(f"{path}: is no JSON: {error}; needed {FORM}") from error


def _box(path: Path, place: str, box: Any, size: tuple[int, ...]) -> Box:
    height, width = size
    if not isinstance(box, list) or len(box) != 4 or any(isinstance(v, bool) or not isinstance(v, int | float) for v in box):
        raise ZfcoreError(f"{path}: {place}: got {_short(box)}, needed [y0, x0, y1, x1], four numbers")
    y0, x0, y1, x1 = box
    if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
        raise ZfcoreError(
            f"{path}: {place}: got {_short(box)}, needed y0 < y1 and x0 < x1 inside the image, which is {height} pixels high and "
            f"{width} wide"
        )
    return Box(y0, x0, y1, x1)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
