"""CIFAR's binary format: records of one or two label bytes and a 32x32 image, red, green and blue one after the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zfcore.data.images import ImageError
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.sources import ArraySource

SIZE = 32


@dataclass(frozen=True)
class Variant:
    """One of the two: names of its files, number of classes, label bytes in front of an image; the last one counts."""

    train: re.Pattern[str]
    test: str
    class_names: str
    classes: int
    label_bytes: int

    @property
    def record(self) -> int:
        """Bytes of one image and its labels."""
        return self.label_bytes + 3 * SIZE * SIZE


VARIANTS = {
    "CIFAR-10": Variant(re.compile(r"data_batch_(\d+)\.bin"), "test_batch.bin", "batches.meta.txt", 10, 1),
    "CIFAR-100": Variant(re.compile(r"train\.bin"), "test.bin", "fine_label_names.txt", 100, 2),  # coarse label, then fine
}


def set_of(name: str) -> str | None:
    """CIFAR-10 or CIFAR-100, by the name of a file; None if it is of neither.

    Examples
    --------
    >>> set_of("data_batch_1.bin"), set_of("train.bin"), set_of("cat.png")
    ('CIFAR-10', 'CIFAR-100', None)
    """
    for kind, variant in VARIANTS.items():
        if name in (variant.test, variant.class_names) or variant.train.fullmatch(name):
            return kind
    return None


def open_set(path: str, folder: Path, names: Sequence[str]) -> DataSet:
    """The images and labels in the files of CIFAR-10 or CIFAR-100; there may be fewer than the original has.

    Parameters
    ----------
    path : str
        As it was given.
    folder : Path
    names : sequence of str
        Files in it, for which `set_of` is the same.

    Raises
    ------
    ImageError
        If the training files are missing, or a file is damaged.
    """
    kind = set_of(names[0])
    assert kind is not None
    variant = VARIANTS[kind]
    batches = [name for name in names if variant.train.fullmatch(name)]
    if not batches:
        needed = "data_batch_1.bin and so on" if kind == "CIFAR-10" else "train.bin"
        raise ImageError(folder, f"holds {', '.join(sorted(names))} of {kind}, but no training images; needed {needed}")
    batches.sort(key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    classes = _class_names(folder / variant.class_names, variant.classes)
    parts = {"train": _part(folder, batches, variant, classes)}
    if variant.test in names:
        parts["test"] = _part(folder, [variant.test], variant, classes)
    return DataSet(kind, path, parts)


def _class_names(path: Path, count: int) -> tuple[str, ...]:
    """The lines of a file that are not blank; numbers if there is no such file."""
    if not path.is_file():
        return tuple(map(str, range(count)))
    try:
        names = tuple(line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip())
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror}") from error
    if len(names) != count:
        raise ImageError(path, f"holds {len(names)} names, needed {count}, one for each class; mend it, or take it away to use numbers")
    return names


def _part(folder: Path, files: Sequence[str], variant: Variant, classes: tuple[str, ...]) -> Labelled:
    found = [read_records(folder / file, variant) for file in files]
    images, labels = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    names = [f"{file} {record}" for file, (_, of_file) in zip(files, found, strict=True) for record in range(len(of_file))]
    return Labelled(ArraySource(images, names, str(folder)), labels, classes)


def read_records(path: Path, variant: Variant) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, 32, 32, 3) uint8 and labels (N,) int64 in a file.

    Raises
    ------
    ImageError
        If it cannot be read, is empty or no whole number of records, or has a label that is no class.
    """
    try:
        contents = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror}") from error
    if not len(contents):
        raise ImageError(path, f"is empty, needed records of {variant.record} bytes")
    if len(contents) % variant.record:
        reason = f"{len(contents):,} bytes are no whole number of records of {variant.record}: {len(contents) % variant.record} left over"
        raise ImageError(path, f"{reason}; it is cut short or of another format")
    records = contents.reshape(-1, variant.record)
    labels = records[:, variant.label_bytes - 1].astype(np.int64)
    wrong = np.flatnonzero(labels >= variant.classes)
    if len(wrong):
        raise ImageError(path, f"record {wrong[0]} has the label {labels[wrong[0]]}, needed 0 to {variant.classes - 1}")
    planes = records[:, variant.label_bytes :].reshape(-1, 3, SIZE, SIZE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
