"""A sitting of a run: from where the run stands until its end, or until someone stops it; what is written on the way, and what is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from zfcore.data.crops import Crops
from zfcore.data.images import ImageError
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import bar, say
from zfcore.experiments.stopping import stoppable
from zfcore.figures.curves import curves_png
from zfcore.files import write_whole
from zfcore.network import Network
from zfcore.training import Batches, Epoch, State, train
from zfcore.training.runs import BEST, CURVES, LATEST, METRICS, Run, measured_before, metrics_lines

SAVE_EVERY = 600.0
"""Seconds: what a crash can cost in a long epoch."""
WAITED = 0.1
"""Share of the time spent waiting for images that is worth a word."""
WARM, JUDGED = 10, 100
"""Steps before that share is measured, and over which it is."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """The images, ready to be learnt from; `damaged` are the names of those that are left out, with the reason."""

    batches: Batches
    validation: np.ndarray
    damaged: dict[str, str]


@dataclass(eq=False)
class Sitting:
    """A run under way: what it writes, and when; `on_epoch` is told of every epoch and the seconds it took in this sitting."""

    begun: Run
    net: Network
    state: State
    prepared: Prepared
    measured: dict[int, dict[str, float]] = field(default_factory=dict)
    on_epoch: Callable[[Epoch, float], None] = lambda epoch, seconds: None

    @property
    def crops(self) -> Crops:
        """How images become inputs."""
        return self.prepared.batches.crops

    def save_latest(self) -> None:
        """Save a state in the middle of an epoch."""
        write_whole(self.begun.folder / LATEST, self.begun.bytes_of(self.net, self.state, self.crops))

    def save_epoch(self) -> None:
        """Save the state at the end of an epoch; what it makes needless goes when it is there."""
        run, state = self.begun, self.state
        number = len(state.history)
        content = run.bytes_of(self.net, state, self.crops)
        write_whole(run.checkpoint(number), content)
        if best_epoch(state.history) == number:
            write_whole(run.folder / BEST, content)
        (run.folder / LATEST).unlink(missing_ok=True)
        run.prune()
        write_metrics(run, state.history, self.measured)


def write_metrics(run: Run, history: Sequence[Epoch], measured: Mapping[int, Mapping[str, float]]) -> None:
    """What people look at."""
    write_whole(run.folder / METRICS, metrics_lines(history, measured))
    write_whole(run.folder / CURVES, curves_png(history, f"{run.architecture} on {Path(run.facts['data']['path']).name}"))


def complete(run: Run, state: State) -> dict[int, dict[str, float]]:
    """Do what the end of an epoch does after its checkpoint, if an earlier sitting was stopped in between; what that measured."""
    measured, history = measured_before(run.folder / METRICS), state.history
    if history:
        place = run.checkpoint(len(history))
        if best_epoch(history) == len(history) and place.is_file():
            write_whole(run.folder / BEST, place.read_bytes())
        write_metrics(run, history, measured)
        run.prune()
    return measured


def best_epoch(history: Sequence[Epoch]) -> int | None:
    """Number of the first epoch with the lowest validation error; None without validation."""
    known = [epoch for epoch in history if epoch.validation_error is not None]
    return min(known, key=lambda epoch: (epoch.validation_error, epoch.number)).number if known else None


def continued(sitting: Sitting) -> Run:
    """Train until the run's end, or until someone stops it."""
    with sitting.begun.alone():
        sitting.measured = complete(sitting.begun, sitting.state)
        _train(sitting)
    _conclude(sitting)
    return sitting.begun


def _train(sitting: Sitting) -> None:
    state, batches = sitting.state, sitting.prepared.batches
    steps = batches.recipe.epochs * batches.per_epoch
    say(f"{sitting.net!r}; {steps - state.step} steps to take")
    clock = _Clock(batches)
    with stoppable() as stop, bar(steps, "training", "step", state.step) as progress:
        try:
            for epoch in train(sitting.net, batches, sitting.prepared.validation, state):
                if epoch is not None:
                    sitting.measured[epoch.number] = clock.lap()
                    sitting.save_epoch()
                    say(_line(epoch, batches.recipe.epochs, clock.of_epoch, clock.left(steps - state.step)))
                    sitting.on_epoch(epoch, clock.of_epoch["seconds"])
                    continue
                progress.update()
                progress.set_postfix(epoch=len(state.history) + 1, loss=f"{state.loss / ((state.step - 1) % batches.per_epoch + 1):.3f}")
                clock.step()
                if stop.asked:
                    raise KeyboardInterrupt
                if clock.since_saved() > SAVE_EVERY:
                    sitting.save_latest()
                    clock.saved = time.monotonic()
        except (KeyboardInterrupt, ImageError) as reason:
            if (isinstance(reason, KeyboardInterrupt) and not stop.asked) or stop.twice:
                raise
            sitting.save_latest()
            again = f"{state.step} of {steps} steps are saved; zfcore train --resume {sitting.begun.folder} goes on"
            if isinstance(reason, ImageError):
                raise ZfcoreError(f"{reason}; {again}") from reason
            raise KeyboardInterrupt(f"stopped: {again}") from None


@dataclass(eq=False)
class _Clock:
    """How long the epochs of a sitting take, and what of it is spent waiting for images."""

    batches: Batches
    began: float = field(default_factory=time.monotonic)
    steps: int = 0

    def __post_init__(self) -> None:
        self.saved = self.epoch_began = self.began
        self.waited, self.epochs_steps = 0.0, 0  # before the epoch under way
        self.judged = (self.began, 0.0)
        self.of_epoch: dict[str, float] = {}

    def since_saved(self) -> float:
        """Seconds."""
        return time.monotonic() - self.saved

    def step(self) -> None:
        """A step is over. Of the first ones a hundred are judged, but for those that wait for a compiler and the first images."""
        self.steps += 1
        now = time.monotonic()
        if self.steps == WARM:
            self.judged = (now, self.batches.waited)
        elif self.steps == WARM + JUDGED:
            share = (self.batches.waited - self.judged[1]) / (now - self.judged[0])
            if share > WAITED:
                say(f"{share:.0%} of the time is spent waiting for images: the disk and their decoding are the limit, not the network")

    def lap(self) -> dict[str, float]:
        """An epoch is over: its seconds in this sitting, with validation; its images a second; and the seconds it waited for images."""
        now = time.monotonic()
        seconds, waited = now - self.epoch_began, self.batches.waited - self.waited
        images = (self.steps - self.epochs_steps) * self.batches.recipe.batch
        self.of_epoch = {"seconds": seconds, "images_per_second": images / seconds, "waited_seconds": waited}
        self.epoch_began = self.saved = now
        self.waited, self.epochs_steps = self.batches.waited, self.steps
        return self.of_epoch

    def left(self, steps: int) -> float:
        """Seconds that so many steps will take, as those of this sitting did."""
        return (time.monotonic() - self.began) * steps / max(1, self.steps)


def _line(epoch: Epoch, epochs: int, measured: dict[str, float], left: float) -> str:
    validation = ""
    if epoch.validation_error is not None:
        validation = f"  validation error {epoch.validation_error:6.2%}"
    if epoch.validation_top5 is not None:
        validation += f" (top-5 {epoch.validation_top5:.2%})"
    return (
        f"epoch {epoch.number:{len(str(epochs))}}/{epochs}  loss {epoch.loss:.4f}  training error {epoch.training_error:6.2%}{validation}  "
        f"rate {epoch.rate:.3g}  {measured['images_per_second']:.0f} images/s  {tqdm.format_interval(left)} left"
    )


def _conclude(sitting: Sitting) -> None:
    best = best_epoch(sitting.state.history)
    if best is not None:
        error = sitting.state.history[best - 1].validation_error
        say(f"lowest validation error {error:.2%}, epoch {best}: {sitting.begun.folder / BEST}")
