"""Training: a step is PyTorch's, filters stay within their limit, a little set is learnt by heart, the same seed gives the same bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zfcore import Network, ZfcoreError
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.scenes import make_scenes
from zfcore.layers import GlobalAvgPool2d, Input, Softmax
from zfcore.testing import parity_test, rounding_bound
from zfcore.training import Recipe, error_rate, train
from zfcore.training.optimiser import SGD, limit_filters
from zfcore.zoo import Architecture, Conv, Full, build

TINY = Architecture((Conv(8, 7, 2, 3, pool=3, norm=True), Conv(12, 5, 2, pool=3), Full(24, 0.1)), size=64, classes=10)
RECIPE = Recipe(epochs=2, batch=10, rate=0.02)


def tiny(seed: int = 0):
    net = build(TINY, seed, "he")
    net.preprocessing = Preprocessing(size=(64, 64), mean=np.full(3, 128.0), scale=np.full(3, 1 / 64))
    return net


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(40, 0)


def test_learns_a_little_set_by_heart(scenes):
    net = tiny()
    history = train(net, scenes.images, scenes.labels, replace(RECIPE, epochs=60, flip=False))
    assert error_rate(net, scenes.images, scenes.labels) == 0
    assert history[-1].loss < min(epoch.loss for epoch in history[:10])


def test_same_seed_same_bits_at_any_number_of_threads(scenes):
    numba = pytest.importorskip("numba")
    weights = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS, 1):
        numba.set_num_threads(threads)
        net = tiny()
        train(net, scenes.images, scenes.labels, RECIPE)
        weights.append(b"".join(a.tobytes() for layer in net.layers.values() for a in layer.arrays.values()))
    assert weights[0] == weights[1] == weights[2]
    other = tiny()
    train(other, scenes.images, scenes.labels, replace(RECIPE, seed=1))
    assert b"".join(a.tobytes() for layer in other.layers.values() for a in layer.arrays.values()) != weights[0]


def test_a_step_is_torchs():
    torch = pytest.importorskip("torch", reason="torch is not installed: its optimiser is not compared with ours")
    net, rng = tiny(), np.random.default_rng(0)
    recipe = replace(RECIPE, momentum=0.9, weight_decay=0.01, filter_limit=np.inf)
    names = [(name, field) for name, layer in net.layers.items() for field in layer.trainable]
    theirs = {key: torch.nn.Parameter(torch.from_numpy(getattr(net.layers[key[0]], key[1]).copy())) for key in names}
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


def test_filters_are_scaled_back_to_the_limit():
    weight = np.stack([np.full((2, 3, 3), 0.5), np.full((2, 3, 3), 0.05), np.zeros((2, 3, 3))]).astype(np.float32)
    before = weight.copy()
    limit_filters(weight, 0.1)
    rms = np.sqrt((weight.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))
    parity_test(rms, [0.1, 0.05, 0.0], rounding_bound(20, np.full(3, 0.1), np.float32))
    parity_test(weight[1:], before[1:])


def test_a_loss_that_is_not_finite_stops(scenes):
    with pytest.raises(ZfcoreError, match=r"the loss is (nan|inf) at step"):
        train(tiny(), scenes.images, scenes.labels, replace(RECIPE, rate=1e30))


def test_needs_a_classifier_that_knows_its_input(scenes):
    net = tiny()
    net.preprocessing = None
    with pytest.raises(ZfcoreError, match="preprocessing"):
        train(net, scenes.images, scenes.labels, RECIPE)
    net = tiny()
    net.outputs = ("fc4",)
    with pytest.raises(ZfcoreError, match="no softmax"):
        train(net, scenes.images, scenes.labels, RECIPE)
    maps = Network([Input("image", shape=(3, 64, 64)), GlobalAvgPool2d("pool", ("image",)), Softmax("softmax", ("pool",))], ["softmax"])
    with pytest.raises(ZfcoreError, match=r"of shape \(3, 1, 1\), is no softmax over classes"):
        error_rate(maps, scenes.images, scenes.labels)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"epochs": 0}, {"rate": float("nan")}, {"seed": -1}])
def test_recipes_that_cannot_be(wrong):
    with pytest.raises(ZfcoreError, match="needed at least"):
        replace(RECIPE, **wrong)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.zeros(40, int) + 10, "needed 0..9"), (np.zeros(40), "needed integers"), (np.zeros(3, int), "one for each of 40 images")],
)
def test_wrong_labels(scenes, labels, message):
    with pytest.raises(ZfcoreError, match=message):
        train(tiny(), scenes.images, labels, RECIPE)


def test_fewer_images_than_a_batch(scenes):
    with pytest.raises(ZfcoreError, match="got 5, needed at least 10"):
        train(tiny(), scenes.images[:5], scenes.labels[:5], RECIPE)
    with pytest.raises(ZfcoreError, match="got 0"):
        error_rate(tiny(), scenes.images[:0], scenes.labels[:0])
