"""What is compiled is said, once; what is loaded or called is not."""

from __future__ import annotations

import numba

from zfcore.compiling import announced


def made(module: str):
    """A function of that module that is not compiled yet, and calls another."""

    @numba.njit
    def inner(x):
        return x + 1

    @numba.njit
    def _outer(x):
        return 2 * inner(x)

    for function in (inner, _outer):
        function.py_func.__module__ = module
    return _outer


def test_a_kernel_is_named_when_it_is_compiled(capsys):
    outer = made("zfkernels.cpu.example")
    with announced():
        assert outer(1) == outer(1) == 4
    assert capsys.readouterr().err == "compiling outer, once for this machine\n"


def test_other_functions_are_not(capsys):
    with announced():
        made("example")(1)
    made("zfkernels.cpu.example")(1)
    assert capsys.readouterr().err == ""
