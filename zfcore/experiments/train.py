"""Train a network of the zoo on labelled images: the paper's recipe (section 3), in a folder that can be taken up again at any moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import zfcore
from zfcore import backends
from zfcore.data.crops import Crops, usual_frame
from zfcore.data.datasets import is_scenes, open_data
from zfcore.data.images import MAX_PIXELS, ImageError
from zfcore.data.labelled import DataSet, Labelled, joined
from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.progress import bar, say
from zfcore.experiments.sitting import Prepared, Sitting, complete, continued
from zfcore.training import Batches, Epoch, Recipe, State, crops_of, gathered
from zfcore.training.batches import SPLIT, drawn
from zfcore.training.frames import Frames, fits
from zfcore.training.loop import need_validation
from zfcore.training.runs import Run
from zfcore.zoo import architecture, build


def usual_recipe(arch: str) -> str:
    """Which of `RECIPES` fits an architecture: the paper's, or for small images "small"."""
    return "paper" if architecture(arch).size >= 128 else "small"


OnEpoch = Callable[[Epoch, float], None]


def run(
    data: str | Path,
    arch: str,
    out: Path,
    recipe: Recipe,
    keep: Sequence[int] | None = None,
    on_epoch: OnEpoch = lambda epoch, seconds: None,
    echo: bool = True,
) -> Run:
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
    on_epoch : callable (Epoch, seconds), optional
        Called after each epoch, saved.
    echo : bool
        Say the recipe; False where it was said before.

    Raises
    ------
    ZfcoreError
        If an argument is wrong, the data cannot be used, `out` holds a run already, a file cannot be written, or the loss is not finite.
    KeyboardInterrupt
        When stopped, after the step under way; the run is saved.
    """
    plan = architecture(arch)
    recipe = replace(recipe, frame=recipe.frame or usual_frame(plan.size))
    side = recipe.frame
    if side * side > MAX_PIXELS:
        raise ZfcoreError(f"frame: got {side}, needed at most {math.isqrt(MAX_PIXELS)}")
    Crops(Preprocessing(size=side, crop=(side, side)), (plan.size, plan.size))  # a frame that does not fit is said before any work
    there = Run.occupied(out)
    if there is not None:
        raise ZfcoreError(f"{out}: holds {there} of an earlier run; go on with `zfcore train --resume {out}`, or give another --out")
    say(f"zfcore {zfcore.__version__} train: {arch} on {data}")
    for line in recipe.describe() if echo else ():
        say(f"  {line}")
    found = open_data(data)
    for note in found.notes:
        say(note)
    report.keep_out_of(found.path, out)
    report.make_folder(out)
    images, training, validation = split(found, recipe)
    need_validation(recipe, validation)
    wrong = [epoch for epoch in keep or () if not 1 <= epoch <= recipe.epochs]
    if wrong:
        raise ZfcoreError(f"keep: got epoch {wrong[0]}, needed 1 to {recipe.epochs}")
    facts = {
        "zfcore": zfcore.__version__,
        "architecture": arch,
        "backend": backends.default(),
        "recipe": recipe.to_dict(),
        "classes": list(images.classes),
        "channels": "grey" if images.grey else "RGB",
        "frame": side,
        "keep": None if keep is None else sorted(keep),
        "data": {"path": _lasting(data), "kind": found.kind, "listing": images.listing()},
    }
    net = build(arch, recipe.seed, recipe.init, images.classes, 1 if images.grey else 3, recipe.dropout)
    draft = Run(out, facts, training, validation)
    prepared = _prepared(draft, images)
    begun = Run.begin(out, {**facts, "damaged": prepared.damaged}, prepared.batches.numbers, prepared.validation)
    net.preprocessing = prepared.batches.crops.preprocessing
    return continued(Sitting(begun, net, State(), prepared, on_epoch=on_epoch))


def resume(folder: Path, data: str | Path | None = None, on_epoch: OnEpoch = lambda epoch, seconds: None, echo: bool = True) -> Run:
    """Take up a run where it was stopped, by whatever: it ends with the same bits as if it had not been.

    Parameters
    ----------
    folder : Path
        Of the run.
    data : path, optional
        Where the data are now, if no longer where they were.
    on_epoch : callable (Epoch, seconds), optional
        Called after each epoch, saved.
    echo : bool
        Say the recipe; False where it was said before.

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
    if begun.facts.get("backend", "cpu") != backends.default():
        say(f"  it was begun on {begun.facts.get('backend', 'cpu')} and goes on on {backends.default()}: the bits differ from there on")
    for line in recipe.describe() if echo else ():
        say(f"  {line}")
    stands = begun.newest()
    if stands and len(stands[1].history) == recipe.epochs:
        say("  the run is finished")
        complete(begun, stands[1])
        return begun
    images = images_of(begun, place)
    prepared = _prepared(begun, images, known=True, crops=stands[2] if stands else None)
    if stands:
        net, state, _ = stands
    else:
        net, state = build(begun.architecture, recipe.seed, recipe.init, begun.classes, 1 if images.grey else 3, recipe.dropout), State()
        net.preprocessing = prepared.batches.crops.preprocessing
    say(f"  {state.step} of {recipe.epochs * prepared.batches.per_epoch} steps were taken before")
    return continued(Sitting(begun, net, state, prepared, on_epoch=on_epoch))


def _lasting(data: str | Path) -> str:
    """The data's place, wherever a later sitting begins; the scenes have a name alone."""
    return str(data) if is_scenes(data) else str(Path(data).resolve())


# ---- the images


def images_of(begun: Run, place: str | Path) -> Labelled:
    """The images that a run's numbers are of, wherever they are now.

    Raises
    ------
    ZfcoreError
        If there are none there, or other images, labels or classes.
    """
    try:
        found = open_data(place)
    except ImageError as error:
        raise ZfcoreError(f"{error}; {begun.folder} began with these data: if they were moved, give --data") from error
    images = own_images(begun, found)
    if images is None:
        raise ZfcoreError(f"{place}: not the data that {begun.folder} began with; give --data with their place")
    return images


def own_images(begun: Run, found: DataSet) -> Labelled | None:
    """The images that a run's numbers are of, if these data are the ones it began with."""
    images, _, _ = split(found, begun.recipe)
    return images if images.listing() == begun.facts["data"]["listing"] else None


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


def _prepared(begun: Run, images: Labelled, known: bool = False, crops: Crops | None = None) -> Prepared:
    """Read every image of the split once. If it is `known` that all can be read, one that cannot is an error.

    There is nothing to read where crops are known, and with them the mean, and frames are not kept.
    """
    numbers = np.concatenate([begun.training, begun.validation])
    if crops is not None and not fits(begun.frame, len(numbers)):
        frames = Frames(images, begun.frame, None, np.arange(len(images)))
        _say_images(images, [begun.training, begun.validation], {}, frames)
        return Prepared(Batches(frames, crops, begun.training, begun.recipe), begun.validation, {})
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
    return Prepared(Batches(found.frames, crops, usable[0], begun.recipe), usable[1], named)


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
