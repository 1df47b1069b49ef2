"""Stochastic gradient descent with momentum, and the paper's limit on filters."""

from __future__ import annotations

import numpy as np

from zfcore.layers import Conv2d
from zfcore.network import Network
from zfcore.training.recipe import Recipe

Key = tuple[str, str]


class SGD:
    """Momentum SGD as PyTorch defines it: ``v = momentum*v + g; w = w - rate*v``, with ``g`` including the weight decay.

    It changes the network's arrays in place.
    """

    def __init__(self, net: Network, recipe: Recipe) -> None:
        self.net, self.recipe = net, recipe
        self.velocities: dict[Key, np.ndarray] = {}

    def step(self, gradients: dict[Key, np.ndarray], rate: float) -> None:
        """Move every parameter, then scale back the filters that grew too large."""
        for key, gradient in gradients.items():
            name, field = key
            parameter = getattr(self.net.layers[name], field)
            if field == "weight":
                gradient = gradient + np.float32(self.recipe.weight_decay) * parameter
            velocity = self.velocities.setdefault(key, np.zeros_like(parameter))
            velocity *= np.float32(self.recipe.momentum)
            velocity += gradient
            parameter -= np.float32(rate) * velocity
        for layer in self.net.layers.values():
            if isinstance(layer, Conv2d):
                limit_filters(layer.weight, self.recipe.filter_limit)


def limit_filters(weight: np.ndarray, limit: float) -> None:
    """Scale every filter of `weight` (O, C, KH, KW) whose RMS exceeds `limit` back to it, in place (paper, section 3)."""
    with np.errstate(over="ignore"):  # weights that ran away: the next loss says so
        rms = np.sqrt((weight**2).mean(axis=(1, 2, 3), keepdims=True))
    weight *= np.where(rms > limit, limit / np.where(rms > 0, rms, 1), 1).astype(weight.dtype)
