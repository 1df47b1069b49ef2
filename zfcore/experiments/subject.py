"""What an experiment is about: a network, how it sees images, and where it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import zfcore
from zfcore import stages
from zfcore.data.choice import Choice, choose
from zfcore.data.pictures import Picture
from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.names import nearest
from zfcore.network import Network
from zfcore.training.runs import Run


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, how it sees images, and where it came from.

    Parameters
    ----------
    given : str
        What it was asked for by.
    net : Network
    choice : Choice
        How an image becomes its input.
    path : Path, optional
        Its file; None for an untrained network of the zoo.
    run : Run, optional
        That it is of.
    """

    given: str
    net: Network
    choice: Choice
    path: Path | None = None
    run: Run | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes its input."""
        return self.choice.preprocessing

    @property
    def name(self) -> str:
        """For titles."""
        if self.run is not None:
            return f"{self.run.architecture} ({self.run.folder.resolve().name})"
        return self.net.name if self.path is None else self.path.name

    @cached_property
    def described(self) -> dict[str, Any]:
        """For records: what it was given as, and the hash of its file or weights."""
        return {"given": self.given, **report.described_model(self.net, self.path)}

    @property
    def logits(self) -> str:
        """The layer whose softmax are the probabilities of the classes.

        Raises
        ------
        ZfcoreError
            If the network does not classify.
        """
        name = stages.logits(self.net)
        if name is None:
            output = self.net.outputs[0]
            shape = self.net.shapes[output]
            raise ZfcoreError(f"{self.given}: its first output, {output!r} of shape {shape}, is not one number for each of several classes")
        return name

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes; "class 7" where it knows none."""
        count = math.prod(self.net.shapes[self.logits])
        known = self.net.classes or ()
        return known if len(known) == count else tuple(f"class {k}" for k in range(count))

    def name_classes(self, file: Path) -> None:
        """Name the network's classes as a file does, which has a name on each line.

        Raises
        ------
        ZfcoreError
            If the file cannot be read as text, or has not one name for each class.
        """
        try:
            names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except OSError as error:
            raise ZfcoreError(f"{file}: cannot be read: {error.strerror}; needed a file with the name of a class on each line") from error
        except UnicodeDecodeError as error:
            raise ZfcoreError(f"{file}: is no text in UTF-8; needed a file with the name of a class on each line") from error
        if len(names) != len(self.classes):
            raise ZfcoreError(f"{file}: has {len(names):,} names, {self.given} has {len(self.classes):,} classes; needed one for each")
        self.net.classes = tuple(printable(name) for name in names)

    def class_number(self, text: str) -> int:
        """The number of a class from its name or its number.

        Raises
        ------
        ZfcoreError
            If there is none; the nearest names are offered.
        """
        if text in self.classes:
            return self.classes.index(text)
        if text.isdecimal() and len(text) < 10 and int(text) < len(self.classes):
            return int(text)
        hint = nearest(text, self.classes) or f"; needed a name, or 0 to {len(self.classes) - 1}"
        raise ZfcoreError(f"class: got {text!r}, {self.given} has no such class{hint}")

    def class_of(self, picture: Picture, given: str | None, probabilities: np.ndarray) -> tuple[int, str]:
        """The class that a picture is looked at for, and why: as given; else its own, where it and the network know one; else the answer.

        Parameters
        ----------
        picture : Picture
        given : str or None
            Name or number.
        probabilities : array (K,)
            The network's answer for the picture.
        """
        if given is not None:
            return self.class_number(given), "as given"
        if picture.label is not None and picture.label in self.classes:
            return self.classes.index(picture.label), "what it shows"
        return int(probabilities.argmax()), "what the network says"

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(N, K) float64, from the values of the layer `logits`."""
        return self.net.to_numpy(self.net.kernels.softmax(logits.reshape(len(logits), -1).astype(np.float64), 1))


def load_network(given: str | Path) -> tuple[Network, Path | None, Run | None]:
    """The network of a run's folder, a file or a name in the zoo; its file, if it has one, and its run, if it is of one.

    Raises
    ------
    ZfcoreError
        If there is none there, or it is damaged.
    """
    path = Path(given)
    if str(given) and path.is_dir():  # an empty name is not the current folder
        run = Run.open(path)
        return run.load(run.best)[0], run.best, run
    net = zfcore.load(given)
    return net, path if path.is_file() else None, None


def open_subject(given: str | Path, preset: str | None = None, **changes: Any) -> Subject:
    """A network to look into, and how it sees images.

    Parameters
    ----------
    given : path
        The folder of a run (its best checkpoint), a checkpoint, an ONNX file, or a name in the zoo.
    preset, **changes
        Preprocessing, as `choose` takes it.

    Raises
    ------
    ZfcoreError
        If there is no network there, it is damaged, or its preprocessing does not hold together.
    """
    net, path, run = load_network(given)
    return Subject(str(given), net, choose(net, preset, **changes), path, run)
