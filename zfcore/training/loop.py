"""The training loop: batches in, a better network out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from zfcore.data.crops import Crops
from zfcore.errors import ZfcoreError
from zfcore.layers import Softmax
from zfcore.network import Network
from zfcore.training.batches import DROPOUT, Batches, drawn
from zfcore.training.frames import Frames
from zfcore.training.optimiser import SGD, Key
from zfcore.training.recipe import Recipe
from zfcore.training.schedule import rate

BATCH = 128
"""Images at a time where nothing is learnt."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images came to.

    Parameters
    ----------
    number : int
        From 1.
    rate : float
        Learning rate of its last step.
    loss : float
        Mean over the batches, in training: with dropout, on crops.
    training_error : float
        Share of the images that were got wrong meanwhile.
    validation_error, validation_top5 : float or None
        Share of the validation images, centre crops, whose class is not the most probable, or not among the five; None without images,
        or with no more than five classes.
    """

    number: int
    rate: float
    loss: float
    training_error: float
    validation_error: float | None
    validation_top5: float | None


@dataclass
class State:
    """How far a run has come; with the network's weights, all that it needs to go on.

    Parameters
    ----------
    step : int
        Steps taken.
    velocities : dict of (layer, field) to array
        The optimiser's.
    history : list of Epoch
        The epochs that are done.
    loss, wrong : float, int
        Of the epoch under way: sum of losses, images got wrong.
    """

    step: int = 0
    velocities: dict[Key, np.ndarray] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)
    loss: float = 0.0
    wrong: int = 0


def train(net: Network, batches: Batches, validation: np.ndarray, state: State) -> Iterator[Epoch | None]:
    """Train a network in place, from where `state` is: yields None after every step, and at the end of an epoch what that came to.

    Parameters
    ----------
    net : Network
        Its first output must be a softmax.
    batches : Batches
        What to train on, and the recipe.
    validation : int64 array
        Numbers of the images to measure the error on after each epoch; may be empty.
    state : State
        Kept up to date: whenever this yields, network and state belong together.

    Raises
    ------
    ZfcoreError
        If the schedule needs validation images and there are none, an image has become unreadable, or the loss is no longer finite.
    """
    recipe, logits = batches.recipe, logits_layer(net)
    need_validation(recipe, validation)
    optimiser, steps = SGD(net, recipe, state.velocities), recipe.epochs * batches.per_epoch
    if state.step == (len(state.history) + 1) * batches.per_epoch:  # stopped between an epoch's last step and its validation
        yield _ended(net, batches, validation, state)
    for x, labels in batches.ahead(state.step, steps):
        now = _rate(batches, state.step, state.history)
        seed = int(drawn(recipe, DROPOUT, state.step).integers(2**63))
        loss, wrong, gradients = learnt(net, logits, x, labels, seed)
        if not np.isfinite(loss):
            where = f"step {_place(batches, state.step)}, rate {now:g}"
            raise ZfcoreError(f"the loss is {loss} at {where}: {diagnosis(net, x, seed)}; try a lower rate")
        optimiser.step(gradients, now, limit=(state.step + 1) % recipe.limit_every == 0)
        state.step, state.loss, state.wrong = state.step + 1, state.loss + loss, state.wrong + wrong
        yield None
        if state.step % batches.per_epoch == 0:
            yield _ended(net, batches, validation, state)


def _rate(batches: Batches, step: int, history: Sequence[Epoch]) -> float:
    known = [epoch.validation_error for epoch in history if epoch.validation_error is not None]
    return rate(batches.recipe, step, batches.recipe.epochs * batches.per_epoch, known)


def _ended(net: Network, batches: Batches, validation: np.ndarray, state: State) -> Epoch:
    """An epoch whose steps are taken: what it came to, added to the history."""
    top1, top5 = errors(net, batches.frames, batches.crops, validation) if len(validation) else (None, None)
    count, last = batches.per_epoch, _rate(batches, state.step - 1, state.history)
    epoch = Epoch(len(state.history) + 1, last, state.loss / count, state.wrong / (count * batches.recipe.batch), top1, top5)
    state.history.append(epoch)
    state.loss, state.wrong = 0.0, 0
    return epoch


def need_validation(recipe: Recipe, validation: np.ndarray) -> None:
    """Raise ZfcoreError if the schedule waits for a validation error that there will not be."""
    if recipe.schedule == "plateau" and not len(validation):
        share = f"validation: {recipe.validation:g} of the images of each class is none"
        raise ZfcoreError(f"schedule: got 'plateau', which needs validation images; {share}; give a larger share, or another schedule")


def learnt(net: Network, logits: str, x: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, int, dict[Key, np.ndarray]]:
    """Of a batch: the mean cross-entropy, how many were got wrong, and the gradient of every parameter."""
    trace = net.forward(x, keep=[logits], seed=seed)
    y = trace.values[logits]
    loss = float(net.to_numpy(net.kernels.cross_entropy(y, labels)))
    down = net.kernels.cross_entropy_vjp(np.ones((), net.dtype), y, labels)
    wrong = int((trace[logits].argmax(axis=1) != labels).sum())
    return loss, wrong, net.gradients(trace, logits, down, consume=True) if np.isfinite(loss) else {}


def diagnosis(net: Network, x: np.ndarray, seed: int) -> str:
    """Where numbers ran away: the first layer whose output is not finite, and the size of every layer's weights."""
    trace = net.forward(x, record=False, seed=seed)
    first = next((name for name in net.layers if not np.isfinite(trace[name]).all()), None)
    where = "every layer's output is finite" if first is None else f"the first layer with an output that is not finite is {first}"
    weights = {name: net.to_numpy(layer.arrays["weight"]) for name, layer in net.layers.items() if "weight" in layer.arrays}
    with np.errstate(all="ignore"):
        norms = ", ".join(f"{name} {np.sqrt((w.astype(np.float64) ** 2).sum()):.3g}" for name, w in weights.items())
    return f"{where}; norms of the weights: {norms}"


def _place(batches: Batches, step: int) -> str:
    epoch, place = divmod(step, batches.per_epoch)
    return f"{place + 1} of epoch {epoch + 1}"


def errors(net: Network, frames: Frames, crops: Crops, numbers: np.ndarray) -> tuple[float, float | None]:
    """Top-1 and top-5 error on those images, centre crops: shares of them. Of five classes or fewer there is no top-5 error: None."""
    logits, wrong = logits_layer(net), np.zeros(2, np.int64)
    for part, some in frames.batches(numbers, BATCH):
        y = net.forward(crops.inputs(some, crops.centre), keep=[logits], record=False)[logits]
        place = ranks(y, frames.images.labels[part])
        wrong += [(place >= 1).sum(), (place >= 5).sum()]
    top1, top5 = (wrong / len(numbers)).tolist()
    return top1, top5 if net.shapes[logits][0] > 5 else None


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes score higher than the right one, (N,), of scores (N, K): 0 where it is right.

    Of equal scores the class that comes first ranks higher; NaN is below all, and never right.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    higher = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return np.where(np.isnan(own[:, 0]), scores.shape[1], higher)


def logits_layer(net: Network) -> str:
    """The layer whose softmax is the network's first output.

    Raises
    ------
    ZfcoreError
        If the first output is no softmax.
    """
    output = net.layers[net.outputs[0]]
    if not isinstance(output, Softmax) or len(net.shapes[output.name]) != 1:
        shape = net.shapes[output.name]
        raise ZfcoreError(f"{net.name}: the output {output.name!r}, of shape {shape}, is no softmax over classes, of shape (K,)")
    return output.inputs[0]
