"""Every rule agrees with a PyTorch reading of the same network: autograd, with the ReLU's and the normalisation's way down replaced."""

from __future__ import annotations

import numpy as np
import pytest
from networks import BUILDERS, Weights

from zfcore import Network, Rule
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
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Identity,
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
from zfcore.rules import RULES, resolve
from zfcore.testing import ROUNDINGS, parity_test

torch = pytest.importorskip("torch", reason="torch is not installed: networks are not compared with its reading of them")
F = torch.nn.functional


def tensor(a):
    return None if a is None else torch.from_numpy(np.ascontiguousarray(a))


def replaced(forward, down):
    """A function that goes forward as `forward` and brings a signal down as `down(signal, input)`."""

    class Replaced(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx, gy):
            return down(gy, *ctx.saved_tensors)

    return Replaced.apply


def rectifier(forward, slope: float, inside, rule: Rule):
    """A rectifier that passes `slope` of what its rule holds back; `inside` says which forward inputs are active."""

    def down(gy, x):
        passed = gy
        if rule.rectifier in ("gradient", "guided"):
            passed = torch.where(inside(x), passed, slope * passed)
        if rule.rectifier in ("deconvnet", "guided"):
            passed = torch.where(gy > 0, passed, slope * passed)
        return passed

    return replaced(forward, down)


def padded(x, padding, value=0.0):
    (top, bottom), (left, right) = padding
    return F.pad(x, (left, right, top, bottom), value=value)


def transposed(layer: ConvTranspose2d, x):
    """The whole transposed convolution, then cut, since PyTorch's padding is even."""
    (top, bottom), (left, right) = layer.padding
    y = F.conv_transpose2d(x, tensor(layer.weight), None, layer.stride, 0, 0, layer.groups, layer.dilation)
    y = F.pad(y, (0, layer.output_padding[1], 0, layer.output_padding[0]))
    return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right] + tensor(layer.bias)[:, None, None]


def max_pooled(layer: MaxPool2d, x):
    bottom = layer.stride[0] * layer.ceil_mode  # room for the partial window; the pool drops what it does not need
    right = layer.stride[1] * layer.ceil_mode
    size = layer.output_shape(tuple(x.shape[1:]))[1:]
    (top, more_bottom), (left, more_right) = layer.padding
    x = F.pad(x, (left, more_right + right, top, more_bottom + bottom), value=-torch.inf)
    return F.max_pool2d(x, layer.kernel_size, layer.stride)[:, :, : size[0], : size[1]]


def reading(layer: Layer, xs, rule: Rule):
    """The layer as PyTorch has it."""
    x = xs[0]
    match layer:
        case Conv2d():
            x = padded(x, layer.padding)
            return F.conv2d(x, tensor(layer.weight), tensor(layer.bias), layer.stride, 0, layer.dilation, layer.groups)
        case ConvTranspose2d():
            return transposed(layer, x)
        case Linear():
            return F.linear(x, tensor(layer.weight), tensor(layer.bias))
        case MaxPool2d():
            return max_pooled(layer, x)
        case AvgPool2d():
            return F.avg_pool2d(x, layer.kernel_size, layer.stride, 0, layer.ceil_mode, layer.count_include_pad)
        case GlobalAvgPool2d():
            return x.mean((2, 3), keepdim=True)
        case ReLU():
            return rectifier(torch.relu, 0.0, lambda x: x > 0, rule)(x)
        case LeakyReLU():
            return rectifier(lambda x: F.leaky_relu(x, layer.negative_slope), layer.negative_slope, lambda x: x > 0, rule)(x)
        case Clip():
            inside = lambda x: (x > layer.minimum) & (x < layer.maximum)  # noqa: E731
            return rectifier(lambda x: x.clamp(layer.minimum, layer.maximum), 0.0, inside, rule)(x)
        case LocalResponseNorm():
            norm = lambda x: F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)  # noqa: E731
            return norm(x) if rule.normalisation == "gradient" else replaced(norm, lambda gy, x: gy)(x)
        case BatchNorm():
            return F.batch_norm(x, *(tensor(a) for a in (layer.mean, layer.var, layer.weight, layer.bias)), eps=layer.eps)
        case Affine():
            return x * tensor(layer.scale) + tensor(layer.shift)
        case Pad():
            return F.pad(x, [side for widths in reversed(layer.widths) for side in widths], value=layer.value)
        case Add():
            return sum(xs[1:], start=x)
        case Concat():
            return torch.cat(xs, 1)
        case Flatten():
            return x.flatten(1)
        case Softmax():
            return torch.softmax(x, layer.axis)
        case LogSoftmax():
            return torch.log_softmax(x, layer.axis)
        case GlobalMaxPool2d():
            return F.max_pool2d(x, x.shape[2:])
        case Reshape():
            return x.reshape(len(x), *layer.shape)
        case Transpose():
            return x.permute(layer.order)
        case Dropout() | Identity():
            return x
    raise AssertionError(f"no reading of {type(layer).__name__}")


def read(net: Network, x, rule: Rule) -> dict:
    """Every layer's output, by PyTorch."""
    values = {net.input: x}
    for name, layer in list(net.layers.items())[1:]:
        values[name] = reading(layer, [values[i] for i in layer.inputs], rule)
    return values


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("builder", BUILDERS)
def test_every_layer_and_its_way_down(builder, rule):
    net = BUILDERS[builder](6).astype(np.float64)
    x = Weights(7, False).image(2, *net.input_shape).astype(np.float64)
    trace = net.forward(x)
    image = torch.from_numpy(x).requires_grad_()
    values = read(net, image, resolve(rule))
    rng = np.random.default_rng(0)
    for layer in list(net.layers)[1:]:
        expected = values[layer].detach().numpy()
        allowed = ROUNDINGS["network"] * np.finfo(np.float64).eps
        parity_test(trace[layer], expected, allowed * np.abs(expected).max(), layer)
        seed = rng.standard_normal(expected.shape)
        (pixels,) = torch.autograd.grad(values[layer], image, torch.from_numpy(seed), retain_graph=True)
        got = net.pullback(trace, layer, seed, rule)
        parity_test(got, pixels.numpy(), allowed * np.abs(pixels.numpy()).max(), f"{rule} from {layer}")
