"""A run: the chosen cases in order, each verified and then timed, within a budget; results are on disk after every case."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import zfkernels

import zfcore
from zfcore.backends import resolve
from zfcore.bench import ceilings, machine, peers, plots, report, results
from zfcore.bench.cases import Case
from zfcore.bench.harness import Watch, first_call, take_turns
from zfcore.bench.problems import Problem, UnsuitedError, home
from zfcore.bench.results import CARRIED, OURS, Results, Side, Timed
from zfcore.bench.verification import Check
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import bar, say
from zfcore.experiments.report import make_folder

SEED = 0
THERE, CARRYING = 3.0, 1.0
"""Seconds of sampling that a case on a device has, however many are to come, and those with transfers: making and verifying take longer."""
OVER = "the budget of"
"""How the reason begins why a case is left out that has only to wait for another run."""
AGAIN = 0.02  #: Seconds after every case for the peak of multiply-adds: a machine is not equally fast all the time.


class LostError(ZfcoreError):
    """The device does not answer this process any more."""


def facts(threads: int | None, backend: str = "cpu") -> str:
    """The machine and its ceilings, as text."""
    return "\n".join(_facts(begin(peers.use_threads(threads, []), [], resolve(backend))))


def run(
    cases: Sequence[Case], out: Path, names: Sequence[str] | None, threads: int | None, minutes: float, backend: str = "cpu"
) -> Results:
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
    backend : str
        As `zfcore.backends.resolve` takes it: where our side computes.

    Raises
    ------
    ZfcoreError
        For an unknown peer, a backend that is not there, too many threads, a folder that cannot be written.
    KeyboardInterrupt
        After what was timed is written.
    """
    backend = resolve(backend)
    chosen = peers.chosen(names, backend)
    count = peers.use_threads(threads, chosen)
    make_folder(out)
    found = begin(count, chosen, backend)
    found.settings["minutes"] = minutes
    for line in _facts(found):
        say(line)
    _set_aside(out / "results.json")
    try:
        go_on(cases, found, out / "results.json", minutes * 60)
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


def begin(threads: int, chosen: Sequence[str], backend: str) -> Results:
    """Facts and ceilings: a result without cases."""
    known = machine.facts()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    settings: dict[str, Any] = {"zfcore": zfcore.__version__, "date": date, "threads": threads, "peers": list(chosen), "seed": SEED}
    settings["backend"] = backend
    if backend not in zfkernels.DEVICES:
        return Results(known, ceilings.measured(threads), settings)
    from zfcore.bench import cuda

    return Results(known | {"device": cuda.facts()}, cuda.ceilings(), settings)


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


def go_on(cases: Sequence[Case], found: Results, path: Path, budget: float) -> None:
    """Time cases, in addition to those that are there, and write all of them after each."""
    end = time.perf_counter() + budget
    present = [name for name in found.settings["peers"] if not peers.why_absent(name)]
    head = report.case_head(found, present)
    widths = [max(len(case.id) for case in cases), 10, 10, 6, 14, 7, *(max(len(cell), 6) for cell in head[6:])]
    say("  ".join(report.aligned(head, widths)))
    with bar(len(cases), "cases", "case") as progress:
        for number, case in enumerate(cases):
            left = end - time.perf_counter()
            progress.set_postfix_str(case.id)
            if left <= 0:
                found.left_out.append({"id": case.id, "reason": f"{OVER} {budget / 60:g} minutes was used up"})
            else:
                try:
                    (_one_there if found.on_device else _one)(case, found, left / (len(cases) - number))
                    _peak_again(found)
                finally:
                    if found.cases:
                        results.write(path, found)
                if found.cases and found.cases[-1].id == case.id:
                    say("  ".join(report.aligned(report.case_row(found, found.cases[-1], present), widths)))
            progress.update()
    results.write(path, found)


def _peak_again(found: Results) -> None:
    if not found.on_device:
        again = ceilings.multiply_adds(found.threads, AGAIN)
    else:
        from zfcore.bench import cuda

        again = cuda.multiply_adds(AGAIN)
    found.ceilings["multiply_adds"] = max(found.ceilings["multiply_adds"], again)


def _one(case: Case, found: Results, seconds: float) -> None:
    """Make a case, verify ours, and let the sides take turns; what cannot be is said in the results."""
    begun = time.perf_counter()
    timed, sides = Timed(case.id, case.family, case.n), Sides()
    try:
        problem = case.make(SEED, found.backend)
        result = sides.add_ours(problem, found.backend)
        check = problem.verified(result, np.random.default_rng(SEED))
    except MemoryError as error:
        found.left_out.append({"id": case.id, "reason": f"not enough memory: {error}"})
        return
    except UnsuitedError as error:
        found.left_out.append({"id": case.id, "reason": str(error)})
        return
    except AssertionError as error:
        timed.error = str(error)
        found.cases.append(timed)
        return
    del result
    timed.verified, timed.flops, timed.moved = check.text, problem.flops, problem.moved
    for name in found.settings["peers"]:
        timed.sides[name] = sides.add_peer(name, problem, check, found.threads)
    timed.sides = {OURS: Side(), **timed.sides}
    share = max(seconds - (time.perf_counter() - begun), seconds / 2, THERE if found.on_device else 0)
    for name, side in take_turns(sides.calls, share, time.perf_counter, sides.watches).items():
        side.first = sides.firsts[name]
        timed.sides[name] = side
    if found.on_device:
        timed.sides[CARRIED] = _carried(problem)
    found.cases.append(timed)


def _carried(problem: Problem) -> Side:
    """Ours with the way to the device and back, by itself: no peer's figure stands beside it."""
    from zfcore.bench import cuda

    call = problem.carried()
    if call is None:
        return Side(note="it ends on the host as it is")
    _, first = first_call(call)
    side = take_turns({CARRIED: call}, CARRYING, time.perf_counter, {CARRIED: cuda.watch_carried})[CARRIED]
    side.first = first
    return side


def _one_there(case: Case, found: Results, seconds: float) -> None:
    """The same on a device, where more can fail than an answer: that is an error of the case, and the next one has its turn."""
    from zfcore.bench import cuda

    try:
        _one(case, found, seconds)
    except Exception as error:  # of the driver, the compiler, the network
        said = f"it failed: {type(error).__name__}: {' '.join(str(error).split()):.300}"
        found.cases.append(Timed(case.id, case.family, case.n, error=said))
    if not cuda.answers():  # asked first: what gives memory back would fail, too
        raise LostError(f"the device no longer answers, since {case.id}; what was timed before it is written")
    cuda.tidy()
    for name in found.settings["peers"]:
        if not peers.why_absent(name):
            cast(peers.DevicePeer, peers.load(name)).tidy()


@dataclass
class Sides:
    """What takes turns in a case: calls, how long the first of each took, and the watches of those that the clock is not for."""

    calls: dict[str, Callable[[], Any]] = field(default_factory=dict)
    firsts: dict[str, float] = field(default_factory=dict)
    watches: dict[str, Watch] = field(default_factory=dict)

    def add_ours(self, problem: Problem, backend: str) -> Any:
        """Ours; its first result, on the host."""
        self.calls[OURS] = call = problem.ours()
        result, self.firsts[OURS] = first_call(lambda: home(backend, call()))
        if backend in zfkernels.DEVICES:
            from zfcore.bench import cuda

            self.watches[OURS] = cuda.watch
        return result

    def add_peer(self, name: str, problem: Problem, check: Check, threads: int) -> Side:
        """A peer's call, made and checked; if it has none, or another answer than ours, a side that says why."""
        why = peers.why_absent(name)
        if why:
            return Side(note=why)
        try:
            peer = peers.load(name)
            call = peer.call(problem, threads)
            if name in peers.CUDA_PEERS:
                there = cast(peers.DevicePeer, peer)
                result, first = first_call(lambda: there.home(call()))
                there.held(check)(result)
                self.watches[name] = there.watch
            else:
                result, first = first_call(call)
                check(result)
        except peers.Absent as absent:
            return Side(note=str(absent))
        except AssertionError as error:
            return Side(note=f"its answer is another one: {error}")
        except (MemoryError, RuntimeError) as error:  # PyTorch and onnxruntime raise RuntimeErrors of their own
            return Side(note=f"it failed: {' '.join(str(error).split()):.100}")
        self.calls[name], self.firsts[name] = call, first
        return Side()


def _finish(found: Results, out: Path) -> None:
    results.write(out / "results.json", found)
    if all(case.median() is None for case in found.cases):
        return
    say(f"wrote {out / 'results.json'} and {len(plots.draw(found, out))} pictures beside it")
