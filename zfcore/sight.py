"""What a unit sees: the windows of the layers below, and of the image, that a window of a layer depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zfcore.layers import Layer
from zfcore.layers.base import Shape
from zfcore.window import Window, Windows, whole

if TYPE_CHECKING:
    from zfcore.graph import Graph


def map_size(shape: Shape) -> tuple[int, int] | None:
    """(H, W) of a layer's map; None if its output is no map of pixels."""
    return (shape[1], shape[2]) if len(shape) == 3 else None


def seen(node: Layer, windows: Windows, shapes: Sequence[Shape]) -> list[Windows | None]:
    """Of every input of a layer what each of the windows depends on, also beyond the map; None: all of it."""
    if windows.shared:
        return [None if w is None else Windows.alone(w) for w in node.seen(windows.window(0), *shapes)]
    if not node.regular:
        each = zip(*(node.seen(window, *shapes) for window in windows.each()), strict=True)
        return [None if None in of_input else Windows.of(w for w in of_input if w is not None) for of_input in each]
    here, next_to_it = (node.seen(Window(i, i + 1, i, i + 1), *shapes) for i in (0, 1))
    return [None if a is None or b is None else _moved(windows, a, b) for a, b in zip(here, next_to_it, strict=True)]


def _moved(windows: Windows, here: Window, next_to_it: Window) -> Windows:
    """What windows see through a layer whose unit at (0, 0) sees `here` and whose unit at (1, 1) `next_to_it`."""
    first, second = np.reshape(here, (2, 2)), np.reshape(next_to_it, (2, 2))
    step = second[:, 0] - first[:, 0]
    low = first[:, 0] + step * windows.low
    high = first[:, 1] + step * (windows.high - 1)
    return Windows(low, np.where(windows.high > windows.low, high, low))


def sights(graph: Graph, layer: str, out: Windows | None) -> dict[str, Windows | None]:
    """The windows of every layer below that windows of a layer depend on, also beyond the map; None: all of it."""
    windows: dict[str, Windows | None] = {layer: out}
    for name in graph.downwards(layer):
        if name in windows:
            node, known = graph.layers[name], windows[name]
            ins = [None] * len(node.inputs) if known is None else seen(node, known, graph.input_shapes(node))
            for i, new in zip(node.inputs, ins, strict=True):
                old = windows.get(i, new)
                windows[i] = None if new is None or old is None else new if new is old else new.union(old)
    return windows


def fields(graph: Graph, layer: str, out: Windows | None) -> Windows:
    """Receptive fields: `sights` of the image; all of it for a layer that sees everything."""
    found = sights(graph, layer, out).get(graph.input)
    return Windows.alone(whole(graph.input_shape[1:])) if found is None else found
