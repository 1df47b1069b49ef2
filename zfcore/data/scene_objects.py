"""The ten objects of the built-in scenes, each a few shapes around the origin, and the pen that draws them posed.

An object is written once, upright, inside the unit disc: x runs right, y runs down, (0, 0) is its middle. The pen moves
every point through the object's pose, so no object knows where, how large or how tilted it will be. A shape drawn under
a part's name adds to that part's box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]


class Box(NamedTuple):
    """Half-open rectangle of pixels: rows ``y0 <= y < y1``, columns ``x0 <= x < x1``."""

    y0: int
    x0: int
    y1: int
    x1: int


class Palette(NamedTuple):
    """The colours of one object: `body` stands out from the backdrop, `detail` and `accent` stand out from `body`."""

    body: Colour
    detail: Colour
    accent: Colour


class Pose(NamedTuple):
    """Where an object stands: canvas point = (cx, cy) + [[xx, xy], [yx, yy]] (x, y)."""

    cx: float
    cy: float
    xx: float
    xy: float
    yx: float
    yy: float

    def apply(self, points: Sequence[Point]) -> list[Point]:
        """The canvas points of `points`."""
        cx, cy, xx, xy, yx, yy = self
        return [(cx + xx * x + xy * y, cy + yx * x + yy * y) for x, y in points]

    @property
    def scale(self) -> float:
        """Canvas pixels per unit of length, averaged over directions (the root of the area's factor)."""
        return math.sqrt(abs(self.xx * self.yy - self.xy * self.yx))


class Pen:
    """Draws posed shapes on a canvas, and remembers what they covered.

    Attributes
    ----------
    cover : PIL.Image.Image
        Mode L, as large as the canvas: 255 wherever this pen drew.
    extents : dict[str, tuple[float, float, float, float]]
        By part: (left, top, right, bottom) of everything drawn under that name, in canvas pixels, not clipped.
    """

    def __init__(self, canvas: Image.Image, pose: Pose) -> None:
        self.pose = pose
        self.cover = Image.new("L", canvas.size)
        self.extents: dict[str, tuple[float, float, float, float]] = {}
        self._draw, self._draw_cover = ImageDraw.Draw(canvas), ImageDraw.Draw(self.cover)

    def polygon(self, points: Sequence[Point], colour: Colour, part: str | None = None) -> None:
        """Fill a polygon."""
        placed = self.pose.apply(points)
        self._draw.polygon(placed, fill=colour)
        self._draw_cover.polygon(placed, fill=255)
        self._extend(part, placed, 0.0)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, part: str | None = None, turn: float = 0.0
    ) -> None:
        """Fill the ellipse with half axes `rx`, `ry` around (x, y), turned by `turn` radians."""
        c, s = math.cos(turn), math.sin(turn)
        self.polygon([(x + c * rx * u - s * ry * v, y + s * rx * u + c * ry * v) for u, v in _CIRCLE], colour, part)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour, part: str | None = None) -> None:
        """Draw a line of `width` through the points."""
        placed = self.pose.apply(points)
        thick = max(2, round(width * self.pose.scale))
        self._draw.line(placed, fill=colour, width=thick, joint="curve")
        self._draw_cover.line(placed, fill=255, width=thick, joint="curve")
        self._extend(part, placed, thick / 2)

    def _extend(self, part: str | None, placed: list[Point], margin: float) -> None:
        if part is None:
            return
        xs, ys = zip(*placed, strict=True)
        left, top, right, bottom = min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin
        if part in self.extents:
            l0, t0, r0, b0 = self.extents[part]
            left, top, right, bottom = min(left, l0), min(top, t0), max(right, r0), max(bottom, b0)
        self.extents[part] = (left, top, right, bottom)


_CIRCLE = [(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 20, endpoint=False).tolist()]


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> list[Point]:
    """Twelve points of an ellipse around (x, y), from angle `start` to `stop` in degrees (0 is right, 90 is down)."""
    angles = [math.radians(start + (stop - start) * i / 11) for i in range(12)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def box_points(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    """The corners of an upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def face(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """Front view: ears and hair around a head with two eyes, nose and mouth."""
    width, height = rng.uniform(0.6, 0.78), rng.uniform(0.8, 0.92)
    for side in (-1, 1):
        pen.ellipse(side * width, 0.05, 0.14, 0.2, colours.body)
    pen.ellipse(0, 0.06, width, height - 0.06, colours.body)
    cap = arc(0, -0.1, width + 0.06, height - 0.06, 205, 335)
    hairline = arc(0, -0.1, width - 0.06, rng.uniform(0.35, 0.55), 335, 205)
    pen.polygon(cap + hairline, colours.accent, "hair")
    apart, eye, gaze = rng.uniform(0.24, 0.32), rng.uniform(0.13, 0.18), rng.uniform(-0.05, 0.05)
    for side, name in ((-1, "left eye"), (1, "right eye")):
        pen.ellipse(side * apart, -0.1, eye + 0.03, eye, (245, 245, 240), name)
        pen.ellipse(side * apart + gaze, -0.1, eye * 0.55, eye * 0.7, (25, 20, 30), name)
    nose = rng.uniform(0.07, 0.12)
    pen.polygon([(0, 0.02), (nose, 0.3), (-nose, 0.3)], colours.detail, "nose")
    if rng.random() < 0.5:
        pen.polygon(arc(0, 0.42, 0.3, rng.uniform(0.15, 0.3), 0, 180), colours.detail, "mouth")
    else:
        pen.stroke(arc(0, 0.4, 0.32, 0.18, 10, 170), 0.1, colours.detail, "mouth")


def car(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """Side view, driving right: a low body under a cabin with two windows, on two wheels."""
    roof, nose, deck = rng.uniform(-0.5, -0.38), rng.uniform(0.45, 0.6), rng.uniform(-0.75, -0.55)
    pen.polygon([(deck, -0.03), (deck + 0.2, roof), (0.2, roof), (nose, -0.03)], colours.body)
    pen.polygon([(-0.95, 0.0), (-0.88, -0.08), (0.7, -0.06), (0.95, 0.06), (0.95, 0.3), (-0.95, 0.3)], colours.body)
    pillar = rng.uniform(-0.2, -0.05)
    rear, front, top = pillar - 0.05, pillar + 0.05, roof + 0.08
    pen.polygon([(deck + 0.14, -0.07), (deck + 0.27, top), (rear, top), (rear, -0.07)], colours.detail, "rear window")
    pen.polygon([(front, -0.07), (front, top), (0.15, top), (nose - 0.13, -0.07)], colours.detail, "front window")
    pen.ellipse(0.87, 0.09, 0.07, 0.07, colours.accent, "headlight")
    wheel = rng.uniform(0.19, 0.25)
    for x, name in ((rng.uniform(-0.62, -0.52), "rear wheel"), (rng.uniform(0.5, 0.6), "front wheel")):
        pen.ellipse(x, 0.3, wheel, wheel, (30, 30, 34), name)
        pen.ellipse(x, 0.3, wheel * 0.45, wheel * 0.45, (200, 200, 205), name)


def house(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """Front view: walls with a door between two windows, a pitched roof and a chimney."""
    wide, eaves, ground = rng.uniform(0.55, 0.68), rng.uniform(-0.25, -0.05), rng.uniform(0.62, 0.7)
    chimney, flat = rng.uniform(0.25, 0.4) * rng.choice((-1, 1)), rng.choice((0.0, 0.25))
    pen.polygon(box_points(chimney - 0.09, -0.85, chimney + 0.09, -0.35), colours.detail, "chimney")
    pen.polygon(box_points(-wide, eaves, wide, ground), colours.body)
    pen.polygon([(-wide - 0.15, eaves), (-flat, -0.78), (flat, -0.78), (wide + 0.15, eaves)], colours.accent, "roof")
    pen.polygon(box_points(-0.12, 0.2, 0.12, ground), colours.accent, "door")
    x, y, half = wide * 0.6, eaves + 0.28, rng.uniform(0.12, 0.15)
    for side, name in ((-1, "left window"), (1, "right window")):
        pen.polygon(box_points(side * x - half, y - half, side * x + half, y + half), colours.detail, name)
        pen.stroke([(side * x, y - half), (side * x, y + half)], 0.04, colours.body)
        pen.stroke([(side * x - half, y), (side * x + half, y)], 0.04, colours.body)


def fish(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """Side view, swimming right: a lens of a body, a forked tail, fins above and below, an eye and a gill."""
    high, fork = rng.uniform(0.34, 0.5), rng.uniform(0.35, 0.5)
    pen.polygon([(-0.4, 0), (-0.92, -fork), (-0.75, 0), (-0.92, fork)], colours.accent, "tail")
    pen.polygon([(-0.3, -high * 0.7), (-0.25, -high - 0.28), (0.3, -high * 0.75)], colours.accent, "dorsal fin")
    pen.polygon([(-0.2, high * 0.7), (-0.3, high + 0.22), (0.15, high * 0.8)], colours.accent, "belly fin")
    pen.polygon(arc(0.2, 0, 0.75, high, -150, 150), colours.body)
    for x in np.linspace(-0.25, 0.15, rng.integers(0, 4)):
        reach = high * 0.6
        pen.stroke([(x, -reach), (x + 0.06, 0), (x, reach)], 0.08, colours.detail)
    pen.stroke(arc(0.3, 0, 0.12, high * 0.65, -75, 75), 0.05, colours.detail, "gill")
    pen.ellipse(0.64, -0.12, 0.11, 0.11, (245, 245, 240), "eye")
    pen.ellipse(0.66, -0.12, 0.06, 0.06, (25, 20, 30), "eye")


def tree(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """A trunk under a crown: three tiers of a conifer, or five round clumps, with or without fruit."""
    conifer, half = rng.random() < 0.5, rng.uniform(0.1, 0.16)
    top = 0.5 if conifer else 0.15
    pen.polygon([(-half, top), (half, top), (half + 0.05, 0.95), (-half - 0.05, 0.95)], colours.accent, "trunk")
    if conifer:
        for top, half in ((-0.1, 0.66), (-0.5, 0.54), (-0.92, 0.4)):
            pen.polygon([(0, top), (half, top + 0.68), (-half, top + 0.68)], colours.body, "crown")
        fruits = [(0.0, -0.45), (-0.22, 0.02), (0.2, -0.05), (-0.35, 0.42), (0.32, 0.4), (0.02, 0.25)]
    else:
        clumps = ((-0.42, -0.1), (0.42, -0.1), (-0.3, -0.45), (0.3, -0.45), (0.0, -0.6), (0.0, -0.1))
        for x, y in clumps:
            pen.ellipse(x, y, rng.uniform(0.3, 0.36), rng.uniform(0.28, 0.36), colours.body, "crown")
        fruits = [(x * 0.95, y * 0.95) for x, y in clumps]
    if rng.random() < 0.6:
        for x, y in fruits:
            pen.ellipse(x, y, 0.07, 0.07, colours.detail, "fruit")


def boat(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """Side view, sailing right: a hull, a mast with a flag, a mainsail behind it and a jib before it."""
    deck, mast = rng.uniform(0.38, 0.48), rng.uniform(-0.05, 0.12)
    pen.stroke([(mast, deck), (mast, -0.92)], 0.07, colours.accent, "mast")
    pen.polygon([(mast, -0.96), (mast - 0.25, -0.87), (mast, -0.78)], colours.accent, "flag")
    aft, fore, foot = mast - 0.06, mast + 0.06, deck - 0.1
    pen.polygon([(aft, -0.72), (aft, foot), (mast - rng.uniform(0.55, 0.7), foot)], colours.body, "mainsail")
    pen.polygon([(fore, -0.66), (fore, foot), (mast + rng.uniform(0.45, 0.62), foot)], colours.body, "jib")
    pen.polygon([(-0.78, deck), (0.88, deck), (0.58, deck + 0.36), (-0.6, deck + 0.36)], colours.detail, "hull")
    pen.stroke([(-0.7, deck + 0.12), (0.76, deck + 0.12)], 0.05, colours.accent)


def flower(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """Petals around a centre, on a stem with two leaves."""
    bend, petals = rng.uniform(-0.12, 0.12), int(rng.integers(5, 9))
    pen.stroke([(0, 0.05), (bend, 0.4), (0, 0.95)], 0.09, colours.accent, "stem")
    for side, name in ((-1, "left leaf"), (1, "right leaf")):
        height, turn = rng.uniform(0.4, 0.58), -side * rng.uniform(0.3, 0.6)
        pen.ellipse(bend + side * 0.27, height, 0.26, 0.11, colours.accent, name, turn)
    start = rng.uniform(0, math.pi)
    for k in range(petals):
        a = start + 2 * math.pi * k / petals
        pen.ellipse(0.32 * math.cos(a), -0.38 + 0.32 * math.sin(a), 0.26, 0.8 / petals, colours.body, "petals", turn=a)
    pen.ellipse(0, -0.38, 0.19, 0.19, colours.detail, "centre")


def butterfly(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """From above: two pairs of spotted wings beside a slender body with antennae."""
    upper, lower, lift = rng.uniform(0.38, 0.46), rng.uniform(0.3, 0.36), rng.uniform(0.4, 0.8)
    for side, name in ((-1, "left wing"), (1, "right wing")):
        pen.ellipse(side * 0.4, 0.32, lower, 0.26, colours.body, name, turn=side * 0.8)
        pen.ellipse(side * 0.46, -0.28, upper, 0.3, colours.body, name, turn=-side * lift)
        pen.ellipse(side * 0.55, -0.36, 0.15, 0.13, colours.detail)
        pen.ellipse(side * 0.44, 0.36, 0.12, 0.1, colours.detail)
        pen.stroke([(0, -0.4), (side * 0.12, -0.7), (side * 0.3, -0.85)], 0.05, colours.accent, "antennae")
    pen.ellipse(0, 0.05, 0.1, 0.52, colours.accent, "body")
    pen.ellipse(0, -0.48, 0.11, 0.11, colours.accent, "head")


def teapot(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """Side view, pouring right: a round belly with a spout, a handle and a knobbed lid."""
    wide, high = rng.uniform(0.48, 0.56), rng.uniform(0.42, 0.52)
    pen.stroke(arc(-wide, 0.05, 0.34, 0.32, 70, 290), 0.12, colours.body, "handle")
    spout = [(wide - 0.2, 0.0), (0.72, -0.35), (0.92, -0.38), (0.78, -0.05), (wide - 0.1, 0.42)]
    pen.polygon(spout, colours.body, "spout")
    pen.ellipse(0, 0.15, wide, high, colours.body, "belly")
    pen.polygon(box_points(-wide * 0.6, 0.12 + high * 0.9, wide * 0.6, 0.25 + high), colours.accent, "foot")
    pen.polygon(arc(0, 0.2 - high * 0.85, wide * 0.68, 0.24, 180, 360), colours.accent, "lid")
    pen.ellipse(0, -0.06 - high * 0.85, 0.1, 0.1, colours.accent, "knob")
    if rng.random() < 0.6:
        pen.stroke([(-wide * 0.93, 0.1), (0, 0.22), (wide * 0.93, 0.1)], 0.12, colours.detail)


def rocket(pen: Pen, rng: np.random.Generator, colours: Palette) -> None:
    """Climbing: a pointed hull with a porthole, between two fins, over a flame."""
    half, tail = rng.uniform(0.22, 0.3), rng.uniform(0.45, 0.55)
    pen.polygon([(-half * 0.7, tail), (0, rng.uniform(0.85, 0.97)), (half * 0.7, tail)], colours.detail, "flame")
    for side, name in ((-1, "left fin"), (1, "right fin")):
        root, tip = side * half * 0.8, side * (half + 0.3)
        pen.polygon([(root, 0.0), (tip, tail + 0.2), (root, tail)], colours.accent, name)
    shoulder, nozzle = rng.uniform(-0.5, -0.35), half * 0.75
    hull = [(-half, shoulder), (half, shoulder), (half, 0.2), (nozzle, tail), (-nozzle, tail), (-half, 0.2)]
    pen.polygon(hull, colours.body)
    pen.polygon(arc(0, shoulder, half, shoulder + 0.95, 180, 360), colours.accent, "nose cone")
    pen.ellipse(0, -0.08, 0.15, 0.15, colours.detail, "porthole")


class Kind(NamedTuple):
    """One class of objects.

    Attributes
    ----------
    draw : callable
        ``draw(pen, rng, colours)``; what varies within the class is drawn from `rng`.
    tilt : float
        Largest in-plane rotation, degrees either way.
    mirror : bool
        Whether it may face the other way. Objects whose parts are called left and right (the viewer's) may not.
    """

    draw: Callable[[Pen, np.random.Generator, Palette], None]
    tilt: float
    mirror: bool


KINDS = {
    "face": Kind(face, 20, False),
    "car": Kind(car, 15, True),
    "house": Kind(house, 15, False),
    "fish": Kind(fish, 20, True),
    "tree": Kind(tree, 15, True),
    "boat": Kind(boat, 15, True),
    "flower": Kind(flower, 15, False),
    "butterfly": Kind(butterfly, 20, False),
    "teapot": Kind(teapot, 15, True),
    "rocket": Kind(rocket, 20, False),
}
