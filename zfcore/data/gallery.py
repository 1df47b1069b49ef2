"""Images to look at, with or without classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zfcore.data.datasets import NoClassesError, open_data
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.sources import FolderSource, ImageSource
from zfcore.errors import ZfcoreError


@dataclass(frozen=True, eq=False)
class Gallery:
    """Images of some place.

    Parameters
    ----------
    source : ImageSource
        The images.
    labelled : Labelled or None
        The same with their classes, where the place has classes.
    data : DataSet or None
        All that is there, likewise.
    part : str
        Which part of it they are: "test", "train"; "" of images without classes.
    """

    source: ImageSource
    labelled: Labelled | None = None
    data: DataSet | None = None
    part: str = ""

    def __len__(self) -> int:
        return len(self.source)


def open_images(place: str | Path, part: str | None = None) -> Gallery:
    """The images of a place: what `open_data` takes, or any folder that holds images.

    Parameters
    ----------
    place : path
    part : str, optional
        Of labelled data; "test" where there is one, else "train".

    Raises
    ------
    ZfcoreError
        If there is no image, or no such part.
    """
    try:
        data = open_data(place)
    except NoClassesError as error:
        if part is not None:
            raise
        try:
            return Gallery(FolderSource(place))
        except ZfcoreError:
            raise error from None  # what is wrong with the data is more than that there are no image files
    part = part or ("test" if "test" in data.parts else "train")
    labelled = data.part(part)
    return Gallery(labelled.source, labelled, data, part)
