"""The samplers of the catalog draw what a corner's name says: always, not mostly."""

from __future__ import annotations

import numpy as np
import pytest
from batteries import layouts
from draws import SeededDraw
from test_catalog import OPS
from zfkernels import reference
from zfkernels.catalog import CORNERS, call
from zfkernels.geometry import Axis, axes


def room(axis: Axis) -> int:
    """Pixels by which the window can move."""
    return axis.size + axis.before + axis.after - axis.extent


#: What each corner promises of each axis.
PROMISES = {
    "": lambda a: True,
    "1x1": lambda a: a.kernel == 1,
    "whole": lambda a: a.kernel == a.size and a.outputs() == 1,
    "sparse": lambda a: a.stride > a.extent,
    "padded": lambda a: a.before > 0,
    "uneven": lambda a: a.before != a.after,
    "remainder": lambda a: room(a) % a.stride > 0,
    "ceil": lambda a: a.outputs(ceil_mode=True) > a.outputs(ceil_mode=False),
    "empty": lambda a: True,
}


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("op", ["conv2d", "im2col", "max_pool2d", "avg_pool2d"])
def test_corner_holds_what_its_name_says(op, corner):
    for seed in range(200):
        case = OPS[op].sample(SeededDraw(seed, "integers", np.float32, corner))
        both = axes(case["input_size"], case["kernel_size"], case["stride"], case["padding"], case.get("dilation", (1, 1)))
        assert all(PROMISES[corner](axis) for axis in both), f"seed {seed}: {both}"
        assert all(axis.size > 0 and axis.outputs() > 0 for axis in both), f"seed {seed}: {both}"
        assert case["x"].shape[2:] == case["input_size"]
        assert (len(case["x"]) == 0) == (corner == "empty")
        if op.endswith("pool2d"):
            assert case["ceil_mode"] or corner != "ceil"
            assert all(axis.covers_a_pixel(axis.outputs(case["ceil_mode"])) for axis in both), f"seed {seed}: {both}"


@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d"])
def test_ceil_corner_has_a_partial_window(op):
    for seed in range(50):
        case = OPS[op].sample(SeededDraw(seed, "integers", np.float32, "ceil"))
        whole, partial = (np.shape(call(reference, op, case | {"ceil_mode": mode})[0])[-2:] for mode in (False, True))
        assert whole[0] < partial[0] and whole[1] < partial[1], f"seed {seed}: {whole}, {partial}"


@pytest.mark.parametrize("op", sorted(OPS.keys() - {"cross_entropy"}))  # of an empty batch its loss is NaN: test_cross_entropy
def test_empty_batch_is_drawn(op):
    case = OPS[op].sample(SeededDraw(0, "integers", np.float32, "empty"))
    assert len(case["w" if op in ("sgd", "limit_filters") else "x"]) == 0


@pytest.mark.parametrize("shape", [(), (1,), (1, 3, 4, 5), (0, 3, 4, 5), (2, 1, 3, 2)])
def test_layouts_hold_the_same_numbers_and_turn_every_axis(shape):
    a = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    others = layouts(a)
    for kind, other in others.items():
        assert other.shape == a.shape, kind
        np.testing.assert_array_equal(other, a, err_msg=kind)
    if a.size > 1:
        steps = np.array(a.strides)
        assert (np.array(others["reversed"].strides) == -steps).all()
        assert others["sliced"].strides == tuple(a.itemsize * 2 * s for s in np.cumprod([1, *[2 * n for n in shape[:0:-1]]])[::-1])
        assert not others["read-only"].flags.writeable
