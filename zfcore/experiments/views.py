"""What of an image is shown of a unit: its receptive field, or where that is larger than the image, the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zfcore.data.preprocessing import Preprocessing
from zfcore.figures.grid import PAD
from zfcore.network import Network
from zfcore.projection import framed
from zfcore.rules import Rule
from zfcore.trace import Trace
from zfcore.window import Window, whole

Position = tuple[int, ...]
"""(row, column) of a unit in its map; empty in a layer whose maps have no pixels."""


def shown_window(field: Window, image: Window, size: tuple[int, int]) -> Window:
    """What of a receptive field is shown, `size` pixels: all of it, but along an axis on which it is larger than the image, the image.

    Examples
    --------
    >>> shown_window(Window(-300, 600, -2, 41), Window(0, 64, 0, 64), (64, 43))
    Window(y0=0, y1=64, x0=-2, x1=41)
    """
    y0 = image.y0 if field.size[0] > image.size[0] else field.y0
    x0 = image.x0 if field.size[1] > image.size[1] else field.x0
    return Window(y0, y0 + size[0], x0, x0 + size[1])


@dataclass(frozen=True)
class Views:
    """The windows of some units of a layer: their receptive fields, and what is shown of each, all of one size."""

    net: Network
    layer: str
    fields: Mapping[Position, Window]
    field_size: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, net: Network, layer: str, positions: Iterable[Position]) -> Views:
        """Those of the units at these positions."""
        distinct = sorted(set(positions))
        fields = dict(zip(distinct, net.receptive_fields(layer, distinct), strict=True))
        first = (0,) * (len(net.shapes[layer]) - 1)
        sizes = [field.size for field in fields.values() or net.receptive_fields(layer, [first])]
        height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
        H, W = net.input_shape[1:]
        return cls(net, layer, fields, (height, width), (min(height, H), min(width, W)))

    def shown(self, position: Position) -> Window:
        """What is shown of the unit at that position."""
        return shown_window(self.fields[position], whole(self.net.input_shape[1:]), self.size)

    def patch(self, frame: np.ndarray, position: Position) -> np.ndarray:
        """That part of a picture (H, W, 3); what lies outside the picture has the colour `PAD`."""
        size, shown = whole(frame.shape[:2]), self.shown(position)
        return np.stack([framed(frame[..., i], size, shown, fill) for i, fill in enumerate(PAD)], axis=-1)

    def projections(self, trace: Trace, units: Sequence[tuple[int, ...]], rule: Rule, preprocessing: Preprocessing) -> Iterator[np.ndarray]:
        """Units (n, c, *position) of a trace brought down to pixels, each (C, h, w) in RGB order; zero outside the image."""
        for projection in self.net.project_many(trace, self.layer, units, rule):
            pixels = framed(projection.pixels, projection.window, self.shown(projection.unit[2:]))
            yield preprocessing.to_rgb(pixels).transpose(2, 0, 1)[: len(pixels)].astype(np.float32)

    @property
    def described(self) -> str:
        """The size of the receptive field, for people."""
        height, width = self.field_size
        return f"receptive field {height} x {width} px" + (", shown within the image" if self.field_size != self.size else "")


def place_names(axes: int) -> tuple[str, ...]:
    """What the coordinates of a position are called, for people."""
    return ("row", "column") if axes == 2 else ("position",) * axes


def described_window(window: Sequence[int]) -> dict[str, int]:
    """For JSON: rows y0 <= y < y1 and columns x0 <= x < x1, in pixels of the network's input."""
    return dict(zip(Window._fields, map(int, window), strict=True))
