"""``python -m benchmarks.on_gpu --out DIR``: everything that wants a CUDA device, in one go, within a budget of minutes.

    device      the card's facts and its measured ceilings
    tests       the batteries of the CUDA backend, on the device
    bench       the benchmarks, those first that the bars are about; each case's results are in DIR/results.json as soon as they are there
    whole       training steps and a scan for features, from the beginning to the end
    sanitizer   every op, and every kernel on the layers of ZFNet, under compute-sanitizer (memcheck, racecheck), if that is on the path

Nothing is installed. Every part is a process of its own with a share of the time that is left, and writes DIR/PART.log; one that fails or
takes too long does not stop the others. DIR/summary.json is written after each part. The exit status is 1 if any part failed.

    cp DIR/results.json benchmarks/results/cuda/CARD.json && python docs/refresh.py       # writes the section in benchmarks/README.md
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

if importlib.util.find_spec("zfkernels") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))

from benchmarks import gpu_work

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 8.5
LEAST = 20.0  #: Seconds under which no part is begun.
TRIES = 4  #: Of the benchmarks, whose process can end in a case.
ELSEWHERE = ("test_cuda_compile.py", "test_bench_cuda.py")  #: Tests that need no device.
WORKERS = 12  #: Of the tests, which compile: each has a context on the device.
TOOLKIT = Path("/usr/local/cuda")  #: Where CUDA's own installer puts it.
PASSED, FAILED, SKIPPED = "passed", "FAILED", "skipped"


@dataclass
class Done:
    """What became of a part: "passed", "FAILED" or "skipped", and in a line what it found."""

    state: str
    said: str
    seconds: float = 0.0


# ---- processes


def environment() -> dict[str, str]:
    """Of every part: this checkout, CUDA's tools, no simulator, and no warning about grids that are small on purpose."""
    paths = [str(ROOT), str(ROOT / "kernels"), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = {"NUMBA_ENABLE_CUDASIM": "0", "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0", "PYTHONUNBUFFERED": "1"}
    return os.environ | ours | toolkit() | {"PYTHONPATH": os.pathsep.join(paths)}


def toolkit() -> dict[str, str]:
    """CUDA_HOME, if nobody has said it and the toolkit is where it is looked for: there Numba finds what its packages lack."""
    if os.environ.keys() & {"CUDA_HOME", "CUDA_PATH"}:
        return {}
    compiler = shutil.which("nvcc")
    places = [*([Path(compiler).resolve().parents[1]] if compiler else []), TOOLKIT]
    return next(({"CUDA_HOME": str(place)} for place in places if (place / "nvvm").is_dir()), {})


def started(command: Sequence[str], log: Path, seconds: float) -> int | None:
    """Run a command in the root of the checkout, its words at the end of a log: its exit status, or None if it took too long."""
    with log.open("ab") as words:
        words.write(f"$ {' '.join(command)}\n".encode())
        words.flush()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(seconds)
        except BaseException as stop:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it began
            process.wait()
            if not isinstance(stop, subprocess.TimeoutExpired):
                raise
            words.write(f"\n{seconds:.0f} seconds are over: killed\n".encode())
            return None


def worker(part: str, *arguments: str) -> list[str]:
    """The command that does a part, see `benchmarks.gpu_work`."""
    return [sys.executable, "-m", "benchmarks.gpu_work", part, *arguments]


def ended(status: int | None) -> str:
    """How a process ended, in words."""
    return "it took too long" if status is None else f"exit status {status}"


def last_line(log: Path, pattern: str = r"\S") -> str:
    """The last line in which the pattern is found, without colours, of what the last command in a log has said."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace")).splitlines()
    said = itertools.takewhile(lambda line: not line.startswith("$ "), reversed(lines))
    return next((line.strip() for line in said if re.search(pattern, line)), "")


# ---- the parts: each is given the folder and its seconds


def device(out: Path, seconds: float) -> Done:
    """Is there one, and what can it do?"""
    log = out / "device.log"
    status = started([sys.executable, "-m", "zfcore", "bench", "--machine", "--backend", "cuda"], log, seconds)
    if status == 0:
        return Done(PASSED, last_line(log, "^device ").removeprefix("device").strip())
    return Done(FAILED, last_line(log) if status == 2 else ended(status))


def tests(out: Path, seconds: float) -> Done:
    """The batteries; a run in which nothing was tested has not passed."""
    log = out / "tests.log"
    others = sorted(path.name for path in ROOT.glob("tests/test_*cuda*.py") if path.name not in ELSEWHERE)
    files = ["tests/test_catalog.py", *(f"tests/{name}" for name in others)]
    alone = importlib.util.find_spec("xdist") is None
    many = ["--hypothesis-profile", "quick"] if alone else ["-n", str(min(WORKERS, os.cpu_count() or 1))]
    status = started([sys.executable, "-m", "pytest", "-q", *files, "-k", "cuda or device", "-p", "no:cacheprovider", *many], log, seconds)
    line = last_line(log, r"\d+ (passed|failed|skipped|error|deselected)|no tests ran")
    right = status == 0 and re.search(r"\d+ passed", line)
    return Done(PASSED if right else FAILED, line if status in (0, 1) and line else f"{ended(status)}; {line or last_line(log)}")


def bench(out: Path, seconds: float) -> Done:
    """The benchmarks; where their process or the device dies in a case, they go on behind it."""
    from zfcore.bench import cases, results

    log, path, end = out / "bench.log", out / "results.json", time.monotonic() + seconds
    ordered = [case.id for case in gpu_work.ordered_cases()]
    died: list[str] = []
    for _ in range(TRIES):
        left = end - time.monotonic()
        skip = [word for name in died for word in ("--skip", name)]
        minutes = max(left - 1.5 * LEAST, 1) / 60  # a case that has begun comes to its end
        status = started(worker("bench", "--out", str(out), "--minutes", f"{minutes:.2f}", *skip), log, left)
        known = gpu_work.known(path)
        ahead = [name for name in ordered if name not in known and name not in died]
        if status in (0, 2, None) or not ahead or end - time.monotonic() < 2 * LEAST:
            break
        died += [] if status == gpu_work.LOST else ahead[:1]
    if not path.exists():
        return Done(FAILED, f"{ended(status)}, and no case was timed: {last_line(log)}")
    found = results.read(path)
    wrong = sum(bool(case.error) for case in found.cases)
    line = f"{sum(case.median() is not None for case in found.cases)} of {len(cases.all_cases())} cases timed, {wrong} wrong"
    line += f"; its process ended in {', '.join(died)}" if died else ""
    return Done(PASSED if status == 0 and not died and not wrong else FAILED, line if status == 0 else f"{line}; {ended(status)}")


def whole(out: Path, seconds: float) -> Done:
    """Training steps and a scan; what they came to is kept with the results, if there are any."""
    from zfcore.bench import results

    log, told = out / "whole.log", out / "whole.json"
    told.unlink(missing_ok=True)  # of an earlier run
    status = started(worker("whole", "--out", str(out)), log, seconds)
    found = json.loads(told.read_text()) if told.exists() else {}
    if found and (out / "results.json").exists():
        kept = results.read(out / "results.json")
        kept.settings["end_to_end"] = found
        results.write(out / "results.json", kept)
    line = "; ".join(f"{what}: {text}" for what, text in found.items())
    return Done(PASSED if status == 0 else FAILED, line if status == 0 else f"{line}{'; ' * bool(line)}{ended(status)}: {last_line(log)}")


def sanitizer(out: Path, seconds: float) -> Done:
    """Every op under both tools."""
    program = shutil.which("compute-sanitizer") or shutil.which(str(TOOLKIT / "bin" / "compute-sanitizer"))
    if program is None:
        return Done(SKIPPED, "compute-sanitizer is not on the path")
    said, right, end = [], True, time.monotonic() + seconds
    for left, tool in ((2, "memcheck"), (1, "racecheck")):
        log, share = out / f"{tool}.log", (end - time.monotonic()) / left
        command = worker("ops", "--minutes", f"{0.6 * share / 60:.2f}")
        # Libraries ask the driver for what it may not have; what fails and matters raises an error in Python.
        options = ["--tool", tool, "--error-exitcode", "9", "--report-api-errors", "no"]
        status = started([program, *options, *command], log, share)
        right &= status == 0
        summary = last_line(log, "ERROR SUMMARY|RACECHECK SUMMARY").strip("= ") or ended(status)
        said.append(f"{tool}: {summary}, {last_line(log, '^called') or 'before the end'}")
    return Done(PASSED if right else FAILED, "; ".join(said))


Part = Callable[[Path, float], Done]
#: Part -> (what does it, its share of the time).
PARTS: dict[str, tuple[Part, float]] = {
    "device": (device, 5),  # it opens libraries of gigabytes for the first time; what it does not need the others have
    "tests": (tests, 4),
    "bench": (bench, 10),
    "whole": (whole, 2),
    "sanitizer": (sanitizer, 3),
}


# ---- all of it


def run_parts(names: Sequence[str], out: Path, minutes: float) -> dict[str, Done]:
    """The parts in their order, each with its share of the time that is left; without a device there is only the first."""
    out.mkdir(parents=True, exist_ok=True)
    end, found = time.monotonic() + 60 * minutes, dict[str, Done]()
    for number, name in enumerate(names):
        part, share = PARTS[name]
        left = end - time.monotonic()
        seconds = left * share / sum(PARTS[other][1] for other in names[number:])
        print(f"{name}: {seconds:.0f} s at most", flush=True)
        start = time.monotonic()
        try:
            found[name] = part(out, seconds) if left > LEAST else Done(SKIPPED, "no time was left")
        except Exception as error:  # of the part's own words: the others have their turn
            found[name] = Done(FAILED, f"{type(error).__name__}: {' '.join(str(error).split()):.300}")
        found[name].seconds = round(time.monotonic() - start, 1)
        (out / "summary.json").write_text(json.dumps({name: asdict(done) for name, done in found.items()}, indent=1) + "\n")
        if name == "device" and found[name].state == FAILED:
            break
    return found


def table(found: dict[str, Done], out: Path) -> str:
    """What to read first: a line for every part, then the bars."""
    from zfcore.bench import report, results

    lines = [f"{name:10} {done.state:8} {done.seconds:6.0f} s  {done.said}" for name, done in found.items()]
    if "bench" in found and (out / "results.json").exists():
        lines += ["", report.as_text(report.bar_rows(results.read(out / "results.json")))]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.on_gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder for results and logs")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all of it (default: {MINUTES:g})")
    parser.add_argument("--parts", default=",".join(PARTS), metavar="A,B", help=f"some of {', '.join(PARTS)} (default: all)")
    arguments = parser.parse_args(argv)
    names = [name for name in PARTS if name in arguments.parts.split(",")]
    unknown = set(arguments.parts.split(",")).difference(PARTS)
    if unknown or not arguments.minutes > 0:
        parser.error(f"no such part: {', '.join(unknown)}" if unknown else "--minutes: needed more than 0")
    found = run_parts(names, arguments.out, arguments.minutes)
    print(table(found, arguments.out))
    return int(any(done.state == FAILED for done in found.values()))


if __name__ == "__main__":
    sys.exit(main())
