"""zfcore: Zeiler & Fergus' convnet and deconvnet as a running engine, in NumPy and Numba."""

from __future__ import annotations

from zfcore.errors import ZfcoreError
from zfcore.formats import load, save
from zfcore.network import Network
from zfcore.projection import Projection
from zfcore.rules import Rule
from zfcore.trace import Trace
from zfcore.window import Window

__version__ = "0.1.0"

__all__ = ["Network", "Projection", "Rule", "Trace", "Window", "ZfcoreError", "load", "save"]
