"""In which steps a network computes the layers that were asked for, what each step frees, and how much memory that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

from zfcore.layers import Conv2d, Dropout, Layer, Linear, ReLU
from zfcore.layers.base import Shape
from zfcore.rules import Rule


@dataclass(frozen=True)
class Step:
    """One layer; or a convolution or fully connected layer and its ReLU, computed in one.

    Parameters
    ----------
    layer : Layer
        What is computed.
    relu : ReLU or None
        The rectifier that is applied as the layer stores its result, which then never exists without it.
    number : int
        The layer's place in its network, of which dropout makes a seed.
    frees : tuple of str
        Layers whose values nothing needs any more.
    """

    layer: Layer
    relu: ReLU | None
    number: int
    frees: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the layer whose value it yields."""
        return self.layer.name if self.relu is None else self.relu.name

    def run(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        """Its value for a batch, and what the layer itself saves."""
        if self.relu is not None:
            assert isinstance(self.layer, Conv2d | Linear)
            return self.layer.forward_relu(k, xs), None
        return self.layer.forward(k, xs, seed if isinstance(self.layer, Dropout) else None)

    def remembered(self, rule: Rule | None, xs: tuple[np.ndarray, ...], y: np.ndarray, saved: Any) -> dict[str, Any]:
        """What the way down by a rule will look at, by layer; None: by any rule, and for gradients."""
        found = {}
        for layer in (self.layer, self.relu):
            if layer is not None:
                found[layer.name] = {"input": xs[0], "output": y, None: saved}[layer.looks_at(rule)]
        return found


def planned(layers: Mapping[str, Layer], wanted: Sequence[str], needed: set[str]) -> list[Step]:
    """The steps that compute the layers `wanted` of those `needed` for it."""
    consumers: dict[str, list[str]] = {name: [] for name in needed}
    for name in layers:
        if name in needed:
            for i in layers[name].inputs:
                consumers[i].append(name)
    fused: dict[str, ReLU] = {}
    for name, users in consumers.items():
        user = layers[users[0]] if len(users) == 1 else None
        if isinstance(layers[name], Conv2d | Linear) and isinstance(user, ReLU) and name not in wanted:
            fused[name] = user
    in_one = {relu.name for relu in fused.values()}
    steps: list[Step] = []
    for number, (name, layer) in enumerate(layers.items()):
        if name in needed and name not in in_one and layer.inputs:
            steps.append(Step(layer, fused.get(name), number, ()))
    return _with_frees(steps, set(wanted))


def _with_frees(steps: list[Step], wanted: set[str]) -> list[Step]:
    """The same, each with the values that it is the last to use; or that nothing uses."""
    last = {step.name: n for n, step in enumerate(steps)}
    last |= {i: n for n, step in enumerate(steps) for i in step.layer.inputs}
    return [
        Step(step.layer, step.relu, step.number, tuple(name for name, at in last.items() if at == n and name not in wanted))
        for n, step in enumerate(steps)
    ]


def peak(steps: Sequence[Step], shapes: Mapping[str, Shape], record: bool, rule: Rule | None) -> int:
    """Numbers that exist at the same time, at most, while the steps run for one image; without the image itself.

    A view (of a flatten, say) is counted as a copy.
    """
    live: dict[str, int] = {}
    remembered: set[str] = set()
    saved = most = 0
    for step in steps:
        ins = tuple(shapes[i] for i in step.layer.inputs)
        most = max(most, saved + sum(live.values()) + step.layer.held(*ins))
        live[step.name] = prod(shapes[step.name])
        if record:
            saved += step.layer.saved_size(*ins)
            ends = {"input": step.layer.inputs[0], "output": step.name}
            remembered |= {ends[what] for layer in (step.layer, step.relu) if layer and (what := layer.looks_at(rule))}
        live = {name: size for name, size in live.items() if name not in step.frees or name in remembered}
    return most
