"""Networks that were trained, by zfcore or by others, and how they see images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import zfcore
from zfcore import stages
from zfcore.data.choice import Choice, choose
from zfcore.data.crops import Crops
from zfcore.errors import ZfcoreError, printable
from zfcore.formats.checkpoint import Training, is_checkpoint, load_training
from zfcore.network import Network
from zfcore.training.runs import Run, frame_crops
from zfcore.zoo import exists

NEEDED = "needed the folder of a run, a checkpoint or an ONNX file"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network and how it sees images.

    Parameters
    ----------
    given : str
        What it was asked for by.
    path : Path
        Its file.
    net : Network
    centre, ten : Crops
        Where the one centre crop is cut from, and the ten. Of a network that was trained by zfcore they are the same; to another one the
        centre crop is what its own preprocessing makes of an image.
    choice : Choice, optional
        Where the centre crop of such a network comes from.
    run : Run, optional
        That it is of.
    mirrored : bool
        Whether mirrored images mean the same to it: of one that was trained without them the ten crops are the five that are not.
    """

    given: str
    path: Path
    net: Network
    centre: Crops
    ten: Crops
    choice: Choice | None = None
    run: Run | None = None
    mirrored: bool = True

    def windows(self, crops: str) -> tuple[Crops, np.ndarray]:
        """The crops of "centre" or "ten", and where in the frame they lie, as `Crops.inputs` takes it."""
        if crops == "centre":
            return self.centre, self.centre.centre
        return self.ten, self.ten.ten if self.mirrored else self.ten.ten[:5]

    @property
    def origin(self) -> str:
        """Where the crops come from, for people."""
        return "as in its training" if self.choice is None else self.choice.origin

    @property
    def logits(self) -> str:
        """The layer whose softmax are the probabilities: the one below the first output, or that output itself if it is no softmax."""
        name = stages.logits(self.net)
        if name is None:
            output = self.net.outputs[0]
            shape = self.net.shapes[output]
            raise ZfcoreError(f"{self.given}: its first output, {output!r} of shape {shape}, is not one number for each of several classes")
        return name

    @property
    def count(self) -> int:
        """Number of its classes."""
        return int(self.net.shapes[self.logits][0])

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """(N, K) float64 of inputs: as logarithms they order even classes whose probabilities are too small for a number."""
        logits = self.net.forward(x, keep=[self.logits], record=False)[self.logits]
        return self.net.to_numpy(self.net.kernels.log_softmax(logits.reshape(len(x), -1).astype(np.float64), 1))


def opened(given: str | Path, epoch: int | None = None, choose_for: Callable[[Network], Choice] = choose) -> Model:
    """A trained network from the folder of a run, a checkpoint or an ONNX file.

    Parameters
    ----------
    given : path
    epoch : int, optional
        Of a run: the checkpoint of that epoch instead of the best.
    choose_for : callable
        The preprocessing for a network that was not trained by zfcore.

    Raises
    ------
    ZfcoreError
        If there is nothing trained there, or it is damaged.
    """
    path, run = Path(given), None
    training: Training | None
    if path.is_dir():
        run = Run.open(path)
        path = run.best if epoch is None else _checkpoint(run, epoch)
    elif epoch is not None:
        raise ZfcoreError(f"{given}: is no folder of a run, which --epoch {epoch} needs; give the checkpoint of that epoch itself")
    elif not path.is_file():
        untrained = "an untrained network of the zoo" if exists(str(given)) else "no such file or folder"
        raise ZfcoreError(f"{given}: {untrained}; {NEEDED}")
    if run is not None:
        net, training = run.load(path)
    else:
        net, training = load_training(path) if is_checkpoint(path) else (zfcore.load(path), None)
    if len(net.input_shape) != 3:
        raise ZfcoreError(f"{given}: its input has the shape {net.input_shape}, needed (C, H, W), as images have")
    if training is not None:
        try:
            crops, mirrored = frame_crops(training, net), bool(training.facts["recipe"]["flip"])
        except (KeyError, TypeError, ValueError) as error:
            raise ZfcoreError(printable(f"{path}: what it says of its training does not hold together: {error}")) from error
        return Model(str(given), path, net, crops, crops, None, run, mirrored)
    choice = choose_for(net)
    H, W = net.input_shape[1:]
    alone = Crops(replace(choice.preprocessing, crop=(H, W)), (H, W))
    return Model(str(given), path, net, alone, Crops.around(choice.preprocessing, (H, W)), choice)


def _checkpoint(run: Run, epoch: int) -> Path:
    path, there = run.checkpoint(epoch), run.epochs()
    if epoch not in there:
        raise ZfcoreError(f"{path}: the run has no checkpoint of epoch {epoch}, only of {', '.join(map(str, there)) or 'none'}")
    return path
