"""Operators of ONNX whose window slides over the image: convolutions and poolings, and their attributes' geometry."""

from __future__ import annotations

import numpy as np
from zfkernels.geometry import Padding, Pair, axes, same_padding, transposed_output_size

from zfcore.formats.onnx_node import NO_NAME, Call, inputs_from
from zfcore.formats.onnx_read import Unsupported
from zfcore.layers import AvgPool2d, Conv2d, ConvTranspose2d, Layer, MaxPool2d
from zfcore.layers.filters import NO_PADDING


def _pair(call: Call, name: str, default: Pair | None = None, least: int = 1) -> Pair:
    vertical, horizontal = call.sizes(name, 2, default, least)
    return vertical, horizontal


def _auto_pad(call: Call) -> str:
    mode = call.text("auto_pad", "NOTSET") or "NOTSET"
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise Unsupported(f"its attribute auto_pad is {mode!r}, needed NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    return mode


def _given_padding(call: Call) -> Padding:
    top, left, bottom, right = call.sizes("pads", 4, (0, 0, 0, 0), least=0)
    return (top, bottom), (left, right)


def _padding(call: Call, kernel_size: Pair, stride: Pair, dilation: Pair) -> Padding:
    mode = _auto_pad(call)
    if mode == "NOTSET":
        return _given_padding(call)
    if mode == "VALID":
        return NO_PADDING
    _, H, W = call.map_shape()
    vertical, horizontal = axes((H, W), kernel_size, stride, NO_PADDING, dilation)
    upper = mode == "SAME_UPPER"
    return same_padding(vertical, upper), same_padding(horizontal, upper)


def _ceil_mode(call: Call) -> bool:
    # VALID and SAME fix the output size by a formula of their own, in which rounding up changes nothing
    return call.flag("ceil_mode") and _auto_pad(call) == "NOTSET"


def _filters(call: Call) -> np.ndarray:
    weight = call.weight(1, dims=4)
    if call.sizes("kernel_shape", 2, weight.shape[2:]) != weight.shape[2:] or not weight.size:
        raise Unsupported(f"its weights have the shape {weight.shape}, which does not go with its kernel_shape")
    return weight


def _groups(call: Call, filters: int) -> int:
    groups = call.integer("group", 1)
    if groups < 1 or filters % groups:
        raise Unsupported(f"its {filters} filters cannot be shared among {groups} groups")
    return groups


def conv(call: Call) -> Layer:
    """Conv."""
    stride, dilation = _pair(call, "strides", (1, 1)), _pair(call, "dilations", (1, 1))
    weight = _filters(call)
    x = call.activation()
    padding = _padding(call, weight.shape[2:], stride, dilation)
    groups = _groups(call, len(weight))
    return Conv2d(NO_NAME, inputs_from(x), weight, call.vector(2, len(weight)), stride, padding, dilation, groups)


def conv_transpose(call: Call) -> Layer:
    """ConvTranspose."""
    stride, dilation = _pair(call, "strides", (1, 1)), _pair(call, "dilations", (1, 1))
    output_padding = _pair(call, "output_padding", (0, 0), least=0)
    weight = _filters(call)
    x, (_, H, W) = call.activation(), call.map_shape()
    groups = _groups(call, len(weight))
    bias = call.vector(2, weight.shape[1] * groups)
    padding = _transposed_padding(call, (H, W), weight.shape[2:], stride, output_padding, dilation)
    return ConvTranspose2d(NO_NAME, inputs_from(x), weight, bias, stride, padding, output_padding, dilation, groups)


def _transposed_padding(call: Call, size: Pair, kernel_size: Pair, stride: Pair, output_padding: Pair, dilation: Pair) -> Padding:
    mode = _auto_pad(call)
    if "output_shape" in call.node.attributes:
        wanted = _pair(call, "output_shape")
    elif mode.startswith("SAME"):
        wanted = size[0] * stride[0], size[1] * stride[1]
    else:
        return NO_PADDING if mode == "VALID" else _given_padding(call)
    full = transposed_output_size(size, kernel_size, stride, NO_PADDING, output_padding, dilation)
    surplus = full[0] - wanted[0], full[1] - wanted[1]
    if min(surplus) < 0:
        raise Unsupported(f"its output would be {wanted[0]} x {wanted[1]}, its windows reach {full[0]} x {full[1]}")
    less, more = [(s // 2, s - s // 2) for s in surplus], [(s - s // 2, s // 2) for s in surplus]
    vertical, horizontal = less if mode == "SAME_UPPER" else more  # NOTSET too: so the operator is defined
    return vertical, horizontal


def max_pool(call: Call) -> Layer:
    """MaxPool."""
    if call.integer("storage_order", 0):
        raise Unsupported("its storage_order is column-major")
    kernel_size, stride = _pair(call, "kernel_shape"), _pair(call, "strides", (1, 1))
    dilation, ceil_mode = _pair(call, "dilations", (1, 1)), _ceil_mode(call)
    padding = _padding(call, kernel_size, stride, dilation)
    return MaxPool2d(NO_NAME, inputs_from(call.activation()), kernel_size, stride, padding, dilation, ceil_mode)


def average_pool(call: Call) -> Layer:
    """AveragePool."""
    if _pair(call, "dilations", (1, 1)) != (1, 1):
        raise Unsupported("it averages over dilated windows")
    kernel_size, stride, ceil_mode = _pair(call, "kernel_shape"), _pair(call, "strides", (1, 1)), _ceil_mode(call)
    count_include_pad = call.flag("count_include_pad")
    padding = _padding(call, kernel_size, stride, (1, 1))
    return AvgPool2d(NO_NAME, inputs_from(call.activation()), kernel_size, stride, padding, ceil_mode, count_include_pad)
