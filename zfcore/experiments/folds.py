"""The paper's protocol on Caltech (section 4.2): so many training images a class, others to test, drawn anew for every fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.datasets import open_data
from zfcore.data.labelled import Labelled
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import say
from zfcore.experiments.train import own_images
from zfcore.training.runs import Run

MOST_TEST = 50
"""Test images a class, at most (stated by the paper)."""
FOLDS = 5
"""Stated by the paper."""
USUAL = 30
"""Training images a class, where there are enough: the paper's larger number."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One draw.

    Parameters
    ----------
    training : int64 array (K, n)
        Numbers of the training images, a row for each class; fewer are the first columns.
    test : int64 array (T,)
        Numbers of the test images, by class: the same for any number of training images.
    """

    training: np.ndarray
    test: np.ndarray

    def learnt(self, shots: int) -> np.ndarray:
        """(K * shots,) the training images, `shots` a class."""
        return self.training[:, :shots].ravel()


def draw_folds(
    images: Labelled, largest: int, folds: int = FOLDS, most_test: int = MOST_TEST, seed: int = 0, unreadable: Sequence[int] = ()
) -> list[Fold]:
    """Draw folds: `largest` training images of each class, and of the others at most `most_test` to test.

    Each class is shuffled by (seed, fold, class) alone; what is unreadable is passed over.

    Raises
    ------
    ZfcoreError
        If there is to be no fold or no test image, or a class has too few images for the training images and one to test.
    """
    if folds < 1 or most_test < 1:
        raise ZfcoreError(f"folds and test images a class: got {folds} and {most_test}, needed at least 1 of each")
    readable = np.ones(len(images), bool)
    readable[list(unreadable)] = False
    counts = np.bincount(images.labels[readable], minlength=len(images.classes))
    few = int(counts.argmin())
    if counts[few] <= largest:
        lost = f" ({len(unreadable)} images cannot be read)" if len(unreadable) else ""
        remedy = f"ask for at most {counts[few] - 1} with --shots" if counts[few] > 1 else "add images, or leave the class out"
        raise ZfcoreError(
            f"shots: got {largest}, but class {images.classes[few]!r} of {images.source.described} has {counts[few]} images{lost}, "
            f"and one at least must remain to test; {remedy}"
        )
    found = []
    for fold in range(folds):
        shuffled = []
        for label in range(len(images.classes)):
            order = np.random.default_rng((seed, fold, label)).permutation(np.flatnonzero(images.labels == label))
            shuffled.append(order[readable[order]])
        training = np.stack([order[:largest] for order in shuffled])
        found.append(Fold(training, np.concatenate([order[largest : largest + most_test] for order in shuffled])))
    return found


def usual_shots(images: Labelled) -> int:
    """Training images a class, where none are asked for: 30, or three fifths of the smallest class if that is less.

    Raises
    ------
    ZfcoreError
        If a class has not two images.
    """
    smallest = int(images.counts.min())
    if smallest < 2:
        few = images.classes[int(images.counts.argmin())]
        raise ZfcoreError(
            f"{images.source.described}: class {few!r} has {smallest} images, needed at least 2, one to train on and one to test; "
            "add images, or leave the class out"
        )
    return max(1, min(USUAL, 3 * smallest // 5))


def mean_per_class_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes of the share of a class' images that were got right, so that large classes count no more than small ones.

    Parameters
    ----------
    predicted, labels : int array (N,)

    Examples
    --------
    >>> mean_per_class_accuracy(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]))
    0.75
    """
    right = predicted == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


@dataclass(frozen=True)
class Spread:
    """A figure measured on several folds; `deviation` is the standard deviation between them, None of one fold."""

    values: tuple[float, ...]
    mean: float = field(init=False)
    deviation: float | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", float(np.mean(self.values)))
        object.__setattr__(self, "deviation", float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"mean": self.mean, "deviation": self.deviation, "folds": list(self.values)}

    @property
    def said(self) -> str:
        """In percent."""
        return f"{100 * self.mean:.1f}" + ("" if self.deviation is None else f" ± {100 * self.deviation:.1f}")


def part_to_draw_from(data: str | Path, part: str | None, run: Run | None) -> tuple[Labelled, str, list[str]]:
    """The labelled images that folds are drawn from, which part of the data they are, and what to keep in mind about it.

    Parameters
    ----------
    data : path
        What `open_data` takes.
    part : str, optional
        Of it; "test" where there is one, else "train".
    run : Run, optional
        That the network is of: images that it was trained on are no fair test of its features.

    Raises
    ------
    ZfcoreError
        If there are no labelled images, or no such part.
    """
    found = open_data(data)
    for note in found.notes:
        say(f"note: {note}")
    part = part or ("test" if "test" in found.parts else "train")
    images, remarks = found.part(part), []
    if run is not None and own_images(run, found) is not None:
        which = "on these very images and their classes" if part == "train" else "for these classes, on other images"
        remarks.append(f"the network was trained {which}: its features know the task, and what is measured is no transfer")
    return images, part, remarks
