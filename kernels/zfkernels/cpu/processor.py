"""The machine's vector registers: found from what Numba compiles for, never assumed.

Numba compiles for the processor it runs on unless NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say otherwise. So these two variables
force other instructions, as the tests do; they are part of the key under which Numba keeps compiled code.
"""

from __future__ import annotations

from typing import NamedTuple

from numba.core.registry import cpu_target


class Vectors(NamedTuple):
    """A vector instruction set.

    Parameters
    ----------
    name : str
    size : int
        Bytes of a register.
    registers : int
    fused : bool
        Whether it multiplies and adds in one instruction, with one rounding.
    """

    name: str
    size: int
    registers: int
    fused: bool


AVX512 = Vectors("AVX-512", 64, 32, True)
AVX2 = Vectors("AVX2", 32, 16, True)
NEON = Vectors("NEON", 16, 32, True)
PLAIN = Vectors("plain", 16, 16, False)
"""For every other machine: LLVM makes the best of vectors of 16 bytes, whatever there is."""


def vectors_of(triple: str, features: str) -> Vectors:
    """The widest vectors of a processor, given as LLVM names it.

    Examples
    --------
    >>> vectors_of("x86_64-unknown-linux-gnu", "+avx,+avx2,-avx512f,+fma").name
    'AVX2'
    >>> vectors_of("arm64-apple-darwin22", "").name, vectors_of("x86_64-pc-windows-msvc", "+avx").name
    ('NEON', 'plain')
    """
    has = set(features.split(","))
    if "+avx512f" in has:
        return AVX512
    if {"+avx2", "+fma"} <= has:
        return AVX2
    return NEON if triple.startswith(("aarch64", "arm64")) else PLAIN


def processor() -> tuple[str, str, str]:
    """(triple, name, features) of the processor that Numba compiles for."""
    return cpu_target.target_context.codegen().magic_tuple()


VECTORS = vectors_of(processor()[0], processor()[2])
VECTOR = VECTORS.size
"""Bytes of a register."""
