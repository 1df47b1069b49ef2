"""What a network answers when a part of its image changes, computing only what the change reaches.

A square hidden in an image changes a window of every map above it, a little larger from filter to filter; the rest of each map is as it
was. So each layer is computed inside that window alone, from the clean image's maps with what has changed laid over them. The numbers
are those of computing everything, to the bit where convolutions are computed by "im2col".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from zfcore import algorithms
from zfcore.layers import Layer
from zfcore.layers.base import Shape
from zfcore.network import Network
from zfcore.sight import map_size, seen
from zfcore.trace import Trace
from zfcore.window import Windows, whole


@dataclass(frozen=True, eq=False)
class Changes:
    """What became of one layer in B changed versions of an image.

    Parameters
    ----------
    values : array (B, C, h, w), or (B, ...) of whole maps
        What is new.
    windows : Windows or None
        Where in the layer's map it lies, all of size (h, w); outside nothing has changed. None: `values` are all there is.
    """

    values: np.ndarray
    windows: Windows | None

    def within(self, k: ModuleType, clean: np.ndarray, windows: Windows | None, fill: float = 0.0) -> np.ndarray:
        """The changed maps inside other windows, (B, C, h, w); None: all of them.

        Parameters
        ----------
        k : module
            The kernels' backend, where the arrays are.
        clean : array (1, C, H, W)
            The same layer for the image as it was.
        windows : Windows or None
            They may reach beyond the map.
        fill : float
            What is there.
        """
        if self.windows is None or (windows is not None and windows == self.windows):
            return self.values
        size = clean.shape[2:]
        wanted = Windows.alone(whole(size)) if windows is None else windows
        at, low = (w.low_of(len(self.values)) for w in (self.windows, wanted))
        return k.patch_windows(clean, self.values, at, low, wanted.size, fill)

    def of_map(self, number: int) -> Changes:
        """Those of one map alone."""
        return Changes(self.values[:, number : number + 1], self.windows)


def recomputed(net: Network, clean: Trace, changes: Changes, keep: Sequence[str]) -> dict[str, Changes]:
    """Layers of a network for B changed versions of one image.

    Parameters
    ----------
    net : Network
    clean : Trace
        Of the image as it was, one image, with every layer.
    changes : Changes
        Of the image: what is new, (B, C, h, w), and where.
    keep : sequence of str
        Layers wanted.

    Returns
    -------
    dict of str to Changes
    """
    kernels = algorithms.using(net.kernels, net.algorithm)
    values: dict[str, Changes] = {net.input: changes}
    for step in net.steps(keep):
        ins, shapes = [values[name] for name in step.layer.inputs], net.input_shapes(step.layer)
        windows = _reached(step.layer, ins, map_size(net.shapes[step.name]), shapes)
        layer, fill = (step.layer.borderless() if windows else None) or (step.layer, 0.0)
        sees = [None] * len(ins) if windows is None else seen(step.layer, windows, shapes)
        xs = (one.within(kernels, clean.values[name], w, fill) for name, one, w in zip(layer.inputs, ins, sees, strict=True))
        values[step.name] = Changes(replace(step, layer=layer).run(kernels, tuple(xs), None)[0], windows)
        for name in step.frees:
            values.pop(name, None)
    return {name: values[name] for name in keep}


def _reached(layer: Layer, ins: Sequence[Changes], size: tuple[int, int] | None, shapes: Sequence[Shape]) -> Windows | None:
    """Where a layer's map of `size` changes, all windows of one size inside it; None if that is everywhere, or not to be told."""
    found: Windows | None = None
    if size is None or layer.borderless() is None:
        return None
    for changes, shape in zip(ins, shapes, strict=True):
        if changes.windows is None:
            return None
        touched = layer.touched(changes.windows, shape)
        found = touched if found is None else found.union(touched)
    assert found is not None
    low = np.clip(found.low, 0, np.subtract(size, 1))
    windows = Windows(low, np.clip(found.high, low + 1, size)).alike(size)
    return None if windows.size == size else windows
