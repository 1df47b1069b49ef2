"""The zoo: the paper's networks by their numbers, their variants of table 3, and the small ones that keep what is compared."""

from __future__ import annotations

import pytest

from zfcore import ZfcoreError
from zfcore.layers import Conv2d, Linear
from zfcore.zoo import ARCHITECTURES, SMALL_SIZES, Architecture, Conv, Full, architecture, build, exists


def of_kind(net, kind):
    return {name: layer for name, layer in net.layers.items() if isinstance(layer, kind)}


def test_without_groups_filters_see_the_other_half_too():
    assert build("alexnet-dense").parameters - build("alexnet").parameters == 256 * 48 * 25 + 384 * 192 * 9 + 256 * 192 * 9


@pytest.mark.parametrize(
    ("name", "convolutions", "full"),
    [
        ("alexnet-dense-without-3-4", [1, 2, 5], [(6, 4096), (7, 4096), (8, 1000)]),
        ("alexnet-dense-without-7", [1, 2, 3, 4, 5], [(6, 4096), (8, 1000)]),
        ("alexnet-dense-without-6-7", [1, 2, 3, 4, 5], [(8, 1000)]),
        ("alexnet-dense-without-3-4-6-7", [1, 2, 5], [(8, 1000)]),
        ("alexnet-dense-fc2048", [1, 2, 3, 4, 5], [(6, 2048), (7, 2048), (8, 1000)]),
        ("zfnet-fc8192", [1, 2, 3, 4, 5], [(6, 8192), (7, 8192), (8, 1000)]),
        ("zfnet-64-without-3-7-fc100", [1, 2, 4, 5], [(6, 100), (8, 10)]),
    ],
)
def test_variants_of_table_3(name, convolutions, full):
    plan = architecture(name)
    small = Architecture(plan.blocks, plan.size, plan.classes, plan.channels, plan.removed)
    kept = [n for n, block in enumerate(small.blocks, start=1) if isinstance(block, Conv) and n not in small.removed]
    assert kept == convolutions
    if "8192" in name or "dense" in name:  # half a gigabyte of weights: the plan is enough
        units = [(n, b.units) for n, b in enumerate(plan.blocks, start=1) if isinstance(b, Full) and n not in plan.removed]
        assert [*units, (8, plan.classes)] == full
        return
    net = build(name)
    assert list(of_kind(net, Conv2d)) == [f"conv{n}" for n in convolutions]
    assert [(name, len(layer.weight)) for name, layer in of_kind(net, Linear).items()] == [(f"fc{n}", units) for n, units in full]


def test_a_network_without_layers_keeps_the_sizes_of_the_others():
    whole, less = build("alexnet-64"), build("alexnet-64-without-3-4-6-7")
    assert less.shapes["conv5"] == whole.shapes["conv5"] and less.layers["fc8"].weight.shape[1] == whole.layers["fc6"].weight.shape[1]


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_small_networks_differ_in_what_the_paper_compares(size):
    zfnet, alexnet = build(f"zfnet-{size}"), build(f"alexnet-{size}")
    for net, large in ((zfnet, ARCHITECTURES["zfnet"]), (alexnet, ARCHITECTURES["alexnet"])):
        for n in (1, 2):
            block, layer = large.blocks[n - 1], net.layers[f"conv{n}"]
            assert (layer.kernel_size, layer.stride) == ((block.kernel,) * 2, (block.stride,) * 2)
    difference = [zfnet.shapes["conv3"][1] - alexnet.shapes["conv3"][1], zfnet.shapes["conv3"][2] - alexnet.shapes["conv3"][2]]
    assert difference in ([0, 0], [1, 1])  # 28 pixels are no multiple of 8
    assert zfnet.shapes["pool5"][1] >= 1


def test_channels_classes_and_dropout():
    net = build("zfnet-28", channels=1, classes=["a", "b"], dropout=0.25)
    assert net.input_shape == (1, 28, 28) and net.layers["conv1"].weight.shape[1] == 1
    assert net.shapes["softmax"] == (2,) and net.layers["drop6"].p == 0.25


@pytest.mark.parametrize("name", ["zfnet-65", "zfnet-fc0", "zfnet-without", "zfnet-without-8", "zfnet-without-3-3", "-fc2048", ""])
def test_there_is_no_such_network(name):
    assert not exists(name)
    with pytest.raises(ZfcoreError, match="needed"):
        architecture(name)
