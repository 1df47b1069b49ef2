"""Everything in one go on a machine with a device: its parts, with others' programs replaced, and what its workers do, on the cpu."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import zfkernels

from benchmarks import gpu_work, on_gpu
from zfcore.bench import ceilings, harness, results, run
from zfcore.bench.cases import all_cases, select
from zfcore.bench.results import OURS, Results, Side, Timed

ORDERED = [case.id for case in gpu_work.ordered_cases()]


@pytest.fixture
def stand_in(monkeypatch):
    """The cpu's kernels under the name of the device's."""
    get = zfkernels.get
    monkeypatch.setattr(zfkernels, "get", lambda name: get("cpu" if name == "cuda" else name))


def found(*ids: str, error: str = "") -> Results:
    """Results of a device with times for some cases."""
    device = {"name": "Abacus", "compute_capability": "9.0", "asked": {}, "versions": {}}
    ceiling = {"multiply_adds": 1e11, "copy": 1e10, "copies": {}, "array": 2**22, "copy_sizes": [[2**10, 1e9]]}
    cases = [Timed(name, "paper", 64, error=error, sides={} if error else {OURS: Side(samples=[1.0] * 7)}) for name in ids]
    machine = {"cpu": "Fingers", "versions": {}, "device": device}
    return Results(machine, ceiling, {"threads": 1, "peers": [], "backend": "cuda"}, cases, [])


# ---- processes


def test_a_process_has_its_status_its_words_and_its_end(tmp_path):
    log = tmp_path / "log"
    assert on_gpu.started([sys.executable, "-c", "print('hello'); raise SystemExit(7)"], log, 60) == 7
    assert "hello" in log.read_text()
    assert on_gpu.started([sys.executable, "-c", "pass"], log, 60) == 0 and on_gpu.last_line(log) == ""  # the words of another command
    start = time.monotonic()
    sleeper = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    assert on_gpu.started([sys.executable, "-c", sleeper], log, 0.5) is None
    assert time.monotonic() - start < 30 and "killed" in on_gpu.last_line(log)


def test_the_toolkit_is_shown_to_numba_where_nobody_has(monkeypatch, tmp_path):
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(on_gpu, "TOOLKIT", tmp_path / "usual")
    monkeypatch.setattr(on_gpu.shutil, "which", lambda name: str(tmp_path / "other" / "bin" / name))
    assert on_gpu.toolkit() == {}
    (tmp_path / "usual" / "nvvm").mkdir(parents=True)
    assert on_gpu.environment()["CUDA_HOME"] == str(tmp_path / "usual")
    (tmp_path / "other" / "nvvm").mkdir(parents=True)
    assert on_gpu.toolkit() == {"CUDA_HOME": str(tmp_path / "other")}
    monkeypatch.setenv("CUDA_PATH", "/elsewhere")
    assert on_gpu.toolkit() == {}


def test_parts_see_the_device_and_this_checkout(tmp_path):
    log = tmp_path / "log"
    program = "import os, benchmarks, zfkernels; print('simulator', os.environ['NUMBA_ENABLE_CUDASIM'])"
    assert on_gpu.started([sys.executable, "-P", "-c", program], log, 60) == 0 and on_gpu.last_line(log) == "simulator 0"


# ---- all of it


def parts(monkeypatch, **functions):
    monkeypatch.setattr(on_gpu, "PARTS", {name: (function, 1.0) for name, function in functions.items()})


def test_a_part_that_fails_or_raises_does_not_stop_the_others(monkeypatch, capsys, tmp_path):
    def broken(out, seconds):
        assert [*json.loads((out / "summary.json").read_text())] == ["device"]  # what is done is on disk
        raise OSError("no paper")

    good = on_gpu.Done(on_gpu.PASSED, "well")
    parts(monkeypatch, device=lambda out, seconds: good, tests=broken, whole=lambda out, seconds: good)
    assert on_gpu.main(["--out", str(tmp_path / "a" / "b")]) == 1
    summary = json.loads((tmp_path / "a" / "b" / "summary.json").read_text())
    assert [part["state"] for part in summary.values()] == ["passed", "FAILED", "passed"]
    assert "OSError: no paper" in capsys.readouterr().out
    assert on_gpu.main(["--out", str(tmp_path), "--parts", "device,whole"]) == 0


def test_without_a_device_there_is_nothing_to_do(monkeypatch, tmp_path):
    parts(monkeypatch, device=on_gpu.device, tests=lambda out, seconds: pytest.fail("begun"))
    monkeypatch.setattr(on_gpu, "started", lambda command, log, seconds: log.write_text("zfcore: error: no device\n") and 2)
    assert on_gpu.main(["--out", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "summary.json").read_text())["device"]["said"] == "zfcore: error: no device"


def test_time_is_shared_out_and_what_is_left_goes_on(monkeypatch, tmp_path):
    given = {}

    def part(name):
        return lambda out, seconds: given.update({name: seconds}) or on_gpu.Done(on_gpu.PASSED, "")

    monkeypatch.setattr(on_gpu, "PARTS", {name: (part(name), share) for name, share in (("device", 1.0), ("bench", 2.0), ("whole", 1.0))})
    on_gpu.run_parts(["device", "bench", "whole"], tmp_path, 4)
    assert [round(seconds) for seconds in given.values()] == [60, 160, 240]


@pytest.mark.parametrize("arguments", [["--parts", "lunch"], ["--minutes", "0"]])
def test_a_mistake_is_refused(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        on_gpu.main(["--out", str(tmp_path), *arguments])
    assert stop.value.code == 2 and ("lunch" in (said := capsys.readouterr().err) or "more than 0" in said)


# ---- its parts


@pytest.mark.parametrize(
    ("status", "words", "state"),
    [
        (0, "12 passed, 3 deselected in 9.8s", on_gpu.PASSED),
        (0, "12 skipped in 1s", on_gpu.FAILED),
        (5, "no tests ran in 1s", on_gpu.FAILED),
        (1, "2 failed, 12 passed in 9s", on_gpu.FAILED),
        (None, "", on_gpu.FAILED),
    ],
)
def test_tests_pass_when_something_was_tested(monkeypatch, tmp_path, status, words, state):
    monkeypatch.setattr(on_gpu, "started", lambda command, log, seconds: log.write_text(words + "\n") and status)
    done = on_gpu.tests(tmp_path, 10)
    assert done.state == state and (words in done.said or status == 5) and ("too long" in done.said) == (status is None)


def dying(monkeypatch, path: Path, *runs: tuple[int | None, Results | None]):
    """Benchmarks whose process ends so, with such results on disk; what it was told to skip."""
    skipped, left = [], list(runs)

    def started(command, log, seconds):
        skipped.append([command[i + 1] for i, word in enumerate(command) if word == "--skip"])
        log.write_text("words\n")
        status, there = left.pop(0)
        if there is not None:
            results.write(path / "results.json", there)
        return status

    monkeypatch.setattr(on_gpu, "started", started)
    return skipped


def test_benchmarks_go_on_behind_the_case_that_their_process_ended_in(monkeypatch, tmp_path):
    skipped = dying(monkeypatch, tmp_path, (-11, found(*ORDERED[:2])), (0, found(*ORDERED)))
    done = on_gpu.bench(tmp_path, 500)
    assert skipped == [[], [ORDERED[2]]]
    assert done.state == on_gpu.FAILED and done.said.endswith(f"0 wrong; its process ended in {ORDERED[2]}")


def test_a_lost_device_is_opened_anew_and_the_case_is_known(monkeypatch, tmp_path):
    skipped = dying(monkeypatch, tmp_path, (gpu_work.LOST, found(*ORDERED[:2])), (0, found(*ORDERED)))
    assert on_gpu.bench(tmp_path, 500).state == on_gpu.PASSED and skipped == [[], []]


def test_benchmarks_that_never_begin_are_not_begun_for_ever(monkeypatch, tmp_path):
    skipped = dying(monkeypatch, tmp_path, *[(1, None)] * on_gpu.TRIES)
    done = on_gpu.bench(tmp_path, 500)
    assert len(skipped) == on_gpu.TRIES and done.state == on_gpu.FAILED and "no case was timed" in done.said


@pytest.mark.parametrize(("status", "error", "state"), [(0, "", on_gpu.PASSED), (2, "wrong", on_gpu.FAILED), (None, "", on_gpu.FAILED)])
def test_wrong_answers_and_too_little_time_are_failures(monkeypatch, tmp_path, status, error, state):
    dying(monkeypatch, tmp_path, (status, found(*ORDERED, error=error)))
    assert on_gpu.bench(tmp_path, 500).state == state


def test_what_was_done_from_the_beginning_to_the_end_is_kept_with_the_results(monkeypatch, tmp_path):
    results.write(tmp_path / "results.json", found(ORDERED[0]))

    def started(command, log, seconds):
        log.write_text("words\n")
        (tmp_path / "whole.json").write_text('{"training": "went well"}')
        return 0

    monkeypatch.setattr(on_gpu, "started", started)
    assert on_gpu.whole(tmp_path, 10) == on_gpu.Done(on_gpu.PASSED, "training: went well")
    assert results.read(tmp_path / "results.json").settings["end_to_end"] == {"training": "went well"}


def test_the_sanitizer_is_run_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(on_gpu.shutil, "which", lambda name: None)
    assert on_gpu.sanitizer(tmp_path, 10).state == on_gpu.SKIPPED
    commands = []

    def started(command, log, seconds):
        commands.append(command)
        log.write_text("called 9 times\n========= ERROR SUMMARY: 0 errors\n")
        return len(commands) - 1  # the second tool finds something

    monkeypatch.setattr(on_gpu.shutil, "which", lambda name: "/bin/sanitizer")
    monkeypatch.setattr(on_gpu, "started", started)
    done = on_gpu.sanitizer(tmp_path, 10)
    assert [command[2] for command in commands] == ["memcheck", "racecheck"] and done.state == on_gpu.FAILED
    assert done.said.startswith("memcheck: ERROR SUMMARY: 0 errors, called 9 times; racecheck")


# ---- what the workers do


def test_the_worker_goes_on_where_results_end(stand_in, monkeypatch, tmp_path):
    from zfcore.bench import cuda

    names = ("relu/sweep-2^10/n1", "relu/sweep-2^14/n1", "relu/sweep-2^18/n1")
    for what in ("flush", "tidy"):
        monkeypatch.setattr(cuda, what, lambda: None)
    monkeypatch.setattr(cuda, "ceilings", lambda: found().ceilings)
    monkeypatch.setattr(cuda, "multiply_adds", lambda seconds: 1e11)
    monkeypatch.setattr(ceilings, "measured", lambda threads: pytest.fail("the host's"))
    monkeypatch.setattr(harness, "MOST", harness.LEAST)
    monkeypatch.setattr(gpu_work, "ordered_cases", lambda: select(all_cases(), names))
    before = found(names[0])
    before.left_out.append({"id": names[2], "reason": f"{run.OVER} 1 minutes was used up"})
    results.write(tmp_path / "results.json", before)
    assert gpu_work.main(["bench", "--out", str(tmp_path), "--minutes", "1", "--skip", names[1]]) == 0
    there = results.read(tmp_path / "results.json")
    assert [case.id for case in there.cases] == [names[0], names[2]] and there.cases[1].median()
    assert there.left_out == [{"id": names[1], "reason": "the process ended in it"}]
    assert gpu_work.main(["bench", "--out", str(tmp_path)]) == 0  # nothing is left to do


def test_the_worker_says_when_the_device_is_lost(stand_in, monkeypatch, tmp_path):
    def lost(*_):
        raise run.LostError("it has gone")

    monkeypatch.setattr(gpu_work, "time_cases", lost)
    assert gpu_work.main(["bench", "--out", str(tmp_path)]) == gpu_work.LOST


def test_training_and_scan_from_the_beginning_to_the_end(stand_in):
    assert "the same bits twice" in gpu_work.training("zfnet-small", 8, 2)
    assert "9 projections of each" in gpu_work.scan("zfnet-small", 10, ("conv2",))


def test_training_that_learns_nothing_or_is_not_repeatable_is_noticed(stand_in, monkeypatch):
    losses = iter([3.0, 3.1, 3.2] * 2)
    monkeypatch.setattr(gpu_work.Step, "carried", lambda self: lambda: next(losses))
    with pytest.raises(AssertionError, match="does not fall"):
        gpu_work.training("zfnet-small", 2, 2)
    other = iter([3.0, 2.9, 2.8, 3.0, 2.9, 2.7])
    monkeypatch.setattr(gpu_work.Step, "carried", lambda self: lambda: next(other))
    with pytest.raises(AssertionError, match="two runs differ"):
        gpu_work.training("zfnet-small", 2, 2)


def test_a_scan_of_another_network_is_noticed(stand_in, monkeypatch):
    cpu = zfkernels.get("cpu")
    right = cpu.max_pool2d
    monkeypatch.setattr(cpu, "max_pool2d", lambda x, *rest: tuple(part[..., ::-1] for part in right(x, *rest)))
    with pytest.raises(AssertionError, match="the strongest of conv2"):
        gpu_work.scan("zfnet-small", 10, ("conv2",))


def test_calls_end_with_their_minutes_and_say_so():
    assert gpu_work.call_ops(0.0, "cpu") == "called 0 times on small arrays, then the time was over"


def test_every_op_and_every_kernel_of_a_layer_is_called(monkeypatch):
    from zfkernels import catalog, reference

    called, right = [], catalog.call

    def recorded(k, function, case):
        return right(k, function, case) if k is reference else called.append(function)

    monkeypatch.setattr(catalog, "call", recorded)
    monkeypatch.setattr(gpu_work.cases, "select", lambda *_, **__: select(all_cases(), ["relu/zfnet-relu5/n1", "forward/zfnet/n1"]))
    assert gpu_work.call_ops(1.0, "cpu") == f"called {len(called)} times on small arrays, and 1 on layers of ZFNet"
    assert set(called) == {function for op in catalog.CATALOG for function in op.functions}
