"""The names of the choices that kernels offer: written once, for validation, samplers and command lines."""

from __future__ import annotations

#: What a rectifier does to the signal on the way down (see `zfkernels.reference.relu_vjp`).
RULES = ("gradient", "deconvnet", "guided", "linear")

#: What unpooling does where overlapping windows name one pixel (see `zfkernels.reference.max_unpool2d`).
COLLISIONS = ("add", "max", "last")
