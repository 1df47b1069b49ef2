"""What every layer of a network can do."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from zfcore.rules import Rule
from zfcore.window import Window

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Crop:
    """What a pullback sees of the forward pass: the part of it inside the windows that the signal touches.

    Parameters
    ----------
    inputs : tuple of arrays
        The layer's forward inputs, each cut to its window.
    saved : object
        What the layer's forward pass saved (a pooling's switches, a dropout's seed), as saved: not cut.
    rows : slice
        The images of the batch that the signal belongs to.
    out : Window or None
        Where the signal lies in the layer's output map; None if that is no map of pixels.
    ins : tuple of (Window or None)
        Where each result has to lie in the input's map, inside the map.
    shapes : tuple of Shape
        The whole shapes of the inputs, without the batch.
    """

    inputs: tuple[np.ndarray, ...]
    saved: Any
    rows: slice
    out: Window | None
    ins: tuple[Window | None, ...]
    shapes: tuple[Shape, ...]


@dataclass(eq=False)
class Layer:
    """A named node of a network: how it goes forward, and how a signal comes back down through it.

    The base class is a layer of one input that acts on every element alone and keeps the shape. Shapes have no batch axis.
    """

    name: str
    inputs: tuple[str, ...]

    #: Fields that training changes.
    trainable: ClassVar[tuple[str, ...]] = ()

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of the output from those of the inputs.

        Raises
        ------
        ValueError
            If the layer cannot take them.
        """
        return shapes[0]

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        """Output for a batch, and what the way down needs to remember. `k` is the kernels' backend; `seed` drives dropout."""
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        """The signal `gy` at the output, brought down to each input."""
        raise NotImplementedError(f"{type(self).__name__} has no way down")

    def gradients(self, k: ModuleType, gy: np.ndarray, xs: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
        """Gradient of each trainable field, from the signal at the output and the forward inputs."""
        return {}

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        """The window of each input that the output's `window` depends on; None means all of it."""
        return (window,) * len(shapes)

    def macs(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        return 0

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The fields that are arrays: weights, statistics, constants."""
        return {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), np.ndarray)}

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(a.size for name, a in self.arrays.items() if name in self.trainable)


@dataclass(eq=False)
class Input(Layer):
    """Where the image enters."""

    inputs: tuple[str, ...] = field(default=())
    shape: Shape = (3, 224, 224)

    def output_shape(self, *shapes: Shape) -> Shape:
        return tuple(self.shape)
