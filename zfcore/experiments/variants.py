"""The rows of the paper's table 3: an architecture with layers removed, or with other widths, and the errors that the paper states."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from zfcore.errors import ZfcoreError
from zfcore.names import nearest
from zfcore.zoo import ARCHITECTURES, Conv, Full, architecture

FULL = "full"
"""The variant that nothing was taken from."""


@dataclass(frozen=True)
class Stated:
    """What the paper states of a network in its table 3, in percent; and which network it was."""

    net: str
    train: float
    validation: float
    top5: float

    @property
    def difference(self) -> float:
        """Points of validation top-1 error above the full network of the same table."""
        return self.validation - PAPER[self.net][FULL][1]


ALEXNET, ZFNET = "AlexNet replica", "ZFNet"
PAPER: dict[str, dict[str, tuple[float, float, float]]] = {
    ALEXNET: {
        FULL: (35.1, 40.5, 18.1),
        "middle": (41.8, 45.4, 22.1),
        "last": (27.4, 40.0, 18.4),
        "fully": (27.4, 44.8, 22.4),
        "middle fully": (71.1, 71.3, 50.1),
        "half": (40.3, 41.7, 18.8),
        "double": (26.8, 40.0, 18.1),
    },
    ZFNET: {
        FULL: (33.1, 38.4, 16.5),
        "half": (38.2, 40.2, 17.6),
        "double": (22.0, 38.8, 17.0),
        "wide": (18.8, 37.5, 16.0),
        "wide double": (10.0, 38.3, 16.9),
    },
}
"""Train top-1, validation top-1 and top-5 error in percent, by network and by what was done to it (paper, table 3): layers 3 and 4
removed, layer 7, layers 6 and 7, all four; layers 6 and 7 of half or double the units; layers 3 to 5 of 512, 1024, 512 maps."""


ALONE = re.compile(r"without(-\d+)+(-fc\d+)?|fc\d+")
"""What a variant is called; "64" behind "zfnet" would be another network."""


@dataclass(frozen=True)
class Variant:
    """A network to train.

    Parameters
    ----------
    name : str
        Behind the architecture's: "without-3-4", "fc2048"; "full" for the architecture itself.
    arch : str
        In the zoo.
    role : str
        What was done to it, by the names of `PAPER`; "" if the paper did not.
    family : str
        The network of the paper that it stands beside.
    """

    name: str
    arch: str
    role: str
    family: str

    @property
    def stated(self) -> Stated | None:
        """The paper's row; where it removed layers only from AlexNet, that one."""
        for net in (self.family, ALEXNET):
            if self.role in PAPER[net]:
                return Stated(net, *PAPER[net][self.role])
        return None

    @property
    def removed(self) -> tuple[int, ...]:
        """Numbers of the layers that it lacks."""
        return architecture(self.arch).removed


def variants_of(arch: str) -> tuple[Variant, ...]:
    """Every variant of an architecture that the paper's table 3 has, the full one first.

    Widths are half and double those of the architecture, as the paper's 2048 and 8192 are of 4096. Where an architecture has one fully
    connected layer below the last, removing it is the paper's removal of both. Wider maps are in the zoo for zfnet alone.

    Raises
    ------
    ZfcoreError
        If it is no architecture of the zoo, or a variant of one.

    Examples
    --------
    >>> [variant.name for variant in variants_of("zfnet-64")]
    ['full', 'without-3-4', 'without-7', 'without-6-7', 'without-3-4-6-7', 'fc256', 'fc1024']
    >>> [variant.arch for variant in variants_of("zfnet")][-2:]
    ['zfnet-b', 'zfnet-b-fc8192']
    """
    plan = architecture(arch)
    if arch not in ARCHITECTURES:
        base = max((name for name in ARCHITECTURES if arch.startswith(name)), key=len)
        raise ZfcoreError(f"arch: got {arch}, itself a variant; give {base}, and --variants for some of its variants")
    convs = [n for n, block in enumerate(plan.blocks, start=1) if isinstance(block, Conv)]
    fully = [n for n, block in enumerate(plan.blocks, start=1) if isinstance(block, Full)]
    units = next(block.units for block in plan.blocks if isinstance(block, Full))
    middle = convs[2:-1]
    found = {FULL: "", "middle": _without(middle)}
    if len(fully) > 1:
        found["last"] = _without(fully[-1:])
    found |= {"fully": _without(fully), "middle fully": _without(middle + fully), "half": f"fc{units // 2}", "double": f"fc{2 * units}"}
    if arch == "zfnet":
        found |= {"wide": "b", "wide double": f"b-fc{2 * units}"}
    elif arch == "zfnet-b":  # itself the paper's row of wider maps
        found = {role: found[role] for role in (FULL, "double")}
    return tuple(_variant(arch, name, role) for role, name in found.items())


def _without(numbers: Sequence[int]) -> str:
    return "-".join(["without", *map(str, numbers)])


def _variant(arch: str, name: str, role: str) -> Variant:
    if arch == "zfnet-b":
        role = {FULL: "wide", "double": "wide double"}.get(role, role)
    return Variant(name or FULL, f"{arch}-{name}" if name else arch, role, ALEXNET if arch.startswith("alexnet") else ZFNET)


def chosen_variants(arch: str, names: Sequence[str] | None = None) -> tuple[Variant, ...]:
    """Some variants of an architecture, with the full one in front, to which they are compared; all of the paper's if not given.

    Any variant that the zoo can make will do: "without-5", "fc100".

    Raises
    ------
    ZfcoreError
        If the architecture has no such variant.

    Examples
    --------
    >>> [variant.arch for variant in chosen_variants("zfnet-28", ["without-7", "fc100"])]
    ['zfnet-28', 'zfnet-28-without-7', 'zfnet-28-fc100']
    """
    table = {variant.name: variant for variant in variants_of(arch)}
    if names is None:
        return tuple(table.values())
    found = {FULL: table[FULL]}
    for name in names:
        variant = table.get(name) or _variant(arch, name, "")
        if name not in table and not ALONE.fullmatch(name):
            raise ZfcoreError(f"variants: got {name!r}, needed some of {', '.join(table)}, or others of that form{nearest(name, table)}")
        architecture(variant.arch)
        found[name] = variant
    return tuple(found.values())
