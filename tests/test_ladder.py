"""The ladder of benchmarks/: every step is the same function as the reference, and the tables say what the results do."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from zfkernels import reference

from benchmarks.ladder import run, steps, table
from zfcore.bench import ceilings, harness, results
from zfcore.bench.results import Results, Side, Timed
from zfcore.testing import parity_test

ROOT = Path(__file__).parents[1]
STEPS = steps.load()
SIZES = [  # N, C, H, W, O, KH, KW, stride, padding
    (1, 1, 1, 1, 1, 1, 1, 1, 0),
    (1, 2, 5, 7, 3, 3, 3, 1, 1),
    (2, 3, 9, 8, 9, 3, 2, 2, 1),
    (1, 2, 6, 6, 4, 6, 6, 1, 0),  # a single output
    (1, 3, 7, 7, 2, 1, 1, 3, 0),  # windows that miss pixels
    (1, 15, 12, 11, 6, 3, 3, 3, 2),  # more taps than a slab
    (2, 5, 25, 22, 203, 3, 3, 1, 1),  # more outputs and filters than a block
]


@pytest.fixture(autouse=True)
def threads_as_before():
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def integers(shape, seed):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def made(**medians: float) -> Results:
    """A result of one layer with 1 GFLOP, on a machine with a peak of 10 GFLOP/s on each of its 2 threads."""
    facts = {
        "cpu": "Abacus", "cores": 2, "caches": {}, "instructions": [], "vectors": "beads",
        "memory": None, "system": "table", "python": "3", "versions": {},
        "load": 0.0, "warnings": [],
    }  # fmt: skip
    peaks = {"multiply_adds": 2e10, "one_thread": 1e10, "copy": 1e10, "copies": {}, "array": 2**22}
    layer = Timed("conv2d/zfnet-conv3/n1", "paper", 1, 10**9, sides={name: Side(samples=[time]) for name, time in medians.items()})
    return Results(facts, peaks, {"threads": 2, "peers": list(STEPS)}, [layer])


# ---- the steps


def test_steps_are_numbered_without_gaps():
    assert [steps.number(name) for name in STEPS] == list(range(len(STEPS)))
    assert {run.BLAS, *run.PARALLEL} <= set(STEPS)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_says_what_changed_and_fits_on_a_screen(name):
    title, blank, *lines = STEPS[name].__doc__.rstrip().splitlines()
    assert title.endswith(".") and not blank and 3 <= len(lines) <= 6 and all(lines)
    assert "What limits it: " in " ".join(lines) or steps.number(name) == 0
    assert len(inspect.getsource(STEPS[name]).splitlines()) <= 90
    assert list(inspect.signature(STEPS[name].conv2d).parameters) == ["x", "w", "stride", "padding"]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_step_equals_the_reference(name, size):
    N, C, H, W, O, KH, KW, stride, padding = size
    x, w = integers((N, C, H, W), 1), integers((O, C, KH, KW), 2)
    ref = reference.conv2d(x, w, None, (stride, stride), ((padding, padding), (padding, padding)), (1, 1), 1)
    got = STEPS[name].conv2d(x, w, stride, padding)
    assert got.dtype == np.float32
    parity_test(got, ref, name=name)


@pytest.mark.parametrize("name", run.PARALLEL)
def test_the_bits_do_not_depend_on_the_threads(name):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 5, 25, 22), dtype=np.float32), rng.standard_normal((203, 5, 3, 3), dtype=np.float32)
    answers = []
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(threads)
        answers.append(STEPS[name].conv2d(x, w, 1, 1).tobytes())
    assert len(set(answers)) == 1


# ---- tables


def test_the_table_says_what_each_step_bought():
    found = made(step0_loops=1.0, step4_tile=0.5, step5_blas=0.125, step6_microkernel=0.25, step8_parallel=0.1)
    assert table.rows(found, found.cases[0], str)[1:] == [
        ["step0_loops", "1", "1.0", "10 %", "-", "-"],
        ["step4_tile", "1", "2.0", "20 %", "2.00", "2.00"],
        ["step5_blas", "1", "8.0", "80 %", "4.00", "8.00"],
        ["step6_microkernel", "1", "4.0", "40 %", "2.00", "4.00"],  # against the step, not the mark
        ["step8_parallel", "2", "10.0", "50 %", "2.50", "10.0"],  # of the peak of two threads
    ]
    assert "Abacus" in table.text(found) and "step8_parallel" in table.text(found)


def test_the_page_names_and_links_the_steps():
    page = table.page({"abacus": made(step0_loops=1.0)})
    assert "### abacus" in page and "conv3 of zfnet, N = 1, 1 GFLOP" in page
    assert f"| [0](ladder/step0_loops.py) {steps.title(STEPS['step0_loops'])} | 1 | 1.0 | 10 % | - | - |" in page
    assert table.page({}) == "No results are stored yet."
    gone = made(step0_loops=1.0)
    gone.settings["peers"].append("step99_moon")
    with pytest.raises(ValueError, match="step99_moon"):
        table.page({"abacus": gone})


def test_the_page_in_the_repository_is_that_of_the_stored_results():
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "docs" / "refresh.py")
    refresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(refresh)
    text = (ROOT / "benchmarks" / "README.md").read_text()
    stored = {path.stem: results.read(path) for path in sorted((ROOT / "benchmarks" / "results" / "ladder").glob("*.json"))}
    assert f"<!-- ladder -->\n{table.page(stored)}\n<!-- /ladder -->" in text
    assert refresh.rewritten(text, {"ladder": refresh.BLOCKS[ROOT / "benchmarks" / "README.md"]["ladder"]}) == text


# ---- timing


@pytest.fixture
def quick(monkeypatch):
    """A small layer, no ceilings measured, one round of samples."""
    ceiling = {"multiply_adds": 1e11, "copy": 1e10, "copies": {}, "array": 2**22}
    monkeypatch.setattr(ceilings, "measured", lambda threads: dict(ceiling))
    monkeypatch.setattr(run, "multiply_add_peak", lambda dtype: 1e11)
    monkeypatch.setattr(run, "LAYERS", ("conv2d/sweep-c32-s28/n1",))
    monkeypatch.setattr(harness, "MOST", 1)


def test_a_run_times_every_step(quick, tmp_path):
    found = run.run(threads=1, seconds=5.0)
    (layer,) = found.cases
    assert list(layer.sides) == list(STEPS) and layer.flops == 2 * 32 * 32 * 9 * 28 * 28 and "reference" in layer.verified
    assert all(side.samples or side.note for side in layer.sides.values())
    results.write(tmp_path / "a.json", found)
    assert table.text(results.read(tmp_path / "a.json")) == table.text(found)


def test_a_wrong_step_is_not_timed(quick, monkeypatch):
    right = STEPS["step3_blocks"].conv2d
    monkeypatch.setattr(STEPS["step3_blocks"], "conv2d", lambda *arguments: right(*arguments) * np.float32(1.01))
    with pytest.raises(AssertionError, match="wrong"):
        run.run(threads=1, seconds=5.0)


def test_the_command_refuses_what_it_cannot_do(tmp_path):
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "benchmarks.ladder"]
    for wrong in (["--threads", "0"], ["--seconds", "nan"], ["--out", str(tmp_path)], ["--out", str(tmp_path / "file" / "a.json")]):
        refused = subprocess.run([*command, *wrong], cwd=ROOT, capture_output=True, text=True)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr and not refused.stdout
