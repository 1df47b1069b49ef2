"""A sitting of a run: from where the run stands until its end, or until someone stops it; what is written on the way, and what is said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from zfcore.data.crops import Crops
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
"""Share of an epoch spent waiting for images that is worth a word."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """The images, ready to be learnt from; `damaged` are the names of those that are left out, with the reason."""

    batches: Batches
    validation: np.ndarray
    damaged: dict[str, str]


@dataclass(eq=False)
class Sitting:
    """A run under way: what it writes, and when."""

    begun: Run
    net: Network
    state: State
    prepared: Prepared
    keep: Sequence[int] | None
    measured: dict[int, dict[str, float]] = field(default_factory=dict)

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
        if self.keep is not None and number - 1 not in self.keep:
            run.checkpoint(number - 1).unlink(missing_ok=True)
        self.write_metrics()

    def write_metrics(self) -> None:
        """What people look at. All of it follows from the history, and is written anew where a sitting ended before it was."""
        run, history = self.begun, self.state.history
        write_whole(run.folder / METRICS, metrics_lines(history, self.measured))
        write_whole(run.folder / CURVES, curves_png(history, f"{run.architecture} on {Path(run.facts['data']['path']).name}"))

    def complete(self) -> None:
        """Write what the end of an epoch writes after its checkpoint, if an earlier sitting was stopped in between."""
        history, folder = self.state.history, self.begun.folder
        self.measured = measured_before(folder / METRICS)
        if history:
            place = self.begun.checkpoint(len(history))
            if best_epoch(history) == len(history) and place.is_file():
                write_whole(folder / BEST, place.read_bytes())
            self.write_metrics()


def best_epoch(history: Sequence[Epoch]) -> int | None:
    """Number of the first epoch with the lowest validation error; None without validation."""
    known = [epoch for epoch in history if epoch.validation_error is not None]
    return min(known, key=lambda epoch: (epoch.validation_error, epoch.number)).number if known else None


def continued(sitting: Sitting) -> Run:
    """Train until the run's end, or until someone stops it."""
    sitting.complete()
    state, batches = sitting.state, sitting.prepared.batches
    steps = batches.recipe.epochs * batches.per_epoch
    say(f"{sitting.net!r}; {steps - state.step} steps to take" + ("" if state.step < steps else ": the run is finished"))
    clock = _Clock(batches)
    with stoppable() as stop, bar(steps, "training", "step", state.step) as progress:
        for epoch in train(sitting.net, batches, sitting.prepared.validation, state):
            progress.update()
            clock.steps += 1
            if epoch is not None:
                sitting.measured[epoch.number] = clock.lap()
                sitting.save_epoch()
                say(_line(epoch, batches.recipe.epochs, clock.of_epoch, clock.left(steps - state.step)))
            else:
                progress.set_postfix(epoch=len(state.history) + 1, loss=f"{state.loss / (state.step % batches.per_epoch):.3f}")
                if stop.asked or clock.since_saved() > SAVE_EVERY:
                    sitting.save_latest()
                    clock.saved = time.monotonic()
            if stop.asked and state.step < steps:
                again = f"zfcore train --resume {sitting.begun.folder} goes on"
                raise KeyboardInterrupt(f"stopped after {state.step} of {steps} steps, saved; {again}")
    _conclude(sitting)
    return sitting.begun


@dataclass(eq=False)
class _Clock:
    """How long the epochs of a sitting take, and what of it is spent waiting for images."""

    batches: Batches
    began: float = field(default_factory=time.monotonic)
    steps: int = 0
    warned: bool = False

    def __post_init__(self) -> None:
        self.saved = self.epoch_began = self.began
        self.waited, self.epochs_steps = 0.0, 0  # before the epoch under way
        self.of_epoch: dict[str, float] = {}

    def since_saved(self) -> float:
        """Seconds."""
        return time.monotonic() - self.saved

    def lap(self) -> dict[str, float]:
        """An epoch is over: its seconds in this sitting, with validation; its images a second; and the seconds it waited for images."""
        now = time.monotonic()
        seconds, waited = now - self.epoch_began, self.batches.waited - self.waited
        images = (self.steps - self.epochs_steps) * self.batches.recipe.batch
        self.of_epoch = {"seconds": seconds, "images_per_second": images / seconds, "waited_seconds": waited}
        if waited > WAITED * seconds and self.epochs_steps and not self.warned:  # the first waits for the first images, and for a compiler
            share = f"{waited / seconds:.0%} of the epoch was spent waiting for images"
            say(f"{share}: the disk and their decoding are the limit, not the network")
            self.warned = True
        self.epoch_began = self.saved = now
        self.waited, self.epochs_steps = self.batches.waited, self.steps
        return self.of_epoch

    def left(self, steps: int) -> float:
        """Seconds that so many steps will take, as those of this sitting did."""
        return (time.monotonic() - self.began) * steps / max(1, self.steps)


def _line(epoch: Epoch, epochs: int, measured: dict[str, float], left: float) -> str:
    validation = ""
    if epoch.validation_error is not None and epoch.validation_top5 is not None:
        validation = f"  validation error {epoch.validation_error:6.2%} (top-5 {epoch.validation_top5:.2%})"
    return (
        f"epoch {epoch.number:{len(str(epochs))}}/{epochs}  loss {epoch.loss:.4f}  training error {epoch.training_error:6.2%}{validation}  "
        f"rate {epoch.rate:.3g}  {measured['images_per_second']:.0f} images/s  {tqdm.format_interval(left)} left"
    )


def _conclude(sitting: Sitting) -> None:
    best = best_epoch(sitting.state.history)
    if best is not None:
        error = sitting.state.history[best - 1].validation_error
        say(f"lowest validation error {error:.2%}, epoch {best}: {sitting.begun.folder / BEST}")
