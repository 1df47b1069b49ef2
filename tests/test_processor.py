"""The kernels with the vector instructions of lesser processors, as far as this one can run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from zfkernels.cpu.processor import AVX2, NEON, PLAIN, VECTORS, processor

ROOT = Path(__file__).parents[1]

#: Vectors -> what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES have to say so that Numba compiles for them.
LESSER = {AVX2: ("haswell", "+avx,+avx2,+fma"), PLAIN: ("generic", "")}


def there(vectors) -> bool:
    """Whether this processor runs them, and they are not what every other test runs on."""
    triple, _, features = processor()
    known = triple.startswith(("x86_64", "i686")) or vectors is PLAIN
    needed = set(filter(None, LESSER[vectors][1].split(",")))
    return known and vectors != VECTORS and VECTORS is not NEON and needed <= set(features.split(","))


def run(vectors, *arguments: str) -> subprocess.CompletedProcess:
    name, features = LESSER[vectors]
    paths = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": features,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    return subprocess.run([sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("vectors", LESSER, ids=lambda v: v.name)
def test_every_battery_is_green(vectors):
    if not there(vectors):
        pytest.skip(f"this processor ({VECTORS.name}) does not run {vectors.name} as something else than its own")
    chosen = run(vectors, "-c", "import json; from zfkernels.cpu.processor import VECTORS; print(json.dumps(VECTORS))")
    assert tuple(json.loads(chosen.stdout)) == vectors, chosen.stderr
    tests = run(vectors, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_catalog.py", "-k", "test_corner and cpu")
    assert tests.returncode == 0, tests.stdout[-3000:]
    assert " passed" in tests.stdout and "skipped" not in tests.stdout


def test_lesser_vectors_give_the_same_bits():
    """A fused multiply-add is one rounding everywhere, and no sum depends on how many lanes a vector has."""
    if not there(AVX2):
        pytest.skip(f"this processor ({VECTORS.name}) does not run AVX2 beside its own")
    command = "import test_cache; print('\\n'.join(line for line in test_cache.fingerprints() if line.startswith('conv2d')))"
    ours = subprocess.run(
        [sys.executable, "-c", command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels"), str(ROOT / "tests")])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run(AVX2, "-c", command).stdout == ours.stdout != ""
