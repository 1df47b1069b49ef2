"""The training loop: batches in, a better network out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError
from zfcore.layers import Softmax
from zfcore.network import Network
from zfcore.training.optimiser import SGD
from zfcore.training.recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images came to: mean loss, and the share of them that was got wrong while learning."""

    number: int
    loss: float
    error: float


def train(
    net: Network,
    images: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> list[Epoch]:
    """Train a network in place on images held in memory.

    Parameters
    ----------
    net : Network
        Its first output must be a softmax; its preprocessing makes the inputs.
    images : uint8 array (N, H, W, 3)
    labels : int64 array (N,)
    recipe : Recipe
    on_step : callable (step, steps, loss), optional
        Called after every step.

    Returns
    -------
    list of Epoch

    Raises
    ------
    ZfcoreError
        If there are fewer images than a batch holds, a label is no class of the network, or the loss is no longer finite; the
        message says at which step.
    """
    check_labels(net, images, labels, recipe.batch)
    order = np.random.default_rng(recipe.seed)
    logits, optimiser = logits_layer(net), SGD(net, recipe)
    batches = len(images) // recipe.batch
    steps, step, history = recipe.epochs * batches, 0, []
    for number in range(1, recipe.epochs + 1):
        shuffled, losses, wrong = order.permutation(len(images)), 0.0, 0
        for chosen in np.split(shuffled[: batches * recipe.batch], batches):
            x, y = batch_of(net.preprocessing, images[chosen]), labels[chosen]
            if recipe.flip:
                mirrored = order.random(len(x)) < 0.5
                x[mirrored] = x[mirrored, :, :, ::-1]
            trace = net.forward(x, keep=[logits], seed=recipe.seed * steps + step)
            loss = float(net.kernels.cross_entropy(trace[logits], y))
            if not np.isfinite(loss):
                raise ZfcoreError(f"training: the loss is {loss} at step {step} of epoch {number}; try a lower rate than {recipe.rate}")
            down = net.kernels.cross_entropy_vjp(np.ones((), net.dtype), trace[logits], y)
            optimiser.step(net.gradients(trace, logits, down), recipe.rate * (1 - step / steps))
            wrong += int((trace[logits].argmax(axis=1) != y).sum())
            losses, step = losses + loss, step + 1
            on_step(step, steps, loss)
        history.append(Epoch(number, losses / batches, wrong / (batches * recipe.batch)))
    return history


def check_labels(net: Network, images: np.ndarray, labels: np.ndarray, least: int) -> None:
    """Raise ZfcoreError unless there are at least so many images, and a class of the network for each."""
    classes = net.shapes[logits_layer(net)][0]
    if len(images) < least:
        raise ZfcoreError(f"images: got {len(images)}, needed at least {least}, a batch")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ZfcoreError(f"labels: got {labels.dtype} of shape {labels.shape}, needed integers, one for each of {len(images)} images")
    if labels.min() < 0 or labels.max() >= classes:
        raise ZfcoreError(f"labels: got {labels.min()}..{labels.max()}, needed 0..{classes - 1}: {net.name} has {classes} classes")


def batch_of(preprocessing: Preprocessing | None, images: np.ndarray) -> np.ndarray:
    """Inputs (N, C, H, W) of images (N, H, W, 3)."""
    if preprocessing is None:
        raise ZfcoreError("training: the network does not say how an image becomes an input; set its preprocessing")
    return np.stack([preprocessing(image) for image in images])


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


def error_rate(net: Network, images: np.ndarray, labels: np.ndarray, batch: int = 64) -> float:
    """Share of images (N, H, W, 3) whose most probable class is not their label.

    Raises
    ------
    ZfcoreError
        If there are no images, or a label is no class of the network.
    """
    check_labels(net, images, labels, 1)
    wrong = 0
    for start in range(0, len(images), batch):
        probabilities = net.forward(
            batch_of(net.preprocessing, images[start : start + batch]), keep=[net.outputs[0]], record=False
        )[net.outputs[0]]
        wrong += int((probabilities.argmax(axis=1) != labels[start : start + batch]).sum())
    return wrong / len(images)
