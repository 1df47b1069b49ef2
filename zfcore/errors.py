"""The error that a user sees as one line."""

from __future__ import annotations


class ZfcoreError(ValueError):
    """A user's mistake: one clear line, exit status 2."""
