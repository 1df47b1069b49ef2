"""The ascents of several targets from several starts, in batches, each kept as soon as it is ready."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.ascent import Ascent, Score, Style, ascend
from zfcore.experiments.progress import bar, say
from zfcore.experiments.subject import Subject


@dataclass(frozen=True)
class Target:
    """What is maximised: a unit (c, y, x) or (c,), or the mean of a map, (c,) in a layer with pixels."""

    name: str
    place: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Climbed:
    """What the ascents came to; one entry for every start of every target, the starts of a target one behind the other.

    Parameters
    ----------
    pictures : uint8 array (N, C, H, W)
        As they are shown, in the network's channel order.
    scores : float64 array (N, steps + 1)
    shown : float64 array (N,)
        Scores of the pictures as they are shown: rounded to 8 bits and put through the network again.
    probabilities, answers : float64 array (N,), int array (N,), or None
        Of the target's class for the picture as it is shown, and the class it is taken for.
    """

    pictures: np.ndarray
    scores: np.ndarray
    shown: np.ndarray
    probabilities: np.ndarray | None
    answers: np.ndarray | None


class Climber:
    """The ascents of several targets from several starts, in units of 255 grey levels around the zero image."""

    def __init__(self, subject: Subject, layer: str, targets: Sequence[Target], style: Style, options: dict[str, Any]) -> None:
        self.subject, self.layer, self.targets, self.style, self.options = subject, layer, targets, style, options
        net, preprocessing = subject.net, subject.preprocessing
        mean = preprocessing.mean if preprocessing.mean.ndim == 3 else preprocessing.mean[:, None, None]
        self.mean = np.broadcast_to(mean, net.input_shape)
        self.scale = preprocessing.scale[:, None, None]

    def __len__(self) -> int:
        return len(self.targets) * self.options["starts"]

    def signal(self, place: tuple[int, ...]) -> np.ndarray:
        """What a target makes of its layer's value (C, ...): 1 at a unit, or the mean over a map."""
        signal = np.zeros(self.subject.net.shapes[self.layer], self.subject.net.dtype)
        signal[place] = 1 / signal[place].size
        return signal

    def score(self, items: Sequence[int]) -> Score:
        """The score of those items, of images in this class's unit."""
        net, layer = self.subject.net, self.layer
        signals = np.stack([self.signal(self.targets[item // self.options["starts"]].place) for item in items])
        gain = (255 * self.scale).astype(net.dtype)

        def of(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            trace = net.forward(z * gain, keep=[layer], record="gradient")
            values = (trace[layer] * signals).reshape(len(z), -1).sum(axis=1, dtype=np.float64)
            return values, net.pullback(trace, layer, signals, "gradient") * gain

        return of

    def start(self, item: int, noisy: bool) -> np.ndarray:
        """Where an item begins; the noise is the same for every target."""
        shape, dtype = self.subject.net.input_shape, self.subject.net.dtype
        if not noisy:
            return np.zeros(shape, dtype)
        rng = np.random.default_rng([self.options["seed"], item % self.options["starts"]])
        return (rng.standard_normal(shape) * (self.options["noise"] / 255)).astype(dtype)

    def climb(self, items: Sequence[int], done: Any) -> tuple[Ascent, list[int]]:
        """Those ascents, and which of them began from noise because the zero image has no slope; ZfcoreError if scores are not finite."""
        starts, score = self.options["starts"], self.score(items)
        z = np.stack([self.start(item, self.options["begin"] == "noise" or item % starts > 0) for item in items])
        values, slope = score(z)
        if not np.isfinite(values).all():
            raise ZfcoreError(f"{self.subject.given}: values of {self.layer} are not finite; see to weights and preprocessing")
        flat = np.flatnonzero(~slope.any(axis=(1, 2, 3)) & ~z.any(axis=(1, 2, 3))).tolist()
        for place in flat:
            z[place] = self.start(items[place], True)
        bounds = (-self.mean / 255, (255 - self.mean) / 255) if self.options["bounded"] else None
        ascent = ascend(score, z, self.style, self.options["steps"], self.options["step"] / 255, bounds, done)
        return ascent, [items[place] for place in flat]

    def looked_at(self, ascent: Ascent, of_classes: bool, batch: int) -> Climbed:
        """The images as 8-bit pictures, and what the network says of those."""
        net, starts = self.subject.net, self.options["starts"]
        pictures = np.rint(np.clip(np.nan_to_num(self.mean + 255 * ascent.images.astype(np.float64)), 0, 255)).astype(np.uint8)
        shown, probabilities, answers = [], [], []
        for first in range(0, len(pictures), batch):
            items = range(first, min(first + batch, len(pictures)))
            x = (pictures[first : first + batch].astype(np.float32) - self.mean.astype(np.float32)) * self.scale.astype(np.float32)
            trace = net.forward(x, keep=[self.layer], record=False)
            places = [self.targets[item // starts].place for item in items]
            shown += [float((trace[self.layer][n] * self.signal(place)).sum(dtype=np.float64)) for n, place in enumerate(places)]
            if of_classes:
                p = self.subject.probabilities(trace[self.layer])
                probabilities += [p[n, place[0]] for n, place in enumerate(places)]
                answers += p.argmax(axis=1).tolist()
        told = (np.array(probabilities), np.array(answers)) if of_classes else (None, None)
        return Climbed(pictures, ascent.scores, np.array(shown), *told)


def _ready(place: Path, key: str) -> tuple[Ascent, list[int]] | None:
    """A batch that the same call kept, and which of it began from noise; None if there is none, or it is damaged, which is said."""
    try:
        with np.load(place, allow_pickle=False) as stored:
            return (Ascent(stored["images"], stored["scores"]), stored["kicked"].tolist()) if str(stored["key"]) == key else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        say(f"{place}: damaged ({error}); its images are climbed anew")
        return None


def climbed(climber: Climber, folder: Path, batch: int) -> tuple[Ascent, list[int]]:
    """All ascents, in batches; each is kept as soon as it is ready, and read if it was kept by the same call."""
    options = climber.options
    kicked: list[int] = []
    parts: list[Ascent] = []
    asked = [climber.subject.described, climber.subject.choice.to_dict(), options, batch]
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    batches = [range(first, min(first + batch, len(climber))) for first in range(0, len(climber), batch)]
    kept = {number: ready for number in range(len(batches)) if (ready := _ready(folder / f"{number:04}.npz", key)) is not None}
    if kept:
        say(f"{len(kept)} of {len(batches)} batches are ready from an earlier, interrupted call")
    total, done, climbs = len(batches) * options["steps"], len(kept), len(kept) * options["steps"]
    with bar(total, "climbing", "step", climbs) as progress:

        def on_step() -> None:  # a bar that is not shown does not count
            nonlocal climbs
            climbs += 1
            progress.update()

        try:
            for number, items in enumerate(batches):
                if number not in kept:
                    kept[number] = ascent, flat = climber.climb(items, on_step)
                    if len(batches) > 1:
                        report.make_folder(folder)
                        arrays = {"images": ascent.images, "scores": ascent.scores, "kicked": np.array(flat, np.int64)}
                        report.write_arrays(folder / f"{number:04}.npz", key=np.array(key), **arrays)
                    done += 1
                parts.append(kept[number][0])
                kicked += kept[number][1]
        except KeyboardInterrupt:
            kept_now = f"{done} of {len(batches)} batches are kept in {folder}: the same command goes on"
            what = kept_now if len(batches) > 1 else "nothing was written"
            raise KeyboardInterrupt(f"stopped after {climbs:,} of {total:,} steps; {what}") from None
    if kicked:
        say(f"the score has no slope at the zero image for {len(kicked)} of {len(climber)} images: they began from noise")
    ascent = Ascent(np.concatenate([part.images for part in parts]), np.concatenate([part.scores for part in parts]))
    if not np.isfinite(ascent.scores).all():
        say("warning: some scores are not finite; see to weights and preprocessing")
    return ascent, kicked
