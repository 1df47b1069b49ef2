"""Benchmarks on a CUDA device: their clock, peers, bars and pages, with the simulator or stand-ins where there is none."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import zfkernels
from test_bench_problems import FUNCTIONS, small

from zfcore import ZfcoreError, cli, zoo
from zfcore.backends import computing_on
from zfcore.bench import ceilings, compare, harness, peers, plots, report, results, run
from zfcore.bench.bars import BARS
from zfcore.bench.cases import all_cases, most_telling, network, select
from zfcore.bench.problems import Forward, Hiding, KernelCall, Projections, Step, filter_call, home, rectangle_call, with_backend
from zfcore.bench.results import CARRIED, OURS, Results, Side, Timed

CASE = "relu/sweep-2^10/n1"
NET = zoo.Architecture((zoo.Conv(3, 3, 2, 1, pool=2, norm=True), zoo.Conv(4, 3, padding=1), zoo.Full(5)), size=11, classes=4)
H100 = {
    "name": "Abacus", "compute_capability": "9.0", "memory": 2**36, "multiprocessors": 7, "l2": 2**20, "asked": {"clocks.sm": "3 MHz"},
    "versions": {"numba-cuda": "1"},
}  # fmt: skip


@pytest.fixture
def device():
    """The CUDA backend, simulated or not."""
    if why := zfkernels.backends()["cuda"]:
        pytest.skip(why)
    return zfkernels.get("cuda")


@pytest.fixture
def quick(monkeypatch, device):
    """Nothing of the machine measured, few samples."""
    from zfcore.bench import cuda

    ceiling = {"multiply_adds": 1e11, "copy": 1e10, "copies": {"driver": 1e10}, "array": 2**22, "copy_sizes": [[2**10, 1e9], [2**20, 1e10]]}
    monkeypatch.setattr(cuda, "ceilings", lambda: dict(ceiling))
    monkeypatch.setattr(cuda, "multiply_adds", lambda seconds: 1e11)
    monkeypatch.setattr(ceilings, "measured", lambda threads: pytest.fail("the host's ceilings are not asked for"))
    monkeypatch.setattr(harness, "MOST", harness.LEAST)
    monkeypatch.setattr(harness, "SAMPLE", 1e-6)


@pytest.fixture
def stand_in(monkeypatch):
    """The cpu's kernels under the name of the device's."""
    get = zfkernels.get
    monkeypatch.setattr(zfkernels, "get", lambda name: get("cpu" if name == "cuda" else name))


def made(**medians: float) -> Results:
    """Results of a device: a convolution that bars are about, and a rectifier that moves a MiB."""
    facts = {
        "cpu": "Fingers", "cores": 2, "caches": {}, "instructions": [], "vectors": "", "memory": None, "system": "table", "python": "3",
        "versions": {}, "load": None, "warnings": [], "device": dict(H100),
    }  # fmt: skip
    ceiling = {"multiply_adds": 1e11, "copy": 1e10, "copies": {}, "array": 2**22, "copy_sizes": [[2**10, 1e9], [2**20, 8e9], [2**30, 1e10]]}
    sides = {name: Side(1.0, m, 1, [m] * 7) for name, m in medians.items()}
    cases = [
        Timed("conv2d/zfnet-conv1/n64", "paper", 64, 10**8, 10**6, "image 0", "", sides),
        Timed("relu/zfnet-relu5/n64", "paper", 64, 0, 2**20, "image 0", "", {OURS: Side(samples=[2**20 / 4e9] * 7)}),
    ]
    settings = {"threads": 2, "peers": list(peers.CUDA_PEERS), "backend": "cuda"}
    return Results(facts, ceiling, settings, cases, [])


# ---- the clock


def test_a_side_is_timed_by_its_own_watch():
    now = [0.0]

    def call() -> None:
        now[0] += 1.0  # of the host's time, of which the device needs a quarter

    sides = harness.take_turns(
        {"device": call, "host": call}, 100, lambda: now[0], {"device": lambda call, count: sum((call(), 0.25)[1] for _ in range(count))}
    )
    assert sides["device"].median == pytest.approx(0.25) and sides["host"].median == pytest.approx(1.0)


def test_so_many_calls_make_a_sample_as_the_host_has_time_for():
    now = [0.0]

    def watch(call, count):
        now[0] += count * harness.SAMPLE / 4  # with what fills the caches ahead of each
        return count * 1e-6

    assert harness.take_turns({"device": lambda: None}, 1, lambda: now[0], {"device": watch})["device"].inner == 4


def test_events_count_the_call_and_not_what_goes_before(monkeypatch, device):
    from zfkernels.cuda import events

    now = [0.0]  # milliseconds of the device

    class Event:
        def record(self, stream):
            assert stream is events.COMPUTE
            self.at = now[0]

    def passing(milliseconds):
        def call():
            now[0] += milliseconds

        return call

    monkeypatch.setattr(events, "SIMULATED", False)
    fake = SimpleNamespace(event=Event, event_elapsed_time=lambda start, end: end.at - start.at)
    monkeypatch.setattr(events, "cuda", fake)
    assert events.elapsed(passing(2.0), 5, passing(70.0)) == pytest.approx(0.010)


def test_ceilings_of_the_device(device):
    from zfcore.bench import cuda

    found = cuda.ceilings(0.001, 2**10, (2**9, 2**11))
    assert found["copy"] == max(found["copies"].values()) > 0 and found["multiply_adds"] > 0 and found["array"] == 2**10
    assert [size for size, _ in found["copy_sizes"]] == [2**9, 2**11] and all(rate > 0 for _, rate in found["copy_sizes"])
    json.dumps(found | cuda.facts())
    assert cuda.answers() and cuda.facts()["name"] and cuda.facts()["memory"] > 0


@pytest.mark.parametrize("size", [1, 7, 40, 41, 83])
def test_the_copy_of_the_ceiling_copies(device, size):
    from zfkernels.cuda import peak
    from zfkernels.cuda.arrays import empty

    x = np.arange(size, dtype=np.float32)
    y = empty((size,), np.float32)
    peak.copy(y, device.asarray(x))
    assert np.array_equal(device.to_numpy(y), x)


def test_the_multiply_adds_of_the_ceiling_are_done(device):
    from zfkernels.cuda import peak
    from zfkernels.cuda.arrays import empty

    y, chains = empty((3,), np.float64), 0.25 * np.arange(1, peak.CHAINS + 1)
    peak.multiply_adds(y, 3)
    for _ in range(3):
        chains = chains * 0.5 + 0.25
    assert np.array_equal(device.to_numpy(y), np.full(3, chains.sum()))  # powers of two: exact


# ---- problems


def test_a_kernels_arguments_are_there_before_it_is_timed(device):
    problem = rectangle_call("relu", (2, 3, 3, 2), {}, np.random.default_rng(0), "cuda")
    call, carried = problem.ours(), problem.carried()
    assert type(call()) is type(device.asarray(np.zeros(1))) and isinstance(carried(), np.ndarray)
    assert np.array_equal(home("cuda", call()), carried()) and problem.moved == 2 * 4 * 36
    problem.verified(home("cuda", call()), np.random.default_rng(0))
    with pytest.raises(AssertionError, match="wrong"):
        problem.verified(home("cuda", call()) + 1, np.random.default_rng(0))


def test_what_the_backend_lacks_is_left_out(stand_in, monkeypatch, quick, tmp_path):
    monkeypatch.delattr(zfkernels.get("cpu"), "relu")
    found = run.run(select(all_cases(), [CASE]), tmp_path, [], 1, 1, "cuda")
    assert found.left_out == [{"id": CASE, "reason": "the backend cuda has no relu"}]


def drawn(kind: str, net):
    rng = np.random.default_rng(1)
    if kind == "occlude":
        return Hiding.drawn(net, rng, "cuda")
    if kind == "project":
        return Projections.drawn(net, "conv2", 3, rng, "cuda")
    return {"forward": Forward, "step": Step}[kind].drawn(net, 3, rng, backend="cuda")


@pytest.mark.parametrize("kind", ["forward", "project", "step", "occlude"])
def test_networks_are_verified_where_they_compute(device, kind):
    net = zoo.build(NET, init="he")
    problem = drawn(kind, net)
    result = home("cuda", problem.ours()())
    assert problem.verified(result, np.random.default_rng(0)).text and problem.there.backend == "cuda" and net.backend == "cpu"
    carried = problem.carried()
    assert (carried is None) == (kind in ("project", "occlude"))
    if carried is not None:
        assert np.array_equal(carried(), result)


@pytest.mark.parametrize("kind", ["forward", "project", "step"])
def test_a_network_on_wrong_kernels_is_noticed(device, monkeypatch, kind):
    name = "conv2d_relu" if kind == "forward" else "conv2d_adjoint_x"
    right = getattr(device, name)
    monkeypatch.setattr(device, name, lambda *arguments: right(*arguments) * np.float32(1.01))
    problem = drawn(kind, zoo.build(NET, init="he"))
    with pytest.raises(AssertionError, match="elements wrong"):
        problem.verified(home("cuda", problem.ours()()), np.random.default_rng(0))


@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function != "conv2d_auto"])
def test_kernels_of_every_case_are_right_on_the_device(device, function):
    problem = dataclasses.replace(small(function), backend="cuda")
    result = home("cuda", problem.ours()())
    check = problem.verified(result, np.random.default_rng(0))
    assert problem.moved == small(function).moved
    wrong = (result[0] if isinstance(result, tuple) else result).copy()
    wrong[..., -1] += 1
    with pytest.raises(AssertionError, match="wrong"):
        check((wrong, *result[1:]) if isinstance(result, tuple) else wrong)


def test_networks_of_cases_are_on_the_host(device):
    with computing_on("cuda"):
        net = network.__wrapped__("zfnet-small")
    assert net.backend == "cpu" and all(isinstance(a, np.ndarray) for layer in net.layers.values() for a in layer.arrays.values())


def test_a_network_on_another_backend_has_layers_of_its_own():
    net = zoo.build(NET, init="he")
    other = with_backend(net, "reference")
    other.layers["conv1"].weight = np.zeros_like(other.layers["conv1"].weight)
    assert net.layers["conv1"].weight.any() and (net.backend, other.backend) == ("cpu", "reference")


# ---- peers, with PyTorch on the processor in the device's place


@pytest.fixture
def torch(monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its answers are not compared")
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    monkeypatch.setattr(peers.load("torch-cuda"), "DEVICE", "cpu")
    monkeypatch.setattr(peers, "_no_device", lambda: "")
    yield torch
    for flag, value in zip(flags, before, strict=True):
        flag.allow_tf32 = value


def convolution(function: str = "conv2d") -> KernelCall:
    return filter_call(function, (2, 4, 9, 8), (6, 4, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, np.random.default_rng(3))


@pytest.mark.parametrize("name", peers.CUDA_PEERS)
@pytest.mark.parametrize("function", ["conv2d", "conv2d_adjoint_x", "conv2d_adjoint_w"])
def test_peers_answer_what_we_answer(torch, name, function):
    problem, peer = convolution(function), peers.load(name)
    check = problem.verified(problem.ours()(), np.random.default_rng(0))
    got = peer.home(peer.call(problem, 1)())
    peer.held(check)(got)
    got[..., -1] += 1
    with pytest.raises(AssertionError, match="wrong"):
        peer.held(check)(got)


def test_factors_cut_to_tf32_are_within_a_bound_of_their_own_alone():
    def cut(a):
        return (a.view(np.uint32) & np.uint32(2**32 - 2**13)).view(np.float32)

    problem = convolution()
    check = problem.verified(problem.ours()(), np.random.default_rng(0))
    a = problem.arguments
    result = KernelCall("conv2d", a | {"x": cut(a["x"]), "w": cut(a["w"])}).ours()()
    check.with_tf32()(result)
    with pytest.raises(AssertionError, match="wrong"):
        check(result)


def test_each_side_says_again_what_tf32_may_do(torch, monkeypatch):
    seen = []

    def recorded(problem, threads, device):
        return lambda: seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))

    monkeypatch.setattr(peers.load("torch"), "call", recorded)
    exact, cut = (peers.load(name).call(convolution(), 1) for name in peers.CUDA_PEERS)
    exact(), cut(), exact()
    assert seen == [(False, False), (True, True), (False, False)]


def test_pytorchs_events_count_the_call_and_not_what_goes_before(torch, monkeypatch):
    now = [0.0]  # milliseconds of the device
    peer = peers.load("torch-cuda")

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = now[0]

        def elapsed_time(self, end):
            return end.at - self.at

    def empty(size, device):
        assert size == peer.FLUSHES * 4096 // 4  # numbers of four bytes
        return SimpleNamespace(zero_=lambda: now.__setitem__(0, now[0] + 70.0))

    fake = SimpleNamespace(
        Event=Event,
        synchronize=lambda: None,
        current_device=lambda: 0,
        get_device_properties=lambda device: SimpleNamespace(L2_cache_size=4096),
    )
    monkeypatch.setattr(peer, "torch", SimpleNamespace(cuda=fake, empty=empty))
    assert peer.watch(lambda: now.__setitem__(0, now[0] + 2.0), 5) == pytest.approx(0.010)


def test_tf32_is_timed_where_it_changes_something(torch):
    problem = rectangle_call("relu", (2, 3, 3, 2), {}, np.random.default_rng(0))
    with pytest.raises(peers.Absent, match="the same as with TF32 off"):
        peers.load("torch-cuda-tf32").call(problem, 1)
    net = zoo.build(NET, init="he")
    check = peers.load("torch-cuda-tf32").held(drawn_check(net))
    assert not check.parts and "only timed" in check.why_not


def drawn_check(net):
    problem = Forward.drawn(net, 2, np.random.default_rng(0))
    return problem.verified(problem.ours()(), np.random.default_rng(0))


def test_peers_are_those_of_the_backend():
    assert peers.chosen(None, "cuda") == ["torch-cuda", "torch-cuda-tf32"]
    with pytest.raises(ZfcoreError, match="nearest: torch-cuda"):
        peers.chosen(["torch"], "cuda")


def test_a_pytorch_without_device_says_so():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    why = peers.why_absent("torch-cuda")
    assert why == ("" if torch.cuda.is_available() else f"PyTorch {torch.__version__} finds no CUDA device")


# ---- a run


def test_a_run_on_the_device_has_figures_with_and_without_transfers(quick, capsys, monkeypatch, tmp_path):
    from zfcore.bench import cuda

    for name, seconds in (("watch", 0.5), ("watch_carried", 0.25)):
        monkeypatch.setattr(cuda, name, lambda call, count, seconds=seconds: count * seconds)
    assert cli.main(["bench", CASE, "--backend", "cuda", "--peers", "none", "--budget", "1", "--out", str(tmp_path)]) == 0
    found = results.read(tmp_path / "results.json")
    (case,) = found.cases
    assert set(case.sides) == {OURS, CARRIED} and all(len(side.samples) == harness.LEAST for side in case.sides.values())
    assert (case.median(), case.median(CARRIED)) == (0.5, 0.25)  # by the device's clock, and by the host's
    assert found.backend == "cuda" and found.processor == found.machine["device"]["name"] and "bit for bit" in case.verified
    said = capsys.readouterr().out
    assert CARRIED in said and "bars\n" in said and BARS[0].text in said


def test_the_peers_take_part(quick, torch, monkeypatch, tmp_path):
    monkeypatch.setattr(peers.load("torch-cuda"), "watch", harness.by_clock(lambda: 0.0))
    clock = iter(range(10**6))
    for name in peers.CUDA_PEERS:
        monkeypatch.setattr(peers.load(name), "watch", harness.by_clock(lambda: float(next(clock))))
    found = run.run(select(all_cases(), [CASE]), tmp_path, None, 1, 1, "cuda")
    (case,) = found.cases
    assert case.ratio("torch-cuda") and found.peers == ["torch-cuda"]
    assert case.sides["torch-cuda-tf32"].note == "no product of matrices, so the same as with TF32 off"


def test_what_fails_on_the_device_is_an_error_and_the_next_case_has_its_turn(quick, monkeypatch, capsys, tmp_path, device):
    calls = []

    def failing(x):
        calls.append(1)
        if len(calls) == 1:
            raise TypeError("no kernel for\n a Tuesday")
        return device.asarray(np.maximum(device.to_numpy(x), 0))

    monkeypatch.setattr(device, "relu", failing)
    command = ["bench", CASE, "relu/sweep-2^14/n1", "--backend", "cuda", "--peers", "none", "--out", str(tmp_path)]
    assert cli.main(command) == 2
    first, second = results.read(tmp_path / "results.json").cases
    assert first.error == "it failed: TypeError: no kernel for a Tuesday" and not first.sides and second.median()
    assert "1 of 2 cases gave a wrong answer" in capsys.readouterr().err


def test_a_device_that_is_lost_ends_the_run_and_what_was_timed_is_kept(quick, monkeypatch, tmp_path):
    from zfcore.bench import cuda

    monkeypatch.setattr(cuda, "answers", lambda: False)
    monkeypatch.setattr(cuda, "tidy", lambda: pytest.fail("a device that is lost takes nothing back"))
    with pytest.raises(run.LostError, match=f"since {CASE.replace('^', '.')}"):
        run.run(select(all_cases(), [CASE, "relu/sweep-2^14/n1"]), tmp_path, [], 1, 1, "cuda")
    assert [case.id for case in results.read(tmp_path / "results.json").cases] == [CASE]


@pytest.mark.parametrize("arguments", [[CASE], ["--machine"]])
def test_asked_for_and_absent_is_one_line(monkeypatch, capsys, tmp_path, arguments):
    def absent(name):
        raise ImportError("backend cuda: the package is on holiday: pip install patience")

    monkeypatch.setattr(zfkernels, "get", absent)
    assert cli.main(["bench", *arguments, "--backend", "cuda", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.err == "zfcore: error: backend cuda: the package is on holiday: pip install patience\n" and not said.out
    assert not list(tmp_path.iterdir())


def test_the_machine_of_a_device_is_shown(quick, capsys):
    assert cli.main(["bench", "--machine", "--backend", "cuda"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("device        ") and "independent sums in registers" in said and "driver 10.0 GB/s" in said


# ---- bars and pages


def test_bars_are_about_cases_that_there_are_and_those_come_first():
    ids = {case.id for case in all_cases()}
    asked = [name for bar in BARS for name in bar.cases]
    assert ids.issuperset(asked) and len(asked) == len(set(asked)) == 15 + 10 + 3 + 23 + 9
    ordered = [case.id for case in most_telling(all_cases(), BARS)]
    assert set(ordered[: len(asked)]) == set(asked) and sorted(ordered) == sorted(ids)
    assert [ordered.index(name) < 15 for name in BARS[0].cases] == [True] * 15
    assert "zfnet" in ordered[len(asked)] and ordered[len(asked)].startswith("forward")


@pytest.mark.parametrize(("theirs", "verdict"), [(0.5, "open"), (0.49, "missed"), (2.0, "open")])
def test_a_bar_is_missed_by_a_case_and_reached_by_all(theirs, verdict):
    bar, found = BARS[0], made(zfcore=1.0, **{"torch-cuda": theirs})
    assert bar.found(found)["conv2d/zfnet-conv1/n64"] == pytest.approx(theirs)
    assert bar.verdict(bar.found(found)) == verdict  # the other convolutions have no times
    whole = {name: theirs for name in bar.cases}
    assert bar.verdict(whole) == ("reached" if theirs >= 0.5 else "missed")


def test_a_wrong_answer_reaches_no_bar():
    found = made(**{OURS: 1.0, "torch-cuda": 9.0})
    assert BARS[0].found(found)["conv2d/zfnet-conv1/n64"] and BARS[3].found(found)["relu/zfnet-relu5/n64"]
    for case in found.cases:
        case.error = "3 of 4 elements wrong"
    assert not any(value for bar in BARS for value in bar.found(found).values())


def test_the_speed_of_a_copy_is_that_of_as_many_bytes():
    found = made(zfcore=1.0)
    small = found.cases[1]
    assert found.of_copy(small) == pytest.approx(4e9 / 8e9) and found.share(small) == pytest.approx(4e9 / 1e10)
    small.moved = 2**25  # half way between sizes, by powers of two
    assert found.of_copy(small) == pytest.approx(2**25 / small.median() / 9e9)
    del found.ceilings["copy_sizes"]
    assert found.of_copy(small) is None


def test_results_of_a_device_come_back_and_damage_is_refused(tmp_path):
    found = made(zfcore=1.0)
    results.write(tmp_path / "a.json", found)
    assert results.read(tmp_path / "a.json") == found
    for old, new in ((f'"name": "{H100["name"]}"', '"nom": 1'), ("8000000000.0", "-1"), ("8000000000.0", "NaN")):
        text = (tmp_path / "a.json").read_text()
        assert old in text
        (tmp_path / "b.json").write_text(text.replace(old, new))
        with pytest.raises(ZfcoreError, match=r"b\.json"):
            results.read(tmp_path / "b.json")


def test_pages_and_pictures_of_a_device(tmp_path):
    found = made(**{OURS: 1.0, "torch-cuda": 0.75, "torch-cuda-tf32": 0.25, CARRIED: 3.0})
    found.settings["end_to_end"] = {"training": "went well"}
    page = report.cuda_page({"abacus": found}, {})
    row = "| conv2d/zfnet-conv1/n64 | 1.000 s | 1.000 s | 0 % | 0.1 GFLOP/s | 0 % | 3.000 s | 0.75 | 0.25 |"
    assert row in page and "Abacus" in page and "| 1 of 15 | 1 | 0.75 |" in page and "- training: went well" in page
    assert report.cuda_page({}, {}).startswith("Not measured: no device has been at hand.")
    assert "Abacus" in report.headline({"a": found}, "torch-cuda")
    assert {path.name for path in plots.draw(found, tmp_path)} >= {"roofline.png", "ratios.png"}
    other = made(zfcore=1.0)
    other.machine["device"]["name"] = "Slide rule"
    assert "different machines: Abacus and Slide rule" in compare.text(found, other)
    assert math.isfinite(found.share(found.cases[0]))


# ---- what is loaded

LIGHT = """
import sys, zfcore, zfcore.cli
assert zfcore.cli.main(["bench", "relu/sweep-2^10", "--list"]) == 0
print("imported:", *sorted(name for name in sys.modules if "cuda" in name))
"""


def test_nothing_of_cuda_is_loaded_where_nobody_asks_for_it():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, env=environment, check=True)
    ours = [name for name in done.stdout.splitlines()[-1].split()[1:] if name.startswith(("zf", "torch")) or name == "numba.cuda"]
    assert ours == []
