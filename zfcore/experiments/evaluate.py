"""How often networks are wrong: top-1 and top-5 error, of the centre crop and averaged over ten, class by class, and the worst mistakes.

Several networks are one: the mean of their probabilities (paper, table 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import zfcore
from zfcore.data.choice import choose
from zfcore.data.crops import Crops
from zfcore.data.datasets import open_data
from zfcore.data.labelled import DataSet
from zfcore.data.sources import read_ahead
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.evaluation import Answers, Evaluation, facts, percentage
from zfcore.experiments.matching import Chosen, Classes, chosen, matched
from zfcore.experiments.progress import bar, say
from zfcore.experiments.trained import NEEDED, Model, opened
from zfcore.figures.confusion import confusion_picture
from zfcore.figures.mistakes import Mistake, mistakes_picture
from zfcore.training.loop import BATCH

PARTS = ("test", "validation", "train")
MOST_MISTAKES = 40
MOST_CONFUSIONS = 10
"""In the note below the matrix."""
CONFUSION, MISTAKES, RECORD = "confusion.png", "mistakes.png", "evaluation.json"


def run(
    models: Sequence[str | Path],
    data: str | Path,
    part: str | None = None,
    epoch: int | None = None,
    out: Path | None = None,
    batch: int = BATCH,
    preset: str | None = None,
    **changes: Any,
) -> Evaluation:
    """Show networks every image of a part of the data.

    Parameters
    ----------
    models : sequence of path
        Folders of runs, checkpoints, ONNX files; several answer with the mean of their probabilities.
    data : path
        What `open_data` takes.
    part : {"test", "validation", "train"}, optional
        See `chosen`.
    epoch : int, optional
        Of the runs; their best if not given.
    out : Path, optional
        Folder for the pictures and the record; without it nothing is written.
    batch : int
        Images computed at a time.
    preset, **changes
        Preprocessing for networks that were not trained by zfcore, as `choose` takes it.

    Raises
    ------
    ZfcoreError
        If a network or the data cannot be used, do not fit each other, no image can be read, or the results cannot be written.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    if not models:
        raise ZfcoreError(f"model: got none, {NEEDED}")
    found = open_data(data)
    if out is not None:
        report.keep_out_of(found.path, out)
        report.make_folder(out)
    for note in found.notes:
        say(f"note: {note}")
    used = [opened(given, epoch, lambda net: choose(net, preset, **changes)) for given in models]
    given = [name for name, value in {"preset": preset, **changes}.items() if value is not None]
    if given and all(model.choice is None for model in used):
        raise ZfcoreError(f"{', '.join(given)}: of no use, {used[0].given} knows its preprocessing from its training; leave it out")
    classes = matched(found, used)
    for model in used:
        _say_model(model)
    which = chosen(found, part, used)
    say(f"images: {len(which.numbers):,} of the part {which.part}: {which.why}")
    say(f"classes: {len(classes.names):,}, {classes.said}")
    evaluation = evaluated(found, used, which, classes, batch)
    if out is not None:
        _write(evaluation, out)
    return evaluation


def _say_model(model: Model) -> None:
    name, frame = model.net.outputs[0], "{}x{}".format(*(model.ten.frame.crop or ()))
    say(f"{model.given}: {model.net.name}" + (f", {model.path.name}" if model.run else ""))
    if model.choice is None:
        say(f"preprocessing: {model.centre.preprocessing.describe()} (as in its training, on frames of {frame})")
    else:
        report.say_preprocessing(model.choice)
        say(f"  the ten crops are cut from frames of {frame}, larger by the paper's ratio: the model does not say")
    if not model.mirrored:
        say("  it was trained without mirrored images: its ten crops are the five that are not mirrored")
    if model.logits == name:
        say(f"  its output {name!r} is no softmax: it is taken for logits, and probabilities are its softmax")


def evaluated(data: DataSet, models: Sequence[Model], which: Chosen, classes: Classes, batch: int = BATCH) -> Evaluation:
    """Show networks these images; parameters and errors as for `run`."""
    labels, source = classes.labels[which.images.labels], which.images.source
    numbers: list[int] = []
    skipped: dict[int, str] = {}
    parts: dict[str, list[Answers]] = {"centre": [], "ten": []}
    try:
        with bar(len(which.numbers), "evaluating", "image") as progress:
            for some, pixels, damaged in _batches(which, models, batch):
                for number, reason in damaged.items():
                    say(f"skipped {source.name(number)}: {reason}")
                for crops in parts if some else ():
                    parts[crops].append(Answers.of(_averaged(models, classes, pixels, crops), labels[some]))
                numbers += some
                skipped |= damaged
                progress.update(len(some) + len(damaged))
    except KeyboardInterrupt:
        done = len(numbers) + len(skipped)
        raise KeyboardInterrupt(f"stopped after {done:,} of {len(which.numbers):,} images; nothing was written") from None
    if not numbers:
        number, reason = next(iter(skipped.items()))
        raise ZfcoreError(f"{source.described}: none of {len(skipped):,} images can be used; the first, {source.name(number)}: {reason}")
    answers = {crops: Answers.joined(those) for crops, those in parts.items()}
    lost = max(int((those.predicted < 0).sum()) for those in answers.values())
    if lost:
        say(f"warning: for {lost:,} images an output is not finite; they count as wrong: are weights and preprocessing right?")
    return Evaluation(data, models, replace(which, numbers=np.array(numbers)), classes, labels[numbers], answers, skipped)


def _key(crops: Crops) -> tuple[Any, ...]:
    """Equal where frames have the same pixels."""
    return crops.frame.channels, crops.frame.size, crops.frame.crop


_Pixels = dict[tuple[Any, ...], np.ndarray]


def _batches(which: Chosen, models: Sequence[Model], size: int) -> Iterator[tuple[list[int], _Pixels, dict[int, str]]]:
    """Batches of numbers, their frames of every kind, and the images among them that cannot be read."""
    frames = {_key(crops): crops.frame for model in models for crops in (model.centre, model.ten)}

    def load(number: int) -> _Pixels:
        image = which.images.source.read(number)
        return {key: frame.pixels(image) for key, frame in frames.items()}

    loaded: dict[int, _Pixels] = {}
    damaged: dict[int, str] = {}
    last = int(which.numbers[-1])
    for number, found in read_ahead(load, [int(n) for n in which.numbers], ahead=2 * size):
        if isinstance(found, ZfcoreError):
            damaged[number] = getattr(found, "reason", str(found))
        else:
            loaded[number] = found
        if len(loaded) == size or number == last:
            pixels = {key: np.stack([one[key] for one in loaded.values()]) for key in frames} if loaded else {}
            yield list(loaded), pixels, damaged
            loaded, damaged = {}, {}


def _averaged(models: Sequence[Model], classes: Classes, pixels: _Pixels, crops: str) -> np.ndarray:
    """Logarithm of the mean probabilities over windows, and of those over networks, (N, K)."""
    total = None
    for model, columns in zip(models, classes.columns, strict=True):
        frame, places = model.windows(crops)
        for place in places:
            one = model.log_probabilities(frame.inputs(pixels[_key(frame)], place[None]))[:, columns]
            with np.errstate(invalid="ignore"):  # what is not finite is counted later
                one -= math.log(len(places))
                total = one if total is None else np.logaddexp(total, one)
    assert total is not None
    return total - math.log(len(models))


# ---- pictures and record


def _write(evaluation: Evaluation, out: Path) -> None:
    report.write_picture(out / CONFUSION, _confusion_page(evaluation))
    written = [CONFUSION]
    worst = _worst(evaluation)
    if worst:
        report.write_picture(out / MISTAKES, mistakes_picture(worst, _title(evaluation), _mistakes_note(evaluation, len(worst))))
        written.append(MISTAKES)
    else:
        (out / MISTAKES).unlink(missing_ok=True)  # of an earlier evaluation
    record = {"zfcore": zfcore.__version__, "experiment": "evaluate", **facts(evaluation), "per_image": _image_facts(evaluation)}
    report.write_json(out / RECORD, record)
    say(f"written: {', '.join(str(out / name) for name in (*written, RECORD))}")


def _title(evaluation: Evaluation) -> str:
    models = " and ".join(Path(model.given).name for model in evaluation.models)
    wrong = percentage(evaluation.error("centre") or 0.0)
    return f"{models} on {evaluation.data.path}, {evaluation.chosen.part}: {wrong} of {len(evaluation.labels):,} wrong, centre crop"


def confusion(evaluation: Evaluation) -> tuple[np.ndarray, list[str], list[str]]:
    """How many images of each class the centre crop took for which: counts (R, C), names of rows and of columns.

    Of the classes that have images; a last column is of all other answers, if there are any.
    """
    names, predicted = evaluation.classes.names, evaluation.answers["centre"].predicted
    present = np.unique(evaluation.labels)
    place = np.full(len(names) + 1, len(present))  # the last is that of -1, no answer
    place[present] = np.arange(len(present))
    counts = np.zeros((len(present), len(present) + 1), np.int64)
    np.add.at(counts, (place[evaluation.labels], place[predicted]), 1)
    rows = [names[k] for k in present]
    return (counts, rows, [*rows, "any other"]) if counts[:, -1].any() else (counts[:, :-1], rows, rows)


def _confusion_page(evaluation: Evaluation) -> Image.Image:
    counts, rows, columns = confusion(evaluation)
    wrong = np.where(np.eye(*counts.shape) > 0, 0, counts)
    pairs = [np.unravel_index(k, counts.shape) for k in np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]]
    most = [f"{rows[r]} taken for {columns[c]}, {wrong[r, c]:,} of {counts[r].sum():,}" for r, c in pairs if wrong[r, c]]
    note = f"The most frequent mistakes: {'; '.join(most)}." if most else "There is no mistake."
    return confusion_picture(counts, rows, columns, _title(evaluation), note)


def _worst(evaluation: Evaluation) -> list[Mistake]:
    """The wrong images of which the network was surest, surest first; a file may have gone since it was evaluated."""
    answers, names, images = evaluation.answers["centre"], evaluation.classes.names, evaluation.chosen.images
    wrong = np.flatnonzero((answers.rank > 0) & (answers.predicted >= 0))
    found = []
    for n in wrong[np.argsort(-answers.probability[wrong], kind="stable")][:MOST_MISTAKES]:
        try:
            image = images.source.read(int(evaluation.chosen.numbers[n]))
        except ZfcoreError as error:
            say(f"left out of the mistakes: {error}")
            continue
        said = names[answers.predicted[n]]
        found.append(Mistake(image, names[evaluation.labels[n]], said, float(answers.probability[n])))
    return found


def _mistakes_note(evaluation: Evaluation, shown: int) -> str:
    wrong = int((evaluation.answers["centre"].rank > 0).sum())
    return (
        f"The {shown} of {wrong:,} mistakes of which the network was surest, surest first. Above an image its class, below what it was "
        "taken for and the probability of that. Small images are enlarged by whole factors."
    )


def _image_facts(evaluation: Evaluation) -> list[dict[str, Any]]:
    names, source = evaluation.classes.names, evaluation.chosen.images.source
    rows = []
    for n, number in enumerate(evaluation.chosen.numbers.tolist()):
        row: dict[str, Any] = {"image": source.name(number), "number": number, "class": names[evaluation.labels[n]]}
        for crops, answers in evaluation.answers.items():
            said = int(answers.predicted[n])
            row[crops] = {
                "predicted": names[said] if said >= 0 else None,
                "probability": float(answers.probability[n]),
                "probability_of_class": float(answers.right[n]),
                "rank": int(answers.rank[n]) + 1,
            }
        rows.append(row)
    return rows
