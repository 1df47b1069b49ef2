"""``python -m benchmarks`` is ``zfcore bench``, from a checkout that need not be installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("zfkernels") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))

from zfcore.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
