"""What every step of a run sees. It follows from the seed and the step's number alone, so that a run may begin at any step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zfcore.data.crops import Crops
from zfcore.data.sources import read_ahead
from zfcore.errors import ZfcoreError
from zfcore.training.frames import Frames
from zfcore.training.recipe import Recipe

ORDER, CROPS, DROPOUT, SPLIT = range(4)
"""What random numbers are drawn for: each use has a stream of its own."""


def drawn(recipe: Recipe, use: int, number: int = 0) -> np.random.Generator:
    """The random numbers of a run for one use and one epoch or step."""
    return np.random.default_rng((recipe.seed, use, number))


@dataclass(eq=False)
class Batches:
    """The batches of all epochs, by the step's number.

    Parameters
    ----------
    frames : Frames
        The images.
    crops : Crops
        How they become inputs.
    numbers : int64 array (N,)
        Those to train on.
    recipe : Recipe
    waited : float
        Seconds that steps have waited for their images so far.

    Raises
    ------
    ZfcoreError
        If there are fewer images than a batch holds.
    """

    frames: Frames
    crops: Crops
    numbers: np.ndarray
    recipe: Recipe
    waited: float = 0.0

    def __post_init__(self) -> None:
        if len(self.numbers) < self.recipe.batch:
            raise ZfcoreError(f"batch: got {self.recipe.batch}, needed at most {len(self.numbers)}, the number of training images")

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return len(self.numbers) // self.recipe.batch

    def step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (B, C, H, W) float32 and labels (B,) int64 of a step, counted from 0."""
        epoch, place = divmod(step, self.per_epoch)
        chosen = _order(self.recipe.seed, epoch, len(self.numbers))[place * self.recipe.batch : (place + 1) * self.recipe.batch]
        numbers = self.numbers[chosen]
        places = self.crops.drawn(drawn(self.recipe, CROPS, step), len(numbers), self.recipe.crops, self.recipe.flip)
        return self.crops.inputs(self.frames[numbers], places), self.frames.images.labels[numbers]

    def ahead(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of steps `start` to ``stop - 1``, made ahead of their use.

        Raises
        ------
        ImageError
            If an image has become unreadable.
        """
        asked = time.perf_counter()
        for _, batch in read_ahead(self.step, range(start, stop), ahead=3):
            self.waited += time.perf_counter() - asked
            if isinstance(batch, ZfcoreError):
                raise batch
            yield batch
            asked = time.perf_counter()


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, ORDER, epoch)).permutation(count)
