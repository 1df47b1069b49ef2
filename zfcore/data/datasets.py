"""Data sets as they are found: what a path holds is seen by looking at it."""

from __future__ import annotations

from pathlib import Path

from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.scenes import CLASSES, make_scenes
from zfcore.data.sources import ArraySource

SCENES = "scenes"
TRAINING, HELD_OUT = 3000, 1000


def open_data(path: str | Path, seed: int = 0) -> DataSet:
    """The labelled images at a path, or the built-in scenes under the name "scenes"."""
    parts = {}
    for name, count, start in (("train", TRAINING, 0), ("test", HELD_OUT, TRAINING)):
        scenes = make_scenes(count, seed, start)
        names = [f"{CLASSES[label]} {start + i}" for i, label in enumerate(scenes.labels)]
        parts[name] = Labelled(ArraySource(scenes.images, names, f"scenes, seed {seed}"), scenes.labels, CLASSES)
    return DataSet("built-in scenes", str(path), parts)
