"""The same images learnt from scratch, all layers: what transfer is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from zfcore.data.crops import Crops, usual_frame
from zfcore.data.labelled import Labelled
from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import bar
from zfcore.experiments.subject import Subject
from zfcore.experiments.train import usual_recipe
from zfcore.network import Network
from zfcore.training import RECIPES, Batches, Recipe, State, crops_of, gathered, train
from zfcore.training.frames import Frames
from zfcore.training.loop import BATCH, logits_layer
from zfcore.zoo import architecture, build, exists

INSTEAD = "zfnet-64"
"""Trained from scratch where the network is none of the zoo: of a size that a CPU can train on."""
STEPS = 600
"""Of each training, whatever the number of images: few images are shown more often."""
NONE = "none"
TIMED = 3


def usual_architecture(subject: Subject) -> tuple[str, bool]:
    """What to train from scratch beside a network, and whether that is the network's own architecture."""
    name = subject.run.architecture if subject.run is not None else subject.net.name
    own = exists(name) and subject.net.input_shape[1:] == (architecture(name).size,) * 2
    return (name, True) if own else (INSTEAD, False)


def recipe_of(arch: str, images: int, steps: int = STEPS, seed: int = 0) -> Recipe:
    """The architecture's usual recipe, for about so many steps on so many images.

    The rate falls linearly: the paper's falls where a validation error stands still, and here no image is held back for one.
    """
    usual = RECIPES[usual_recipe(arch)]
    batch = min(usual.batch, images)
    frame = usual.frame or usual_frame(architecture(arch).size)
    epochs = max(1, round(steps / (images // batch)))
    return replace(usual, batch=batch, epochs=epochs, schedule="linear", validation=0.0, frame=frame, seed=seed)


@dataclass(frozen=True, eq=False)
class Scratch:
    """An architecture to train from scratch, and the images.

    Parameters
    ----------
    arch : str
        A name in the zoo.
    frames : Frames
    channels : int
        Of the network's input.
    """

    arch: str
    frames: Frames
    channels: int

    @classmethod
    def of(cls, arch: str, images: Labelled, numbers: np.ndarray) -> Scratch:
        """Read those images; ImageError if one cannot be read."""
        side = usual_frame(architecture(arch).size)
        frame = Preprocessing("grey" if images.grey else "RGB", side, (side, side))
        with bar(len(numbers), "reading images", "image") as progress:

            def on_image(number: int, error: ZfcoreError | None) -> None:
                progress.update()
                if error is not None:
                    raise error

            return cls(arch, gathered(images, frame, numbers, [], on_image).frames, 1 if images.grey else 3)

    def begun(self, learnt: np.ndarray, recipe: Recipe) -> tuple[Network, Batches]:
        """An untrained network and its batches; the mean image is that of the training images."""
        size = architecture(self.arch).size
        batches = Batches(self.frames, crops_of(self.frames, self._mean(learnt), recipe.pixel_scale, (size, size)), learnt, recipe)
        classes = self.frames.images.classes
        return build(self.arch, recipe.seed, recipe.init, classes, self.channels, recipe.dropout), batches

    def _mean(self, numbers: np.ndarray) -> np.ndarray:
        return sum(frames.sum(axis=0, dtype=np.int64) for _, frames in self.frames.batches(numbers, BATCH)) / len(numbers)

    def trained(
        self, learnt: np.ndarray, recipe: Recipe, test: np.ndarray, on_step: Callable[[], None] = lambda: None
    ) -> tuple[np.ndarray, float]:
        """Train, and show it the test images: what it takes them for, (T,), and the training error of its last epoch.

        Raises
        ------
        ZfcoreError
            If the loss is not finite.
        """
        net, batches = self.begun(learnt, recipe)
        state = State()
        for epoch in train(net, batches, np.array([], np.int64), state):
            if epoch is None:
                on_step()
        return self.answers(net, batches.crops, test), state.history[-1].training_error

    def answers(self, net: Network, crops: Crops, numbers: np.ndarray) -> np.ndarray:
        """The most probable class of centre crops, (N,)."""
        logits, found = logits_layer(net), []
        for _, frames in self.frames.batches(numbers, BATCH):
            found.append(net.forward(crops.inputs(frames, crops.centre), keep=[logits], record=False)[logits].argmax(axis=1))
        return np.concatenate(found)

    def seconds_a_step(self, learnt: np.ndarray, recipe: Recipe) -> float:
        """Timed on a few steps of a network that is then thrown away; the first, in which kernels are compiled, does not count."""
        net, batches = self.begun(learnt, recipe)
        times = []
        for _ in train(net, batches, np.array([], np.int64), State()):
            times.append(perf_counter())
            if len(times) > TIMED:
                break
        return (times[-1] - times[0]) / max(1, len(times) - 1)


def steps_of(recipe: Recipe, images: int) -> int:
    """Steps that a training on so many images takes."""
    return recipe.epochs * (images // recipe.batch)
