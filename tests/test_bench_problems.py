"""Benchmark cases: their list, that a wrong answer is noticed, and that every peer answers what we answer."""

from __future__ import annotations

import numpy as np
import pytest
from zfkernels import cpu

from zfcore import Network, ZfcoreError, zoo
from zfcore.bench import peers, problems
from zfcore.bench.cases import Case, all_cases, select
from zfcore.bench.problems import (
    ALGORITHMS,
    FILTERS,
    Forward,
    Hiding,
    KernelCall,
    Projections,
    Step,
    filter_call,
    pool_call,
    rectangle_call,
)
from zfcore.layers import Conv2d, Dropout, Input
from zfcore.window import whole

LRN = {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}
MATRICES = {"x": (3, 7), "w": (5, 7), "b": (5,), "gy": (3, 5)}


def small(function: str) -> KernelCall:
    """A small call of a kernel: groups, a stride, padding, uneven windows."""
    rng = np.random.default_rng(3)
    if function in FILTERS:
        return filter_call(function, (3, 4, 9, 8), (6, 2, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 2, rng)
    if function in ALGORITHMS:
        return filter_call(function, (3, 4, 9, 8), (6, 2, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2, rng)
    if "pool" in function:
        return pool_call(function, (3, 4, 9, 8), (3, 3), (2, 2), ((0, 0), (0, 0)), not function.startswith("avg"), rng)
    if function.startswith("linear"):
        return KernelCall.drawn(function, MATRICES, {}, rng)
    if function.startswith("softmax"):
        return rectangle_call(function, (3, 7), {"axis": 1}, rng)
    return rectangle_call(function, (3, 6, 5, 4), LRN if "norm" in function else {"rule": "gradient"}, rng)


FUNCTIONS = sorted({case.function for case in all_cases()} - {"forward", "forward_auto", "project", "train_step", "occlude"})
NET = zoo.Architecture((zoo.Conv(6, 3, 2, 1, pool=2, norm=True), zoo.Conv(8, 3, padding=1), zoo.Full(5)), size=17, classes=4)


@pytest.fixture(scope="module")
def net():
    return zoo.build(NET, init="he")


# ---- the list


def test_ids_are_unique_and_say_what_they_are():
    cases = all_cases()
    assert len({case.id for case in cases}) == len(cases)
    assert all(case.id == f"{case.function}/{case.id.split('/')[1]}/n{case.n}" and case.function in case.tags for case in cases)


def test_every_convolution_of_the_papers_networks_is_there():
    ids = {case.id for case in all_cases()}
    for name in ("zfnet", "alexnet"):
        convolutions = sum(isinstance(block, zoo.Conv) for block in zoo.ARCHITECTURES[name].blocks)
        wanted = {f"{f}/{name}-conv{i}/n{n}" for f in FILTERS for i in range(1, convolutions + 1) for n in (1, 16, 64)}
        assert convolutions == 5 and wanted <= ids


def test_sizes_are_read_off_the_network(monkeypatch):
    monkeypatch.setattr("zfcore.bench.cases.network", lambda name: zoo.build("zfnet-small", init="he"))
    (case,) = select(all_cases(), ["conv2d_adjoint_x/zfnet-conv2/n16"])
    made = case.make()
    assert made.arguments["gy"].shape == (16, 64, 16, 16) and made.arguments["w"].shape == (64, 32, 5, 5)
    assert made.flops == 2 * 16 * 64 * 16 * 16 * (32 * 5 * 5 + 1)  # as its forward, the bias included


def test_the_same_seed_draws_the_same_numbers():
    (case,) = select(all_cases(), ["relu/sweep-2^10/n1"])
    a, b, other = (case.make(seed).arguments["x"] for seed in (0, 0, 1))
    assert np.array_equal(a, b) and not np.array_equal(a, other)


@pytest.mark.parametrize(
    ("patterns", "batches", "tags", "words"),
    [
        (["conv2d/zfnet-conv9/*"], (), (), "no id fits 'conv2d/zfnet-conv9/*'"),
        (["conv3d"], (), (), "nearest: conv2d"),
        ([], (), ["zfnett"], "nearest: zfnet"),
        ([], [5], (), "cases have 1, 9, 16"),
        (["relu"], [1], ["conv"], "none fits"),
    ],
)
def test_a_choice_of_nothing_is_refused(patterns, batches, tags, words):
    with pytest.raises(ZfcoreError) as refused:
        select(all_cases(), patterns, batches, tags)
    assert words in str(refused.value)


def test_a_prefix_stands_for_all_below_it():
    chosen = {case.id for case in select(all_cases(), ["conv2d/"])}
    assert chosen == {case.id for case in select(all_cases(), ["conv2d/*"])} and not any("adjoint" in name for name in chosen)
    assert len(select(all_cases(), ["conv2d*/zfnet-conv1"])) == 9


def test_too_little_memory_is_noticed_before_it_is_taken(monkeypatch):
    monkeypatch.setattr("zfcore.bench.machine.free_memory", lambda: 1000)
    with pytest.raises(MemoryError, match="are free"):
        small("conv2d")


# ---- a wrong answer


@pytest.mark.parametrize("function", FUNCTIONS)
def test_right_is_right_and_wrong_is_noticed(function):
    problem = small(function)
    result = problem.ours()()
    for seed in range(3):
        check = problem.verified(result, np.random.default_rng(seed))
    first = result[0] if isinstance(result, tuple) else result
    wrong = first.copy()
    wrong[..., -1] += 1
    with pytest.raises(AssertionError, match="wrong"):
        check((wrong, *result[1:]) if isinstance(result, tuple) else wrong)


def test_wrong_switches_are_noticed():
    problem = small("max_pool2d")
    y, switches = problem.ours()()
    with pytest.raises(AssertionError):
        problem.verified((y, switches + 1), np.random.default_rng(0))


def test_a_kernel_that_drops_the_last_row_is_noticed(monkeypatch):
    right = cpu.conv2d

    def dropping(x, w, b, stride, padding, dilation, groups):
        y = right(x, w, b, stride, padding, dilation, groups)
        y[:, :, -1] = 0
        return y

    monkeypatch.setattr(cpu, "conv2d", dropping)
    problem = small("conv2d")
    with pytest.raises(AssertionError, match="elements wrong"):
        problem.verified(problem.ours()(), np.random.default_rng(0))


def drawn(kind: str, net) -> problems.Problem:
    rng = np.random.default_rng(1)
    made = {"forward": Forward.drawn, "step": Step.drawn}
    if kind == "occlude":
        return Hiding.drawn(net, rng)
    return Projections.drawn(net, "conv2", 3, rng) if kind == "project" else made[kind](net, 3, rng)


@pytest.mark.parametrize("kind", ["forward", "project", "step", "occlude"])
def test_networks_are_verified_too(net, kind):
    problem = drawn(kind, net)
    result = problem.ours()()
    assert problem.verified(result, np.random.default_rng(0)).text
    assert kind in ("project", "occlude") or problem.flops > 2 * 3 * net.macs - 1


@pytest.mark.parametrize("kind", ["forward", "project", "step"])
def test_a_network_on_wrong_kernels_is_noticed(monkeypatch, net, kind):
    name = "conv2d_adjoint_x" if kind != "forward" else "conv2d_relu"
    right = getattr(cpu, name)
    monkeypatch.setattr(cpu, name, lambda *arguments: right(*arguments) * np.float32(1.01))
    problem = drawn(kind, net) if kind != "project" else Projections.drawn(net, "conv2", 1, np.random.default_rng(1))
    with pytest.raises(AssertionError, match="elements wrong"):
        problem.verified(problem.ours()(), np.random.default_rng(0))


# ---- peers


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("peer", ["torch", "numpy", "scipy", "reference"])
def test_peers_answer_what_we_answer(peer, function):
    if why := peers.why_absent(peer):
        pytest.skip(f"{peer}: {why}")
    problem = small(function)
    check = problem.verified(problem.ours()(), np.random.default_rng(0))
    try:
        call = peers.load(peer).call(problem, 1)
    except peers.Absent as absent:
        assert str(absent) and peer != "torch"
        return
    check(call())


def test_scipy_correlates_one_group():
    if why := peers.why_absent("scipy"):
        pytest.skip(f"scipy: {why}")
    problem = filter_call("conv2d", (2, 3, 8, 7), (4, 3, 3, 3), (2, 1), ((1, 1), (0, 0)), (1, 1), 1, np.random.default_rng(0))
    problem.verified(problem.ours()(), np.random.default_rng(0))(peers.load("scipy").call(problem, 1)())


def test_occlusion_that_forgets_a_square_is_noticed(net):
    problem = drawn("occlude", net)
    sums, logits = problem.ours()()
    logits[:, 1] = logits[:, 0]
    with pytest.raises(AssertionError, match="elements wrong"):
        problem.verified((sums, logits), np.random.default_rng(0))


def test_occlusion_of_a_network_that_does_not_classify_is_left_out():
    layers = [Input("x", shape=(1, 9, 9)), Conv2d("conv", ("x",), np.ones((1, 1, 3, 3), np.float32))]
    with pytest.raises(problems.UnsuitedError, match="several classes"):
        Hiding.drawn(Network(layers, ["conv"], "features"), np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["forward", "project", "step", "occlude"])
def test_pytorch_has_every_network(net, kind):
    pytest.importorskip("torch", reason="PyTorch is not installed: its networks are not compared")
    net = net.astype(np.float32)
    for layer in net.layers.values():
        if isinstance(layer, Dropout):
            layer.p = 0.0  # the masks differ
    problem = drawn(kind, net)
    ours, theirs = problem.ours(), peers.load("torch").call(problem, 1)
    result, got = ours(), theirs()
    if kind in ("forward", "occlude"):
        problem.verified(result, np.random.default_rng(0))(tuple(map(np.asarray, got)) if kind == "occlude" else got)
    elif kind == "step":
        again = ours()
        assert again != result  # the second loss is that after a step
        problems.network_check("", (np.array([result, again], np.float32),), (...,), np.float32)(np.array([got, theirs()], np.float32))
    else:  # windows of this network's pool do not overlap, so that unpooling is the same
        for ours, theirs in zip(result, np.asarray(got), strict=True):
            inside = ours.window.intersection(whole(theirs.shape[1:]))
            elsewhere = theirs.copy()
            elsewhere[:, *inside.slices] = 0
            ref = ours.pixels[:, *inside.relative_to(ours.window).slices]
            assert ref.any() and not elsewhere.any()
            problems.network_check("", (ref,), (...,), np.float32)(theirs[:, *inside.slices])


def test_onnxruntime_only_runs_onnx_files(net):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    with pytest.raises(peers.Absent, match="only ONNX"):
        peers.load("onnxruntime").call(drawn("forward", net), 1)


def test_an_unknown_peer_is_refused():
    with pytest.raises(ZfcoreError, match="nearest: torch"):
        peers.chosen(["torhc"])
    assert peers.chosen(["numpy", "torch"]) == ["torch", "numpy"] and peers.chosen(None) == list(peers.PEERS)


def test_a_case_is_light_until_it_is_made():
    def heavy(rng):
        raise AssertionError("made")

    assert Case("relu/x/n1", "paper", frozenset(), 1, heavy).function == "relu"
