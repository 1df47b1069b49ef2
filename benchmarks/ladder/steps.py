"""The steps, found by their file names."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

from zfkernels.cache import kept_by_source


def load() -> dict[str, ModuleType]:
    """Every step by name, in order. What they compile is kept where the kernels are, as most of them contain some of these."""
    names = {path.stem for path in Path(__file__).parent.glob("step[0-9]*.py")}
    with kept_by_source():
        return {name: importlib.import_module(f"{__package__}.{name}") for name in sorted(names, key=number)}


def number(name: str) -> int:
    """Of a step, from its name."""
    return int(re.findall(r"\d+", name)[0])


def title(step: ModuleType) -> str:
    """What changed, in a phrase: the first line of the step's docstring."""
    return (step.__doc__ or "").partition("\n")[0].rstrip(".")
