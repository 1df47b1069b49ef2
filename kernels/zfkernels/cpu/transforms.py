"""Tiles of vectors, multiplied by small constant matrices from both sides.

What is the same for all lanes of a vector is written here as one run of instructions without loops; LLVM finds the registers.
Arrays come as the addresses of their elements (see `vectors.address`).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from llvmlite import ir
from numba import types

from zfkernels.cpu.microkernel import INT, Emitter, intrinsic
from zfkernels.minimal_filtering import Matrix, halves

Vectors = list[ir.Value]


def _place(builder: ir.IRBuilder, first: ir.Value, *steps: tuple[int, ir.Value]) -> ir.Value:
    """``first`` and so many times each stride."""
    for count, stride in steps:
        first = builder.add(first, builder.mul(INT(count), stride))
    return first


# ---- matrix times vectors


def _sum(emit: Emitter, row: tuple[Fraction, ...], vectors: Vectors) -> ir.Value:
    """The sum of products of a row; a coefficient of one costs no product."""
    terms = [(c, v) for c, v in zip(row, vectors, strict=True) if c]
    (first, result), *rest = sorted(terms, key=lambda term: term[0] != 1)
    if first != 1:
        result = emit.builder.fmul(_constant(emit, first), result)
    for c, vector in rest:
        if abs(c) == 1:
            result = (emit.builder.fadd if c == 1 else emit.builder.fsub)(result, vector)
        else:
            result = emit.multiply_add(_constant(emit, c), vector, result)
    return result


def _constant(emit: Emitter, number: Fraction) -> ir.Constant:
    return ir.Constant(emit.vector, [float(number)] * emit.lanes)


def _paired_columns(emit: Emitter, matrix: Matrix, vectors: Vectors) -> tuple[Matrix, Vectors]:
    """The same product, with sum and difference of two vectors in their place where their columns differ in signs alone."""
    columns, values = list(zip(*matrix, strict=True)), list(vectors)
    for i in range(len(columns) - 1):
        split = halves(columns[i], columns[i + 1])
        if split and any(columns[i]):
            columns[i : i + 2] = split
            values[i : i + 2] = emit.builder.fadd(*values[i : i + 2]), emit.builder.fsub(*values[i : i + 2])
    return tuple(zip(*columns, strict=True)), values


def _apply(emit: Emitter, matrix: Matrix, vectors: Vectors) -> Vectors:
    """``matrix @ vectors``; what two neighbouring rows or columns share but for signs is computed once."""
    matrix, vectors = _paired_columns(emit, matrix, vectors)
    results: Vectors = []
    for i, row in enumerate(matrix):
        if len(results) > i:
            continue
        split = halves(row, matrix[i + 1]) if i + 1 < len(matrix) else None
        if split:
            even, odd = (_sum(emit, half, vectors) for half in split)
            results += [emit.builder.fadd(even, odd), emit.builder.fsub(even, odd)]
        else:
            results.append(_sum(emit, row, vectors))
    return results


# ---- tiles


def _both_sides(emit: Emitter, matrix: Matrix, source: ir.Value, first: ir.Value, row: ir.Value, column: ir.Value) -> list[Vectors]:
    """``matrix @ tile @ matrix'`` of a tile in memory."""
    columns, side = [], range(len(matrix[0]))
    for j in side:
        tile = [emit.load(emit.at(source, _place(emit.builder, first, (i, row), (j, column)))) for i in side]
        columns.append(_apply(emit, matrix, tile))
    return [_apply(emit, matrix, list(line)) for line in zip(*columns, strict=True)]


def _store_tile(emit: Emitter, lines: list[Vectors], target: ir.Value, first: ir.Value, row: ir.Value, column: ir.Value) -> None:
    for i, line in enumerate(lines):
        for j, value in enumerate(line):
            emit.store(value, emit.at(target, _place(emit.builder, first, (i, row), (j, column))))


def _finished(emit: Emitter, lines: list[Vectors], shift: ir.Value, rectified: ir.Value) -> list[Vectors]:
    """With a bias added, and of that the positive part if `rectified`. NaN is not less than zero: it stays."""
    builder, truths = emit.builder, ir.VectorType(ir.IntType(1), emit.lanes)
    zero, yes = ir.Constant(emit.vector, None), ir.Constant(truths, [1] * emit.lanes)
    cut = builder.select(rectified, yes, ir.Constant(truths, None))
    lines = [[builder.fadd(value, shift) for value in line] for line in lines]
    return [[builder.select(builder.and_(cut, builder.fcmp_ordered("<=", v, zero)), zero, v) for v in line] for line in lines]


def both_sides(matrices: Mapping[int, Matrix], biased: bool = False) -> Any:
    """``transform(which, target, first, row, column, source, source_first, source_row, source_column)`` for compiled code

    puts ``matrix @ tile @ matrix'`` of a square tile of vectors, line by line, ``matrix = matrices[which]``. Element (i, j), one
    vector, lies at ``first + i*row + j*column`` from either address on. If `biased`, two arguments more, ``bias, rectified``: the
    vector at the address `bias` is added to every element, and the positive part taken if `rectified`.
    """

    def build(context, builder, signature, arguments):
        emit, end = Emitter(builder, signature.args[1].dtype), builder.append_basic_block("end")
        switch = builder.switch(arguments[0], end)
        for which, matrix in matrices.items():
            block = builder.append_basic_block(f"tile_{which}")
            switch.add_case(INT(which), block)
            builder.position_at_end(block)
            lines = _both_sides(emit, matrix, *arguments[5:9])
            _store_tile(emit, _finished(emit, lines, emit.load(arguments[9]), arguments[10]) if biased else lines, *arguments[1:5])
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    whole = types.intp

    @intrinsic
    def transform(typing, which, target, first, row, column, source, source_first, source_row, source_column):
        return types.void(whole, target, whole, whole, whole, source, whole, whole, whole), build

    @intrinsic
    def transform_biased(
        typing, which, target, first, row, column, source, source_first, source_row, source_column, bias, rectified
    ):
        return types.void(whole, target, whole, whole, whole, source, whole, whole, whole, bias, types.boolean), build

    return transform_biased if biased else transform
