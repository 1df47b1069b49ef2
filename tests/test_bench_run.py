"""The benchmarks' clockwork, statistics, reports, comparison and command; no time is asserted that a machine took."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from zfkernels import cpu

from zfcore import ZfcoreError, cli
from zfcore.bench import ceilings, compare, harness, machine, peers, plots, report, results, run
from zfcore.bench.cases import all_cases, select
from zfcore.bench.results import OURS, Results, Side, Timed

CASES = ("relu/sweep-2^10/n1", "relu/sweep-2^14/n1")


class Clock:
    """Time that passes only where a side says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def side(self, name: str, seconds: float):
        def call() -> None:
            self.log.append(name)
            self.now += seconds

        return call


def made(**medians: float) -> Results:
    """A result with one case of conv2d, two operations a byte."""
    facts = {
        "cpu": "Abacus", "cores": 2, "caches": {"L1": 2**15}, "instructions": ["beads"], "vectors": "strings of 7",
        "memory": 2**33, "system": "table",
        "python": "3", "versions": {"numba": "1", "torch": "2.13.0"}, "load": 0.0, "warnings": [],
    }  # fmt: skip
    ceiling = {"multiply_adds": 1e11, "copy": 1e10, "copies": {"numpy, 1 thread": 1e10}, "array": 2**22}
    sides = {name: Side(2 * m, m, 1, [m * f for f in (0.98, 0.99, 1, 1, 1, 1.01, 1.02)]) for name, m in medians.items()}
    case = Timed("conv2d/zfnet-conv1/n1", "paper", 1, 2 * 10**8, 10**6, "image 0", "", sides)
    return Results(facts, ceiling, {"threads": 2, "peers": ["torch", "numpy"]}, [case], [])


# ---- the clockwork


def test_sides_take_turns_and_the_first_one_changes():
    clock = Clock()
    sides = harness.take_turns({"a": clock.side("a", 0.1), "b": clock.side("b", 0.2)}, 100, clock)
    assert clock.log[:2] == ["a", "b"]  # warmed
    assert clock.log[2:8] == ["a", "b", "b", "a", "a", "b"]
    assert {len(side.samples) for side in sides.values()} == {harness.LEAST}
    assert sides["a"].median == pytest.approx(0.1) and sides["b"].median == pytest.approx(0.2)


def test_short_calls_are_settled_repeated_and_averaged():
    clock = Clock()
    side = harness.take_turns({"a": clock.side("a", 0.001)}, 100, clock)["a"]
    assert side.inner == 5 and len(side.samples) == harness.MOST
    assert len(clock.log) == 1 + harness.MOST * (1 + 5)
    assert side.median == pytest.approx(0.001)


def test_no_round_begins_after_the_share_but_one_there_is():
    clock = Clock()
    sides = harness.take_turns({"a": clock.side("a", 3.0), "b": clock.side("b", 4.0)}, 5, clock)
    assert [len(side.samples) for side in sides.values()] == [1, 1]


def test_a_hopeless_side_does_not_eat_the_others_time():
    clock = Clock()
    sides = harness.take_turns({"a": clock.side("a", 0.05), "slow": clock.side("slow", 2.0)}, 4, clock)
    assert sides["slow"].samples == pytest.approx([2.0]) and "times slower" in sides["slow"].note
    assert len(sides["a"].samples) >= harness.LEAST and not sides["a"].note


def test_garbage_is_not_collected_while_clocks_run():
    seen = []
    harness.take_turns({"a": lambda: seen.append(gc.isenabled())}, 0.01)
    assert seen and not any(seen) and gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        harness.take_turns({"a": lambda: 1 / 0}, 0.01)
    assert gc.isenabled()


# ---- results


def test_results_come_back_from_disk(tmp_path):
    found = made(zfcore=0.01, torch=0.02)
    results.write(tmp_path / "a.json", found)
    assert results.read(tmp_path / "a.json") == found
    assert len((tmp_path / "a.json").read_text().splitlines()) < 60


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"format": "zfcore bench 0"}', "\x00", "[" * 100_000, '{"format": "zfcore bench 1", "cases": [{"id": 3}]}'],
)
def test_damaged_results_are_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ZfcoreError, match=r"a\.json"):
        results.read(path)


def test_a_time_that_is_none_is_refused(tmp_path):
    results.write(tmp_path / "a.json", made(zfcore=0.01))
    for bad in ("NaN", "-1", "0", '"x"', "null"):
        (tmp_path / "b.json").write_text((tmp_path / "a.json").read_text().replace("0.0102", bad))
        with pytest.raises(ZfcoreError, match=r"b\.json"):
            results.read(tmp_path / "b.json")


@pytest.mark.parametrize(("old", "bad"), [('{\n   "numba": "1",\n   "torch": "2.13.0"\n  }', '"1"'), ("100000000000.0", '"fast"')])
def test_facts_that_are_none_are_refused(tmp_path, old, bad):
    results.write(tmp_path / "a.json", made(zfcore=0.01))
    text = (tmp_path / "a.json").read_text()
    assert old in text
    (tmp_path / "b.json").write_text(text.replace(old, bad))
    with pytest.raises(ZfcoreError, match=r"b\.json"):
        results.read(tmp_path / "b.json")


def test_share_of_the_ceiling():
    found = made(zfcore=0.004, torch=0.002)
    (case,) = found.cases
    assert found.roof(case) == pytest.approx(0.002)  # 2e8 operations at 1e11
    assert found.share(case) == pytest.approx(0.5) and case.ratio("torch") == pytest.approx(0.5)
    case.moved = 10**9
    assert found.roof(case) == pytest.approx(0.1)  # memory takes longer now


# ---- reports


def test_the_table_says_what_was_measured():
    head, row = report.case_rows(*(lambda r: (r, r.cases))(made(zfcore=0.004, torch=0.002)))
    shown = dict(zip(head, row, strict=True))
    assert shown == {
        "case": "conv2d/zfnet-conv1/n1", "first call": "8.000 ms", "median": "4.000 ms", "spread": "1 %", "rate": "50.0 GFLOP/s",
        "ceiling": "50 %", "x torch": "0.50",
    }  # fmt: skip


def test_few_samples_are_marked_and_reasons_told():
    found = made(zfcore=0.004, torch=0.002)
    found.cases[0].sides["torch"].samples = [0.002]
    found.cases[0].sides["numpy"] = Side(note="numpy is on holiday")
    found.left_out.append({"id": "relu/x/n1", "reason": "too late"})
    text = report.final_text(found)
    assert "0.50*" in text and "numpy: numpy is on holiday: conv2d/zfnet-conv1/n1" in text and "left out: relu/x/n1 (too late)" in text


def test_a_wrong_answer_has_no_times():
    found = made(zfcore=0.004, torch=0.002)
    found.cases[0].error = "3 of 4 elements wrong"
    text = report.final_text(found)
    assert "WRONG: 3 of 4 elements wrong" in text and "4.000 ms" not in text and not report.groups(found)


def test_geometric_means_are_over_function_and_family():
    found = made(zfcore=0.004, torch=0.002)
    more = made(zfcore=0.001, torch=0.008).cases[0]
    found.cases.append(more)
    assert [row[:3] + row[4:] for row in report.mean_rows(found)[1:]] == [["conv2d", "ZFNet and AlexNet", "2", "2.00", "0.50"]]


def refresh():
    path = Path(__file__).parents[1] / "docs" / "refresh.py"
    spec = importlib.util.spec_from_file_location("refresh", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_written_between_markers_and_only_there():
    stored = {"abacus": made(zfcore=0.004, torch=0.002)}
    blocks = {"bench": lambda: report.page(stored, {"abacus": "abacus.svg"})}
    before = "a\n<!-- bench -->\nold\n<!-- /bench -->\nb\n"
    after = refresh().rewritten(before, blocks)
    assert after.startswith("a\n<!-- bench -->\n### abacus") and after.endswith("<!-- /bench -->\nb\n") and "old" not in after
    assert "| conv2d/zfnet-conv1/n1 | 8.000 ms | 4.000 ms |" in after and "![Roofline of abacus](abacus.svg)" in after
    assert refresh().rewritten(after, blocks) == after
    stored["abacus"] = made(zfcore=0.005, torch=0.002)
    assert refresh().rewritten(after, blocks) != after


def test_the_headline_has_a_column_for_every_result():
    text = report.headline({"a": made(zfcore=0.004, torch=0.002), "b": made(zfcore=0.001, torch=0.002)})
    assert "PyTorch 2.13.0" in text and "| conv2d | 0.50 | 2.00 |" in text
    assert report.headline({}) == report.page({}, {}) == "No results are stored yet."


def test_pictures_are_drawn(tmp_path):
    found = made(zfcore=0.004, torch=0.002)
    names = {path.name for path in plots.draw(found, tmp_path)}
    assert names == {f"{name}.{kind}" for name in ("roofline", "ratios", "bars-conv2d-paper") for kind in ("png", "svg")}
    before = (tmp_path / "roofline.svg").read_bytes()
    plots.draw(found, tmp_path)
    assert (tmp_path / "roofline.svg").read_bytes() == before
    with pytest.raises(ZfcoreError, match="cannot be written"):
        plots.draw(found, tmp_path / "missing")


def test_pictures_of_an_earlier_run_do_not_stay_beside_other_results(tmp_path):
    for name in ("bars-relu_vjp-sweep.png", "mine.png", "bars-of-mine.svg"):
        (tmp_path / name).write_text("")
    found = made(zfcore=0.004)
    found.cases[0].flops = found.cases[0].moved = 0  # points instead of bars, and no roofline
    names = {path.name for path in plots.draw(found, tmp_path)}
    assert names == {"bars-conv2d-paper.png", "bars-conv2d-paper.svg"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"mine.png", "bars-of-mine.svg"}


# ---- comparing


@pytest.mark.parametrize(("new", "verdict"), [(0.5, 1), (2.0, -1), (1.0, 0), (1.02, 0), (0.985, 0)])
def test_changes_beyond_the_noise(new, verdict):
    (change,) = compare.changes(made(zfcore=1.0), made(zfcore=new))
    assert change.verdict == verdict


def test_noise_hides_a_change():
    noisy, steady = Side(samples=[1, 2, 3, 4, 5]), Side(samples=[2.0] * 5)
    assert compare.verdict(noisy, steady) == 0 and compare.verdict(Side(samples=[3.0] * 5), steady) == 1


def test_the_comparison_states_its_rule_and_what_is_not_comparable():
    old, new = made(zfcore=1.0), made(zfcore=2.0)
    new.machine["cpu"], new.settings["threads"] = "Slide rule", 1
    new.cases.append(Timed("relu/x/n1", "paper", 1))
    text = compare.text(old, new)
    assert "SLOWER" in text and "different machines: Abacus and Slide rule" in text and "different numbers of threads: 2 and 1" in text
    assert "only in the new result: relu/x/n1" in text and compare.RULE in text and "0 faster, 1 slower, 0 unchanged" in text


def test_the_comparison_names_answers_that_became_wrong():
    old, new = made(zfcore=1.0), made(zfcore=1.0)
    new.cases[0].error, new.cases[0].sides = "3 of 4 elements wrong", {}
    text = compare.text(old, new)
    assert "WRONG in the new result, and not compared: conv2d/zfnet-conv1/n1" in text and "WRONG in the old" not in text


# ---- a run


@pytest.fixture
def quick(monkeypatch):
    """No ceilings measured, few samples, threads as before."""
    ceiling = {"multiply_adds": 1e11, "copy": 1e10, "copies": {"numpy, 1 thread": 1e10}, "array": 2**22}
    monkeypatch.setattr(ceilings, "measured", lambda threads: dict(ceiling))
    monkeypatch.setattr(harness, "MOST", harness.LEAST)
    monkeypatch.setattr(harness, "SAMPLE", 1e-6)
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def refused(capsys, *arguments) -> str:
    """The one line that a wrong command answers with."""
    try:
        status = cli.main(["bench", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and not said.out
    (line,) = said.err.splitlines()
    return line


def test_a_run_keeps_every_sample(quick, capsys, tmp_path):
    out = tmp_path / "out"
    assert cli.main(["bench", *CASES, "--peers", "numpy,reference", "--threads", "1", "--budget", "1", "--out", str(out)]) == 0
    found = results.read(out / "results.json")
    assert [case.id for case in found.cases] == list(CASES) and found.threads == 1
    for case in found.cases:
        assert len(case.sides[OURS].samples) == harness.LEAST and case.sides[OURS].first > 0 and "bit for bit" in case.verified
    said = capsys.readouterr()
    assert all(name in said.out and name in said.err for name in CASES) and "geometric means" in said.out
    assert (out / "ratios.png").exists() or peers.why_absent("numpy")
    assert cli.main(["bench", "--compare", str(out / "results.json"), str(out / "results.json")]) == 0
    assert "2 cases in both: 0 faster, 0 slower, 2 unchanged" in capsys.readouterr().out


def test_a_wrong_kernel_is_an_error_in_table_and_status(quick, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cpu, "relu", lambda x: x)
    status = cli.main(["bench", CASES[0], "--peers", "none", "--threads", "1", "--out", str(tmp_path)])
    said = capsys.readouterr()
    assert status == 2 and "WRONG" in said.out and said.err.splitlines()[-1].startswith("zfcore: error: verification: 1 of 1 cases")
    (case,) = results.read(tmp_path / "results.json").cases
    assert "elements wrong" in case.error and not case.sides


def test_a_peer_that_answers_otherwise_is_left_out_with_a_reason(quick, monkeypatch, tmp_path):
    class Wrong:
        @staticmethod
        def call(problem, threads):
            return lambda: np.ones_like(problem.arguments["x"])

    monkeypatch.setattr(peers, "load", lambda name: Wrong)
    found = run.run(select(all_cases(), CASES[:1]), tmp_path, ["reference"], 1, 1)
    side = found.cases[0].sides["reference"]
    assert not side.samples and side.note.startswith("its answer is another one") and found.cases[0].median()


def test_a_peer_that_is_not_installed_says_so(quick, monkeypatch, tmp_path):
    monkeypatch.setitem(peers.PEERS, "torch", ("pytorch", ("no_such_package",)))
    found = run.run(select(all_cases(), CASES[:1]), tmp_path, ["torch"], 1, 1)
    assert found.cases[0].sides["torch"].note == "no_such_package not installed" and found.peers == []


def test_what_the_budget_leaves_out_is_listed(quick, tmp_path):
    found = run.run(select(all_cases(), CASES), tmp_path, [], 1, 1e-9)
    assert not found.cases and [left["id"] for left in found.left_out] == list(CASES)
    assert "used up" in found.left_out[0]["reason"] and results.read(tmp_path / "results.json") == found


def test_an_interrupt_keeps_what_was_timed(quick, capsys, monkeypatch, tmp_path):
    right, calls = harness.take_turns, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return right(*arguments)

    monkeypatch.setattr(run, "take_turns", interrupted)
    assert cli.main(["bench", *CASES, "--peers", "none", "--out", str(tmp_path)]) == 130
    assert "1 of 2 cases are in" in capsys.readouterr().err.splitlines()[-1]
    assert [case.id for case in results.read(tmp_path / "results.json").cases] == [CASES[0]]


def test_earlier_results_are_kept(quick, capsys, monkeypatch, tmp_path):
    command = ["bench", CASES[0], "--peers", "none", "--threads", "1", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    first = results.read(tmp_path / "results.json")

    def interrupted(*_):
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(run, "take_turns", interrupted)
            assert cli.main(command) == 130
        assert "before a case was timed" in capsys.readouterr().err.splitlines()[-1]
        assert not (tmp_path / "results.json").exists() and results.read(tmp_path / "results-before.json") == first


def test_models_are_known_by_the_names_of_their_files(tmp_path):
    paths = [tmp_path / name for name in ("zfnet.onnx", "b/zfnet.onnx")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    ids = [case.id for case in all_cases(paths[:1])]
    assert ids[0] == "forward/zfnet.onnx/n1" and len(ids) == len(set(ids))
    with pytest.raises(ZfcoreError, match="a second model of this name"):
        all_cases(paths)


def test_ceilings_are_measured(monkeypatch):
    found = ceilings.measured(1, seconds=0.001, size=2**16)
    assert found["copy"] in found["copies"].values() and found["multiply_adds"] > 0
    assert set(found["copies"]) == {"numpy, 1 thread", "ours, 1 thread"}


def test_facts_of_the_machine(monkeypatch):
    monkeypatch.setattr(machine, "load_average", lambda: 3.0)
    facts = machine.facts()
    assert facts["cpu"] and facts["cores"] >= 1 and {"numpy", "numba"} <= set(facts["versions"])
    assert "busy (load 3.0" in facts["warnings"][0]
    json.dumps(facts)


# ---- the command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("conv3d", "nearest: conv2d"),
        ("relu --tag zfnett", "nearest: zfnet"),
        ("relu --n 5", "n: got 5"),
        ("relu --n x", "needed a whole number"),
        ("relu --peers torhc", "nearest: torch"),
        ("relu --threads 9999", "threads: got 9999, there are"),
        ("relu --threads 0", "at least 1"),
        ("relu --budget 0", "needed minutes, more than 0"),
        ("relu --budget nan", "needed minutes"),
        ("relu --peers none --out file", "file: is not a folder"),
        ("--model missing.onnx", "missing.onnx: no such file"),
        ("--compare missing.json file", "missing.json: cannot be read: No such file"),
        ("--compare . file", "cannot be read: Is a directory"),
        ("--compare file file", "file: is damaged, or no JSON"),
        ("--list --machine", "not allowed with"),
    ],
)
def test_a_mistake_is_one_clear_line(quick, capsys, monkeypatch, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("{")
    assert words in refused(capsys, *arguments.split())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_help_explains_and_gives_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and "example:\n  zfcore bench" in text


def test_the_list_and_the_machine_are_printed(quick, capsys):
    assert cli.main(["bench", "conv2d/zfnet-*", "--n", "1", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0].split()[0] == "conv2d/zfnet-conv1/n1" and "large" in lines[0].split()
    assert cli.main(["bench", "--machine", "--threads", "1"]) == 0
    assert "GFLOP/s" in capsys.readouterr().out


LIGHT = """
import sys, zfcore.cli
try:
    zfcore.cli.main(["bench", *sys.argv[1:]])
except SystemExit:
    pass
print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(("arguments", "absent"), [(["--help"], "numba torch matplotlib"), (["--list"], "torch matplotlib")])
def test_heavy_packages_wait_until_they_are_needed(arguments, absent):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", LIGHT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=True)
    imported = done.stdout.splitlines()[-1].split()
    assert imported[0] == "imported:" and not set(absent.split()) & set(imported)


def test_the_folder_of_a_checkout_is_the_same_command():
    root = Path(__file__).parents[1]
    if not (root / "benchmarks").is_dir():
        pytest.skip("no benchmarks folder: not a checkout")
    command = [sys.executable, "-m", "benchmarks", "nothing"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and done.stderr.startswith("zfcore: error: case: no id fits 'nothing'")
