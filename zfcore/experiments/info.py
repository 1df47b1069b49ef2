"""A network as a table (figure 3): of every layer the operator, shape, parameters, multiply-adds and what its units see."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from zfcore.errors import printable
from zfcore.layers import Layer
from zfcore.network import Network
from zfcore.window import Window, whole


@dataclass(frozen=True)
class Row:
    """One layer.

    Parameters
    ----------
    name, op : str
        Its name and its operator, with kernel size and stride.
    shape : tuple of int
        Of its output, without the batch.
    parameters, macs : int
        Trainable numbers; multiply-adds for one image.
    receptive_field : (height, width) or None
        In pixels of the input; None for a layer whose units see everything.
    jump : (vertical, horizontal) or None
        Pixels from one unit's receptive field to the next one's; None also where there is but one unit.
    first : (row, column) or None
        Where the first unit's receptive field starts; negative in the padding.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: tuple[int, int] | None
    jump: tuple[float | None, float | None] | None
    first: tuple[int, int] | None


def rows(net: Network) -> list[Row]:
    """A row for every layer, in order."""
    return [_row(net, layer) for layer in net.layers.values()]


def _row(net: Network, layer: Layer) -> Row:
    shape = net.shapes[layer.name]
    counts = layer.parameters, layer.macs(*net.input_shapes(layer))
    return Row(layer.name, _operator(layer), tuple(shape), *counts, *_sight(net, layer.name))


def _sight(net: Network, name: str) -> tuple[Any, Any, Any]:
    """Receptive field, jump and start of a layer's units."""
    shape = net.shapes[name]
    if len(shape) != 3:
        return None, None, None
    _, H, W = shape
    first = net.receptive_field(name, Window(0, 1, 0, 1))
    last = net.receptive_field(name, Window(H - 1, H, W - 1, W))
    if first == last == whole(net.input_shape[1:]) and name != net.input:
        return None, None, None
    jump = _per_unit(last.y0 - first.y0, H), _per_unit(last.x0 - first.x0, W)
    return first.size, None if jump == (None, None) else jump, (first.y0, first.x0)


def _per_unit(way: int, units: int) -> float | None:
    if units == 1:
        return None
    return way // (units - 1) if way % (units - 1) == 0 else way / (units - 1)


def _operator(layer: Layer) -> str:
    text = type(layer).__name__
    kernel, stride = getattr(layer, "kernel_size", None), getattr(layer, "stride", (1, 1))
    if kernel is not None:
        text += f" {_size(kernel)}" + (f"/{_size(stride, alike=True)}" if tuple(stride) != (1, 1) else "")
    groups = getattr(layer, "groups", 1)
    return text + (f" in {groups} groups" if groups > 1 else "")


def _size(pair: Any, alike: bool = False) -> str:
    """7x7 for (7, 7); where `alike` allows it, 7."""
    texts = ["-" if value is None else f"{value:g}" for value in pair]
    return texts[0] if alike and texts[0] == texts[1] else "x".join(texts)


def facts(net: Network) -> dict[str, Any]:
    """All of it as plain values, for JSON."""
    return {
        "name": net.name,
        "input": {"name": net.input, "shape": list(net.input_shape)},
        "outputs": {name: list(net.shapes[name]) for name in net.outputs},
        "preprocessing": None if net.preprocessing is None else net.preprocessing.to_dict(),
        "classes": None if net.classes is None else list(net.classes),
        "parameters": net.parameters,
        "macs": net.macs,
        "peak_bytes": _peak_bytes(net),
        "layers": [asdict(row) for row in rows(net)],
    }


def _peak_bytes(net: Network) -> int:
    """What ``net(x)`` takes at most for one image, besides the weights; so many times as much for a batch."""
    return net.peak_bytes(1, keep=net.outputs, record=False)


HEADINGS = ("layer", "op", "output", "parameters", "MACs", "receptive field", "jump", "first")


def table(net: Network) -> str:
    """All of it as text."""
    cells = [HEADINGS, *(_cells(row) for row in rows(net))]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    left = {0, 1, 2}
    lines = [
        "  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in cells
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*map(printable, _summary(net)), "", *lines])


def _cells(row: Row) -> tuple[str, ...]:
    if row.receptive_field is None or row.first is None:
        sight = ("all", "-", "-")
    else:
        jump = "-" if row.jump is None else _size(row.jump, alike=True)
        first = str(row.first[0]) if len(set(row.first)) == 1 else f"{row.first[0]},{row.first[1]}"
        sight = (_size(row.receptive_field, alike=True), jump, first)
    counts = tuple(f"{count:,}" if count else "" for count in (row.parameters, row.macs))
    return (printable(row.name), row.op, "x".join(map(str, row.shape)), *counts, *sight)


def _summary(net: Network) -> list[str]:
    def shaped(name: str) -> str:
        return f"{name} {'x'.join(map(str, net.shapes[name]))}"

    known = "not known; give --preset" if net.preprocessing is None else net.preprocessing.describe()
    few = "" if net.classes is None else ", ".join(net.classes[:12]) + ", ..." * (len(net.classes) > 12)
    classes = [] if net.classes is None else [f"classes        {len(net.classes)}: {few}"]
    return [
        f"network        {net.name}: {len(net.layers)} layers",
        f"input          {shaped(net.input)}",
        f"outputs        {', '.join(map(shaped, net.outputs))}",
        f"preprocessing  {known}",
        *classes,
        f"parameters     {net.parameters:,}",
        f"MACs           {net.macs:,} for one image",
        f"memory         {_peak_bytes(net) / 1e6:,.1f} MB at most at one time while one image is computed, besides it and the parameters",
        "",
        "Receptive field: pixels of the input that a unit depends on; jump: pixels from one unit's to the next one's;",
        "first: row and column (one number if equal) where the first unit's starts, negative in the padding.",
    ]
