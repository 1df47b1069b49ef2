"""A process that compiles the kernels and one that loads them from the cache give the same bits."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def fingerprints() -> list[str]:
    """A line for every function of the catalog, on cases of many sizes: its name and a hash of its results."""
    import zfkernels
    from batteries import results
    from draws import SeededDraw
    from zfkernels.catalog import CATALOG

    cpu, rng, lines = zfkernels.get("cpu"), np.random.default_rng(0), []

    def note(name: str, *arrays: np.ndarray) -> None:
        lines.append(f"{name} {hashlib.sha256(b''.join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:16]}")

    for op in CATALOG:
        for seed in range(8):
            case = op.sample(SeededDraw(seed, "normal", np.float32))
            for function in op.functions:
                note(function, *results(cpu, function, case))
    # Sizes of networks: the catalog's are too small to fill a block.
    for N, C, H, O, K, S, P in ((4, 3, 64, 32, 7, 2, 3), (2, 32, 16, 64, 5, 1, 2), (3, 64, 8, 96, 3, 1, 1), (1, 16, 13, 20, 1, 1, 0)):
        x, w = rng.standard_normal((N, C, H, H), dtype=np.float32), rng.standard_normal((O, C, K, K), dtype=np.float32)
        geometry = (S, S), ((P, P), (P, P)), (1, 1), 1
        y = cpu.conv2d(x, w, None, *geometry)
        note("conv2d", y, cpu.conv2d_adjoint_x(y, w, (H, H), *geometry), cpu.conv2d_adjoint_w(y, x, (K, K), *geometry))
        note("conv2d_adjoint_b", cpu.conv2d_adjoint_b(y))
    for N, inputs, outputs in ((64, 1024, 256), (64, 256, 10), (1, 4096, 100)):
        x, w = rng.standard_normal((N, inputs), dtype=np.float32), rng.standard_normal((outputs, inputs), dtype=np.float32)
        y = cpu.linear(x, w, None)
        note("linear", y, cpu.linear_adjoint_x(y, w), cpu.linear_adjoint_w(y, x), cpu.linear_adjoint_b(y))
    return lines


def test_compiling_and_loading_give_the_same_bits(tmp_path):
    paths = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", "import test_cache; print('\\n'.join(test_cache.fingerprints()))"]
    cold, warm = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines() for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc")), "nothing was cached: both processes compiled"
    assert [line for line in cold if line not in warm] == []
    assert cold == warm
