"""The built-in data set: small pictures of objects made of named parts, drawn by program, with the truth about each.

Every scene is a textured backdrop, a few distractors that belong to no class, and one object (see `scene_objects`) in a
random pose, size, colour, texture and light. Because it is drawn, its mask and the box of every part are known exactly,
and an explanation of a network's decision can be scored against them.

What a scene looks like depends on (seed, index) only: scenes can be made in any order, in pieces, or one at a time.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zfcore.data.scene_objects import KINDS, Box, Colour, Kind, Palette, Pen, Pose, arc, box_points

CLASSES: tuple[str, ...] = tuple(KINDS)
SIZE = 64
SUPERSAMPLING = 3
"""Canvas pixels per pixel and axis: edges come out smooth, though Pillow's polygons are not antialiased."""

_GRID = (np.arange(SIZE) - (SIZE - 1) / 2) / (SIZE / 2)
_Y, _X = np.meshgrid(_GRID, _GRID, indexing="ij")


@dataclass(frozen=True)
class Scene:
    """One picture and the truth about it.

    Attributes
    ----------
    image : numpy.ndarray
        (64, 64, 3) uint8, RGB.
    label : int
        Index into `CLASSES`.
    mask : numpy.ndarray
        (64, 64) bool: the pixels at least half covered by the object.
    parts : dict[str, Box]
        The box of every named part, clipped to the picture.
    """

    image: np.ndarray
    label: int
    mask: np.ndarray
    parts: dict[str, Box]


@dataclass(frozen=True)
class SceneSet:
    """Many scenes: images (N, 64, 64, 3) uint8, labels (N,) int64, masks (N, 64, 64) bool, N dicts of part boxes."""

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    parts: list[dict[str, Box]]


def make_scenes(count: int, seed: int, start: int = 0, progress: Callable[[int, int], None] | None = None) -> SceneSet:
    """Scenes `start` to ``start + count - 1`` of the endless sequence that belongs to `seed`.

    Classes take turns, so any ten consecutive scenes hold each class once. Disjoint ranges of one seed make training
    and held-out sets.

    Parameters
    ----------
    count, seed, start : int
        Not negative.
    progress : callable, optional
        Called as ``progress(done, count)`` after each scene.

    Examples
    --------
    >>> scenes = make_scenes(20, seed=1)
    >>> scenes.images.shape, scenes.masks.shape
    ((20, 64, 64, 3), (20, 64, 64))
    >>> np.bincount(scenes.labels)
    array([2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    if count < 0:
        raise ValueError(f"count: got {count}, needed 0 or more")
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    masks = np.empty((count, SIZE, SIZE), bool)
    parts = []
    for i in range(count):
        scene = draw_scene(seed, start + i)
        images[i], labels[i], masks[i] = scene.image, scene.label, scene.mask
        parts.append(scene.parts)
        if progress is not None:
            progress(i + 1, count)
    return SceneSet(images, labels, masks, parts)


def draw_scene(seed: int, index: int) -> Scene:
    """Scene number `index` of the sequence that belongs to `seed`.

    Examples
    --------
    >>> scene = draw_scene(seed=0, index=1)
    >>> CLASSES[scene.label], sorted(scene.parts)
    ('car', ['front wheel', 'front window', 'headlight', 'rear wheel', 'rear window'])
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index: got {seed} and {index}, needed 0 or more")
    rng = np.random.default_rng((seed, index))
    label = index % len(CLASSES)
    kind = KINDS[CLASSES[label]]

    ground = random_colour(rng)
    canvas = Image.fromarray(backdrop(rng, ground)).resize((SIZE * SUPERSAMPLING,) * 2, Image.Resampling.BILINEAR)
    for _ in range(rng.integers(1, 5)):
        draw_distractor(canvas, rng)

    pen = Pen(canvas, random_pose(rng, kind))
    kind.draw(pen, rng, random_palette(rng, ground))

    cover = np.asarray(pen.cover.reduce(SUPERSAMPLING), np.float32) / 255
    image = lit(rng, np.asarray(canvas.reduce(SUPERSAMPLING), np.float32), cover)
    return Scene(image, label, cover >= 0.5, {name: _pixel_box(extent) for name, extent in pen.extents.items()})


def _pixel_box(extent: tuple[float, float, float, float]) -> Box:
    left, top, right, bottom = (min(max(v / SUPERSAMPLING, 0), SIZE) for v in extent)
    return Box(math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right))


def random_pose(rng: np.random.Generator, kind: Kind) -> Pose:
    """Size, tilt, stretch, mirroring and place: all of the unit disc stays inside the picture."""
    radius = rng.uniform(23, 31)
    width, height = radius * rng.uniform(0.9, 1), radius * rng.uniform(0.9, 1)
    angle = math.radians(rng.uniform(-kind.tilt, kind.tilt))
    room = SIZE / 2 - radius
    cx, cy = SIZE / 2 + rng.uniform(-room, room), SIZE / 2 + rng.uniform(-room, room)
    if kind.mirror and rng.random() < 0.5:
        width = -width
    c, s = math.cos(angle), math.sin(angle)
    return Pose(*(SUPERSAMPLING * v for v in (cx, cy, width * c, -height * s, width * s, height * c)))


def random_colour(rng: np.random.Generator) -> Colour:
    """Any hue, from grey to vivid, from dark to light."""
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.95), rng.uniform(0.2, 1))
    return round(255 * r), round(255 * g), round(255 * b)


def luminance(colour: Colour) -> float:
    """How light a colour looks, 0 to 255 (ITU-R BT.601)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def contrasting_colour(rng: np.random.Generator, *others: Colour, by: float = 60) -> Colour:
    """A random colour that is lighter or darker than each of the others by at least `by`, or the best of thirty."""
    best, best_gap = (0, 0, 0), -1.0
    for _ in range(30):
        colour = random_colour(rng)
        gap = min(abs(luminance(colour) - luminance(other)) for other in others)
        if gap >= by:
            return colour
        if gap > best_gap:
            best, best_gap = colour, gap
    return best


def random_palette(rng: np.random.Generator, ground: Colour) -> Palette:
    """Colours for an object before a backdrop of colour `ground`. They say nothing about its class."""
    body = contrasting_colour(rng, ground, by=75)
    return Palette(body, contrasting_colour(rng, body), contrasting_colour(rng, body, ground, by=50))


def backdrop(rng: np.random.Generator, ground: Colour) -> np.ndarray:
    """A texture (64, 64, 3) uint8 between `ground` and a neighbouring colour."""
    pattern = (_gradient, _stripes, _checks, _blotches, _grain, _hills)[rng.integers(6)](rng)[..., None]
    near = np.asarray(ground, np.float32)
    far = near + rng.uniform(0.15, 0.4) * (np.asarray(random_colour(rng), np.float32) - near)
    return np.asarray(near + pattern * (far - near), np.uint8)


def _along(rng: np.random.Generator) -> np.ndarray:
    """Distance along a random direction, about -1 to 1 across the picture."""
    angle = rng.uniform(0, 2 * math.pi)
    return math.cos(angle) * _X + math.sin(angle) * _Y


def _gradient(rng: np.random.Generator) -> np.ndarray:
    return np.clip(0.5 + 0.5 * _along(rng), 0, 1)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    wave = np.sin(_along(rng) * rng.uniform(8, 35) + rng.uniform(0, 6))
    return np.clip(0.5 + rng.uniform(0.5, 3) * wave, 0, 1)


def _checks(rng: np.random.Generator) -> np.ndarray:
    angle, frequency = rng.uniform(0, math.pi / 2), rng.uniform(8, 25)
    u, v = math.cos(angle) * _X + math.sin(angle) * _Y, math.cos(angle) * _Y - math.sin(angle) * _X
    return (np.sin(frequency * u) * np.sin(frequency * v) > 0).astype(np.float64)


def _blotches(rng: np.random.Generator) -> np.ndarray:
    cells = int(rng.integers(3, 12))
    coarse = Image.fromarray((255 * rng.random((cells, cells))).astype(np.uint8))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) / 255


def _grain(rng: np.random.Generator) -> np.ndarray:
    return rng.random((SIZE, SIZE))


def _hills(rng: np.random.Generator) -> np.ndarray:
    """Two ranges of hills, one behind the other."""
    height = np.zeros((SIZE, SIZE))
    for horizon in (rng.uniform(-0.4, 0.2), rng.uniform(0.2, 0.6)):
        skyline = horizon + rng.uniform(0.05, 0.25) * np.sin(_GRID * rng.uniform(2, 6) + rng.uniform(0, 6))
        height += 0.5 * (_Y > skyline)
    return height


def draw_distractor(canvas: Image.Image, rng: np.random.Generator) -> None:
    """One shape of no class, somewhere: a blob, a bar, a bow, a triangle, or something like a wheel or a window."""
    radius, angle = SUPERSAMPLING * rng.uniform(3, 9), rng.uniform(0, 2 * math.pi)
    cx, cy = rng.uniform(0, SIZE * SUPERSAMPLING, 2)
    c, s = radius * math.cos(angle), radius * math.sin(angle)
    pen, colour, second = Pen(canvas, Pose(cx, cy, c, -s, s, c)), random_colour(rng), random_colour(rng)
    match int(rng.integers(6)):
        case 0:
            radii = rng.uniform(0.4, 1, 12).tolist()
            pen.polygon([(r * x, r * y) for r, (x, y) in zip(radii, arc(0, 0, 1, 1, 0, 330), strict=True)], colour)
        case 1:
            pen.stroke([(-2, 0), (2, 0)], rng.uniform(0.1, 0.5), colour)
        case 2:
            pen.stroke(arc(0, 0, 1, 1, 0, rng.uniform(90, 300)), 0.25, colour)
        case 3:
            pen.polygon(rng.uniform(-1, 1, (3, 2)).tolist(), colour)
        case 4:
            pen.ellipse(0, 0, 0.8, 0.8, colour)
            pen.ellipse(0, 0, 0.4, 0.4, second)
        case 5:
            pen.polygon(box_points(-0.7, -0.7, 0.7, 0.7), colour)
            pen.stroke([(0, -0.7), (0, 0.7)], 0.2, second)


def lit(rng: np.random.Generator, image: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Texture and shade the object, light the whole scene, add a little noise.

    Parameters
    ----------
    image : numpy.ndarray
        (64, 64, 3) float32, 0 to 255.
    cover : numpy.ndarray
        (64, 64) float32: the object's share of each pixel, 0 to 1.

    Returns
    -------
    numpy.ndarray
        (64, 64, 3) uint8.
    """
    texture = (_gradient, _stripes, _blotches, _grain)[rng.integers(4)](rng) - 0.5
    object_light = 1 + rng.uniform(0, 0.35) * texture + rng.uniform(0, 0.25) * _along(rng)
    scene_light = 1 + rng.uniform(0, 0.25) * _along(rng)
    light = (scene_light * (1 + cover * (object_light - 1)))[..., None]
    contrast, brightness = rng.uniform(0.75, 1.1), rng.uniform(-20, 20)
    noise = rng.uniform(1, 6) * rng.standard_normal((SIZE, SIZE, 3), np.float32)
    return np.clip(128 + contrast * (image * light - 128) + brightness + noise, 0, 255).astype(np.uint8)
