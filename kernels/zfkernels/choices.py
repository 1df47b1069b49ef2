"""The names of the choices that kernels offer: written once, for validation, samplers and command lines."""

from __future__ import annotations

#: What a rectifier does to the signal on the way down (see `zfkernels.reference.relu_vjp`).
RULES = ("gradient", "deconvnet", "guided", "linear")

#: The same as what may stop the signal: (the sign of the rectifier's forward input, the sign of the signal itself).
GATES = {"gradient": (True, False), "deconvnet": (False, True), "guided": (True, True), "linear": (False, False)}

#: What unpooling does where overlapping windows name one pixel (see `zfkernels.reference.max_unpool2d`).
COLLISIONS = ("add", "max", "last")
