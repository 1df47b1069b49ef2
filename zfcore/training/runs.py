"""A run on disk: what it is, its checkpoints, its metrics. Every file is there whole or not at all, whenever the run is stopped.

======================  ============================================================================
run.json                what was asked for: data, architecture, recipe; written once, after split.npz
split.npz               numbers of the training and the validation images
epoch-0001.safetensors  network, optimiser and history after an epoch
best.safetensors        the same of the epoch with the lowest validation error
latest.safetensors      the same in the middle of an epoch, where the run was stopped or a long epoch is under way
metrics.jsonl           a line of JSON for every epoch
curves.png              the same as a picture
======================  ============================================================================
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import BadZipFile

import numpy as np

from zfcore.data.crops import Crops
from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError, printable
from zfcore.files import write_whole
from zfcore.formats.checkpoint import Training, load_training, to_bytes
from zfcore.network import Network
from zfcore.training.loop import Epoch, State
from zfcore.training.recipe import Recipe

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: nothing there keeps two processes apart
    fcntl = None

RUN, SPLIT, METRICS, CURVES = "run.json", "split.npz", "metrics.jsonl", "curves.png"
BEST, LATEST = "best.safetensors", "latest.safetensors"
MEAN, VELOCITY = "frame mean", "velocity of "


@dataclass(frozen=True)
class Run:
    """A run's folder and what it began with.

    Parameters
    ----------
    folder : Path
    facts : dict
        What run.json holds: architecture, recipe, classes, channels, data and more, all plain values.
    training, validation : int64 arrays
        Numbers of images. The validation images are in a part of their own if ``facts["data"]["validation_part"]`` says so.
    """

    folder: Path
    facts: Mapping[str, Any]
    training: np.ndarray
    validation: np.ndarray

    # ---- begin and find

    @classmethod
    def begin(cls, folder: Path, facts: Mapping[str, Any], training: np.ndarray, validation: np.ndarray) -> Run:
        """Write down what a run is.

        Raises
        ------
        ZfcoreError
            If it cannot be written.
        """
        run = cls(folder, facts, training, validation)
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, training=training, validation=validation)
        write_whole(folder / SPLIT, buffer.getvalue())
        write_whole(folder / RUN, (json.dumps({**facts, "id": run.id}, indent=1) + "\n").encode())
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in a folder.

        Raises
        ------
        ZfcoreError
            If there is none, or its files are damaged or do not belong together.
        """
        if not folder.is_dir():
            raise ZfcoreError(f"{folder}: no such folder; needed one that `zfcore train --out` wrote")
        if not (folder / RUN).is_file():
            raise ZfcoreError(f"{folder}: holds no run ({RUN} is missing); needed a folder that `zfcore train --out` wrote")
        place: Path = folder / RUN
        try:
            facts = json.loads(place.read_bytes())
            if not isinstance(facts, dict):
                raise ValueError("it holds no facts by name")
            stated = facts.pop("id")
            place = folder / SPLIT
            with np.load(place, allow_pickle=False) as arrays:
                run = cls(folder, facts, arrays["training"], arrays["validation"])
            _ = run.recipe, run.architecture, run.classes, run.channels, run.frame
            same = stated == run.id
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError, BadZipFile) as error:
            reason = f"{place}: damaged ({error}); the run cannot be taken up, but its checkpoints can be used"
            raise ZfcoreError(printable(reason)) from error
        if not same:
            raise ZfcoreError(f"{folder}: {RUN} and {SPLIT} were changed after the run began, or are of two runs; it cannot be taken up")
        return run

    @staticmethod
    def occupied(folder: Path) -> str | None:
        """What of an earlier run is in a folder, if anything is."""
        found = [path.name for path in (folder / RUN, *sorted(folder.glob("*.safetensors"))) if path.exists()]
        return found[0] if found else None

    # ---- what it is

    @cached_property
    def id(self) -> str:
        """Differs where anything that the weights depend on does."""
        digest = hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode())
        for numbers in (self.training, self.validation):
            digest.update(np.ascontiguousarray(numbers, np.int64).tobytes())
        return digest.hexdigest()

    @property
    def recipe(self) -> Recipe:
        """How the network is trained."""
        return Recipe(**self.facts["recipe"])

    @property
    def architecture(self) -> str:
        """Its name in the zoo."""
        return str(self.facts["architecture"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(map(str, self.facts["classes"]))

    @property
    def channels(self) -> str:
        """Channel order of the network's input."""
        return str(self.facts["channels"])

    @property
    def frame(self) -> Preprocessing:
        """How an image becomes a frame."""
        side = int(self.facts["frame"])
        return Preprocessing(self.channels, side, (side, side))

    # ---- checkpoints

    def checkpoint(self, epoch: int) -> Path:
        """Where the checkpoint of an epoch is."""
        return self.folder / f"epoch-{epoch:04d}.safetensors"

    def epochs(self) -> list[int]:
        """The epochs whose checkpoints are there."""
        names = {path.name: path.stem.removeprefix("epoch-") for path in self.folder.glob("epoch-*.safetensors")}
        numbers = (int(number) for number in names.values() if number.isdecimal())
        return sorted(number for number in numbers if self.checkpoint(number).name in names)

    def prune(self) -> None:
        """Take away the checkpoints that are not to be kept, but for the last."""
        keep = self.facts["keep"]
        for epoch in self.epochs()[:-1] if keep is not None else ():
            if epoch not in keep:
                self.checkpoint(epoch).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process trains this run meanwhile; what a killed one left half-written goes.

        Raises
        ------
        ZfcoreError
            If one does.
        """
        with open(self.folder / RUN, "rb") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of with the process, however it ends
                except BlockingIOError as error:
                    raise ZfcoreError(f"{self.folder}: another process is training this run; wait for it, or stop it") from error
            for partial in self.folder.glob(".*.part"):
                partial.unlink(missing_ok=True)
            yield

    @property
    def best(self) -> Path:
        """The best checkpoint; without validation the last epoch's.

        Raises
        ------
        ZfcoreError
            If there is none yet.
        """
        if (self.folder / BEST).is_file():
            return self.folder / BEST
        if not self.epochs():
            raise ZfcoreError(f"{self.folder}: has no checkpoint of a whole epoch yet; go on with `zfcore train --resume {self.folder}`")
        return self.checkpoint(self.epochs()[-1])

    def bytes_of(self, net: Network, state: State, crops: Crops) -> bytes:
        """A checkpoint: the network, and all that the run needs to go on from it."""
        facts = {
            "run": self.id,
            "step": state.step,
            "history": [asdict(epoch) for epoch in state.history],
            "loss": state.loss,
            "wrong": state.wrong,
            "recipe": self.facts["recipe"],
            "frame": crops.frame.to_dict(),
        }
        velocities = {f"{VELOCITY}{layer}.{name}": v for (layer, name), v in state.velocities.items()}
        return to_bytes(net, self.folder, Training(facts, {MEAN: crops.frame.mean, **velocities}))

    def newest(self) -> tuple[Network, State, Crops] | None:
        """Where the run stands: network, state and crops; None if it has no checkpoint.

        Raises
        ------
        ZfcoreError
            If a checkpoint is damaged or belongs to another run.
        """
        places = [self.checkpoint(epoch) for epoch in self.epochs()[-1:]]
        places += [path for path in (self.folder / LATEST,) if path.is_file()]
        found = [self._taken_up(path) for path in places]
        return max(found, key=lambda taken: taken[1].step) if found else None

    def load(self, path: Path) -> tuple[Network, Training]:
        """A checkpoint of this run.

        Raises
        ------
        ZfcoreError
            If it is damaged, or of another run.
        """
        net, training = load_training(path)
        if training is None or training.facts.get("run") != self.id:
            raise ZfcoreError(f"{path}: a checkpoint of another run than {self.folder / RUN} describes; take it out of the folder")
        return net, training

    def _taken_up(self, path: Path) -> tuple[Network, State, Crops]:
        net, training = self.load(path)
        if net.name != self.architecture:
            raise ZfcoreError(f"{path}: a checkpoint of {net.name}, but the run trains {self.architecture}")
        try:
            return net, _state(training, net), frame_crops(training, net)
        except (KeyError, TypeError, ValueError) as error:
            raise ZfcoreError(printable(f"{path}: what it says of its training does not hold together: {error}")) from error


def frame_crops(training: Training, net: Network) -> Crops:
    """How frames become a network's inputs, from a checkpoint that knows it."""
    H, W = net.input_shape[1:]
    return Crops(Preprocessing.from_dict(training.facts["frame"], training.arrays[MEAN]), (H, W))


def _state(training: Training, net: Network) -> State:
    facts, velocities = training.facts, dict[tuple[str, str], np.ndarray]()
    for name, layer in net.layers.items():
        for parameter in layer.trainable:
            velocity = training.arrays.get(f"{VELOCITY}{name}.{parameter}")
            if velocity is not None:
                if velocity.shape != getattr(layer, parameter).shape:
                    raise ValueError(f"the velocity of {name}.{parameter} has the shape {velocity.shape}")
                velocities[name, parameter] = velocity
    history = [Epoch(**epoch) for epoch in facts["history"]]
    return State(int(facts["step"]), velocities, history, float(facts["loss"]), int(facts["wrong"]))


# ---- metrics


def metrics_lines(history: Sequence[Epoch], measured: Mapping[int, Mapping[str, float]]) -> bytes:
    """The history as lines of JSON, each with what was measured of the epoch."""
    return b"".join((json.dumps({**asdict(epoch), **measured.get(epoch.number, {})}) + "\n").encode() for epoch in history)


def measured_before(path: Path) -> dict[int, dict[str, float]]:
    """What an earlier sitting measured of its epochs: the fields of its metrics that are not of the history."""
    known, found = {f.name for f in fields(Epoch)}, dict[int, dict[str, float]]()
    try:
        for line in path.read_text().splitlines():
            values = json.loads(line)
            found[int(values["number"])] = {name: float(value) for name, value in values.items() if name not in known}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # they are for people; a run goes on without
    return found
