"""Results as pictures: a roofline, and bars that end at what the machine can do. PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcore.bench.report import FAMILIES, geometric_mean, groups, ratios_to
from zfcore.bench.results import OURS, Results, Timed
from zfcore.errors import ZfcoreError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito's colours, which colour-blind readers tell apart; ours is the strongest.
COLOURS = {OURS: "#D55E00", "torch": "#0072B2", "onnxruntime": "#009E73", "numpy": "#999999", "scipy": "#E69F00", "reference": "#CC79A7"}
COLOURS |= {"torch-cuda": "#0072B2", "torch-cuda-tf32": "#56B4E9"}
MARKERS = "osD^vP*Xph<>"
INK, FAINT = "#222222", "#DDDDDD"
KINDS = ("png", "svg")
MOST_BARS = 40  #: In one chart; of more cases the first are shown.


def draw(results: Results, out: Path) -> list[Path]:
    """Write every picture that the results have something for; those that an earlier run left there, and this one has not, go.

    Raises
    ------
    ZfcoreError
        If a file cannot be written.
    """
    figures: dict[str, Figure | None] = {"roofline": roofline(results), "ratios": ratios(results)}
    for function, family, cases in groups(results):
        figures[f"bars-{function}-{family}"] = bars(results, function, cases[:MOST_BARS])
    written = []
    for name, figure in figures.items():
        if figure is not None:
            written += [_save(figure, out / f"{name}.{kind}") for kind in KINDS]
    for name in ("roofline", "ratios", *(f"bars-*-{family}" for family in FAMILIES)):
        for earlier in {path for kind in KINDS for path in out.glob(f"{name}.{kind}")}.difference(written):
            earlier.unlink(missing_ok=True)
    return written


def _save(figure: Figure, path: Path) -> Path:
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "zfcore", "svg.fonttype": "none"}):  # the same results, the same bytes
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
        except OSError as error:
            raise ZfcoreError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _figure(width: float, height: float, title: str, results: Results) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, color=INK, pad=22)
    threads = f", {results.threads} thread{'s' * (results.threads > 1)}" if not results.on_device else ""
    axes.annotate(f"{results.processor}{threads}", (0, 1), (0, 7), "axes fraction", "offset points", fontsize=8, color="#666666")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def roofline(results: Results) -> Figure | None:
    """Rate against intensity; the roof is the measured copy bandwidth, then the measured multiply-add peak."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    cases = [case for case in results.cases if case.flops and case.moved and case.median() and not case.error]
    if not cases:
        return None
    figure, axes = _figure(10, 6, "Roofline: operations a second against operations for each byte that must move", results)
    peak, copy = results.ceilings["multiply_adds"], results.ceilings["copy"]
    intensities = [case.flops / case.moved for case in cases]
    low, high = min(*intensities, peak / copy) / 2, max(*intensities, peak / copy) * 2
    axes.plot([low, peak / copy, high], [low * copy / 1e9, peak / 1e9, peak / 1e9], color=INK, linewidth=1.5, zorder=1)
    sides = [side for side in (OURS, *results.peers[:1]) if any(case.median(side) for case in cases)]
    markers = dict(zip(dict.fromkeys(case.function for case in cases), MARKERS, strict=False))
    for case in cases:
        for side in sides:
            if time := case.median(side):
                place, over = (case.flops / case.moved, case.flops / time / 1e9), side == OURS
                axes.scatter(*place, s=34, marker=markers[case.function], color=COLOURS[side], alpha=0.8, linewidths=0, zorder=2 + over)
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="GFLOP/s")
    _plain_ticks(axes.xaxis)
    _plain_ticks(axes.yaxis)
    axes.grid(color=FAINT, linewidth=0.6)
    legend: list[Artist] = [Line2D([], [], color=INK, label=f"measured: {copy / 1e9:.1f} GB/s, {peak / 1e9:.0f} GFLOP/s")]
    legend += [Patch(color=COLOURS[side], label=side) for side in sides]
    legend += [Line2D([], [], marker=marker, linestyle="", color="#666666", label=function) for function, marker in markers.items()]
    axes.legend(handles=legend, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def ratios(results: Results) -> Figure | None:
    """Times faster than each peer: geometric means of every function and family, on a logarithmic axis around 1."""
    peers = [peer for peer in results.peers if peer != "reference"]
    rows = [
        (f"{function}, {FAMILIES[family]}", {peer: mean for peer in peers if (mean := geometric_mean(ratios_to(cases, peer)))})
        for function, family, cases in groups(results)
    ]
    rows = [(label, means) for label, means in rows if means]
    if not rows:
        return None
    figure, axes = _figure(9, 1.6 + 0.34 * len(rows), "Times faster than each peer, geometric means", results)
    labels = [label for label, _ in rows]
    axes.axvline(1, color=INK, linewidth=1)
    for y, (_, means) in enumerate(rows):
        for peer, mean in means.items():
            axes.scatter(mean, y, s=42, color=COLOURS[peer], zorder=3, label=peer)
            axes.plot([1, mean], [y, y], color=COLOURS[peer], linewidth=1, alpha=0.5)
    axes.set(xscale="log", xlabel="peer's time over ours: right of the line we are faster", ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    _plain_ticks(axes.xaxis)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    axes.legend([unique[p] for p in peers if p in unique], [p for p in peers if p in unique], fontsize=8, frameon=False, loc="best")
    return figure


def _plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10 instead of powers, as many as there is room for."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def bars(results: Results, function: str, cases: Sequence[Timed]) -> Figure:
    """Rates of every side, case by case, with the ceiling; where no rate is counted milliseconds, as points: bars need a zero."""
    counted = all(case.flops or case.moved for case in cases)
    by_flops = counted and all(case.flops for case in cases)
    unit = ("GFLOP/s" if by_flops else "GB/s") if counted else "ms, lower is better"
    sides = [side for side in (OURS, *results.peers) if side != "reference" and any(case.median(side) for case in cases)]
    figure, axes = _figure(max(7, 3 + 0.1 * len(cases) * (len(sides) + 1)), 4.6, f"{function}: {unit}", results)
    width = 0.8 / len(sides)
    for i, side in enumerate(sides):
        shown = [(x, _height(case, side, counted, by_flops)) for x, case in enumerate(cases) if case.median(side)]
        places, heights = [x for x, _ in shown], [height for _, height in shown]
        if counted:
            axes.bar([x - 0.4 + (i + 0.5) * width for x in places], heights, width * 0.92, color=COLOURS[side], label=side)
        else:
            axes.scatter(places, heights, s=42, color=COLOURS[side], label=side)
    axes.set_xticks(range(len(cases)), [case.what for case in cases], rotation=55, ha="right", rotation_mode="anchor", fontsize=7)
    axes.set_ylabel(unit)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    if counted:
        ceiling = results.ceilings["multiply_adds" if by_flops else "copy"] / 1e9
        what = "multiply-add peak" if by_flops else "copy bandwidth"
        axes.axhline(ceiling, color=INK, linewidth=1, label=f"{what}, {ceiling:.0f} {unit}")
    else:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
    axes.set_xlim(-0.5, len(cases) - 0.5)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _height(case: Timed, side: str, counted: bool, by_flops: bool) -> float:
    time = case.median(side)
    assert time is not None
    if not counted:
        return time * 1e3
    return (case.flops if by_flops else case.moved) / time / 1e9


