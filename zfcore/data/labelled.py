"""Images with a class each, and what a place that holds them came to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from zfcore.data.sources import ImageSource
from zfcore.errors import ZfcoreError, printable


@dataclass(frozen=True)
class Subset:
    """Some images of a source, in a given order; itself a source."""

    source: ImageSource
    indices: Sequence[int]

    @property
    def described(self) -> str:
        """Where the images are, for people."""
        return self.source.described

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        """The image's name in its source."""
        return self.source.name(int(self.indices[index]))

    def read(self, index: int) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB; ImageError if it cannot be read."""
        return self.source.read(int(self.indices[index]))

    def fingerprint(self) -> str:
        """Of the source and the choice."""
        return self._with_choice(self.source.fingerprint())

    def listing(self) -> str:
        """Of the source's listing and the choice."""
        return self._with_choice(self.source.listing())

    def _with_choice(self, digest: str) -> str:
        return hashlib.sha256(digest.encode() + np.asarray(self.indices, np.int64).tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images, each of one class.

    Parameters
    ----------
    source : ImageSource
        The images.
    labels : int64 array (N,)
        Index of each image's class.
    classes : tuple of str
        Their names; what cannot be printed in them is escaped: they go to terminals and into checkpoints.
    grey : bool
        Whether the format has one channel: a network for these images takes one.

    Raises
    ------
    ZfcoreError
        If there is not one label per image, one is no class, or two classes have one name.
    """

    source: ImageSource
    labels: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    grey: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(map(printable, self.classes)))
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice:
            raise ZfcoreError(f"{self.source.described}: two classes are called {twice[0]!r}, as names are printed; rename one")
        if self.labels.shape != (len(self.source),):
            raise ZfcoreError(f"labels: got shape {self.labels.shape}, needed one for each of {len(self.source)} images")
        wrong = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if len(wrong):
            first = int(wrong[0])
            raise ZfcoreError(
                f"{self.source.described}: image {self.source.name(first)} has the label {self.labels[first]}, "
                f"needed 0 to {len(self.classes) - 1}, one of the {len(self.classes)} classes"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def listing(self) -> str:
        """A cheap fingerprint of images, labels and classes: what a run has to find again to go on."""
        digest = hashlib.sha256(self.source.listing().encode())
        digest.update("\0".join(self.classes).encode() + np.ascontiguousarray(self.labels, np.int64).tobytes())
        return digest.hexdigest()

    def part(self, indices: Sequence[int] | np.ndarray) -> Labelled:
        """Those images, in that order."""
        chosen = np.asarray(indices, np.int64)
        return Labelled(Subset(self.source, chosen.tolist()), self.labels[chosen], self.classes, self.grey)

    @property
    def counts(self) -> np.ndarray:
        """(K,) images of each class."""
        return np.bincount(self.labels, minlength=len(self.classes))


@dataclass(frozen=True, eq=False)
class DataSet:
    """What a path holds.

    Parameters
    ----------
    kind : str
        For people: "folder of class folders", "IDX", "CIFAR-10", "built-in scenes".
    path : str
        As it was given.
    parts : dict of str to Labelled
        "train", and "validation" and "test" where the data brings them; all of the same classes.
    notes : tuple of str
        What a user should know: a class without images that was left out, files that are no images.
    """

    kind: str
    path: str
    parts: Mapping[str, Labelled]
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.parts["train"].classes

    def part(self, name: str) -> Labelled:
        """A part by name.

        Raises
        ------
        ZfcoreError
            If the data has none of that name.
        """
        if name not in self.parts:
            raise ZfcoreError(f"{self.path}: has no part {name!r}, only {', '.join(self.parts)}")
        return self.parts[name]


@dataclass(frozen=True)
class Joined:
    """The images of one source, then those of another; itself a source."""

    first: ImageSource
    second: ImageSource

    @property
    def described(self) -> str:
        """Where the images are, for people."""
        return f"{self.first.described} and {self.second.described}"

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def _owner(self, index: int) -> tuple[ImageSource, int]:
        return (self.first, index) if index < len(self.first) else (self.second, index - len(self.first))

    def name(self, index: int) -> str:
        """The image's name in its source."""
        source, own = self._owner(index)
        return source.name(own)

    def read(self, index: int) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB; ImageError if it cannot be read."""
        source, own = self._owner(index)
        return source.read(own)

    def fingerprint(self) -> str:
        """Of both."""
        return hashlib.sha256(f"{self.first.fingerprint()} {self.second.fingerprint()}".encode()).hexdigest()

    def listing(self) -> str:
        """Of both."""
        return hashlib.sha256(f"{self.first.listing()} {self.second.listing()}".encode()).hexdigest()


def joined(first: Labelled, second: Labelled) -> Labelled:
    """The images of two parts of a data set, one after the other."""
    labels = np.concatenate([first.labels, second.labels])
    return Labelled(Joined(first.source, second.source), labels, first.classes, first.grey and second.grey)
