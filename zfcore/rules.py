"""How a signal comes down: what a rectifier, a normalisation and an unpooling do to it.

Simonyan, Vedaldi & Zisserman (2014, section 4) remark that the deconvnet is back-propagation in all but
the ReLU. With f the forward input of a ReLU and r the signal that comes down:

========= =================== ==================
rule      passes the ReLU as  normalisation (LRN)
========= =================== ==================
gradient  r * (f > 0)         its derivative
deconvnet r * (r > 0)         skipped
guided    r * (f > 0) * (r>0) its derivative
linear    r                   skipped
========= =================== ==================
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from zfkernels.choices import COLLISIONS
from zfkernels.choices import RULES as RECTIFIERS

from zfcore.errors import ZfcoreError

NORMALISATIONS = ("identity", "gradient")


@dataclass(frozen=True)
class Rule:
    """The choices of one way down.

    Parameters
    ----------
    rectifier : {"gradient", "deconvnet", "guided", "linear"}
        What a ReLU (or leaky ReLU, or clip at 0) does to the signal.
    normalisation : {"identity", "gradient"}
        Whether local response normalisation is skipped or passed by its derivative. The paper does not say; skipping is practice.
    collisions : {"add", "max", "last"}
        What unpooling does where overlapping windows name one pixel. Only "add" is the adjoint of pooling.

    Raises
    ------
    ZfcoreError
        If a choice is none of these.
    """

    rectifier: str
    normalisation: str = "identity"
    collisions: str = "add"

    def __post_init__(self) -> None:
        for name, choices in (
            ("rectifier", RECTIFIERS),
            ("normalisation", NORMALISATIONS),
            ("collisions", COLLISIONS),
        ):
            if getattr(self, name) not in choices:
                raise ZfcoreError(f"{name}: got {getattr(self, name)!r}, needed one of {', '.join(choices)}")

    @property
    def asks_forward(self) -> bool:
        """Whether a rectifier's answer depends on its forward input; on its sign alone, which is that of its output."""
        return self.rectifier in ("gradient", "guided")

    def looks_at_the_same(self, other: Rule) -> bool:
        """Whether both need the same of the forward pass."""
        return (self.rectifier, self.normalisation) == (other.rectifier, other.normalisation)


RULES = {
    "gradient": Rule("gradient", normalisation="gradient"),
    "deconvnet": Rule("deconvnet"),
    "guided": Rule("guided", normalisation="gradient"),
    "linear": Rule("linear"),
}


def resolve(rule: str | Rule, normalisation: str | None = None, collisions: str | None = None) -> Rule:
    """The rule of that name, with one or the other choice replaced.

    Raises
    ------
    ZfcoreError
        If there is no such rule or choice.

    Examples
    --------
    >>> resolve("deconvnet", collisions="max")
    Rule(rectifier='deconvnet', normalisation='identity', collisions='max')
    """
    if isinstance(rule, str):
        if rule not in RULES:
            raise ZfcoreError(f"rule: got {rule!r}, needed one of {', '.join(RULES)}")
        rule = RULES[rule]
    changes = {"normalisation": normalisation, "collisions": collisions}
    return replace(rule, **{name: choice for name, choice in changes.items() if choice is not None})
