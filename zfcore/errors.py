"""The error that a user sees as one line, and what keeps it one."""

from __future__ import annotations


class ZfcoreError(ValueError):
    """A user's mistake: one clear line, exit status 2."""


def printable(text: str) -> str:
    r"""A text in which nothing can command a terminal or begin a line: names in files are others' words.

    Examples
    --------
    >>> printable("café \x1b[2J")
    'café \\x1b[2J'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
