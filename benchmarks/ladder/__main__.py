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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--threads", type=int, help="of the parallel steps (default: one per core)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each layer at most (default: 60)")
    parser.add_argument("--out", type=Path, help="keep the results in this file")
    arguments = parser.parse_args()
    if arguments.threads is not None and arguments.threads < 1:
        parser.error(f"--threads: got {arguments.threads}, needed at least 1")
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
