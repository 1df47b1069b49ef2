"""Which images networks are evaluated on, and how their classes and the data's are matched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from zfcore.data.labelled import DataSet, Labelled
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import say
from zfcore.experiments.train import own_images
from zfcore.experiments.trained import Model
from zfcore.training.runs import BEST


@dataclass(frozen=True, eq=False)
class Chosen:
    """Images to evaluate on: their numbers in `images`, and which part of the data they are and why."""

    images: Labelled
    numbers: np.ndarray
    part: str
    why: str


def chosen(found: DataSet, part: str | None, models: Sequence[Model]) -> Chosen:
    """The part that was asked for; else test, validation, what runs on these data held out, or all of train: the first that there is.

    Of runs on the same data the parts train and validation are what all of them trained on, and what all of them held out.

    Raises
    ------
    ZfcoreError
        If the data have no such part, or there is no image in it.
    """
    own = _own_splits(found, models)
    if part is None:
        held_out = own is not None and len(own.validation)
        part = "test" if "test" in found.parts else "validation" if "validation" in found.parts or held_out else "train"
    if own is None or part == "test":
        if part == "validation" and part not in found.parts:
            only = ", ".join(found.parts)
            raise ZfcoreError(f"{found.path}: has no part 'validation', only {only}, and no run that held images out of it is evaluated")
        images = found.part(part)
        alone = " (the data have no other part)" if len(found.parts) == 1 else ""
        learnt = "; if a network was trained on them, its errors on other images are higher" if part == "train" else ""
        return Chosen(images, np.arange(len(images)), part, f"all of the part{alone}{learnt}")
    numbers = own.validation if part == "validation" else own.training
    runs = {1: "the run", 2: "both runs"}.get(own.runs, f"all {own.runs} runs")
    if not len(numbers):
        raise ZfcoreError(f"{found.path}: no image is in the part {part} of {runs}; give another --part")
    did = "held out in training" if part == "validation" else "was trained on: its errors on other images are higher"
    if part == "validation" and any(model.run is not None and model.path == model.run.folder / BEST for model in models):
        did += ", and what its best epoch was chosen by: its error on other images is likely a little higher"
    others = "" if own.runs == len(models) else "; what the other networks were trained on is not known"
    return Chosen(own.images, numbers, part, f"what {runs} {did}{others}")


@dataclass(frozen=True, eq=False)
class _OwnSplits:
    images: Labelled
    training: np.ndarray
    validation: np.ndarray
    runs: int


def _own_splits(found: DataSet, models: Sequence[Model]) -> _OwnSplits | None:
    """What the runs that were trained on these data made of them; None if there is none."""
    runs = []
    for run in (model.run for model in models if model.run is not None):
        own = own_images(run, found)
        if own is not None:
            runs.append(run)
            images = own
        else:
            say(f"{run.folder}: was trained on other data, {run.facts['data']['path']}; whether these images were among them is not known")
    if not runs:
        return None
    training, validation = (reduce(np.intersect1d, numbers) for numbers in ([r.training for r in runs], [r.validation for r in runs]))
    most = max(len(run.validation) for run in runs)
    if len(validation) < most:
        say(f"the runs held out different images: of {most:,} at most, {len(validation):,} by all of them; runs of one split share all")
    return _OwnSplits(images, training, validation, len(runs))


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes that are told apart.

    Parameters
    ----------
    names : tuple of str
    labels : int64 array
        For each class of the data its number among them.
    columns : sequence of int64 array
        For each network its outputs in their order.
    said : str
        How they were matched.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    columns: Sequence[np.ndarray]
    said: str


def matched(found: DataSet, models: Sequence[Model]) -> Classes:
    """The data's classes and the networks': by name; those of networks that name none by position.

    Raises
    ------
    ZfcoreError
        If they are not the same, or the data's not among the networks'. The message says which.
    """
    naming = next((model for model in models if model.net.classes is not None), None)
    names = found.classes if naming is None else tuple(naming.net.classes or ())
    columns = [_columns_of(model, names, found) for model in models]
    if names == found.classes:
        how = "by position: no network names its classes" if naming is None else "the same as the data's"
        return Classes(names, np.arange(len(names)), columns, how)
    assert naming is not None
    lacking = [name for name in found.classes if name not in names]
    if lacking:
        raise ZfcoreError(f"{found.path}: has classes that {naming.given} lacks: {_few(lacking)}; its own are {_few(names)}")
    if len(set(names)) < len(names):
        raise ZfcoreError(f"{naming.given}: has two classes of one name, {_few(_doubled(names))}; they cannot be matched with the data's")
    how = "by name; their orders differ" if len(names) == len(found.classes) else f"by name; the data have {len(found.classes):,} of them"
    return Classes(names, np.array([names.index(name) for name in found.classes]), columns, how)


def _columns_of(model: Model, names: tuple[str, ...], found: DataSet) -> np.ndarray:
    """Where a network has its outputs for classes of those names."""
    own = found.classes if model.net.classes is None else model.net.classes
    if len(own) != model.count:
        who = "the data have" if model.net.classes is None else "it names"
        raise ZfcoreError(f"{model.given}: has {model.count:,} outputs, but {who} {len(own):,} classes: {_few(own)}; needed one for each")
    if own == names:
        return np.arange(len(names))
    differing = [name for name in (*own, *names) if (name in own) != (name in names)] or _doubled(own)
    if differing:
        raise ZfcoreError(f"{model.given}: not of the same classes as the other networks: {_few(differing)}")
    return np.array([own.index(name) for name in names])


def _doubled(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + f", ... ({len(names):,})" * (len(names) > 5)
