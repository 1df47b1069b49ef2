"""Stages: the paper's layers 1 to 7 of any graph."""

from __future__ import annotations

import numpy as np
import pytest

from zfcore import stages
from zfcore.layers import Add, Concat, Conv2d, Flatten, Input, Linear, MaxPool2d, ReLU, Softmax
from zfcore.network import Network
from zfcore.zoo import build


def conv(name, below, maps=2, channels=2):
    return Conv2d(name, (below,), np.zeros((maps, channels, 3, 3), np.float32), None, (1, 1), ((1, 1), (1, 1)))


def linear(name, below, units, inputs):
    return Linear(name, (below,), np.zeros((units, inputs), np.float32), np.zeros(units, np.float32))


def network(*layers, outputs=None):
    return Network([Input("image", shape=(2, 4, 4)), *layers], outputs or [layers[-1].name])


HEAD = (Flatten("flat", ("top",)), linear("fc", "flat", 5, 32), Softmax("softmax", ("fc",)))


@pytest.mark.parametrize("arch", ["zfnet-64", "alexnet-28"])
def test_of_the_zoo_they_are_the_rectifiers(arch):
    net = build(arch)
    assert stages.stages(net) == tuple(f"relu{n}" for n in range(1, 8))
    assert stages.deepest_map(net) == "relu5" and stages.logits(net) == "fc8" and stages.answers(net) == "softmax"


def test_of_a_network_without_layers_those_that_are_left():
    assert stages.stages(build("zfnet-28-without-3-4-7")) == ("relu1", "relu2", "relu5", "relu6")


def test_a_residual_block_is_one_stage():
    """Inside it a branch goes past; behind the sum comes a rectifier without filters between: that one."""
    net = network(
        conv("a", "image"), ReLU("first", ("a",)), conv("b", "first"), ReLU("inside", ("b",)), conv("c", "inside"),
        Add("sum", ("c", "first")), ReLU("top", ("sum",)), *HEAD,
    )  # fmt: skip
    assert stages.stages(net) == ("first", "top")


def test_branches_that_are_joined_are_one_stage():
    net = network(
        conv("a", "image"), ReLU("first", ("a",)), conv("left", "first", 1), ReLU("l", ("left",)), conv("right", "first", 1),
        ReLU("r", ("right",)), Concat("top", ("l", "r")), *HEAD,
    )  # fmt: skip
    assert stages.stages(net) == ("first", "top")


def test_what_is_made_of_the_last_filters_is_no_stage():
    net = network(conv("a", "image"), ReLU("first", ("a",)), conv("b", "first"), ReLU("top", ("b",)))
    assert stages.stages(net) == ("first",)


def test_a_rectifier_used_again_farther_up_is_still_a_stage():
    net = network(conv("a", "image"), ReLU("first", ("a",)), MaxPool2d("top", ("first",), (1, 1), (1, 1)), *HEAD)
    assert stages.stages(net) == ("first",)
    assert stages.deepest_map(net) == "first"


def test_a_network_without_stages_has_a_deepest_map():
    net = network(conv("a", "image"), MaxPool2d("top", ("a",), (1, 1), (1, 1)), *HEAD)
    assert stages.stages(net) == () and stages.deepest_map(net) == "top"


def test_logits_without_a_softmax_are_the_output():
    net = network(ReLU("top", ("image",)), *HEAD[:2])
    assert stages.logits(net) == stages.answers(net) == "fc"


def test_maps_are_no_answers():
    net = network(conv("a", "image"))
    assert stages.logits(net) is None and stages.answers(net) is None
    alone = network(ReLU("top", ("image",)), Flatten("flat", ("top",)), linear("fc", "flat", 1, 32))
    assert stages.answers(alone) is None  # one number is no class among several


def test_an_image_of_one_pixel_has_a_deepest_map():
    net = Network([Input("image", shape=(3, 1, 1)), Flatten("flat", ("image",)), linear("fc", "flat", 2, 3)], ["fc"])
    assert stages.deepest_map(net) == "image"
