"""Shape arithmetic, against counting by hand."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from zfkernels.geometry import Axis, GeometryError, output_size, pool_output_size, same_padding, transposed_output_size

AXES = st.builds(
    Axis,
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    before=st.integers(0, 4),
    after=st.integers(0, 4),
    dilation=st.integers(1, 3),
)


def starts(axis: Axis) -> list[int]:
    """Where whole windows start, on the padded axis, counted one by one."""
    padded = axis.size + axis.before + axis.after
    return [s for s in range(0, padded, axis.stride) if s + axis.extent <= padded]


@given(AXES)
def test_outputs_counts_whole_windows(axis):
    assert axis.outputs() == len(starts(axis))


@given(AXES)
@example(Axis(size=2, kernel=2, stride=2, after=1))  # the partial window would start on the first pixel of the padding
def test_ceil_mode_keeps_one_partial_window_that_starts_on_the_image(axis):
    if not starts(axis):
        assert axis.outputs(ceil_mode=True) == 0
        return
    following = starts(axis)[-1] + axis.stride
    sees_more = starts(axis)[-1] + axis.extent < axis.size + axis.before + axis.after
    partial = sees_more and following < axis.size + axis.before
    assert axis.outputs(ceil_mode=True) == len(starts(axis)) + partial


@given(AXES, st.integers(0, 5), st.integers(1, 4))
def test_inputs_is_the_union_of_windows(axis, first, count):
    taps = [o * axis.stride - axis.before + k * axis.dilation for o in range(first, first + count) for k in range(axis.kernel)]
    assert axis.inputs(first, first + count) == (min(taps), max(taps) + 1)


@given(AXES, st.integers(-3, 12), st.integers(1, 4))
def test_reached_spans_the_windows_with_a_tap_on_the_pixels(axis, first, count):
    def meets(o: int) -> bool:
        return any(first <= o * axis.stride - axis.before + k * axis.dilation < first + count for k in range(axis.kernel))

    low, high = axis.reached(first, first + count)
    met = [o for o in range(-40, 60) if meets(o)]
    assert (low, high) == (met[0], met[-1] + 1) if met else low == high


@given(AXES)
def test_covers_a_pixel_looks_at_every_tap(axis):
    outputs = axis.outputs()
    windows = [[s - axis.before + k * axis.dilation for k in range(axis.kernel)] for s in starts(axis)]
    assert axis.covers_a_pixel(outputs) == all(any(0 <= i < axis.size for i in window) for window in windows)


@given(AXES, st.booleans())
def test_same_padding_gives_size_over_stride(axis, upper):
    before, after = same_padding(axis, upper)
    assert axis._replace(before=before, after=after).outputs() == -(-axis.size // axis.stride)
    assert abs(before - after) <= 1 and (before <= after if upper else before >= after)


@given(AXES, AXES)
def test_transposed_size_is_that_of_the_convolution_it_undoes(v, h):
    kernel, stride, dilation = (v.kernel, h.kernel), (v.stride, h.stride), (v.dilation, h.dilation)
    padding = ((v.before, v.after), (h.before, h.after))
    try:
        size = output_size((v.size, h.size), kernel, stride, padding, dilation)
    except GeometryError:
        return
    rest = tuple((axis.size + axis.before + axis.after - axis.extent) % axis.stride for axis in (v, h))
    assert transposed_output_size(size, kernel, stride, padding, rest, dilation) == (v.size, h.size)


def test_no_output_sees_nothing():
    assert Axis(5, 3, 2).inputs(2, 2) == (4, 4)


def test_errors_name_sizes_and_remedy():
    with pytest.raises(GeometryError, match=r"spans 7 pixels of height, the padded input has 4 .*needed"):
        output_size((2, 9), (7, 7), padding=((1, 1), (1, 1)))
    with pytest.raises(GeometryError, match="wholly in the padding"):
        pool_output_size((1, 1), (2, 2), (1, 1), ((2, 2), (2, 2)), (1, 1), False)
    with pytest.raises(GeometryError, match="less padding"):
        transposed_output_size((1, 1), (2, 2), (1, 1), ((1, 1), (1, 1)), (0, 0), (1, 1))
