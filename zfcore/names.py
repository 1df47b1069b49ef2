"""Names of layers as people give them: what they may have meant, and lists of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from zfcore.errors import ZfcoreError


def nearest(name: str, names: Iterable[str]) -> str:
    """Words that offer the names most like `name`; empty if none is."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    close = close or [n for n in names if name.lower() in n.lower()][:5]
    return f"; nearest: {', '.join(close)}" if close else ""


def several(argument: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; ZfcoreError if it is one string, whose letters would be taken for names."""
    if isinstance(names, str):
        raise ZfcoreError(f"{argument}: got the string {names!r}, needed a list of names, [{names!r}]")
    return tuple(names)
