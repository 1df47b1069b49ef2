"""Train a network of the zoo on labelled images: the paper's recipe (section 3), in a folder that can be taken up again at any moment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

import zfcore
from zfcore.data.crops import Crops, usual_frame
from zfcore.data.datasets import is_scenes, open_data
from zfcore.data.labelled import DataSet, Labelled, joined
from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.progress import bar, say
from zfcore.experiments.stopping import stoppable
from zfcore.figures.curves import curves_png
from zfcore.files import write_whole
from zfcore.network import Network
from zfcore.training import Batches, Epoch, Recipe, State, crops_of, gathered, train
from zfcore.training.batches import SPLIT, drawn
from zfcore.training.frames import Frames, fits
from zfcore.training.loop import need_validation
from zfcore.training.runs import BEST, CURVES, LATEST, METRICS, Run, measured_before, metrics_lines
from zfcore.zoo import architecture, build

SAVE_EVERY = 600.0
"""Seconds: what a crash can cost in a long epoch."""
WAITED = 0.1
"""Share of an epoch spent waiting for images that is worth a word."""


def usual_recipe(arch: str) -> str:
    """Which of `RECIPES` fits an architecture: the paper's, or for small images "small"."""
    return "paper" if architecture(arch).size >= 128 else "small"


def run(data: str | Path, arch: str, out: Path, recipe: Recipe, keep: Sequence[int] | None = None) -> Run:
    """Begin a run, and train until its end.

    Parameters
    ----------
    data : path
        What `open_data` takes.
    arch : str
        A name in the zoo.
    out : Path
        Folder of the run.
    recipe : Recipe
    keep : sequence of int, optional
        Epochs whose checkpoints stay, besides the last and the best; all if not given.

    Raises
    ------
    ZfcoreError
        If an argument is wrong, the data cannot be used, `out` holds a run already, a file cannot be written, or the loss is not finite.
    KeyboardInterrupt
        When stopped, after the step under way; the run is saved.
    """
    plan = architecture(arch)
    side = recipe.frame or usual_frame(plan.size)
    Crops(Preprocessing(size=side, crop=(side, side)), (plan.size, plan.size))  # a frame that does not fit is said before any work
    there = Run.occupied(out)
    if there is not None:
        raise ZfcoreError(f"{out}: holds {there} of an earlier run; go on with `zfcore train --resume {out}`, or give another --out")
    say(f"zfcore {zfcore.__version__} train: {arch} on {data}")
    for line in recipe.describe():
        say(f"  {line}")
    found = open_data(data)
    for note in found.notes:
        say(note)
    report.make_folder(out)
    images, training, validation = split(found, recipe)
    facts = {
        "zfcore": zfcore.__version__,
        "architecture": arch,
        "recipe": recipe.to_dict(),
        "classes": list(images.classes),
        "channels": "grey" if images.grey else "RGB",
        "frame": side,
        "data": {"path": _lasting(data), "kind": found.kind, "listing": images.source.listing()},
    }
    draft = Run(out, facts, training, validation)
    prepared = _prepared(draft, images)
    begun = Run.begin(out, {**facts, "damaged": prepared.damaged}, prepared.batches.numbers, prepared.validation)
    net = build(arch, recipe.seed, recipe.init, images.classes, 1 if images.grey else 3, recipe.dropout)
    net.preprocessing = prepared.batches.crops.preprocessing
    return _continued(_Sitting(begun, net, State(), prepared, keep))


def resume(folder: Path, data: str | Path | None = None, keep: Sequence[int] | None = None) -> Run:
    """Take up a run where it was stopped, by whatever: it ends with the same bits as if it had not been.

    Parameters
    ----------
    folder : Path
        Of the run.
    data : path, optional
        Where the data are now, if no longer where they were.
    keep : sequence of int, optional
        As for `run`.

    Raises
    ------
    ZfcoreError
        If the folder holds no run or a damaged one, or the data are not those it began with.
    KeyboardInterrupt
        When stopped again.
    """
    begun = Run.open(folder)
    recipe, place = begun.recipe, data or begun.facts["data"]["path"]
    say(f"zfcore {zfcore.__version__} train: goes on with {folder}, {begun.architecture} on {place}")
    if begun.facts["zfcore"] != zfcore.__version__:
        say(f"  it was begun by zfcore {begun.facts['zfcore']}: the bits may differ from there on")
    for line in recipe.describe():
        say(f"  {line}")
    report.make_folder(folder)
    images, _, _ = split(open_data(place), recipe)
    if images.source.listing() != begun.facts["data"]["listing"] or images.classes != begun.classes:
        raise ZfcoreError(f"{place}: not the data that {folder} began with; give --data with their place, or begin another run")
    stands = begun.newest()
    prepared = _prepared(begun, images, known=True, crops=stands[2] if stands else None)
    if stands:
        net, state, _ = stands
    else:
        net, state = build(begun.architecture, recipe.seed, recipe.init, begun.classes, 1 if images.grey else 3, recipe.dropout), State()
        net.preprocessing = prepared.batches.crops.preprocessing
    say(f"  {state.step} of {recipe.epochs * prepared.batches.per_epoch} steps were taken before")
    return _continued(_Sitting(begun, net, state, prepared, keep))


def _lasting(data: str | Path) -> str:
    """The data's place, wherever a later sitting begins; the scenes have a name alone."""
    return str(data) if is_scenes(data) else str(Path(data).resolve())


# ---- the images


def split(found: DataSet, recipe: Recipe) -> tuple[Labelled, np.ndarray, np.ndarray]:
    """The images, and the numbers of those to train on and those to validate on.

    The data's own validation part is taken where there is one; else a share of every class's training images, drawn from the seed.
    """
    images = found.part("train")
    numbers = np.arange(len(images))
    if "validation" in found.parts:
        return joined(images, found.parts["validation"]), numbers, np.arange(len(images), len(images) + len(found.parts["validation"]))
    rng = drawn(recipe, SPLIT)
    held = np.zeros(len(images), bool)
    for label in range(len(images.classes)):
        own = rng.permutation(np.flatnonzero(images.labels == label))
        held[own[: round(recipe.validation * len(own))]] = True
    return images, numbers[~held], numbers[held]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """The images, ready to be learnt from; `damaged` are the names of those that are left out, with the reason."""

    batches: Batches
    validation: np.ndarray
    damaged: dict[str, str]


def _prepared(begun: Run, images: Labelled, known: bool = False, crops: Crops | None = None) -> _Prepared:
    """Read every image of the split once. If it is `known` that all can be read, one that cannot is an error.

    There is nothing to read where crops are known, and with them the mean, and frames are not kept.
    """
    numbers = np.concatenate([begun.training, begun.validation])
    if crops is not None and not fits(begun.frame, len(numbers)):
        frames = Frames(images, begun.frame, None, np.arange(len(images)))
        _say_images(images, [begun.training, begun.validation], {}, frames)
        return _Prepared(Batches(frames, crops, begun.training, begun.recipe), begun.validation, {})
    with bar(len(numbers), "reading images", "image") as progress:

        def on_image(number: int, error: ZfcoreError | None) -> None:
            progress.update()
            if error is not None:
                if known:
                    raise error
                say(f"skipped {images.source.name(number)}: {getattr(error, 'reason', error)}")

        try:
            found = gathered(images, begun.frame, numbers, begun.training, on_image)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped while reading the images, before the first step") from None
    usable = [np.array([n for n in part if n not in found.damaged], np.int64) for part in (begun.training, begun.validation)]
    need_validation(begun.recipe, usable[1])
    _must_be_learnable(images, usable[0], found.damaged)
    side = architecture(begun.architecture).size
    crops = crops or crops_of(found.frames, found.mean, begun.recipe.pixel_scale, (side, side))
    _say_images(images, usable, found.damaged, found.frames)
    named = {images.source.name(number): getattr(error, "reason", str(error)) for number, error in found.damaged.items()}
    return _Prepared(Batches(found.frames, crops, usable[0], begun.recipe), usable[1], named)


def _must_be_learnable(images: Labelled, training: np.ndarray, damaged: dict[int, ZfcoreError]) -> None:
    counts = np.bincount(images.labels[training], minlength=len(images.classes))
    empty = [images.classes[label] for label in np.flatnonzero(counts == 0)]
    if empty:
        why = f"; {len(damaged)} images cannot be read" if damaged else ""
        raise ZfcoreError(f"{images.source.described}: no image to train on of class {empty[0]!r}{why}")


def _say_images(images: Labelled, usable: Sequence[np.ndarray], damaged: dict[int, ZfcoreError], frames: Frames) -> None:
    memory = "read again every epoch" if frames.kept is None else f"kept in memory, {frames.kept.nbytes / 2**20:.0f} MB"
    skipped = f", {len(damaged)} skipped" if damaged else ""
    say(
        f"{len(images.classes)} classes; {len(usable[0])} images to train on, {len(usable[1])} to validate on{skipped}; "
        f"frames of {frames.frame.size} pixels, {memory}"
    )


# ---- the sitting


@dataclass(eq=False)
class _Sitting:
    """A run under way: what it writes, and when."""

    begun: Run
    net: Network
    state: State
    prepared: _Prepared
    keep: Sequence[int] | None
    measured: dict[int, dict[str, float]] = field(default_factory=dict)

    @property
    def crops(self) -> Crops:
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


def _continued(sitting: _Sitting) -> Run:
    """Train until the run's end, or until someone stops it."""
    sitting.complete()
    state, batches = sitting.state, sitting.prepared.batches
    steps = batches.recipe.epochs * batches.per_epoch
    say(f"{sitting.net!r}; {steps - state.step} steps to take" + ("" if state.step < steps else ": the run is finished"))
    clock = _Clock(batches, steps - state.step)
    with stoppable() as stop, bar(steps, "training", "step", state.step) as progress:
        for epoch in train(sitting.net, batches, sitting.prepared.validation, state):
            progress.update()
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
    steps: int
    began: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    warned: bool = False

    def __post_init__(self) -> None:
        self.epoch_began = self.saved = self.began
        self.of_epoch: dict[str, float] = {}
        self.done = 0

    def since_saved(self) -> float:
        """Seconds."""
        return time.monotonic() - self.saved

    def lap(self) -> dict[str, float]:
        """An epoch is over: its seconds with validation, its images a second, and the seconds it waited for images."""
        now = time.monotonic()
        seconds, waited = now - self.epoch_began, self.batches.waited - self.waited
        images = self.batches.per_epoch * self.batches.recipe.batch
        self.of_epoch = {"seconds": seconds, "images_per_second": images / seconds, "waited_seconds": waited}
        self.epoch_began = self.saved = now
        self.waited = self.batches.waited
        if waited > WAITED * seconds and self.done and not self.warned:
            share = f"{waited / seconds:.0%} of the epoch was spent waiting for images"
            say(f"{share}: the disk and their decoding are the limit, not the network")
            self.warned = True
        self.done += 1
        return self.of_epoch

    def left(self, steps: int) -> float:
        """Seconds that so many steps will take, as those of this sitting did."""
        taken = max(1, self.steps - steps)
        return (time.monotonic() - self.began) * steps / taken


def _line(epoch: Epoch, epochs: int, measured: dict[str, float], left: float) -> str:
    validation = ""
    if epoch.validation_error is not None and epoch.validation_top5 is not None:
        validation = f"  validation error {epoch.validation_error:6.2%} (top-5 {epoch.validation_top5:.2%})"
    return (
        f"epoch {epoch.number:{len(str(epochs))}}/{epochs}  loss {epoch.loss:.4f}  training error {epoch.training_error:6.2%}{validation}  "
        f"rate {epoch.rate:.3g}  {measured['images_per_second']:.0f} images/s  {tqdm.format_interval(left)} left"
    )


def _conclude(sitting: _Sitting) -> None:
    best = best_epoch(sitting.state.history)
    if best is not None:
        error = sitting.state.history[best - 1].validation_error
        say(f"lowest validation error {error:.2%}, epoch {best}: {sitting.begun.folder / BEST}")
