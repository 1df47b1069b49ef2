"""Two results beside each other: what changed, beyond the noise."""

from __future__ import annotations

from dataclasses import dataclass

from zfcore.bench.report import as_text, geometric_mean, seconds, times
from zfcore.bench.results import OURS, Results, Side

RULE = (
    "A change is marked where the medians differ by more than the interquartile ranges of old and new added, and by more than 3 %. "
    "Runs on a machine that does other work, or on two machines, differ by more than that for no reason of ours."
)
LEAST_CHANGE = 0.03  #: Of a median: two runs of the same code differ by so much even when each is steady.
MARKS = {1: "faster", -1: "SLOWER", 0: ""}


@dataclass(frozen=True)
class Change:
    """One case in both results; `verdict` is 1 for faster, -1 for slower, 0 for neither."""

    id: str
    old: Side
    new: Side
    verdict: int

    @property
    def ratio(self) -> float:
        """Old median over new: above 1 it is faster now."""
        assert self.old.median and self.new.median
        return self.old.median / self.new.median


def verdict(old: Side, new: Side) -> int:
    """1 if the new side is faster beyond the noise, -1 if it is slower, else 0.

    Examples
    --------
    >>> verdict(Side(samples=[1.0, 1.1, 1.2]), Side(samples=[0.5, 0.6, 0.7]))
    1
    >>> verdict(Side(samples=[1.0, 1.1, 1.2]), Side(samples=[1.0, 1.05, 1.3]))
    0
    """
    assert old.median is not None and new.median is not None
    difference = old.median - new.median
    noise = max(old.spread + new.spread, LEAST_CHANGE * old.median)
    return 0 if abs(difference) <= noise else 1 if difference > 0 else -1


def changes(old: Results, new: Results) -> list[Change]:
    """Of our side, in every case that has times in both."""
    before = {case.id: case.sides[OURS] for case in old.cases if case.median() is not None and not case.error}
    found = []
    for case in new.cases:
        if case.id in before and case.median() is not None and not case.error:
            pair = before[case.id], case.sides[OURS]
            found.append(Change(case.id, *pair, verdict(*pair)))
    return found


def warnings(old: Results, new: Results) -> list[str]:
    """What makes the two hard to compare."""
    said = []
    for what, a, b in (
        ("machines", old.processor, new.processor),
        ("numbers of threads", old.threads, new.threads),
        ("versions of Numba", old.machine["versions"].get("numba"), new.machine["versions"].get("numba")),
    ):
        if a != b:
            said.append(f"different {what}: {a} and {b}")
    peaks = old.ceilings["multiply_adds"], new.ceilings["multiply_adds"]
    if abs(peaks[0] - peaks[1]) > 0.1 * max(peaks):
        said.append(f"different ceilings: {peaks[0] / 1e9:.0f} and {peaks[1] / 1e9:.0f} GFLOP/s; the machine was not equally fast")
    return said


def text(old: Results, new: Results) -> str:
    """The whole comparison."""
    found = changes(old, new)
    rows = [["case", "old", "new", "old / new", "changed"]]
    rows += [[c.id, seconds(c.old.median), seconds(c.new.median), times(c.ratio), MARKS[c.verdict]] for c in found]
    apart = [
        f"only in the {name} result: {', '.join(ids)}"
        for name, ids in (("old", _missing(old, new)), ("new", _missing(new, old)))
        if ids
    ]
    for name, results in (("old", old), ("new", new)):
        if wrong := [case.id for case in results.cases if case.error]:
            apart.append(f"WRONG in the {name} result, and not compared: {', '.join(wrong)}")
    count = {mark: sum(c.verdict == mark for c in found) for mark in MARKS}
    mean = geometric_mean(c.ratio for c in found)
    end = f"{len(found)} cases in both: {count[1]} faster, {count[-1]} slower, {count[0]} unchanged; "
    end += f"geometric mean of old / new {times(mean)}"
    return "\n\n".join([*(f"beware: {line}" for line in warnings(old, new)), as_text(rows), *apart, end, RULE])


def _missing(here: Results, there: Results) -> list[str]:
    known = {case.id for case in there.cases}
    return [case.id for case in here.cases if case.id not in known]
