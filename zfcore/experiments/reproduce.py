"""Every experiment of the paper and of the lecture, in order, on one network that is trained for it; and a page that shows them all."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import zfcore
from zfcore import backends
from zfcore.data.datasets import is_scenes, open_data
from zfcore.data.images import ImageError
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.pictures import Picture, open_picture
from zfcore.errors import ZfcoreError
from zfcore.experiments import report, train
from zfcore.experiments.page import page
from zfcore.experiments.progress import say
from zfcore.experiments.results import Outcome
from zfcore.experiments.subject import Subject, open_subject
from zfcore.files import write_whole
from zfcore.training.loop import learnt, logits_layer
from zfcore.training.recipe import RECIPES, Recipe
from zfcore.training.runs import Run
from zfcore.zoo import architecture, build

FULL = 20.0
"""Minutes for which nothing is made smaller."""
EPOCHS = 30
"""At most, of the network that everything is shown on."""
RECORD, PAGE = "reproduce.json", "index.html"
RUNS = ("run", "alexnet")
"""Folders of the networks that are trained."""


@dataclass(eq=False)
class Material:
    """What the experiments work on.

    Parameters
    ----------
    out : Path
        Folder of everything.
    data : str
        What `open_data` takes.
    arch : str
        The network's name in the zoo.
    minutes : float
        For everything.
    seed : int
    """

    out: Path
    data: str
    arch: str
    minutes: float
    seed: int

    @cached_property
    def found(self) -> DataSet:
        """The images."""
        return open_data(self.data)

    @property
    def held_out(self) -> Labelled:
        """Images that the network does not learn from, if the data have a part of them."""
        return self.found.part("test" if "test" in self.found.parts else "train")

    @property
    def scenes(self) -> bool:
        """Whether the images are the built-in ones, of which the truth is known."""
        return is_scenes(self.data)

    def few(self, full: int, least: int) -> int:
        """How many of something: `full` if there is time for all, else fewer in proportion, but `least`."""
        return max(least, round(full * min(1.0, self.minutes / FULL)))

    def recipe(self, arch: str, share: float, most: int = EPOCHS) -> Recipe:
        """The recipe that suits an architecture, for as many epochs as fit into a share of the time; a step or two is timed for it."""
        recipe = replace(RECIPES[train.usual_recipe(arch)], seed=self.seed)
        images = self.found.part("train")
        steps = max(1, round(len(images) * (1 - recipe.validation)) // recipe.batch)
        epochs = int(share * 60 * self.minutes / (1.15 * steps * self._step_seconds(arch, recipe)))
        return replace(recipe, epochs=min(most, max(2, epochs)))

    def _step_seconds(self, arch: str, recipe: Recipe) -> float:
        images, side = self.found.part("train"), architecture(arch).size
        channels = 1 if images.grey else 3
        net = build(arch, classes=images.classes, channels=channels)
        x, labels = np.zeros((recipe.batch, channels, side, side), np.float32), np.zeros(recipe.batch, np.int64)
        for _ in range(2):  # the first one compiles
            began = time.perf_counter()
            learnt(net, logits_layer(net), x, labels, seed=0)
            net.kernels.synchronize()
        return time.perf_counter() - began

    def trained(self, name: str, arch: str, share: float, most: int = EPOCHS) -> Run:
        """The run of that name, as far as an earlier call came, or begun."""
        folder = self.out / name
        if Run.occupied(folder) is not None:
            return train.resume(folder)
        return train.run(self.data, arch, folder, self.recipe(arch, share, most))

    @cached_property
    def subject(self) -> Subject:
        """The trained network."""
        return open_subject(self.out / "run")

    def pictures(self, count: int) -> list[Picture]:
        """Held-out images, of as many classes as there are."""
        if self.scenes:
            return [open_picture(f"scenes/{number}") for number in range(count)]
        images = self.held_out
        classes = np.unique(images.labels)
        count = min(count, len(classes))
        wanted = [classes[n * len(classes) // count] for n in range(count)]
        return [picture for label in wanted if (picture := _first_readable(images, label)) is not None]


def _first_readable(images: Labelled, label: int | None = None) -> Picture | None:
    """The first image, of a class or of all, that is not damaged."""
    for n in range(len(images)) if label is None else np.flatnonzero(images.labels == label).tolist():
        try:
            return Picture(images.source.name(n), images.source.read(n), images.classes[images.labels[n]])
        except ImageError:
            continue
    return None


def run(out: Path, data: str = "scenes", minutes: float = FULL, arch: str | None = None, seed: int = 0) -> Outcome:
    """Train, run every experiment, and write the page.

    Parameters
    ----------
    out : Path
        Folder for everything; an earlier call with the same arguments, stopped or not, is taken up in it.
    data : path
        What `open_data` takes.
    minutes : float
        About how long it may take on two cores; fewer than 20 make the experiments smaller, not fewer.
    arch : str, optional
        A name in the zoo; one that suits the images if not given.
    seed : int
        Of everything.

    Raises
    ------
    ZfcoreError
        If an argument is wrong, the data cannot be used, the network cannot be trained, `out` holds another reproduction or a run of
        none, or a file cannot be written. What else an experiment refuses is said on the page, and tried again by the same call.
    KeyboardInterrupt
        When stopped; the same call goes on.
    """
    from zfcore.experiments.chapters import CHAPTERS

    report.keep_out_of(data, out)
    material = Material(out, data, arch or _suited(data), minutes, seed)
    architecture(material.arch)
    material.found.part("train")
    asked = {"data": data, "arch": material.arch, "minutes": minutes, "seed": seed, "backend": backends.default()}
    state = _earlier(out, asked)
    report.make_folder(out)
    report.write_json(out / RECORD, state)  # from here on the folder is this reproduction's, should its training be stopped
    say(f"zfcore {zfcore.__version__} reproduce: {len(CHAPTERS)} experiments on {data} in about {minutes:g} minutes, seed {seed}")
    began = time.perf_counter()
    for number, chapter in enumerate(CHAPTERS, start=1):
        if "found" in state["chapters"].get(chapter.name, ()):
            continue
        say(f"[{number} of {len(CHAPTERS)}] {chapter.title}; {_clock(_spent(state))} so far")
        start = time.perf_counter()
        try:
            told = _told(chapter.run(material), out)
        except ZfcoreError as error:
            if number == 1:  # without the network there is nothing else
                raise
            told = {"refused": str(error)}
            say(f"not done: {error}")
        except KeyboardInterrupt as interrupt:
            reason = str(interrupt).partition(";")[0] or "stopped"
            done = f"{_done(state)} of {len(CHAPTERS)} experiments are done"
            raise KeyboardInterrupt(f"{reason}, of {chapter.name}; {done}, the same command goes on") from None
        state["chapters"][chapter.name] = {**told, "seconds": time.perf_counter() - start}
        report.write_json(out / RECORD, state)
        write_whole(out / PAGE, page(state, CHAPTERS, material.scenes).encode())
    write_whole(out / PAGE, page(state, CHAPTERS, material.scenes).encode())  # again: a stop may have come between record and page
    return _concluded(state, out, time.perf_counter() - began)


def _suited(data: str) -> str:
    """An architecture for the first image's size."""
    if is_scenes(data):
        return "zfnet-small"
    picture = _first_readable(open_data(data).part("train"))
    if picture is None:
        raise ZfcoreError(f"{data}: no image in it can be read; see `zfcore data {data}`")
    side = min(picture.pixels.shape[:2])
    return next((f"zfnet-{size}" for size in (64, 48, 32) if side >= size), "zfnet-28")


def _earlier(out: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """The state that an earlier call left, or a new one."""
    place = out / RECORD
    if not place.is_file():
        for name in RUNS:
            if Run.occupied(out / name) is not None:
                raise ZfcoreError(f"{out / name}: holds a run that is of no reproduction; give another --out")
        return {"zfcore": zfcore.__version__, "experiment": "reproduce", "asked": asked, "chapters": {}}
    try:
        state = json.loads(place.read_bytes())
        before = {"backend": "cpu", **state["asked"]}  # there was no other, and it was not said
        page(state, (), False)  # which reads all of it
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ZfcoreError(f"{place}: a damaged record of an earlier reproduction; remove it, or give another --out") from error
    changed = [f"{name} {before.get(name)!r}, not {value!r}" for name, value in asked.items() if before.get(name) != value]
    if changed:
        raise ZfcoreError(f"{out}: holds a reproduction with {', '.join(changed)}; give another --out")
    return state


def _told(outcome: Outcome, out: Path) -> dict[str, Any]:
    """What the page needs of an outcome; places as seen from it."""
    pictures = [place.relative_to(out).as_posix() for place in outcome.pictures]
    facts = {"found": outcome.found, "table": outcome.table, "remarks": list(outcome.remarks)}
    return {**facts, "pictures": pictures, "record": outcome.record.relative_to(out).as_posix()}


def _spent(state: dict[str, Any]) -> float:
    return sum(chapter.get("seconds", 0.0) for chapter in state["chapters"].values())


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _done(state: dict[str, Any]) -> int:
    return sum("found" in told for told in state["chapters"].values())


def _concluded(state: dict[str, Any], out: Path, seconds: float) -> Outcome:
    refused = [name for name, told in state["chapters"].items() if "refused" in told]
    words = f"{_done(state)} experiments are done, in {_clock(_spent(state))}; open {out / PAGE}"
    if refused:
        words += f"; not done, with the reason on the page: {', '.join(refused)}"
    return Outcome("reproduce", words, (), out / RECORD, {"seconds": seconds})


