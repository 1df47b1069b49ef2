"""``python -m benchmarks.memory``: how much memory whole networks take, here and in PyTorch; each in a process of its own, on Linux.

    python -m benchmarks.memory --out benchmarks/results/memory/MACHINE.json
    python docs/refresh.py                                 # writes the table in benchmarks/README.md

What is counted is the most that a process holds while it makes a call four times, less what it held before the first: images and weights
are there by then, libraries are loaded; compiled code, results, gradients, velocities and all between them are not.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if importlib.util.find_spec("zfkernels") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))

from zfcore.bench import cases, peers, report
from zfcore.files import write_whole

CASES = ("train_step/zfnet/n128", "train_step/zfnet-small/n128", "forward/zfnet/n32", "occlude/zfnet/n1")
SIDES = ("zfcore", "torch")
CALLS = 4
THREADS = 2


def taken(case: str, side: str) -> int:
    """Bytes that a case takes on a side, measured in this process."""
    (chosen,) = cases.select(cases.all_cases(), [case])
    problem = chosen.make()
    peers.use_threads(THREADS, [] if side == "zfcore" else [side])
    call = problem.ours() if side == "zfcore" else peers.load(side).call(problem, THREADS)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _status("VmRSS")
    for _ in range(CALLS):
        call()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found, f"/proc/self/status has no {name}"
    return 1024 * int(found[1])


def measured() -> dict[str, Any]:
    """Every case on every side that is installed, with the versions."""
    from zfcore.bench import machine

    facts = machine.facts()
    sides = [side for side in SIDES if side == "zfcore" or not peers.why_absent(side)]
    found: dict[str, dict[str, int]] = {}
    for case in CASES:
        found[case] = {}
        for side in sides:
            command = [sys.executable, "-m", "benchmarks.memory", "--one", case, side]
            found[case][side] = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(f"{case} {side}: {found[case][side] / 2**20:.0f} MiB", file=sys.stderr)
    return {"cpu": facts["cpu"], "versions": facts["versions"], "threads": THREADS, "bytes": found}


def page(stored: Mapping[str, dict[str, Any]]) -> str:
    """The table of benchmarks/README.md."""
    parts = []
    for name, found in stored.items():
        rows = [["case", *(f"{side}, MiB" for side in SIDES), "x torch"]]
        for case, sides in found["bytes"].items():
            figures = [f"{sides[side] / 2**20:.0f}" if side in sides else "-" for side in SIDES]
            rows.append([case, *figures, report.times(sides["torch"] / sides["zfcore"]) if "torch" in sides else "-"])
        versions = ", ".join(f"{what} {version}" for what, version in found["versions"].items())
        parts.append(f"{name}: {found['cpu']}, {found['threads']} threads; {versions}\n\n{report.as_markdown(rows)}")
    return "\n\n".join(parts) or "No results are stored yet."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the results in this file")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "SIDE"), help="measure one case in this process, and print its bytes")
    arguments = parser.parse_args()
    if arguments.one:
        print(taken(*arguments.one))
        return 0
    found = measured()
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(arguments.out, (json.dumps(found, indent=1) + "\n").encode())
    print(page({"measured": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
