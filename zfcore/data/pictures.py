"""A picture to experiment on: a file, or a built-in scene with the truth about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zfcore.data.datasets import MOST_SCENES
from zfcore.data.images import read_image
from zfcore.data.scenes import CLASSES, Scene, draw_scene
from zfcore.errors import ZfcoreError

SCENE = re.compile(r"scenes/(\d{1,9})")


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, and what is known of it.

    Parameters
    ----------
    name : str
        For titles.
    pixels : uint8 array (H, W, 3)
    label : str, optional
        Name of its class, where that is known.
    scene : Scene, optional
        Of a built-in one: its object's mask, its parts.
    """

    name: str
    pixels: np.ndarray = field(repr=False)
    label: str | None = None
    scene: Scene | None = field(default=None, repr=False)


def open_picture(given: str | Path | Picture) -> Picture:
    """A picture from a file, or "scenes/17", the built-in test scene 17; a file of that name is ./scenes/17. A picture stays itself.

    Raises
    ------
    ZfcoreError
        If there is none there, or it cannot be read.
    """
    if isinstance(given, Picture):
        return given
    named = SCENE.fullmatch(str(given))
    if named is None:
        return Picture(Path(given).name, read_image(given))
    number = int(named[1])
    if number >= MOST_SCENES:
        raise ZfcoreError(f"{given}: got scene {number}, needed 0 to {MOST_SCENES - 1}")
    scene = draw_scene(0, MOST_SCENES + number)
    return Picture(f"scene {number}, {CLASSES[scene.label]}", scene.image, CLASSES[scene.label], scene)
