"""NVIDIA's compiler takes every kernel, for float32 and float64, and finds room for it in registers: what no simulator can tell.

It needs no device, but numba-cuda with its toolkit; a process of its own, for this one may simulate.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zfkernels
from zfkernels.catalog import CATALOG

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def kernels():
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed (pip install 'zfcore[cuda]'): the CUDA kernels are not compiled")
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, str(ROOT / "tests" / "compiler.py"), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode and "NvvmSupportError" in done.stderr:
        pytest.skip("numba-cuda has no compiler (pip install 'zfcore[cuda]'): the CUDA kernels are not compiled")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_module_of_the_backend_is_compiled(kernels):
    modules = {kernel["name"].rpartition(".")[0].removeprefix("zfkernels.cuda.").partition(".")[0] for kernel in kernels}
    source = Path(zfkernels.__file__).parent / "cuda"
    launching = {path.stem for path in source.glob("*.py") if "@cuda.jit(cache=True" in path.read_text()}
    assert launching - modules == set()
    assert len(kernels) > 2 * len(CATALOG)


def test_nothing_spills(kernels):
    if not any(k["resources"] for k in kernels):
        pytest.skip("no ptxas in this environment (pip install 'zfcore[cuda12]'): registers and spills are not known")
    spilled = {k["name"]: k["resources"] for k in kernels if "0 bytes spill stores" not in k["resources"]}
    assert spilled == {}


def test_float32_is_not_computed_in_float64(kernels):
    """But where a kernel says so: the sums of limit_filters."""
    doubled = {k["name"] for k in kernels if "float64" not in k["signature"] and k["doubles"]}
    assert {name for name in doubled if "limit_filters" not in name} == set()


def test_all_are_kept_where_an_edit_is_noticed(kernels):
    """Those that are made when they are called for, too: beside its source, a kernel would not notice an edit of what it calls."""
    assert len({k["folder"] for k in kernels}) == 1
    assert "__pycache__" not in kernels[0]["folder"]
