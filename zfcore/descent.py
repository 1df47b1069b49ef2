"""The one reverse pass: training, gradients, the deconvnet and its relatives are signals on their way down.

They differ in the seed, in what a rule does at a rectifier, and in the windows that are asked for. A signal is held only inside the
window of a map that it reaches; those of many units come down side by side, in windows of one size wherever in the image they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import zfkernels

from zfcore.layers import Crop, Layer
from zfcore.layers.base import Shape
from zfcore.projection import Projection, framed
from zfcore.rules import Rule
from zfcore.sight import fields, map_size, seen, sights
from zfcore.signals import Signals, gathered, together
from zfcore.trace import Trace
from zfcore.window import Window, Windows, unit_window, whole

if TYPE_CHECKING:
    from zfcore.network import Network

MEMORY = 2**23
"""Numbers that the signals of units brought down together may take: 32 MiB as float32. With more they leave the caches, and are slower."""
DEVICE_MEMORY = 2**26
"""The same on a device, which wants more work at a time: 256 MiB."""


# ---- units


def projections(net: Network, trace: Trace, layer: str, units: Sequence[tuple[int, ...]], rule: Rule) -> list[Projection]:
    """Every unit (n, c, y, x) or (n, c) brought down to pixels, many at a time."""
    values, at_once = trace.start(layer, rule, net.backend), 1 if len(units) == 1 else _units_at_once(net, layer)
    order = sorted(range(len(units)), key=lambda i: units[i][1:])  # neighbours pass the same branches and filters
    found: dict[int, Projection] = {}
    for start in range(0, len(units), at_once):
        some = order[start : start + at_once]
        found.update(zip(some, _projected(net, trace, layer, values, [units[i] for i in some], rule), strict=True))
    return [found[i] for i in range(len(units))]


def _projected(
    net: Network, trace: Trace, layer: str, values: np.ndarray, units: list[tuple[int, ...]], rule: Rule
) -> list[Projection]:
    seed, strengths = _seed(net, values, units)
    down = bring_down(net, trace, layer, seed, np.array([unit[0] for unit in units]), rule)
    seen_by = fields(net, layer, seed.windows)
    signals = None if down is None else net.kernels.to_numpy(down.values)
    found = []
    for row, unit in enumerate(units):
        window = seen_by.window(row)
        if down is None or signals is None or down.windows is None:
            pixels = np.zeros((net.input_shape[0], *window.size), net.dtype)
        else:
            pixels = framed(signals[row], down.windows.window(row), window)
        found.append(Projection(pixels, window, float(strengths[row]), layer, unit))
    return found


def _seed(net: Network, values: np.ndarray, units: list[tuple[int, ...]]) -> tuple[Signals, np.ndarray]:
    """Each unit's own activation, alone in the window that is its position; and the activations.

    On a device it would take longer to look for zeros than to compute with them.
    """
    k, windows = net.kernels, None
    if values.ndim == 4:
        windows = Windows.of(w for unit in units if (w := unit_window(unit[2:])) is not None)
    here = k.to_numpy(gathered(k, values, np.array([unit[0] for unit in units]), windows))
    seed = np.zeros_like(here)
    for row, unit in enumerate(units):
        place = (row, unit[1], 0, 0) if windows else (row, *unit[1:])
        seed[place] = here[place]
    strengths = seed.reshape(len(units), -1).sum(axis=1)
    return Signals(k.asarray(seed), windows, sparse=net.backend not in zfkernels.DEVICES), strengths


def _units_at_once(net: Network, layer: str) -> int:
    """How many units' signals may come down together."""
    shape = net.shapes[layer]
    size = map_size(shape)
    out = None if size is None else Windows.alone(Window(size[0] // 2, size[0] // 2 + 1, size[1] // 2, size[1] // 2 + 1))
    most = 1
    for name, windows in sights(net, layer, out).items():
        C, size = net.shapes[name][0], map_size(net.shapes[name])
        most = max(most, prod(net.shapes[name]) if windows is None or size is None else C * prod(windows.inside(size).alike(size).size))
    memory = DEVICE_MEMORY if net.backend in zfkernels.DEVICES else MEMORY
    return max(1, memory // (4 * most))  # at a layer: the signal, its result, what both are cut to and from


# ---- down


def bring_down(
    net: Network,
    trace: Trace,
    layer: str,
    seed: Signals,
    images: np.ndarray | None,
    rule: Rule,
    gradients: dict[tuple[str, str], np.ndarray] | None = None,
    consume: bool = False,
) -> Signals | None:
    """Signals at a layer, brought down to the pixels that they reach; None if they reach none.

    `images` says of which image each is; None: they are the trace's images, one by one. If `gradients` is given, it is filled with
    those of the parameters, and the signal is not brought down to the pixels. With `consume` nothing that was saved outlives its use.
    """
    arrived: dict[str, list[Signals]] = {layer: [seed]}
    kernels = net.kernels
    for name in net.downwards(layer):
        if name not in arrived:
            continue
        node = net.layers[name]
        shapes = net.input_shapes(node)
        ready = _readied(kernels, node, together(kernels, arrived.pop(name), map_size(net.shapes[name])), net.shapes[name], shapes)
        if ready is None:
            continue
        here, sees = ready
        if gradients is not None:
            if node.trainable:
                size = map_size(net.shapes[name])
                gy = here.values if size is None else here.over(kernels, size).values
                gradients.update({(name, f): g for f, g in node.gradients(kernels, gy, trace.saved[name]).items()})
            if node.inputs == (net.input,):
                continue
        ins = frames(sees, shapes)
        if ins is None:
            continue
        crop = Crop(trace.saved.get(name), images, here.windows, ins, shapes, here.sparse)
        sparse = here.sparse and not node.mixes
        for i, gx, windows in zip(node.inputs, node.pullback(kernels, here.values, crop, rule), ins, strict=True):
            arrived.setdefault(i, []).append(Signals(gx, windows, sparse))
        if consume:
            del crop
            trace.saved.pop(name, None)
    if net.input not in arrived:
        return None
    return together(kernels, arrived[net.input], net.input_shape[1:])


def _readied(
    k: ModuleType, node: Layer, signals: Signals, shape: Shape, shapes: Sequence[Shape]
) -> tuple[Signals, Sequence[Windows | None]] | None:
    """The signals in the windows that a layer can bring down, and what those see of its inputs; None if all is zero.

    Needless zeros are left out. Where the layer needs the whole map, the windows are that.
    """
    found, size = signals.trimmed(k) if signals.sparse else signals, map_size(shape)
    if found is None:
        return None
    if found.windows is None or size is None:
        return found, [None] * len(shapes)
    if node.regular or found.windows.shared:
        sees = seen(node, found.windows, shapes)
        if None not in sees:
            return found, sees
    return found.over(k, size), seen(node, Windows.alone(whole(size)), shapes)


def frames(sees: Sequence[Windows | None], shapes: Sequence[Shape]) -> tuple[Windows | None, ...] | None:
    """Where the signals that a layer brings down have to lie in its inputs, of which so much is seen; None if they reach no pixel.

    For every unit it is the same part of what its window sees, so that one call serves all: what some unit needs of it inside the map.
    """
    found: list[Windows | None] = []
    for sight, shape in zip(sees, shapes, strict=True):
        size = map_size(shape)
        if size is None or sight is None:
            found.append(None if size is None else Windows.alone(whole(size)))
            continue
        inside = sight.inside(size)
        if inside.empty.all():
            return None
        if not sight.shared:
            used = ~inside.empty
            low, high = (inside.low - sight.low)[used].min(axis=0), (inside.high - sight.low)[used].max(axis=0)
            inside = Windows(sight.low + low, sight.low + high)
        found.append(inside)
    return tuple(found)
