"""Training: a step is PyTorch's, filters stay within their limit, a little set is learnt by heart, the same seed gives the same bits."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from zfcore import Network, ZfcoreError
from zfcore.bench.problems import below
from zfcore.data.labelled import Labelled
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.scenes import CLASSES, make_scenes
from zfcore.data.sources import ArraySource
from zfcore.layers import GlobalAvgPool2d, Input, Softmax
from zfcore.testing import ROUNDINGS, parity_test, rounding_bound, vjp_test
from zfcore.training import RECIPES, Batches, Recipe, State, crops_of, errors, gathered, loop, train
from zfcore.training.loop import logits_layer, ranks
from zfcore.training.optimiser import SGD
from zfcore.training.schedule import plateaus, rate
from zfcore.zoo import Architecture, Conv, Full, build

TINY = Architecture((Conv(8, 7, 2, 3, pool=3, norm=True), Conv(12, 5, 2, pool=3), Full(24, 0.1)), size=64, classes=10)
RECIPE = replace(RECIPES["small"], epochs=2, batch=10, rate=0.02, dropout=0.1, validation=0.0)
NONE = np.array([], np.int64)


def tiny(seed: int = 0):
    return build(TINY, seed, "he")


def batches_of(count: int, recipe: Recipe = RECIPE, side: int = 64, frame: int = 64):
    scenes = make_scenes(count, 0)
    images = Labelled(ArraySource(scenes.images), scenes.labels, CLASSES)
    everything = np.arange(count)
    found = gathered(images, Preprocessing(size=frame, crop=(frame, frame)), everything, everything)
    return Batches(found.frames, crops_of(found.frames, found.mean, recipe.pixel_scale, (side, side)), everything, recipe)


def weights(net: Network) -> bytes:
    return b"".join(a.tobytes() for layer in net.layers.values() for a in layer.arrays.values())


def trained(net: Network, batches: Batches, validation=NONE) -> State:
    state = State()
    for _ in train(net, batches, validation, state):
        pass
    return state


# ---- learning


def test_learns_fifty_images_by_heart():
    net, batches = tiny(), batches_of(50, replace(RECIPE, epochs=80, flip=False, crops="centre"))
    history = trained(net, batches).history
    assert errors(net, batches.frames, batches.crops, np.arange(50)) == (0, 0)
    assert history[-1].loss < min(epoch.loss for epoch in history[:10])


def test_same_seed_same_bits_at_any_number_of_threads():
    numba = pytest.importorskip("numba")
    found, cores = [], numba.config.NUMBA_NUM_THREADS
    for threads in (1, cores, 1):
        numba.set_num_threads(threads)
        net = tiny()
        trained(net, batches_of(40, frame=74))
        found.append(weights(net))
    numba.set_num_threads(cores)
    assert found[0] == found[1] == found[2]
    other = tiny()
    trained(other, batches_of(40, replace(RECIPE, seed=1), frame=74))
    assert weights(other) != found[0]


def test_a_run_may_begin_at_any_step():
    """Network and state after each step are all that the next one depends on."""
    whole, batches = tiny(), batches_of(40, replace(RECIPE, schedule="plateau", patience=1))
    validation = np.arange(40)
    final = trained(whole, batches, validation)
    for stop in (3, 4, 5):
        net, state = tiny(), State()
        for _ in train(net, batches, validation, state):
            if state.step == stop:
                break
        resumed = State(state.step, dict(state.velocities), list(state.history), state.loss, state.wrong)
        for _ in train(net, batches_of(40, batches.recipe), validation, resumed):
            pass
        assert weights(net) == weights(whole) and resumed.history == final.history


def test_every_epoch_has_crops_and_an_order_of_its_own():
    batches = batches_of(10, replace(RECIPE, crops="anywhere", flip=False), frame=84)
    assert len({batches.step(epoch)[1].tobytes() for epoch in range(3)}) == 3
    batches.frames.kept[:] = batches.frames.kept[0]  # of one picture only the place makes windows differ
    windows = [{x.tobytes() for x in batches.step(epoch)[0]} for epoch in range(3)]
    assert windows[0] != windows[1] != windows[2] != windows[0]


def test_every_step_drops_out_anew(monkeypatch):
    seeds, learnt = [], loop.learnt
    monkeypatch.setattr(loop, "learnt", lambda *arguments: seeds.append(arguments[-1]) or learnt(*arguments))
    for seed in (0, 1):
        trained(tiny(), batches_of(40, replace(RECIPE, seed=seed)))
    assert len(seeds) == len(set(seeds)) == 16


def test_history_counts_what_was_learnt_and_what_is_held_out():
    net, batches = tiny(), batches_of(40, replace(RECIPE, epochs=1, rate=0.0, dropout=0.0, flip=False, crops="centre", weight_decay=0.0))
    net.layers["drop3"].p = 0.0
    (epoch,) = trained(net, batches, np.arange(0, 40, 2)).history
    logits = logits_layer(net)
    y = net.forward(batches.crops.inputs(batches.frames[np.arange(40)], batches.crops.centre), keep=[logits])[logits]
    wrong = y.argmax(axis=1) != batches.frames.images.labels
    assert epoch.training_error == wrong.mean() and epoch.validation_error == wrong[::2].mean()
    order = np.argsort(-y[::2], axis=1)[:, :5]
    assert epoch.validation_top5 == np.mean([label not in row for label, row in zip(batches.frames.images.labels[::2], order, strict=True)])


# ---- steps


def parameters(net):
    return [(name, field) for name, layer in net.layers.items() for field in layer.trainable]


def test_a_step_is_torchs():
    torch = pytest.importorskip("torch", reason="torch is not installed: its optimiser is not compared with ours")
    net, rng = tiny(), np.random.default_rng(0)
    recipe = replace(RECIPE, momentum=0.9, weight_decay=0.01, filter_limit=np.inf)
    theirs = {key: torch.nn.Parameter(torch.from_numpy(getattr(net.layers[key[0]], key[1]).copy())) for key in parameters(net)}
    groups = [
        {"params": [p for (_, field), p in theirs.items() if field == "weight"], "weight_decay": 0.01},
        {"params": [p for (_, field), p in theirs.items() if field == "bias"]},
    ]
    ours, peer = SGD(net, recipe), torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    for _ in range(3):
        gradients = {key: rng.standard_normal(p.shape).astype(np.float32) for key, p in theirs.items()}
        for key, p in theirs.items():
            p.grad = torch.from_numpy(gradients[key].copy())
        ours.step(gradients, 0.1)
        peer.step()
    for (name, field), p in theirs.items():
        expected = p.detach().numpy()
        # Three steps of two products each, on gradients of a few units: the sums' own sizes bound the roundings.
        parity_test(getattr(net.layers[name], field), expected, rounding_bound(18, np.abs(expected) + 1, np.float32), name)


@pytest.mark.parametrize("every", [1, 3])
def test_no_filter_is_above_the_limit_after_a_step_that_limits(every):
    net, batches = tiny(), batches_of(40, replace(RECIPE, limit_every=every, filter_limit=0.02))
    state, exceeded = State(), []
    for epoch in train(net, batches, NONE, state):
        if epoch is not None:
            continue
        largest = max(np.sqrt((net.layers[c].weight.astype(np.float64) ** 2).mean(axis=(1, 2, 3))).max() for c in ("conv1", "conv2"))
        exceeded.append(bool(largest > 0.02 + rounding_bound(300, 0.02, np.float32)))
    assert not any(exceeded[every - 1 :: every])
    assert every == 1 or any(exceeded)


def test_the_rate_falls_as_the_schedule_says():
    linear, constant = replace(RECIPE, schedule="linear"), replace(RECIPE, schedule="constant")
    assert [rate(linear, step, 4, []) for step in range(4)] == [0.02, 0.015, 0.01, 0.005]
    assert {rate(constant, step, 4, [0.1, 0.2, 0.3, 0.4]) for step in range(4)} == {0.02}
    assert [plateaus(errors, 2) for errors in ([], [3], [3, 3], [3, 3, 3], [3, 4, 5, 3], [3, 4, 2, 3, 1], [3, 4, 5, 6, 7])] == [
        0, 0, 0, 1, 1, 0, 2,
    ]  # fmt: skip


def test_ranks():
    scores = np.array([[1.0, 3, 2, 3], [0, 0, 0, 0], [np.nan, 1, 0, 2], [5, np.nan, 1, 1]])
    assert ranks(scores, np.array([3, 2, 0, 0])).tolist() == [1, 2, 4, 0]


# ---- gradients of whole networks


def test_gradients_are_torchs():
    torch = pytest.importorskip("torch", reason="torch is not installed: gradients of whole networks are not compared")
    net = tiny().astype(np.float64)
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((4, 3, 64, 64)), rng.integers(0, 10, 4)
    ours = step_gradients(net, x, labels)
    peer = importlib.import_module("zfcore.bench.peers.pytorch_network")
    names = below(net, logits_layer(net))
    theirs = {name: {f: a.clone().requires_grad_() for f, a in own.items()} for name, own in peer.weights(net, names, "cpu").items()}
    torch.nn.functional.cross_entropy(peer.climb(net, names, torch.from_numpy(x), theirs), torch.from_numpy(labels)).backward()
    for key, gradient in ours.items():
        expected = theirs[key[0]][key[1]].grad.numpy()
        parity_test(gradient, expected, ROUNDINGS["network"] * np.finfo(np.float64).eps * np.abs(expected).max(), f"{key}")


def test_gradients_are_differences():
    net = tiny().astype(np.float64)
    rng = np.random.default_rng(2)
    x, labels = rng.standard_normal((3, 3, 64, 64)), rng.integers(0, 10, 3)
    gradients = step_gradients(net, x, labels)
    for (name, field), gradient in gradients.items():
        layer = net.layers[name]
        before = getattr(layer, field)

        def loss(w, layer=layer, field=field):
            setattr(layer, field, w)
            return np.array(loss_of(net, x, labels))

        direction = rng.standard_normal(before.shape)
        # So short that no activation passes zero, nor a maximum from one pixel to the next.
        vjp_test(loss, lambda gy, gradient=gradient: gy * gradient, before, np.ones(()), direction / np.abs(direction).sum(), 1e-5)
        setattr(layer, field, before)


def loss_of(net, x, labels):
    logits = logits_layer(net)
    return float(net.kernels.cross_entropy(net.forward(x, keep=[logits], record=False)[logits], labels))


def step_gradients(net, x, labels):
    logits = logits_layer(net)
    trace = net.forward(x, keep=[logits])
    down = net.kernels.cross_entropy_vjp(np.ones((), net.dtype), trace[logits], labels)
    kept = net.gradients(trace, logits, down)
    again = net.gradients(trace, logits, down, consume=True)
    for key, gradient in kept.items():
        parity_test(again[key], gradient, name=f"{key}, consuming the trace")
    assert not any(name in trace.saved for name in ("conv2", "fc3", "pool1"))
    return kept


# ---- what cannot be


def test_a_loss_that_is_not_finite_stops_with_step_layer_and_norms():
    message = r"the loss is (nan|inf) at step \d of epoch \d, rate .*first layer .* is \w+; norms of the weights: conv1 "
    with pytest.raises(ZfcoreError, match=message):
        trained(tiny(), batches_of(40, replace(RECIPE, rate=1e30)))


def test_needs_a_classifier():
    net = tiny()
    net.outputs = ("fc4",)
    with pytest.raises(ZfcoreError, match="no softmax"):
        trained(net, batches_of(40))
    maps = Network([Input("image", shape=(3, 64, 64)), GlobalAvgPool2d("pool", ("image",)), Softmax("softmax", ("pool",))], ["softmax"])
    with pytest.raises(ZfcoreError, match=r"of shape \(3, 1, 1\), is no softmax over classes"):
        logits_layer(maps)


@pytest.mark.parametrize(
    "wrong",
    "batch=0 epochs=0 rate=nan rate=inf seed=-1 dropout=1.0 validation=1.0 pixel_scale=0.0 schedule=cosine crops=no init=xavier".split(),
)
def test_recipes_that_cannot_be(wrong):
    name, value = wrong.split("=")
    kind = type(getattr(RECIPE, name))
    with pytest.raises(ZfcoreError, match=rf"{name}: got .*, needed"):
        replace(RECIPE, **{name: kind(value)})


def test_fewer_images_than_a_batch():
    with pytest.raises(ZfcoreError, match="batch: got 10, needed at most 5, the number of training images"):
        batches_of(5)


def test_a_plateau_needs_validation():
    with pytest.raises(ZfcoreError, match="needs validation images"):
        trained(tiny(), batches_of(40, replace(RECIPE, schedule="plateau")))
