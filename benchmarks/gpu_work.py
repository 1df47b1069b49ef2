"""``python -m benchmarks.gpu_work bench | whole | ops``: what the parts of `benchmarks.on_gpu` do, in processes of their own."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if importlib.util.find_spec("zfkernels") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))

import numpy as np
import zfkernels
from PIL import Image

from zfcore.backends import resolve
from zfcore.bench import bars, cases, peers, results, run
from zfcore.bench.cases import Case, network
from zfcore.bench.problems import KernelCall, Step, UnsuitedError, with_backend
from zfcore.errors import ZfcoreError
from zfcore.testing import ROUNDINGS, parity_test
from zfcore.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
LOST = 3
"""Exit status when the device no longer answers: a new process can go on."""
RECIPE = Recipe(rate=1e-3, filter_limit=np.inf)


# ---- benchmarks


def ordered_cases() -> list[Case]:
    """All, the most telling first."""
    return cases.most_telling(cases.all_cases(), bars.BARS)


def known(path: Path) -> set[str]:
    """The cases that results know of; those that only time was lacking for have another turn."""
    if not path.exists():
        return set()
    found = results.read(path)
    return {case.id for case in found.cases} | {left["id"] for left in found.left_out if not left["reason"].startswith(run.OVER)}


def time_cases(out: Path, minutes: float, skip: Sequence[str]) -> None:
    """Benchmarks that are not in DIR/results.json yet."""
    resolve("cuda")
    path, chosen = out / "results.json", peers.chosen(None, "cuda")
    threads, done = peers.use_threads(None, chosen), known(path)
    found = results.read(path) if path.exists() else run.begin(threads, chosen, "cuda")
    found.left_out = [left for left in found.left_out if left["id"] in done]
    found.left_out += [{"id": name, "reason": "the process ended in it"} for name in skip if name not in done]
    found.settings["minutes"] = minutes
    ahead = [case for case in ordered_cases() if case.id not in done | set(skip)]
    if ahead:
        run.go_on(ahead, found, path, minutes * 60)
    run.must_be_right(found)


# ---- every op


def call_ops(minutes: float, backend: str = "cuda") -> str:
    """Every op of the catalog on small arrays, then every kernel on ZFNet's layers, each once; where the minutes end, it says so."""
    sys.path.insert(0, str(ROOT / "tests"))
    from draws import SeededDraw
    from zfkernels.catalog import CATALOG, CORNERS, call

    k, end, count = zfkernels.get(backend), time.monotonic() + minutes * 60, 0
    for number, corner in enumerate(CORNERS):  # in the first round every op has its turn
        for op in CATALOG:
            if time.monotonic() > end:
                return f"called {count} times on small arrays, then the time was over"
            case = op.sample(SeededDraw(number, "normal", (np.float32, np.float64)[number % 2], corner))
            for function in op.functions:
                call(k, function, case)
                count += 1
    layers = 0
    for chosen in cases.select(cases.all_cases(), batches=[1], tags=["zfnet"]):
        if time.monotonic() > end:
            return f"called {count} times on small arrays, and {layers} on layers of ZFNet, then the time was over"
        if not chosen.tags.isdisjoint(("network", "project")) or "auto" in chosen.function:
            continue
        try:
            problem = chosen.make(backend=backend)
            assert isinstance(problem, KernelCall)
            result = problem.ours()()
        except UnsuitedError:
            continue
        k.to_numpy(result[0] if isinstance(result, tuple) else result)
        layers += 1
    return f"called {count} times on small arrays, and {layers} on layers of ZFNet"


# ---- from the beginning to the end


def end_to_end(out: Path) -> None:
    """Training steps of ZFNet, and a scan for features with its projections; told in DIR/whole.json."""
    resolve("cuda")
    told: dict[str, str] = {}
    failed = []
    for what, found in (("training", training), ("features scan", scan)):
        try:
            told[what] = found()
        except Exception as error:  # the other one has its turn
            failed.append(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}")
        (out / "whole.json").write_text(json.dumps(told, indent=1) + "\n")
    if failed:
        raise ZfcoreError("; ".join(failed))


def training(architecture: str = "zfnet", batch: int = 128, steps: int = 6, backend: str = "cuda") -> str:
    """So many steps on one batch: the loss falls, and has the same bits the second time."""
    problem = replace(Step.drawn(network(architecture), batch, np.random.default_rng(0), backend), recipe=RECIPE)
    runs = []
    for _ in range(2):
        step = problem.carried() or problem.ours()
        losses = [step()]  # compiles
        start = time.perf_counter()
        losses += [step() for _ in range(steps)]
        seconds = (time.perf_counter() - start) / steps
        runs.append(losses)
    if not (np.isfinite(losses).all() and losses[-1] < losses[0]):
        raise AssertionError(f"the loss does not fall: {losses}")
    if runs[0] != runs[1]:
        raise AssertionError(f"two runs differ: {runs}")
    speed = f"{1e3 * seconds:.1f} ms a step, {batch / seconds:.0f} images a second"
    found = f"loss {losses[0]:.4f}, after {steps + 1} steps {losses[-1]:.4f}, the same bits twice"
    return f"{architecture}, batches of {batch} from the host: {speed}; {found}"


def scan(architecture: str = "zfnet", count: int = 256, layers: Sequence[str] = ("conv2", "conv5"), backend: str = "cuda") -> str:
    """The strongest scenes of some maps, brought down to pixels; of a few scenes the reference finds the same."""
    from zfcore.data.choice import choose
    from zfcore.data.scenes import make_scenes
    from zfcore.data.sources import ArraySource
    from zfcore.experiments import features, strongest

    host, maps = network(architecture), 4
    net, reference = with_backend(host, backend), with_backend(host, "reference")
    side = host.input_shape[1] + 32
    images = [np.asarray(Image.fromarray(image).resize((side, side))) for image in make_scenes(count, seed=3).images]
    chosen = {layer: features.chosen_maps(host, layer, None, maps, 0) for layer in layers}
    got, ref = (
        strongest.search(n, ArraySource(images[:4]), choose(n).preprocessing, strongest.nothing_found(n, chosen, 2), 4).found
        for n in (net, reference)
    )
    for layer in layers:
        bound = ROUNDINGS["network"] * np.finfo(np.float32).eps * np.abs(ref[layer].values).max()
        parity_test(got[layer].values, ref[layer].values, float(bound), f"the strongest of {layer}")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        features.run(net, ArraySource(images), list(layers), folder, random=maps, batch=64)
        seconds = time.perf_counter() - start
    return f"{architecture}, {count} images, {maps} maps of {' and '.join(layers)}, 9 projections of each: {seconds:.1f} s"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_work", description=__doc__)
    parser.add_argument("part", choices=("bench", "whole", "ops"))
    parser.add_argument("--out", type=Path, default=Path("."), metavar="DIR")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--skip", action="append", default=[], metavar="CASE")
    arguments = parser.parse_args(argv)
    try:
        if arguments.part == "bench":
            time_cases(arguments.out, arguments.minutes, arguments.skip)
        elif arguments.part == "whole":
            end_to_end(arguments.out)
        else:
            print(call_ops(arguments.minutes))
    except ZfcoreError as error:
        print(f"gpu_work: error: {error}", file=sys.stderr)
        return LOST if isinstance(error, run.LostError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
