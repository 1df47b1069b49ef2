"""What ablations come to: errors of a network's variants, what they differ by, in words and as a table beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zfcore.experiments import report
from zfcore.experiments.evaluation import interval, percentage
from zfcore.experiments.variants import FULL, Variant

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Wrong:
    """How many images of a part a network gets wrong, centre crops; `top5` is None of five classes or fewer."""

    images: int
    top1: int
    top5: int | None

    @property
    def error(self) -> float:
        """Share of the images whose class is not the most probable."""
        return self.top1 / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson 1927)."""
        return interval(self.top1, self.images)


@dataclass(frozen=True)
class Difference:
    """An error rate less another one, with the 95 % interval of that."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} points ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


@dataclass(frozen=True, eq=False)
class Row:
    """A variant, trained: its size, and what it gets wrong, by part of the data."""

    variant: Variant
    parameters: int
    wrong: Mapping[str, Wrong]


def difference(one: Wrong, other: Wrong) -> Difference:
    """How much higher one top-1 error is than another.

    The interval is that of two independent shares (Newcombe 1998, method 10, from Wilson's); of the same images it is wider than it
    need be, as what is hard for one network is hard for the other.

    Examples
    --------
    >>> print(difference(Wrong(70, 56, None), Wrong(80, 48, None)))
    +20.0 points (+5.2 to +33.4)
    """
    (low1, high1), (low2, high2) = one.interval, other.interval
    value = one.error - other.error
    below, above = math.hypot(one.error - low1, high2 - other.error), math.hypot(high1 - one.error, other.error - low2)
    return Difference(value, value - below, value + above)


def judged(rows: Sequence[Row]) -> str:
    """The part of the data by which variants are compared: test, which no schedule saw, else validation as in the paper, else train."""
    return next(part for part in reversed(PARTS) if part in rows[0].wrong)


def row_facts(row: Row, part: str, full: Wrong) -> dict[str, Any]:
    """A row as plain values; differences are of the errors in `part`, to those of the full network."""
    stated = row.variant.stated
    return {
        "variant": row.variant.name,
        "architecture": row.variant.arch,
        "parameters": row.parameters,
        "errors": {name: {**asdict(wrong), "error": wrong.error, "interval": list(wrong.interval)} for name, wrong in row.wrong.items()},
        "difference_to_full": asdict(difference(row.wrong[part], full)),
        "paper": None if stated is None else {**asdict(stated), "difference_to_full": stated.difference},
    }


def sentence(rows: Sequence[Row], arch: str, data: str, guessing: float) -> str:
    """What was found: which removal cost most, and whether the paper's remark was seen; nothing, if the full network has learnt nothing.

    The remark (section 5.1): without layer 7 the error does not rise, without several layers it does. An error has risen if the
    whole interval of the difference is above 0. `guessing` is the error of always naming the most frequent class.
    """
    part = judged(rows)
    full = rows[0].wrong[part]
    differences = {row: difference(row.wrong[part], full) for row in rows}
    found = f"{arch} on {data}: {part} error {percentage(full.error)} of {full.images:,} images, full network."
    if full.interval[1] >= guessing:
        chance = f"That may be no better than naming the most frequent class, {percentage(guessing)}"
        return f"{found} {chance}: it has to learn more before its variants say anything."
    removals = [row for row in rows if row.variant.removed]
    if removals:
        most = max(removals, key=lambda row: differences[row].value)
        words = (
            "Of the removals that of {} cost most: {}"
            if differences[most].value > 0
            else "No removal raised it; that of {} comes nearest: {}"
        )
        sure = ", which may be chance" if differences[most].low <= 0 < differences[most].value else ""
        found += f" {words.format(_layers(most), differences[most])}{sure}."
    return found + _remark(removals, differences) + _unfinished(rows[0], removals)


def _remark(removals: Sequence[Row], differences: Mapping[Row, Difference]) -> str:
    last = next((row for row in removals if row.variant.role == "last"), None)
    several = [row for row in removals if len(row.variant.removed) > 1]
    if last is None or not several:
        return ""
    harmless = differences[last].low <= 0
    hurt = [_layers(row) for row in several if differences[row].low > 0]
    rest = [f"{_layers(row)} ({differences[row]})" for row in several if differences[row].low <= 0]
    words = f" Removing {_layers(last)} alone {'does not raise' if harmless else 'raises'} it: {differences[last]}; removing several "
    if rest:
        words += f"raises it without {'; '.join(hurt)}, not without {'; '.join(rest)}" if hurt else f"does not, either: {'; '.join(rest)}"
        return f"{words}. In the paper the first does not, the rest do."
    return f"{words}does. {'So it is in the paper.' if harmless else 'In the paper the first does not.'}"


def _unfinished(full: Row, removals: Sequence[Row]) -> str:
    """Whether smaller networks have learnt far more of the training images, as they do where the full one has only begun."""
    if "train" not in full.wrong or not removals:
        return ""
    best = min(removals, key=lambda row: row.wrong["train"].error)
    own, other = full.wrong["train"], best.wrong["train"]
    if own.error < 2 * other.error or difference(own, other).low <= 0:
        return ""
    return (
        f" Of its training images the full network gets {percentage(own.error)} wrong, without {_layers(best)} {percentage(other.error)}: "
        "it has to be trained for longer before removals can be judged."
    )


def _layers(row: Row) -> str:
    removed = sorted(row.variant.removed)
    return f"layers {', '.join(map(str, removed[:-1]))} and {removed[-1]}" if len(removed) > 1 else f"layer {removed[0]}"


def table(rows: Sequence[Row], part: str) -> str:
    """Errors in percent, ours and the paper's."""
    parts = [name for name in PARTS if name in rows[0].wrong]
    five = rows[0].wrong[part].top5 is not None
    paper = ("| paper          ", "train", "val.", "to full", "top-5")
    cells = [("variant", "parameters", *parts, f"{part}, 95 %", "to full", *(["top-5"] * five), *paper)]
    full = rows[0].wrong[part]
    for row in rows:
        low, high = row.wrong[part].interval
        ours = (*(f"{100 * row.wrong[name].error:.1f}" for name in parts), f"{100 * low:.1f} to {100 * high:.1f}")
        to_full = "" if row.variant.name == FULL else f"{100 * difference(row.wrong[part], full).value:+.1f}"
        top5 = [f"{100 * (row.wrong[part].top5 or 0) / row.wrong[part].images:.1f}"] * five
        cells.append((row.variant.name, f"{row.parameters:,}", *ours, to_full, *top5, *_paper_cells(row.variant)))
    which = f"; to full: points of {part} error above the full network's; top-5 of {part}" if five else ""
    return "\n".join([*report.columns(cells), f"Errors in %, centre crop, top-1{which}. The paper's are of ImageNet."])


def _paper_cells(variant: Variant) -> tuple[str, ...]:
    stated = variant.stated
    if stated is None:
        return ("| -" + 14 * " ", "", "", "", "")
    return f"| {stated.net:15}", f"{stated.train:.1f}", f"{stated.validation:.1f}", f"{stated.difference:+.1f}", f"{stated.top5:.1f}"
