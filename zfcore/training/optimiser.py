"""Stochastic gradient descent with momentum, and the paper's limit on filters."""

from __future__ import annotations

import numpy as np

from zfcore.layers import Conv2d
from zfcore.network import Network
from zfcore.training.recipe import Recipe

Key = tuple[str, str]
"""(layer, field) of a parameter."""


class SGD:
    """Momentum SGD as PyTorch defines it: ``v = momentum*v + g; w = w - rate*v``, with ``g`` including the weight decay of weights.

    Parameters
    ----------
    net : Network
        Whose parameters it replaces.
    recipe : Recipe
    velocities : dict of (layer, field) to array, optional
        From where an earlier run stopped.
    """

    def __init__(self, net: Network, recipe: Recipe, velocities: dict[Key, np.ndarray] | None = None) -> None:
        self.net, self.recipe = net, recipe
        self.velocities = {} if velocities is None else velocities

    def step(self, gradients: dict[Key, np.ndarray], rate: float, limit: bool = True) -> None:
        """Move every parameter; with `limit`, scale back the filters that grew too large."""
        for key in list(gradients):
            name, field = key
            layer, gradient = self.net.layers[name], gradients.pop(key)  # let go of one by one: together they are as large as the network
            w = getattr(layer, field)
            velocity = self.velocities.get(key)
            decay = self.recipe.weight_decay if field == "weight" else 0.0
            velocity = np.zeros_like(w) if velocity is None else self.net.kernels.asarray(velocity)
            w, self.velocities[key] = self.net.kernels.sgd(w, gradient, velocity, rate, self.recipe.momentum, decay)
            if limit and field == "weight" and isinstance(layer, Conv2d):
                w = self.net.kernels.limit_filters(w, self.recipe.filter_limit)
            setattr(layer, field, w)
