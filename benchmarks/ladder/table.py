"""What each step bought, as tables: lines for a terminal, Markdown for the page, both from results alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.ladder import steps
from benchmarks.ladder.run import BLAS, PARALLEL
from zfcore.bench.report import as_markdown, as_text, machine_lines, percent, times
from zfcore.bench.results import Results, Timed

RULES = (
    "peak: the share of the multiply-adds that our own inner kernel does on data in the first cache, with the same threads. "
    "x before: times faster than the step before (a BLAS is a mark, not a step: the one after it is compared with the one before it). "
    "x first: times faster than step 0. Medians; the steps took turns."
)


def rows(found: Results, layer: Timed, cell: Callable[[str], str]) -> list[list[str]]:
    """A row for every step that has a time; `cell` is what its first cell says."""
    table = [["step", "threads", "GFLOP/s", "peak", "x before", "x first"]]
    first: float | None = None
    before: float | None = None
    for step in found.settings["peers"]:
        median = layer.median(step)
        if median is None:
            continue
        threads, peak = (found.threads, "multiply_adds") if step in PARALLEL else (1, "one_thread")
        rate = layer.flops / median
        gains = [times(other and other / median) for other in (before, first)]
        table.append([cell(step), str(threads), f"{rate / 1e9:.1f}", percent(rate / found.ceilings[peak]), *gains])
        first, before = first or median, before if step == BLAS else median
    return table


def text(found: Results) -> str:
    """For a terminal."""
    tables = [f"{layer.what}\n{as_text(rows(found, layer, str))}" for layer in found.cases]
    return "\n\n".join(["\n".join(_facts(found)), *tables, RULES])


def page(stored: Mapping[str, Results]) -> str:
    """The section of benchmarks/README.md, from every stored result by name."""
    if not stored:
        return "No results are stored yet."
    return "\n\n".join([*(_section(name, found) for name, found in stored.items()), RULES])


def _section(name: str, found: Results) -> str:
    titles = {step: steps.title(module) for step, module in steps.load().items()}
    missing = [step for step in found.settings["peers"] if step not in titles]
    if missing:
        raise ValueError(f"{name}: has times of {', '.join(missing)}, which are no steps now; redo it by python -m benchmarks.ladder")
    facts = "\n".join(f"    {line}" for line in _facts(found))
    warnings = [f"Beware: {warning}." for warning in found.machine["warnings"]]
    tables = [f"{_name(layer)}:\n\n{as_markdown(rows(found, layer, lambda step: _link(step, titles[step])))}" for layer in found.cases]
    return "\n\n".join([f"### {name}", facts, *warnings, *tables])


def _link(step: str, title: str) -> str:
    return f"[{steps.number(step)}](ladder/{step}.py) {title}"


def _name(layer: Timed) -> str:
    network, _, rest = layer.what.partition("-")
    return f"{rest.partition('/')[0]} of {network}, N = {layer.n}, {layer.flops / 1e9:.3g} GFLOP"


def _facts(found: Results) -> list[str]:
    """Those of the machine that tell about computing, and both peaks."""
    lines = machine_lines(found.machine, found.ceilings, found.threads)
    known = [line for line in lines if not line.startswith(("threads", "copy", "multiply-adds"))]
    peaks = found.ceilings["one_thread"] / 1e9, found.ceilings["multiply_adds"] / 1e9
    return [*known, f"multiply-adds {peaks[0]:.1f} GFLOP/s on 1 thread, {peaks[1]:.1f} on {found.threads}, by our own inner kernel"]
