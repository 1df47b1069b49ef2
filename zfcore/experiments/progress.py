"""What a long run says while it works: lines and bars on stderr; bars only where someone watches."""

from __future__ import annotations

import sys

from tqdm import tqdm

from zfcore.errors import printable


def say(line: str) -> None:
    """A line on stderr, above any bar."""
    tqdm.write(printable(line), file=sys.stderr)


def bar(total: int, what: str, unit: str, done: int = 0) -> tqdm:
    """A bar with the time left; silent where stderr is no terminal."""
    watched = sys.stderr.isatty()
    return tqdm(total=total, initial=done, desc=printable(what), unit=unit, file=sys.stderr, disable=not watched, dynamic_ncols=True)
