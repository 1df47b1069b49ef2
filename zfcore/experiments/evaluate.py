"""How often networks are wrong: top-1 and top-5 error, of the centre crop and averaged over ten, class by class, and the worst mistakes.

Several networks are one: the mean of their probabilities (paper, table 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import zfcore
from zfcore.data.choice import Choice, choose
from zfcore.data.crops import Crops
from zfcore.data.datasets import open_data
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.sources import read_ahead
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.experiments.data import _columns, _keep_out_of
from zfcore.experiments.progress import bar, say
from zfcore.experiments.train import split
from zfcore.figures.confusion import confusion_picture
from zfcore.figures.mistakes import Mistake, mistakes_picture
from zfcore.formats.checkpoint import is_checkpoint, load_training
from zfcore.layers import Softmax
from zfcore.network import Network
from zfcore.training.loop import BATCH, ranks
from zfcore.training.runs import Run, frame_crops
from zfcore.zoo import exists

PARTS = ("test", "validation", "train")
TOP = 5
MOST_MISTAKES = 40
MOST_CONFUSIONS = 10
"""In the note below the matrix."""
TABLE_CLASSES = 40
"""Of more classes than these the table shows those with the highest error."""
Z = 1.959964
"""Quantile of the normal distribution that leaves 2.5 % above it."""
CONFUSION, MISTAKES, RECORD = "confusion.png", "mistakes.png", "evaluation.json"
NEEDED = "needed the folder of a run, a checkpoint or an ONNX file"


# ---- the networks


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
    """

    given: str
    path: Path
    net: Network
    centre: Crops
    ten: Crops
    choice: Choice | None = None
    run: Run | None = None

    @property
    def origin(self) -> str:
        """Where the crops come from, for people."""
        return "as in its training" if self.choice is None else self.choice.origin

    @property
    def logits(self) -> str:
        """The layer whose softmax are the probabilities: the one below the first output, or that output itself if it is no softmax."""
        name = self.net.outputs[0]
        output, shape = self.net.layers[name], self.net.shapes[name]
        if math.prod(shape) != shape[0] or shape[0] < 2 or (isinstance(output, Softmax) and output.axis != 1):
            raise ZfcoreError(f"{self.given}: its first output, {name!r} of shape {shape}, is not one number for each of several classes")
        return output.inputs[0] if isinstance(output, Softmax) else name

    @property
    def count(self) -> int:
        """Number of its classes."""
        return int(self.net.shapes[self.logits][0])

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """(N, K) float64 of inputs: as logarithms they order even classes whose probabilities are too small for a number."""
        logits = self.net.forward(x, keep=[self.logits], record=False)[self.logits]
        return self.net.kernels.log_softmax(logits.reshape(len(x), -1).astype(np.float64), 1)


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
    if path.is_dir():
        run = Run.open(path)
        path = run.best if epoch is None else _checkpoint(run, epoch)
    elif epoch is not None:
        raise ZfcoreError(f"{given}: is no folder of a run, which --epoch {epoch} needs; give the checkpoint of that epoch itself")
    elif not path.is_file():
        untrained = "an untrained network of the zoo" if exists(str(given)) else "no such file or folder"
        raise ZfcoreError(f"{given}: {untrained}; {NEEDED}")
    net, training = load_training(path) if is_checkpoint(path) else (zfcore.load(path), None)
    if run is not None and (training is None or training.facts.get("run") != run.id):
        raise ZfcoreError(f"{path}: not a checkpoint of the run in {given}; take it out of the folder, or give it by itself")
    if len(net.input_shape) != 3:
        raise ZfcoreError(f"{given}: its input has the shape {net.input_shape}, needed (C, H, W), as images have")
    if training is not None:
        try:
            crops = frame_crops(training, net)
        except (KeyError, TypeError, ValueError) as error:
            raise ZfcoreError(printable(f"{path}: what it says of its training does not hold together: {error}")) from error
        return Model(str(given), path, net, crops, crops, run=run)
    choice = choose_for(net)
    H, W = net.input_shape[1:]
    alone = Crops(replace(choice.preprocessing, crop=(H, W)), (H, W))
    return Model(str(given), path, net, alone, Crops.around(choice.preprocessing, (H, W)), choice)


def _checkpoint(run: Run, epoch: int) -> Path:
    path, there = run.checkpoint(epoch), run.epochs()
    if epoch not in there:
        raise ZfcoreError(f"{path}: the run has no checkpoint of epoch {epoch}, only of {', '.join(map(str, there)) or 'none'}")
    return path


# ---- the images


@dataclass(frozen=True, eq=False)
class Chosen:
    """Images to evaluate on: their numbers in `images`, and which part of the data they are and why."""

    images: Labelled
    numbers: np.ndarray
    part: str
    why: str


def chosen(found: DataSet, part: str | None, models: Sequence[Model]) -> Chosen:
    """The part that was asked for; else test, validation, what runs on these data held out, or all of train: the first that there is.

    Of runs on the same data the parts train and validation are what all of them trained on, and what all of them held out.

    Raises
    ------
    ZfcoreError
        If the data have no such part, or there is no image in it.
    """
    own = _own_splits(found, models)
    if part is None:
        held_out = own is not None and len(own.validation)
        part = "test" if "test" in found.parts else "validation" if "validation" in found.parts or held_out else "train"
    if own is None or part == "test":
        if part == "validation" and part not in found.parts:
            only = ", ".join(found.parts)
            raise ZfcoreError(f"{found.path}: has no part 'validation', only {only}, and no run that held images out of it is evaluated")
        images = found.part(part)
        alone = " (the data have no other part)" if len(found.parts) == 1 else ""
        learnt = "; if a network was trained on them, its errors on other images are higher" if part == "train" else ""
        return Chosen(images, np.arange(len(images)), part, f"all of the part{alone}{learnt}")
    numbers = own.validation if part == "validation" else own.training
    runs = {1: "the run", 2: "both runs"}.get(own.runs, f"all {own.runs} runs")
    if not len(numbers):
        raise ZfcoreError(f"{found.path}: no image is in the part {part} of {runs}; give another --part")
    did = "held out in training" if part == "validation" else "was trained on: its errors on other images are higher"
    others = "" if own.runs == len(models) else "; what the other networks were trained on is not known"
    return Chosen(own.images, numbers, part, f"what {runs} {did}{others}")


@dataclass(frozen=True, eq=False)
class _OwnSplits:
    images: Labelled
    training: np.ndarray
    validation: np.ndarray
    runs: int


def _own_splits(found: DataSet, models: Sequence[Model]) -> _OwnSplits | None:
    """What the runs that were trained on these data made of them; None if there is none."""
    runs = []
    for run in (model.run for model in models if model.run is not None):
        images, _, _ = split(found, run.recipe)
        if images.source.listing() == run.facts["data"]["listing"] and images.classes == run.classes:
            runs.append(run)
        else:
            say(f"{run.folder}: was trained on other data, {run.facts['data']['path']}; whether these images were among them is not known")
    if not runs:
        return None
    training, validation = (reduce(np.intersect1d, numbers) for numbers in ([r.training for r in runs], [r.validation for r in runs]))
    return _OwnSplits(images, training, validation, len(runs))


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes that are told apart.

    Parameters
    ----------
    names : tuple of str
    labels : int64 array
        For each class of the data its number among them.
    columns : sequence of int64 array
        For each network its outputs in their order.
    said : str
        How they were matched.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    columns: Sequence[np.ndarray]
    said: str


def matched(found: DataSet, models: Sequence[Model]) -> Classes:
    """The data's classes and the networks': by name; those of networks that name none by position.

    Raises
    ------
    ZfcoreError
        If they are not the same, or the data's not among the networks'. The message says which.
    """
    naming = next((model for model in models if model.net.classes is not None), None)
    names = found.classes if naming is None else tuple(naming.net.classes or ())
    columns = [_columns_of(model, names, found) for model in models]
    if names == found.classes:
        how = "by position: no network names its classes" if naming is None else "the same as the data's"
        return Classes(names, np.arange(len(names)), columns, how)
    assert naming is not None
    lacking = [name for name in found.classes if name not in names]
    if lacking:
        raise ZfcoreError(f"{found.path}: has classes that {naming.given} lacks: {_few(lacking)}; its own are {_few(names)}")
    if len(set(names)) < len(names):
        raise ZfcoreError(f"{naming.given}: has two classes of one name, {_few(_doubled(names))}; they cannot be matched with the data's")
    how = "by name; their orders differ" if len(names) == len(found.classes) else f"by name; the data have {len(found.classes):,} of them"
    return Classes(names, np.array([names.index(name) for name in found.classes]), columns, how)


def _columns_of(model: Model, names: tuple[str, ...], found: DataSet) -> np.ndarray:
    """Where a network has its outputs for classes of those names."""
    own = found.classes if model.net.classes is None else model.net.classes
    if len(own) != model.count:
        who = "the data have" if model.net.classes is None else "it names"
        raise ZfcoreError(f"{model.given}: has {model.count:,} outputs, but {who} {len(own):,} classes: {_few(own)}; needed one for each")
    if own == names:
        return np.arange(len(names))
    differing = [name for name in (*own, *names) if (name in own) != (name in names)] or _doubled(own)
    if differing:
        raise ZfcoreError(f"{model.given}: not of the same classes as the other networks: {_few(differing)}")
    return np.array([own.index(name) for name in names])


def _doubled(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + f", ... ({len(names):,})" * (len(names) > 5)


# ---- the evaluation


@dataclass(frozen=True, eq=False)
class Answers:
    """What networks say of images, (N,) each.

    Parameters
    ----------
    rank : int64
        Classes that are more probable than the right one.
    predicted : int64
        The most probable class; -1 where there is none, because a number was not finite.
    probability, right : float64
        Of the predicted class, and of the right one.
    """

    rank: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, log_probabilities: np.ndarray, labels: np.ndarray) -> Answers:
        """From (N, K)."""
        none = np.isnan(log_probabilities).any(axis=1)
        predicted = np.where(none, -1, log_probabilities.argmax(axis=1))
        p = np.exp(log_probabilities)
        rows = np.arange(len(p))
        return cls(ranks(log_probabilities, labels), predicted, p[rows, predicted], p[rows, labels])

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """One after the other."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("rank", "predicted", "probability", "right")))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out.

    Parameters
    ----------
    data : DataSet
    models : sequence of Model
    chosen : Chosen
        Its numbers are of the images that could be read.
    classes : Classes
    labels : int64 array (N,)
        The right class of each.
    answers : dict of str to Answers
        Of the "centre" crop and of "ten".
    skipped : dict of int to str
        Images that could not be read, and why.
    """

    data: DataSet
    models: Sequence[Model]
    chosen: Chosen
    classes: Classes
    labels: np.ndarray
    answers: Mapping[str, Answers]
    skipped: Mapping[int, str]

    def error(self, crops: str, top: int = 1) -> float | None:
        """Share of the images whose class is not among the `top` most probable; None where there are no more classes than these."""
        return float(np.mean(self.answers[crops].rank >= top)) if len(self.classes.names) > top else None


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
        _keep_out_of(found, out)
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
    """Logarithm of the mean probabilities over windows and networks, (N, K): of equally many windows of each."""
    total, count = None, 0
    for model, columns in zip(models, classes.columns, strict=True):
        frame = model.centre if crops == "centre" else model.ten
        for place in frame.centre if crops == "centre" else frame.ten:
            one = model.log_probabilities(frame.inputs(pixels[_key(frame)], place[None]))[:, columns]
            with np.errstate(invalid="ignore"):  # what is not finite is counted later
                total, count = one if total is None else np.logaddexp(total, one), count + 1
    assert total is not None
    return total - math.log(count)


# ---- as plain values and as text


def interval(wrong: int, images: int) -> tuple[float, float]:
    """The 95 % interval of an error rate (Wilson 1927).

    Examples
    --------
    >>> [round(end, 4) for end in interval(0, 10)]
    [0.0, 0.2775]
    """
    share, z2 = wrong / images, Z * Z / images
    centre, half = share + z2 / 2, Z * math.sqrt(share * (1 - share) / images + z2 / (4 * images))
    return max(0.0, (centre - half) / (1 + z2)), min(1.0, (centre + half) / (1 + z2))


def facts(evaluation: Evaluation) -> dict[str, Any]:
    """All but the single images as plain values, for JSON. An error is null where there are no more classes than it takes."""
    data, which = evaluation.data, evaluation.chosen
    return {
        "models": [_model_facts(model) for model in evaluation.models],
        "data": {"path": data.path, "kind": data.kind, "part": which.part, "chosen": which.why, "listing": which.images.source.listing()},
        "classes": list(evaluation.classes.names),
        "classes_matched": evaluation.classes.said,
        "images": len(evaluation.labels),
        "skipped": [{"image": which.images.source.name(n), "reason": reason} for n, reason in evaluation.skipped.items()],
        **{crops: _crops_facts(evaluation, crops) for crops in evaluation.answers},
        "per_class": per_class(evaluation),
    }


def _model_facts(model: Model) -> dict[str, Any]:
    described = {"given": model.given, **report.described_model(model.net, model.path)}
    crops = {what: {"frame": c.frame.to_dict(), "window": list(c.size)} for what, c in (("centre", model.centre), ("ten", model.ten))}
    return {**described, "preprocessing": {"origin": model.origin, **crops}}


def _crops_facts(evaluation: Evaluation, crops: str) -> dict[str, Any]:
    answers = evaluation.answers[crops]
    found: dict[str, Any] = {}
    for top in (1, TOP):
        error, wrong = evaluation.error(crops, top), int((answers.rank >= top).sum())
        known = {"error": error, "wrong": wrong, "interval": list(interval(wrong, len(answers.rank)))}
        found[f"top{top}"] = None if error is None else known
    shares = [np.mean(answers.rank[evaluation.labels == label] == 0) for label in np.unique(evaluation.labels)]
    found["mean_per_class_accuracy"] = float(np.mean(shares))
    found["not_finite"] = int((answers.predicted < 0).sum())
    return found


def per_class(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Of every class with images: errors, and what the centre crop was taken for, the most frequent first."""
    names, rows = evaluation.classes.names, []
    for label in np.unique(evaluation.labels):
        own = evaluation.labels == label
        taken = np.bincount(evaluation.answers["centre"].predicted[own] + 1, minlength=len(names) + 1)  # 0: no answer
        order = [k for k in np.argsort(-taken, kind="stable") if taken[k]]
        rows.append(
            {
                "class": names[label],
                "images": int(own.sum()),
                **{f"{crops}_error": float(np.mean(answers.rank[own] > 0)) for crops, answers in evaluation.answers.items()},
                "predicted": [{"class": names[k - 1] if k else None, "images": int(taken[k])} for k in order],
            }
        )
    return rows


def table(evaluation: Evaluation) -> str:
    """All of it as text."""
    which, count = evaluation.chosen, len(evaluation.labels)
    skipped = f", {len(evaluation.skipped):,} skipped" if evaluation.skipped else ""
    models = [f"{'model' if not n else '':7}  {model.given}: {model.net.name}" for n, model in enumerate(evaluation.models)]
    mean = "  (the mean of their probabilities)" if len(models) > 1 else ""
    head = [
        *models[:-1],
        models[-1] + mean,
        f"data     {evaluation.data.path}: {evaluation.data.kind}",
        f"images   {count:,} of the part {which.part}{skipped}: {which.why}",
        f"classes  {len(evaluation.classes.names):,}, {evaluation.classes.said}",
    ]
    cells = [("", "error", "wrong", "95 % interval", "mean per-class accuracy")]
    for crops, title in (("centre", "centre crop"), ("ten", "ten crops")):
        known = _crops_facts(evaluation, crops)
        for top in (1, TOP):
            cells.append((f"{title}, top-{top}", *_error_cells(known[f"top{top}"]), _share(known["mean_per_class_accuracy"]) * (top == 1)))
    if evaluation.error("centre", TOP) is None:
        trivial = [f"-: of no more than {TOP} classes the right one is always among {TOP}."]
    else:
        trivial = []
    return "\n".join([*map(printable, head), "", *_columns(cells), *trivial, "", *_class_lines(evaluation)])


def _error_cells(known: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if known is None:
        return "-", "-", "-"
    low, high = known["interval"]
    return _share(known["error"]), f"{known['wrong']:,}", f"{100 * low:.2f} to {_share(high)}"


def _share(share: float) -> str:
    return f"{100 * share:.2f} %"


def _class_lines(evaluation: Evaluation) -> list[str]:
    rows, heading = per_class(evaluation), "class"
    if len(rows) > TABLE_CLASSES:
        heading = f"the {TABLE_CLASSES} of {len(rows):,} classes with the highest error"
        rows = sorted(rows, key=lambda row: -row["centre_error"])[:TABLE_CLASSES]
    cells = [(heading, "most often taken for", "images", "centre crop", "ten crops")]
    for row in rows:
        wrong = next((p for p in row["predicted"] if p["class"] != row["class"]), None)
        taken = "" if wrong is None else f"{printable(wrong['class'] or 'no answer')} ({wrong['images']:,})"
        cells.append((printable(row["class"]), taken, f"{row['images']:,}", _share(row["centre_error"]), _share(row["ten_error"])))
    return _columns(cells, left=2)


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
    error = evaluation.error("centre") or 0.0
    return f"{models} on {evaluation.data.path}, {evaluation.chosen.part}: {_share(error)} of {len(evaluation.labels):,} wrong, centre crop"


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
