"""Networks of the zoo in eager PyTorch: their forward pass, a training step, and the full-image deconvnet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from zfcore.bench.problems import Forward, Hiding, Projections, Step, below
from zfcore.layers import (
    AvgPool2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Softmax,
)
from zfcore.network import Network

Weights = dict[str, torch.Tensor]
BATCH = 32
"""Hidden images at a time."""


def weights(net: Network, layers: Sequence[str], device: str) -> dict[str, Weights]:
    """Weight and bias of every layer, by their names in it, sharing our memory where that is the device's."""
    return {name: {field: torch.from_numpy(a).to(device) for field, a in net.layers[name].arrays.items()} for name in layers}


def up(layer: Layer, x: torch.Tensor, w: Weights, train: bool) -> torch.Tensor:
    """The output of a layer of one input; ValueError if it is not written here."""
    match layer:
        case Conv2d():
            return F.conv2d(x, w["weight"], w.get("bias"), layer.stride, evenly(layer), layer.dilation, layer.groups)
        case ReLU():
            return F.relu(x)
        case MaxPool2d():
            return F.max_pool2d(x, layer.kernel_size, layer.stride, evenly(layer), layer.dilation, layer.ceil_mode)
        case AvgPool2d():
            return F.avg_pool2d(x, layer.kernel_size, layer.stride, evenly(layer), layer.ceil_mode, layer.count_include_pad)
        case LocalResponseNorm():
            return F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)
        case Flatten():
            return x.flatten(1)
        case Linear():
            return F.linear(x, w["weight"], w.get("bias"))
        case Dropout():
            return F.dropout(x, layer.p, train)
        case Softmax():
            return torch.softmax(x, layer.axis)
    raise ValueError(f"{layer.name} is a {type(layer).__name__}")


def evenly(layer: Any) -> list[int]:
    """Padding as PyTorch takes it."""
    (top, bottom), (left, right) = layer.padding
    if top != bottom or left != right:
        raise ValueError(f"{layer.name} pads unevenly")
    return [top, left]


def climb(net: Network, names: Sequence[str], x: torch.Tensor, w: dict[str, Weights], train: bool = False) -> torch.Tensor:
    """Through the layers of a chain."""
    for name in names:
        x = up(net.layers[name], x, w[name], train)
    return x


def climb_graph(net: Network, x: torch.Tensor, w: dict[str, Weights], keep: Sequence[str]) -> list[torch.Tensor]:
    """Through a graph whose branches are concatenated; what nothing needs any more is freed."""
    last = {i: name for name, layer in net.layers.items() for i in layer.inputs}
    values = {net.input: x}
    for name, layer in net.layers.items():
        if layer.inputs:
            xs = [values[i] for i in layer.inputs]
            values[name] = torch.cat(xs, 1) if isinstance(layer, Concat) else up(layer, xs[0], w[name], False)
            for i in layer.inputs:
                if last[i] == name and i not in keep:
                    values.pop(i, None)
    return [values[name] for name in keep]


def hiding(problem: Hiding, device: str) -> Callable[[], Any]:
    """Every hidden image through the whole network, 32 at a time."""
    net, squares = problem.net, problem.squares
    w = weights(net, list(net.layers), device)
    image = torch.from_numpy(problem.x).to(device)

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        sums, logits = [], []
        with torch.inference_mode():
            places = [(int(top), int(left)) for top in squares.tops for left in squares.lefts]
            for start in range(0, len(places), BATCH):
                hidden = image.repeat(len(places[start : start + BATCH]), 1, 1, 1)
                for row, (top, left) in zip(hidden, places[start : start + BATCH], strict=True):
                    row[:, top : top + squares.side, left : left + squares.side] = 0
                maps, scores = climb_graph(net, hidden, w, problem.layers)
                sums.append(maps[:, problem.number].sum(dim=(1, 2)))
                logits.append(scores.flatten(1))
        return torch.cat(sums).reshape(squares.shape).cpu(), torch.cat(logits).reshape(*squares.shape, -1).cpu()

    with torch.inference_mode():
        climb_graph(net, image[None], w, problem.layers)  # an unknown layer shows here
    return run


def forward(problem: Forward, device: str) -> Callable[[], Any]:
    """The network's answer."""
    net, x = problem.net, torch.from_numpy(problem.x).to(device)
    if len(net.outputs) > 1:
        raise ValueError("several outputs")
    names = below(net, net.outputs[0])
    w = weights(net, names, device)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return climb(net, names, x, w)

    run()  # an unknown layer shows here
    return run


def step(problem: Step, device: str) -> Callable[[], Any]:
    """Forward with dropout, cross-entropy, backward, and torch.optim's SGD, on a copy of the weights."""
    net, x, labels = problem.net, torch.from_numpy(problem.x).to(device), torch.from_numpy(problem.labels).to(device)
    names = below(net, problem.logits)
    w = {name: {f: a.clone().requires_grad_() for f, a in arrays.items()} for name, arrays in weights(net, names, device).items()}
    recipe = problem.recipe
    groups = [
        {"params": [arrays[f] for arrays in w.values() if f in arrays], "weight_decay": decay}
        for f, decay in (("weight", recipe.weight_decay), ("bias", 0.0))
    ]
    optimiser = torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)

    def run() -> float:
        optimiser.zero_grad()
        loss = F.cross_entropy(climb(net, names, x, w, train=True), labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return run


def deconvnet(problem: Projections, device: str) -> Callable[[], Any]:
    """As one writes it: max_unpool2d, relu, conv_transpose2d, over the whole image; a batch of units goes down together.

    Only the way down is timed, as on our side, and the pixels end on the host, as ours do.
    """
    net, names = problem.net, below(problem.net, problem.layer)
    w = weights(net, names, device)
    switches: dict[str, torch.Tensor] = {}
    sizes: dict[str, torch.Size] = {}
    with torch.inference_mode():
        x = torch.from_numpy(problem.x).to(device)
        for name in names:
            layer, sizes[name] = net.layers[name], x.shape
            if isinstance(layer, MaxPool2d):
                geometry = layer.kernel_size, layer.stride, evenly(layer), layer.dilation, layer.ceil_mode
                x, switches[name] = F.max_pool2d(x, *geometry, return_indices=True)
            else:
                x = up(layer, x, w[name], False)

    units = tuple(torch.tensor(numbers, device=device) for numbers in zip(*problem.units, strict=True))

    def run() -> torch.Tensor:
        with torch.inference_mode():
            signal = torch.zeros_like(x)
            signal[units] = x[units]
            for name in reversed(names):
                signal = down(net.layers[name], signal, w[name], switches.get(name), sizes[name])
            return signal.cpu()

    return run


def down(
    layer: Layer, signal: torch.Tensor, w: Weights, switches: torch.Tensor | None, size: torch.Size
) -> torch.Tensor:
    """A signal at a layer's output, brought to its input."""
    match layer:
        case ReLU():
            return F.relu(signal)
        case MaxPool2d():
            return F.max_unpool2d(signal, switches, layer.kernel_size, layer.stride, evenly(layer), output_size=size)
        case Conv2d():
            extra = [
                size[2 + i] - ((signal.shape[2 + i] - 1) * layer.stride[i] - 2 * pad + layer.dilation[i] * (k - 1) + 1)
                for i, (pad, k) in enumerate(zip(evenly(layer), layer.kernel_size, strict=True))
            ]
            return F.conv_transpose2d(signal, w["weight"], None, layer.stride, evenly(layer), extra, layer.groups, layer.dilation)
        case LocalResponseNorm():
            return signal
    raise ValueError(f"{layer.name} is a {type(layer).__name__}")
