"""What an evaluation came to: the answers, and errors of them as plain values and as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zfcore.data.labelled import DataSet
from zfcore.errors import printable
from zfcore.experiments import report
from zfcore.experiments.matching import Chosen, Classes
from zfcore.experiments.trained import Model
from zfcore.training.loop import ranks

TOP = 5
TABLE_CLASSES = 40
"""Of more classes than these the table shows those with the highest error."""
Z = 1.959964
"""Quantile of the normal distribution that leaves 2.5 % above it."""


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
    return {**described, "preprocessing": {"origin": model.origin, **crops, "mirrored": model.mirrored}}


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
        accuracy = percentage(known["mean_per_class_accuracy"])
        for top in (1, TOP):
            cells.append((f"{title}, top-{top}", *_error_cells(known[f"top{top}"]), accuracy * (top == 1)))
    if evaluation.error("centre", TOP) is None:
        trivial = [f"-: of no more than {TOP} classes the right one is always among {TOP}."]
    else:
        trivial = []
    return "\n".join([*map(printable, head), "", *report.columns(cells), *trivial, "", *_class_lines(evaluation)])


def _error_cells(known: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if known is None:
        return "-", "-", "-"
    low, high = known["interval"]
    return percentage(known["error"]), f"{known['wrong']:,}", f"{100 * low:.2f} to {percentage(high)}"


def percentage(share: float) -> str:
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
        cells.append((printable(row["class"]), taken, f"{row['images']:,}", percentage(row["centre_error"]), percentage(row["ten_error"])))
    return report.columns(cells, left=2)
