"""Results as tables: lines for a terminal, Markdown for the pages that keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from typing import Any

from zfcore.bench.bars import BARS
from zfcore.bench.harness import LEAST
from zfcore.bench.results import CARRIED, OURS, Results, Timed

FAMILIES = {"paper": "ZFNet and AlexNet", "vgg": "VGG-16", "sweep": "size sweep", "model": "given models"}
FEW = "*"  #: Marks a median of fewer than seven samples.
HEADLINE = (
    *("conv2d", "conv2d_adjoint_x", "conv2d_adjoint_w", "max_pool2d", "max_unpool2d", "local_response_norm", "relu"),
    *("forward", "forward_auto", "project", "occlude", "train_step"),
)
"""What the README names."""
RULES = (
    f"median: of the samples of our side; spread: their interquartile range in percent of it; {FEW}: fewer than {LEAST} samples. "
    "ceiling: the share of what the machine can do, by multiply-adds or by moving memory, whichever takes longer; above 100 % the "
    "numbers did not leave a cache. x PEER: the peer's median over ours, above 1 we are faster; least: the worst case of the means, "
    "against the first peer that has times there."
)


DEVICE_RULES = (
    f" On a device: median is the kernel's, its arguments and results there; {CARRIED}: from arrays of the host to arrays of the host, by "
    "the host's clock. Every call begins with caches full of something else."
)


# ---- single figures


def seconds(value: float | None) -> str:
    """A time with four digits.

    Examples
    --------
    >>> seconds(0.0123456), seconds(2.5e-05), seconds(None)
    ('12.35 ms', '25.00 us', '-')
    """
    if value is None:
        return "-"
    scale, unit = next(((s, u) for s, u in ((1, "s"), (1e-3, "ms")) if value >= s), (1e-6, "us"))
    return f"{value / scale:#.4g} {unit}"


def percent(value: float | None) -> str:
    """A share.

    Examples
    --------
    >>> percent(0.853), percent(None)
    ('85 %', '-')
    """
    return "-" if value is None else f"{100 * value:.0f} %"


def times(value: float | None) -> str:
    """A ratio.

    Examples
    --------
    >>> times(1.234), times(57.3), times(312.4), times(None)
    ('1.23', '57.3', '312', '-')
    """
    return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def rate(case: Timed, side: str = OURS) -> str:
    """GFLOP/s where multiply-adds are counted, else GB/s."""
    time = case.median(side)
    if time is None or not (case.flops or case.moved):
        return "-"
    return f"{case.flops / time / 1e9:.1f} GFLOP/s" if case.flops else f"{case.moved / time / 1e9:.1f} GB/s"


def geometric_mean(values: Iterable[float]) -> float | None:
    """None of nothing.

    Examples
    --------
    >>> geometric_mean([2.0, 8.0])
    4.0
    """
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs)) if logs else None


# ---- tables, as rows of cells; the first row is the head


def case_rows(results: Results, cases: Sequence[Timed]) -> list[list[str]]:
    """A row for every case."""
    return [case_head(results, results.peers), *(case_row(results, case, results.peers) for case in cases)]


def case_head(results: Results, peers: Sequence[str]) -> list[str]:
    """The head of `case_row`'s columns."""
    carried = [CARRIED] if results.on_device else []
    return ["case", "first call", "median", "spread", "rate", "ceiling", *carried, *(f"x {peer}" for peer in peers)]


def case_row(results: Results, case: Timed, peers: Sequence[str]) -> list[str]:
    """One case; what was wrong with it stands in place of its times."""
    carried = [_carried(case)] if results.on_device else []
    if case.error:
        return [case.id, f"WRONG: {case.error}", *[""] * (4 + len(carried) + len(peers))]
    ours = case.sides.get(OURS)
    if ours is None or ours.median is None:
        return [case.id, *["-"] * (5 + len(carried) + len(peers))]
    ratios = [times(case.ratio(peer)) + FEW * (0 < len(case.sides[peer].samples) < LEAST if peer in case.sides else 0) for peer in peers]
    median = seconds(ours.median) + FEW * (len(ours.samples) < LEAST)
    figures = median, percent(ours.spread / ours.median), rate(case), percent(results.share(case))
    return [case.id, seconds(ours.first), *figures, *carried, *ratios]


def _carried(case: Timed) -> str:
    few = FEW if case.median(CARRIED) and len(case.sides[CARRIED].samples) < LEAST else ""
    return seconds(case.median(CARRIED)) + few


def mean_rows(results: Results) -> list[list[str]]:
    """Geometric means: a row for every function and family, with the worst case against the first peer that has times there."""
    rows = [["function", "over", "cases", "ceiling", *(f"x {peer}" for peer in results.peers), "least"]]
    for function, family, cases in groups(results):
        shares = [share for case in cases if (share := results.share(case)) is not None]
        ratios = [ratios_to(cases, peer) for peer in results.peers]
        least = min(next(filter(None, ratios), []), default=None)
        means = [times(geometric_mean(of_peer)) for of_peer in ratios]
        rows.append([function, FAMILIES[family], str(len(cases)), percent(geometric_mean(shares)), *means, times(least)])
    return rows


def bar_rows(results: Results) -> list[list[str]]:
    """A row for every bar that the CUDA backend is to reach."""
    rows = [["bar", "measured", "reach it", "least", "of", "mean", "so it is"]]
    for bar in BARS:
        found = bar.found(results)
        known = {name: value for name, value in found.items() if value is not None}
        least = min(known, key=known.__getitem__, default="")
        counts = [f"{len(known)} of {len(found)}", str(sum(value >= bar.least for value in known.values()))]
        figures = [times(known.get(least)), least or "-", times(geometric_mean(known.values()))]
        rows.append([bar.text, *counts, *figures, bar.verdict(found)])
    return rows


def groups(results: Results) -> list[tuple[str, str, list[Timed]]]:
    """Function, family and cases of everything that is right and has a time, in the order of the run."""
    found: dict[tuple[str, str], list[Timed]] = {}
    for case in results.cases:
        if not case.error and case.median() is not None:
            found.setdefault((case.function, case.family), []).append(case)
    return [(*key, cases) for key, cases in found.items()]


def ratios_to(cases: Iterable[Timed], peer: str) -> list[float]:
    """Of those cases in which the peer has a time."""
    return [ratio for case in cases if (ratio := case.ratio(peer)) is not None]


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal: the first column to the left, the others to the right.

    Examples
    --------
    >>> print(as_text([["case", "x"], ["relu", "10"]]))
    case   x
    relu  10
    """
    widths = [max((len(row[i]) for row in rows if not (i == 1 and is_sentence(row))), default=0) for i in range(len(rows[0]))]
    return "\n".join("  ".join(aligned(row, widths)).rstrip() for row in rows)


def is_sentence(row: Sequence[str]) -> bool:
    """Whether a row says in its second cell why it has no others."""
    return len(row) > 2 and not any(row[2:])


def aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The cells of a row, at their widths."""
    left = 2 if is_sentence(row) else 1
    return [cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """The same table for a page.

    Examples
    --------
    >>> print(as_markdown([["case", "x"], ["relu", "10"]]))
    | case | x |
    |---|---:|
    | relu | 10 |
    """
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]])


# ---- what stands around the tables


def machine_lines(machine: dict[str, Any], ceilings: dict[str, Any], threads: int) -> list[str]:
    """The facts and ceilings, a line each."""
    caches = ", ".join(f"{name} {size // 2**10} KiB" for name, size in machine["caches"].items()) or "unknown"
    memory = f"{machine['memory'] / 2**30:.0f} GiB" if machine["memory"] else "unknown"
    copies = "; ".join(f"{name} {value / 1e9:.1f} GB/s" for name, value in ceilings["copies"].items())
    load = "unknown" if machine["load"] is None else f"{machine['load']:.2f}"
    device = machine.get("device")
    by = "independent sums in registers" if device else "our own inner kernel"
    return [
        *(device_lines(device) if device else []),
        f"CPU           {machine['cpu']}, {machine['cores']} cores; {caches}; memory {memory}",
        f"instructions  {' '.join(machine['instructions']) or 'no vectors that we know'}; our kernels use {machine['vectors']}",
        f"system        {machine['system']}; Python {machine['python']}",
        f"versions      {', '.join(f'{name} {v}' for name, v in machine['versions'].items())}",
        f"threads       {threads}, for every side; load at the start {load}",
        f"multiply-adds {ceilings['multiply_adds'] / 1e9:.1f} GFLOP/s, by {by}",
        f"copy          {ceilings['copy'] / 1e9:.1f} GB/s, read and written both counted ({copies}; arrays of "
        f"{ceilings['array'] // 2**20} MiB)",
    ]


def device_lines(device: Mapping[str, Any]) -> list[str]:
    """The facts of a CUDA device; what is not known is left out."""
    sizes = [f"{what} {device[key] / 2**20:.0f} MiB" for key, what in (("l2", "L2"), ("memory", "memory")) if key in device]
    processors = [f"{device['multiprocessors']} multiprocessors"] if "multiprocessors" in device else []
    clock = [f"up to {device['most_clock'] / 1e3:.0f} MHz"] if "most_clock" in device else []
    lines = [f"device        {', '.join([device['name'], 'capability ' + device['compute_capability'], *processors, *sizes, *clock])}"]
    if device["asked"]:
        lines.append(f"its state     {', '.join(f'{name} {value}' for name, value in device['asked'].items())}")
    return [*lines, f"on it         {', '.join(f'{name} {v}' for name, v in device['versions'].items())}"]


def final_text(results: Results) -> str:
    """The end of a run: all cases, the means, what is missing and why."""
    parts = [as_text(case_rows(results, results.cases)), as_text(mean_rows(results))] if results.cases else []
    if len(parts) > 1:
        parts[1] = "geometric means\n" + parts[1]
    if results.on_device:
        parts.append("bars\n" + as_text(bar_rows(results)))
    parts += notes(results)
    return "\n\n".join([*parts, RULES + (DEVICE_RULES if results.on_device else "")])


def notes(results: Results) -> list[str]:
    """What is missing in the tables, with reasons; the same reason is said once."""
    said = []
    for peer in results.settings["peers"]:
        reasons: dict[str, list[str]] = {}
        for case in results.cases:
            side = case.sides.get(peer)
            if side is not None and side.note:
                reasons.setdefault(side.note, []).append(case.id)
        said += [f"{peer}: {reason}: {shortened(ids, len(results.cases))}" for reason, ids in reasons.items()]
    left = [f"left out: {item['id']} ({item['reason']})" for item in results.left_out]
    return ["\n".join(lines) for lines in (said, left) if lines]


def shortened(ids: Sequence[str], total: int) -> str:
    """Some of many names."""
    if len(ids) == total and total > 1:
        return "all cases"
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")


# ---- the pages, from stored results


def page(stored: Mapping[str, Results], pictures: Mapping[str, str]) -> str:
    """The tables of benchmarks/README.md, from every stored result by name; some of them have a picture, by its place."""
    if not stored:
        return "No results are stored yet."
    return "\n\n".join(section(name, results, pictures.get(name)) for name, results in stored.items())


def section(name: str, results: Results, picture: str | None) -> str:
    """One stored result: facts, picture, means, then every case, folded by function."""
    facts = "\n".join(f"    {line}" for line in machine_lines(results.machine, results.ceilings, results.threads))
    warnings = "".join(f"\n\nBeware: {warning}." for warning in results.machine["warnings"])
    parts = [f"### {name}", facts + warnings, *([f"![Roofline of {name}]({picture})"] if picture else [])]
    if results.on_device:
        parts += ["What it was to reach:", as_markdown(bar_rows(results)), *end_to_end(results)]
    parts += ["Geometric means:", as_markdown(mean_rows(results))]
    functions = dict.fromkeys(case.function for case in results.cases)
    for function in functions:
        cases = [case for case in results.cases if case.function == function]
        table = as_markdown(case_rows(results, cases))
        parts.append(f"<details><summary>{function}, {len(cases)} case{'s' * (len(cases) > 1)}</summary>\n\n{table}\n\n</details>")
    missing = "\n".join(notes(results)).splitlines()
    if missing:
        listed = "\n".join(f"- {line}" for line in missing)
        parts.append(f"<details><summary>What is missing, and why</summary>\n\n{listed}\n\n</details>")
    return "\n\n".join(parts)


def cuda_page(stored: Mapping[str, Results], pictures: Mapping[str, str]) -> str:
    """The same of results from devices: where there are none, what they are to show is open."""
    if stored:
        return page(stored, pictures)
    rows = [["bar", "reached"], *([bar.text, "open"] for bar in BARS)]
    return f"Not measured: no device has been at hand. What is to be reached:\n\n{as_markdown(rows)}"


def end_to_end(results: Results) -> list[str]:
    """What `benchmarks.on_gpu` did from the beginning to the end, if it is stored, as a list."""
    lines = [f"- {what}: {found}" for what, found in results.settings.get("end_to_end", {}).items()]
    return ["\n".join(lines)] if lines else []


def headline(stored: Mapping[str, Results], peer: str = "torch") -> str:
    """The README's table: times faster than a peer over the paper's layers, a column for every stored result."""
    shown = {name: results for name, results in stored.items() if peer in results.peers}
    if not shown:
        return "No results are stored yet."
    head = ["function", *(f"{results.processor}, {results.threads} thread{'s' * (results.threads > 1)}" for results in shown.values())]
    means = [
        {function: geometric_mean(ratios_to(cases, peer)) for function, family, cases in groups(results) if family == "paper"}
        for results in shown.values()
    ]
    rows = [[function, *(times(mean.get(function)) for mean in means)] for function in HEADLINE]
    versions = ", ".join(sorted({results.machine["versions"].get(peer, "?") for results in shown.values()}))
    return f"Times faster than PyTorch {versions}:\n\n" + as_markdown([head, *[row for row in rows if set(row[1:]) != {"-"}]])
