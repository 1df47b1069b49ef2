"""``python -m benchmarks.ladder``: time the steps, show what each bought, and keep it for the page.

    python -m benchmarks.ladder --out benchmarks/results/ladder/MACHINE.json
    python docs/refresh.py                                 # writes the tables in benchmarks/README.md
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("zfkernels") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2] / "kernels"))

from benchmarks.ladder import run, table
from zfcore.bench import results
from zfcore.errors import ZfcoreError
from zfcore.experiments.report import make_folder

TEXT = "Time the steps from the naive loop to the shipped kernel on two layers of ZFNet; each is verified first."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=TEXT)
    parser.add_argument("--threads", type=int, metavar="N", help="of the parallel steps (default: one per core)")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="for each layer at most (default: 60)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the results in this file")
    arguments = parser.parse_args()
    if arguments.threads is not None and arguments.threads < 1:
        parser.error(f"--threads: got {arguments.threads}, needed at least 1")
    if not 0 < arguments.seconds < float("inf"):
        parser.error(f"--seconds: got {arguments.seconds}, needed more than 0")
    if arguments.out and arguments.out.is_dir():
        parser.error(f"--out: {arguments.out} is a folder, needed a file")
    try:
        if arguments.out:
            make_folder(arguments.out.parent)
        found = run.run(arguments.threads, arguments.seconds)
        print(table.text(found))
        if arguments.out:
            results.write(arguments.out, found)
    except ZfcoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
