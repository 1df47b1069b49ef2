"""What a layer cannot work with is refused when its network is made, before a kernel would read memory that is not its own."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest
from zfkernels.cpu.conv2d import residues

from zfcore import Network, ZfcoreError
from zfcore.layers import (
    Add,
    Affine,
    AvgPool2d,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Identity,
    Input,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    Pad,
    ReLU,
    Reshape,
    Softmax,
    Transpose,
)

SHAPE = (4, 8, 9)
X = ("image",)
TWO_PAIRS = ((1, 1), (1, 1))


def ones(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


def network(layer: Layer) -> Network:
    """The layer on the image; and a flat layer, for those that need one."""
    between = Reshape("flat", X, (288,))
    return Network([Input("image", shape=SHAPE), between, layer], [layer.name])


def conv(**fields) -> Conv2d:
    return Conv2d(**{"name": "layer", "inputs": X, "weight": ones(6, 4, 3, 3)} | fields)


def transposed(**fields) -> ConvTranspose2d:
    return ConvTranspose2d(**{"name": "layer", "inputs": X, "weight": ones(4, 6, 3, 3)} | fields)


def batch_norm(**fields) -> BatchNorm:
    arrays = {name: ones(4) for name in ("mean", "var", "weight", "bias")}
    return BatchNorm(**{"name": "layer", "inputs": X} | arrays | fields)


WRONG = {
    "bias too short": (conv(bias=ones(1)), "bias: got float32 of shape (1,), needed an array of float32 or float64 of shape (6,)"),
    "bias of two axes": (conv(bias=ones(6, 1)), "bias: got float32 of shape (6, 1), needed"),
    "bias of integers": (conv(bias=ones(6, dtype=np.int32)), "bias: got int32"),
    "weight of two axes": (conv(weight=ones(6, 4)), "weight: got float32 of shape (6, 4), needed an array"),
    "weight of no filters": (conv(weight=ones(0, 4, 3, 3)), "weight: got float32 of shape (0, 4, 3, 3)"),
    "half floats": (conv(weight=ones(6, 4, 3, 3, dtype=np.float16)), "weight: got float16"),
    "bytes the other way round": (conv(weight=ones(6, 4, 3, 3, dtype=np.dtype(np.float32).newbyteorder())), "weight: got "),
    "no weight": (conv(weight=None), "weight: got None"),
    "groups that do not divide": (conv(weight=ones(6, 1, 3, 3), groups=4), "groups: got 4, needed a divisor"),
    "no groups": (conv(groups=0), "groups: got 0, needed an integer from 1 to 65,536"),
    "half a group": (conv(groups=1.5), "groups: got 1.5"),
    "stride 0": (conv(stride=(0, 1)), "stride: got (0, 1), needed (n, n) with every n an integer from 1 to 65,536"),
    "one stride": (conv(stride=2), "stride: got 2, needed (n, n)"),
    "three strides": (conv(stride=(1, 1, 1)), "stride: got (1, 1, 1), needed (n, n)"),
    "a stride that is true": (conv(stride=(True, 1)), "stride: got (True, 1)"),
    "dilation 0": (conv(dilation=(1, 0)), "dilation: got (1, 0)"),
    "negative padding": (conv(padding=((-1, 0), (0, 0))), "padding: got ((-1, 0), (0, 0)), needed ((n, n), (n, n))"),
    "padding without sides": (conv(padding=(1, 1)), "padding: got (1, 1)"),
    "padding without end": (conv(padding=((2**40, 0), (0, 0))), "padding: got ((1099511627776, 0)"),
    "two inputs": (conv(inputs=(*X, *X)), "inputs: got ('image', 'image'), needed a tuple of one name"),
    "bias of a transposed convolution": (transposed(bias=ones(4)), "bias: got float32 of shape (4,)"),
    "groups of a transposed convolution": (transposed(groups=3), "groups: got 3"),
    "output_padding of a stride": (transposed(output_padding=(0, 1)), "output_padding: got (0, 1), needed less than stride (1, 1)"),
    "bias of a matrix": (Linear("layer", ("flat",), ones(5, 288), ones(4)), "bias: got float32 of shape (4,)"),
    "a matrix of four axes": (Linear("layer", ("flat",), ones(5, 288, 1, 1)), "weight: got float32 of shape (5, 288, 1, 1)"),
    "relu of two": (ReLU("layer", (*X, *X)), "inputs: got ('image', 'image')"),
    "relu of none": (ReLU("layer", ()), "inputs: got (), needed a tuple of one name"),
    "sum of none": (Add("layer", ()), "inputs: got (), needed a tuple of one name or more"),
    "channels of none": (Concat("layer", ()), "inputs: got ()"),
    "slope that is no number": (LeakyReLU("layer", X, nan), "negative_slope: got nan, needed a finite number"),
    "clip at what is no number": (Clip("layer", X, 0.0, nan), "maximum: got nan, needed a number"),
    "neighbours: none": (LocalResponseNorm("layer", X, 0), "size: got 0"),
    "infinite alpha": (LocalResponseNorm("layer", X, 5, inf), "alpha: got inf, needed a finite number"),
    "mean shorter than the maps": (batch_norm(mean=ones(3)), "mean: got float32 of shape (3,), needed"),
    "variance of two axes": (batch_norm(var=ones(4, 1)), "var: got float32 of shape (4, 1)"),
    "negative eps": (batch_norm(eps=-1.0), "eps: got -1.0"),
    "another number of maps": (batch_norm(**{name: ones(3) for name in ("mean", "var", "weight", "bias")}), "needs 3 channels"),
    "scale of integers": (Affine("layer", X, ones(4, 1, 1, dtype=np.int8)), "scale: got int8 of shape (4, 1, 1)"),
    "shift that is no array": (Affine("layer", X, None, 1.0), "shift: got 1.0"),
    "softmax beyond the axes": (Softmax("layer", X, 4), "axis: got 4, needed at most 3"),
    "softmax across the batch": (Softmax("layer", X, 0), "axis: got 0"),
    "its logarithm beyond the axes": (LogSoftmax("layer", ("flat",), 2), "axis: got 2, needed at most 1"),
    "more than everything dropped": (Dropout("layer", X, 1.5), "p: got 1.5, needed a number from 0 to 1"),
    "a window of nothing": (MaxPool2d("layer", X, (0, 2)), "kernel_size: got (0, 2)"),
    "a window as wide as memory": (MaxPool2d("layer", X, (2**40, 1), (1, 1), ((2**40 - 1, 0), (0, 0))), "kernel_size: got (10995"),
    "a pooling that stands still": (MaxPool2d("layer", X, (2, 2), (0, 0)), "stride: got (0, 0)"),
    "negative padding of a pooling": (AvgPool2d("layer", X, padding=((0, 0), (0, -1))), "padding: got ((0, 0), (0, -1))"),
    "a flag that is a number": (AvgPool2d("layer", X, count_include_pad=1), "count_include_pad: got 1, needed True or False"),
    "negative border": (Pad("layer", X, ((0, 0), (-1, 0), (0, 0))), "widths: got ((0, 0), (-1, 0), (0, 0)), needed ((n, n), ... up to 8)"),
    "a border as wide as memory": (Pad("layer", X, ((0, 0), (0, 0), (0, 10**7))), "widths: got"),
    "negative sizes": (Reshape("layer", X, (-3, -96)), "shape: got (-3, -96), needed (n, ... up to 8)"),
    "more axes than arrays have": (Reshape("layer", X, (288, *[1] * 70)), "shape: got (288, 1, 1"),
    "order of one axis": (Transpose("layer", X, (0, "x", 1, 2)), "order: got (0, 'x', 1, 2)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_a_layer_cannot_work_with_is_refused(case):
    layer, message = WRONG[case]
    with pytest.raises(ZfcoreError) as caught:
        network(layer)
    assert f"layer 'layer' ({type(layer).__name__})" in str(caught.value) and message in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 8, 0), (3, 8), (3, 2**40, 8), [3, 8, 8]])
def test_an_input_that_is_no_image(shape):
    with pytest.raises(ZfcoreError, match=r"shape|image"):
        Network([Input("image", shape=shape), Identity("layer", X)], ["layer"])


RIGHT = {
    "every field": conv(weight=ones(6, 2, 3, 3), bias=ones(6), stride=(2, 1), padding=((0, 2), (1, 0)), dilation=(1, 2), groups=2),
    "integers of NumPy": conv(stride=(np.int64(2), 1), groups=np.int32(1)),
    "double": conv(weight=ones(6, 4, 3, 3, dtype=np.float64)),
    "output_padding below the dilation": transposed(bias=ones(6), output_padding=(1, 1), dilation=(2, 2)),
    "open at both ends": Clip("layer", X, -inf, inf),
    "a border for a maximum": Pad("layer", X, ((0, 0), (1, 0), (0, 1)), -inf),
    "a flag of NumPy": MaxPool2d("layer", X, ceil_mode=np.bool_(True)),
    "last axis": Softmax("layer", X, 3),
    "all dropped": Dropout("layer", X, 1),
    "a constant for all": Affine("layer", X, np.array(2, np.float32), ones(4, 1, 1)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_a_layer_can_work_with_runs(case):
    net = network(RIGHT[case])
    trace = net.forward(np.zeros((1, *SHAPE), net.dtype))
    assert trace["layer"].shape[1:] == net.shapes["layer"]
    assert net.pullback(trace, "layer", trace["layer"], "gradient").shape == (1, *SHAPE)


@pytest.mark.parametrize("fields", [{}, {"padding": TWO_PAIRS}, {"padding": ((2, 0), (0, 0)), "stride": (2, 2)}], ids=str)
def test_memory_is_counted_with_what_is_padded(fields):
    (top, bottom), (left, right) = fields.get("padding", ((0, 0), (0, 0)))
    padded = 4 * (8 + top + bottom) * (9 + left + right)
    down, up = conv(**fields), transposed(**fields)
    assert down.held(SHAPE) == padded + int(np.prod(down.output_shape(SHAPE)))
    output = up.output_shape(SHAPE)
    laid = residues((8, 9), up.weight.shape, output[1:], up.stride, up.padding, up.dilation).size  # the input, with a border
    exact = 4 * int(np.prod(laid)) + int(np.prod(output))
    assert exact <= up.held(SHAPE) <= exact + 4 * sum(laid) + 4, "a line more on both axes at most"
