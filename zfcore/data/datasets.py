"""Data sets as they are found: what a path holds is seen by looking at it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zfcore.data import cifar, idx
from zfcore.data.images import EXTENSIONS, ImageError, list_images
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.scenes import CLASSES, draw_scene
from zfcore.data.sources import FolderSource
from zfcore.errors import ZfcoreError

SCENES = "scenes"
TRAINING, HELD_OUT = 3000, 1000
MOST_SCENES = 10_000_000
"""Two hours of drawing; a typing error beyond it. The held-out scenes come behind, so that they are the same for any number."""
FORMATS = ((idx.set_of, idx.open_set), (cifar.set_of, cifar.open_set))
"""For each format of files: the set that a name belongs to, and what opens a set."""
PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""Folders that hold class folders each, and the parts that they are."""
LOOKED_FOR = (
    "looked for a folder of class folders, train-images-idx3-ubyte and the like (MNIST's format), "
    "data_batch_1.bin or train.bin (CIFAR's binary format)"
)


class NoClassesError(ImageError):
    """A folder that is no folder of class folders; it may hold images all the same."""


def open_data(path: str | Path, seed: int = 0) -> DataSet:
    """The labelled images at a path, whatever it holds.

    Parameters
    ----------
    path : str or Path
        - a folder of class folders, or one with such folders named train, val (valid, validation) and test;
        - a folder of IDX files (MNIST) or of CIFAR's binary files, or one of these files;
        - "scenes", the built-in pictures: 3000 to train with, 1000 held out; "scenes:12000" for 12,000. A folder of that name in the
          current one is given as "./scenes".
    seed : int
        Of the scenes.

    Raises
    ------
    ZfcoreError
        If there is nothing, or nothing of this kind, or it is damaged. Single images are not looked into: reading one that is damaged
        raises ImageError then.
    """
    if seed < 0:
        raise ZfcoreError(f"seed: got {seed}, needed 0 or more")
    text = os.fspath(path)
    if not text:
        raise ZfcoreError("data: got an empty path; for the current folder give .")
    if is_scenes(path):
        return _scenes(text, seed)
    folder, names, file = _looked_into(Path(path))
    found = _of_a_format(text, folder, names, file)
    if found is not None:
        return found
    if file is not None:
        raise ImageError(file, f"is a file of none of the known names; {LOOKED_FOR}; a folder of images is given by its path")
    return _class_folders(text, folder, names)


def is_scenes(path: str | Path) -> bool:
    """Whether it is the name of the built-in scenes."""
    return os.fspath(path).partition(":")[0] == SCENES


def _looked_into(place: Path) -> tuple[Path, list[str], Path | None]:
    """The folder, the visible names in it, and the file, if `place` is one."""
    try:
        mode = os.stat(place).st_mode
        folder, file = (place, None) if stat.S_ISDIR(mode) else (place.parent, place)
        if file is not None and not stat.S_ISREG(mode):
            raise ImageError(place, "neither a folder nor a file but a device or a pipe; needed a folder of images")
        return folder, sorted(name for name in os.listdir(folder) if not name.startswith(".")), file
    except FileNotFoundError as error:
        raise ImageError(place, f'no such file or folder; needed images, or the name "{SCENES}" for the built-in ones') from error
    except (OSError, ValueError) as error:
        raise ImageError(place, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _of_a_format(text: str, folder: Path, names: Sequence[str], file: Path | None) -> DataSet | None:
    for set_of, open_set in FORMATS:
        by_set: dict[str, list[str]] = {}
        for name in names:
            belongs = set_of(name)
            if belongs is not None and (folder / name).is_file():
                by_set.setdefault(belongs, []).append(name)
        if file is not None:
            by_set = {belongs: files for belongs, files in by_set.items() if file.name in files}
        if len(by_set) > 1:
            several = ", ".join(belongs or "one without a prefix" for belongs in by_set)
            raise ImageError(folder, f"holds several sets: {several}; give the path of one of the files, as {min(by_set.values())[0]}")
        for files in by_set.values():
            return open_set(text, folder, files)
    return None


# ---- class folders


def _class_folders(text: str, folder: Path, names: Sequence[str]) -> DataSet:
    kind = "folder of class folders"
    inner, notes = _folders(folder, names)
    split = {name: PARTS[name.lower()] for name in inner if name.lower() in PARTS}
    if "train" in split.values() and (len(split) > 1 or len(inner) == 1):
        parts, more = _split(folder, split)
        notes += [f"{name}: neither train, validation nor test; left aside" for name in inner if name not in split]
        return DataSet(kind, text, parts, (*notes, *more))
    if split and len(split) == len(inner):
        raise ImageError(folder, f"holds {', '.join(split)}, but no train; needed a folder train with a folder for each class")
    images, more = _images_by_class(folder, names, inner)
    if len(images) < 2:
        raise NoClassesError(folder, _no_classes(folder, names, inner, images))
    return DataSet(kind, text, {"train": _labelled(folder, images, tuple(images))}, (*notes, *more))


def _folders(folder: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folders among names in a folder, and notes on those that lead back to it or above."""
    found, notes = [], []
    for name in names:
        inner = folder / name
        if inner.is_dir():
            if inner.is_symlink() and folder.resolve().is_relative_to(inner.resolve()):
                notes.append(f"{name}: a link back to a folder that holds it; left out")
            else:
                found.append(name)
    return found, notes


def _images_by_class(folder: Path, names: Sequence[str], inner: Sequence[str]) -> tuple[dict[str, list[Path]], list[str]]:
    """The images below each folder in a folder, and notes on those without any, and on images beside them."""
    found = {name: _images_below(folder / name) for name in inner}
    notes = [f"{name}: an empty class, without any image; left out" for name, images in found.items() if not images]
    beside = _images_among(folder, names)
    if beside:
        notes.append(f"images in no class folder, left out: {len(beside):,}, the first {beside[0]}")
    return {name: images for name, images in found.items() if images}, notes


def _images_below(folder: Path) -> list[Path]:
    try:
        return list_images(folder)
    except ImageError as error:
        if error.path != folder or not os.access(folder, os.R_OK | os.X_OK):
            raise
        return []


def _images_among(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if os.path.splitext(name)[1].lower() in EXTENSIONS and not (folder / name).is_dir()]


def _no_classes(folder: Path, names: Sequence[str], inner: Sequence[str], images: Mapping[str, Sequence[Path]]) -> str:
    """Why a folder is no folder of class folders."""
    if images:
        (only,) = images
        empty = f" ({len(inner) - 1:,} more without images)" if len(inner) > 1 else ""
        return f"holds one class only, {only}{empty}; needed two or more; if the folders in {only} are the classes, give {folder / only}"
    beside = _images_among(folder, names)
    if beside:
        held = f"images without classes: {len(beside):,} lie in the folder itself, the first {beside[0]}"
        return f"holds {held}; put those of each class into a folder named after it"
    if any(name.startswith("data_batch_") for name in names):
        return "holds CIFAR-10's Python version (pickles); fetch the binary version, with data_batch_1.bin"
    held = ", ".join([name + "/" * (name in inner) for name in names[:5]] + ["..."] * (len(names) > 5))
    return f"{LOOKED_FOR}; found {held or 'an empty folder'}"


def _labelled(folder: Path, images: Mapping[str, Sequence[Path]], classes: tuple[str, ...]) -> Labelled:
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.repeat([numbers[name] for name in images], [len(paths) for paths in images.values()])
    return Labelled(FolderSource(folder, [path for paths in images.values() for path in paths]), labels.astype(np.int64), classes)


def _split(folder: Path, split: Mapping[str, str]) -> tuple[dict[str, Labelled], list[str]]:
    """The parts in the folders of these names, and notes on them; all have the classes of train."""
    places: dict[str, Path] = {}
    for name, part in split.items():
        if part in places:
            raise ImageError(folder, f"holds {places[part].name} and {name}, both for the part {part}; needed one")
        places[part] = folder / name
    parts: dict[str, Labelled] = {}
    notes: list[str] = []
    for part in sorted(places, key=list(PARTS.values()).index):  # train first
        _, names, _ = _looked_into(places[part])
        inner, links = _folders(places[part], names)
        images, more = _images_by_class(places[part], names, inner)
        if len(images) < (2 if part == "train" else 1):
            raise ImageError(places[part], _no_classes(places[part], names, inner, images))
        classes = parts["train"].classes if parts else tuple(images)
        unknown = [name for name in images if name not in classes]
        if unknown:
            few = ", ".join(unknown[:5]) + ", ..." * (len(unknown) > 5)
            raise ImageError(places[part], f"has images of {few}, which {places['train']} has none of; the classes are those of train")
        notes += [f"{part}: {note}" for note in (*links, *more)]
        notes += [f"{part}: no folder for the class {name}" for name in classes if name not in inner]
        parts[part] = _labelled(places[part], images, classes)
    return parts, notes


# ---- scenes


class SceneSource:
    """Scenes `start` to ``start + count - 1`` of a seed, each drawn when it is read: that takes under a millisecond."""

    def __init__(self, count: int, seed: int, start: int) -> None:
        self.count, self.seed, self.start = count, seed, start

    @property
    def described(self) -> str:
        """Which scenes."""
        kind, first = ("test scenes", self.start - MOST_SCENES) if self.start >= MOST_SCENES else ("scenes", self.start)
        return f"{kind} {first} to {first + self.count - 1}, seed {self.seed}"

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """Class and number in the sequence."""
        return f"{CLASSES[(self.start + index) % len(CLASSES)]} {self.start + index}"

    def read(self, index: int) -> np.ndarray:
        """The scene, (64, 64, 3) uint8."""
        return draw_scene(self.seed, self.start + index).image

    def fingerprint(self) -> str:
        """A hash of every pixel."""
        return self._hash(self.count)

    def listing(self) -> str:
        """A hash of seed and numbers, and of the first scene of each class: another version may draw differently."""
        return self._hash(min(self.count, len(CLASSES)))

    def _hash(self, scenes: int) -> str:
        digest = hashlib.sha256(self.described.encode())
        for index in range(scenes):
            digest.update(self.read(index).data)
        return digest.hexdigest()


def _scenes(text: str, seed: int) -> DataSet:
    number = text.removeprefix(SCENES).removeprefix(":")
    count = TRAINING if text == SCENES else int(number) if number.isdecimal() and len(number) < 20 else 0
    if not len(CLASSES) <= count <= MOST_SCENES:
        raise ZfcoreError(f"{text}: needed {SCENES}:N, with N training images, {len(CLASSES)} to {MOST_SCENES:,}")
    parts = {}
    for name, images, start in (("train", count, 0), ("test", HELD_OUT, MOST_SCENES)):
        labels = (start + np.arange(images)) % len(CLASSES)
        parts[name] = Labelled(SceneSource(images, seed, start), labels, CLASSES)
    here = os.path.isdir(text)
    return DataSet("built-in scenes", text, parts, (f"drawn by program; the folder {text} here is given as ./{text}",) * here)
