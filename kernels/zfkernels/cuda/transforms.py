"""Square tiles multiplied by small constant matrices from both sides: device functions without loops.

They are written here as text, one statement for each step, so that every value of a tile has a name, and so a register: an array of
them would lie in memory where the compiler leaves a loop as it is.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.minimal_filtering import Matrix, halves


def element(array: str, place: str) -> str:
    """An element of a flat array. Of an unsigned place the compiler knows that it does not count from the end."""
    return f"{array}[unsigned({place})]"


class Code:
    """Statements of a device function, one after the other.

    Parameters
    ----------
    dtype : dtype
        Of all constants; Python's own would make float64 of float32.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype, self.lines = dtype, list[str]()
        self.names: dict[str, Any] = {"unsigned": np.uint64}

    def value(self, expression: str) -> str:
        """A new name for the value of an expression."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def constant(self, number: Fraction | int) -> str:
        """The name of a constant."""
        name = f"c{number}".replace("/", "_").replace("-", "minus_")
        self.names[name] = self.dtype.type(float(number))
        return name

    def device_function(self, name: str, *parameters: str) -> Any:
        """The statements, compiled for kernels to call."""
        exec("\n    ".join([f"def {name}({', '.join(parameters)}):", *self.lines]), self.names)  # the text is from here
        return cuda.jit(device=True)(self.names[name])

    # ---- matrix times values

    def _sum(self, row: tuple[Fraction, ...], values: list[str]) -> str:
        """The sum of products of a row; a coefficient of one costs no product."""
        (first, value), *rest = sorted(((c, v) for c, v in zip(row, values, strict=True) if c), key=lambda term: term[0] != 1)
        terms = [value if first == 1 else f"{self.constant(first)} * {value}"]
        terms += [f"{'-' if c < 0 else '+'} {v}" if abs(c) == 1 else f"+ {self.constant(c)} * {v}" for c, v in rest]
        return self.value(" ".join(terms))

    def _both(self, a: str, b: str) -> list[str]:
        return [self.value(f"{a} + {b}"), self.value(f"{a} - {b}")]

    def product(self, matrix: Matrix, values: list[str]) -> list[str]:
        """``matrix @ values``; what two neighbouring rows or columns share but for signs is computed once."""
        columns, values, results = list(zip(*matrix, strict=True)), list(values), list[str]()
        for i in range(len(columns) - 1):
            split = halves(columns[i], columns[i + 1])
            if split and any(columns[i]):
                columns[i : i + 2], values[i : i + 2] = split, self._both(*values[i : i + 2])
        rows = list(zip(*columns, strict=True))
        while len(results) < len(rows):
            row, *following = rows[len(results) :]
            split = halves(row, following[0]) if following else None
            results += self._both(*(self._sum(half, values) for half in split)) if split else [self._sum(row, values)]
        return results

    def both_sides(self, matrix: Matrix, tile: list[list[str]]) -> list[list[str]]:
        """``matrix @ tile @ matrix'``, line by line, of a tile of expressions."""
        columns = [self.product(matrix, [self.value(expression) for expression in column]) for column in zip(*tile, strict=True)]
        return [self.product(matrix, list(line)) for line in zip(*columns, strict=True)]
