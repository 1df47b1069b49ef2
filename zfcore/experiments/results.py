"""What an experiment leaves: pictures, plots and arrays, and last of all the record, so that with it all is there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import zfcore
from zfcore.experiments import report
from zfcore.experiments.progress import say
from zfcore.experiments.subject import Subject
from zfcore.figures.plots import files_of
from zfcore.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Outcome:
    """What an experiment came to.

    Parameters
    ----------
    experiment : str
        Its name: that of its command.
    found : str
        What was found, in a plain sentence or two with the figures.
    pictures : tuple of Path
        PNGs, in the order in which to look at them.
    record : Path
        The JSON of numbers and configuration.
    numbers : dict
        Those of the record.
    table : str
        What a terminal shows of them, if they make a table.
    remarks : tuple of str
        What to keep in mind beside it.
    """

    experiment: str
    found: str
    pictures: tuple[Path, ...]
    record: Path
    numbers: Mapping[str, Any]
    table: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(eq=False)
class Results:
    """The files of an experiment, in the folder `out`, which is made; an earlier record of it goes when the first of them is
    written, and what it alone has left when the new one is there.

    Parameters
    ----------
    out : Path
    experiment : str
        The record is called after it: ``occlude.json``.
    """

    out: Path
    experiment: str
    pictures: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    earlier: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        report.make_folder(self.out)

    @property
    def record(self) -> Path:
        """The JSON."""
        return self.out / f"{self.experiment}.json"

    def picture(self, name: str, picture: Image.Image) -> Path:
        """Write a picture as NAME.png."""
        place = self._place(f"{name}.png")
        report.write_picture(place, picture)
        self.pictures.append(place)
        return place

    def plot(self, name: str, figure: Figure, title: str) -> Path:
        """Write a plot as NAME.png and NAME.svg; where the PNG is."""
        for form, content in files_of(figure, title).items():
            place = self._place(f"{name}.{form}")
            write_whole(place, content)
            if form == "png":
                self.pictures.append(place)
        return self.pictures[-1]

    def arrays(self, name: str, /, **arrays: np.ndarray) -> Path:
        """Write named arrays as NAME.npz."""
        place = self._place(f"{name}.npz")
        report.write_arrays(place, **arrays)
        return place

    def _place(self, name: str) -> Path:
        if not self.files:
            self.earlier = _files_of(self.record)
            self.record.unlink(missing_ok=True)
        place = self.out / name
        self.files.append(place)
        return place

    def conclude(
        self,
        subject: Subject | Sequence[Subject] | None,
        configuration: Mapping[str, Any],
        numbers: Mapping[str, Any],
        found: str,
        table: str = "",
        remarks: Sequence[str] = (),
    ) -> Outcome:
        """Write the record.

        Parameters
        ----------
        subject : Subject, several, or None
            What it was about.
        configuration : dict
            Every choice, above all those that the paper leaves open.
        numbers : dict
            What was measured.
        found : str
            The same in a plain sentence.
        table, remarks
            As in `Outcome`.
        """
        subjects = [subject] if isinstance(subject, Subject) else list(subject or ())
        facts = {
            "zfcore": zfcore.__version__,
            "experiment": self.experiment,
            "found": found,
            "models": [{**one.described, "preprocessing": one.choice.to_dict()} for one in subjects],
            "configuration": dict(configuration),
            "numbers": dict(numbers),
            "remarks": list(remarks),
            "files": {place.name: report.sha256_of(place) for place in self.files},
        }
        for name in self.earlier - {place.name for place in self.files}:
            (self.out / name).unlink(missing_ok=True)
        report.write_json(self.record, facts)
        say(f"wrote {len(self.files) + 1} files in {self.out}")
        return Outcome(self.experiment, found, tuple(self.pictures), self.record, numbers, table, tuple(remarks))


def _files_of(record: Path) -> set[str]:
    """The files that an earlier record says lie beside it."""
    try:
        return {name for name in json.loads(record.read_bytes())["files"] if Path(name).name == name}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
