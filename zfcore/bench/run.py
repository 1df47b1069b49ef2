"""A run: the chosen cases in order, each verified and then timed, within a budget; results are on disk after every case."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import zfcore
from zfcore.bench import ceilings, machine, peers, plots, report, results
from zfcore.bench.cases import Case
from zfcore.bench.harness import first_call, take_turns
from zfcore.bench.problems import UnsuitedError
from zfcore.bench.results import OURS, Results, Side, Timed
from zfcore.bench.verification import Check
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import bar, say
from zfcore.experiments.report import make_folder

SEED = 0
AGAIN = 0.02  #: Seconds after every case for the peak of multiply-adds: a machine is not equally fast all the time.


def facts(threads: int | None) -> str:
    """The machine and its ceilings, as text."""
    return "\n".join(_facts(_begin(peers.use_threads(threads, []), [])))


def run(cases: Sequence[Case], out: Path, names: Sequence[str] | None, threads: int | None, minutes: float) -> Results:
    """Time cases, and write ``results.json`` and pictures to a folder; an earlier ``results.json`` becomes ``results-before.json``.

    Parameters
    ----------
    cases : sequence of Case
    out : Path
    names : sequence of str, optional
        The peers; all that are installed by default.
    threads : int, optional
        Of every side; one per core by default.
    minutes : float
        After which no new case begins.

    Raises
    ------
    ZfcoreError
        For an unknown peer, too many threads, a folder that cannot be written.
    KeyboardInterrupt
        After what was timed is written.
    """
    chosen = peers.chosen(names)
    count = peers.use_threads(threads, chosen)
    make_folder(out)
    found = _begin(count, chosen)
    found.settings["minutes"] = minutes
    for line in _facts(found):
        say(line)
    _set_aside(out / "results.json")
    try:
        _all(cases, found, chosen, out / "results.json", minutes * 60)
    except KeyboardInterrupt:
        if not found.cases:
            raise KeyboardInterrupt("interrupted before a case was timed; no results are written") from None
        _finish(found, out)
        raise KeyboardInterrupt(f"interrupted; {len(found.cases)} of {len(cases)} cases are in {out / 'results.json'}") from None
    _finish(found, out)
    return found


def must_be_right(found: Results) -> None:
    """Raise ZfcoreError if one of our answers was wrong."""
    wrong = [case.id for case in found.cases if case.error]
    if wrong:
        raise ZfcoreError(f"verification: {len(wrong)} of {len(found.cases)} cases gave a wrong answer: {', '.join(wrong)}")


def _begin(threads: int, chosen: Sequence[str]) -> Results:
    """Facts and ceilings: a result without cases."""
    known = machine.facts()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    settings = {"zfcore": zfcore.__version__, "date": date, "threads": threads, "peers": list(chosen), "seed": SEED}
    return Results(known, ceilings.measured(threads), settings)


def _facts(found: Results) -> list[str]:
    lines = report.machine_lines(found.machine, found.ceilings, found.threads)
    absent = [f"absent        {name}: {why}" for name in found.settings["peers"] if (why := peers.why_absent(name))]
    return [*lines, *absent, *(f"WARNING       {warning}" for warning in found.machine["warnings"])]


def _set_aside(path: Path) -> None:
    """Keep the results of an earlier run: to compare with, or because they took an hour."""
    if path.is_file():
        kept = path.with_name("results-before.json")
        path.replace(kept)
        say(f"the results that were there are now {kept}")


def _all(cases: Sequence[Case], found: Results, chosen: Sequence[str], path: Path, budget: float) -> None:
    end = time.perf_counter() + budget
    present = [name for name in chosen if not peers.why_absent(name)]
    head = report.case_head(present)
    widths = [max(len(case.id) for case in cases), 10, 10, 6, 14, 7, *(max(len(cell), 6) for cell in head[6:])]
    say("  ".join(report.aligned(head, widths)))
    with bar(len(cases), "cases", "case") as progress:
        for number, case in enumerate(cases):
            left = end - time.perf_counter()
            progress.set_postfix_str(case.id)
            if left <= 0:
                found.left_out.append({"id": case.id, "reason": f"the budget of {budget / 60:g} minutes was used up"})
            else:
                _one(case, found, chosen, left / (len(cases) - number))
                again = ceilings.multiply_adds(found.threads, AGAIN)
                found.ceilings["multiply_adds"] = max(found.ceilings["multiply_adds"], again)
                results.write(path, found)
                if found.cases and found.cases[-1].id == case.id:
                    say("  ".join(report.aligned(report.case_row(found, found.cases[-1], present), widths)))
            progress.update()
    results.write(path, found)


def _one(case: Case, found: Results, chosen: Sequence[str], seconds: float) -> None:
    """Make a case, verify ours, and let the sides take turns; what cannot be is said in the results."""
    begun = time.perf_counter()
    timed = Timed(case.id, case.family, case.n)
    try:
        problem = case.make(SEED)
    except MemoryError as error:
        found.left_out.append({"id": case.id, "reason": f"not enough memory: {error}"})
        return
    except UnsuitedError as error:
        found.left_out.append({"id": case.id, "reason": str(error)})
        return
    calls = {OURS: problem.ours()}
    result, first = first_call(calls[OURS])
    try:
        check = problem.verified(result, np.random.default_rng(SEED))
    except AssertionError as error:
        timed.error = str(error)
        found.cases.append(timed)
        return
    del result
    timed.verified, timed.flops, timed.moved = check.text, problem.flops, problem.moved
    firsts = {OURS: first}
    for name in chosen:
        timed.sides[name] = _prepared(name, problem, check, found.threads, calls, firsts)
    timed.sides = {OURS: Side(), **timed.sides}
    for name, side in take_turns(calls, max(seconds - (time.perf_counter() - begun), seconds / 2)).items():
        side.first = firsts[name]
        timed.sides[name] = side
    found.cases.append(timed)


def _prepared(name: str, problem: Any, check: Check, threads: int, calls: dict, firsts: dict) -> Side:
    """A peer's call, made and checked; if it has none, or another answer than ours, a side that says why."""
    why = peers.why_absent(name)
    if why:
        return Side(note=why)
    try:
        call = peers.load(name).call(problem, threads)
        result, first = first_call(call)
        check(result)
    except peers.Absent as absent:
        return Side(note=str(absent))
    except AssertionError as error:
        return Side(note=f"its answer is another one: {error}")
    except (MemoryError, RuntimeError) as error:  # PyTorch and onnxruntime raise RuntimeErrors of their own
        return Side(note=f"it failed: {' '.join(str(error).split()):.100}")
    calls[name], firsts[name] = call, first
    return Side()


def _finish(found: Results, out: Path) -> None:
    results.write(out / "results.json", found)
    if all(case.median() is None for case in found.cases):
        return
    say(f"wrote {out / 'results.json'} and {len(plots.draw(found, out))} pictures beside it")
