"""The innermost loop of every product of matrices here, written as vector instructions of LLVM.

A tile of MR rows by NV vectors of the result stays in registers. Each step of the sum loads NV vectors of b, and for every row
copies one number of a into all lanes and multiplies and adds NV times: MR + NV loads for MR * NV multiply-adds, so that the
arithmetic units, not the loads, are the limit. Numba's own loops leave the choice of registers to LLVM, which finds no such tile.
"""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError

from zfkernels.cpu.processor import VECTORS

intrinsic: Any = numba.extending.intrinsic  # what it returns takes other arguments than its annotations say

NV = 3
MR = 8 if VECTORS.registers >= 32 else 4
"""Tile: MR * NV sums, NV vectors of b and one of a fill 28 of 32 registers, or all 16; both are multiples of what hides the
latency of a multiply-add, and MR pointers fit the machine's other registers."""

INT = ir.IntType(64)


def _of_one_type(*arrays: types.Array) -> None:
    """Pointers are read as the first array's numbers, whatever they are."""
    if len({array.dtype for array in arrays}) > 1:
        raise TypingError(f"arrays of one float type are needed, not {', '.join(str(array.dtype) for array in arrays)}")


class Emitter:
    """LLVM instructions on vectors of one float type."""

    def __init__(self, builder: ir.IRBuilder, dtype: types.Float) -> None:
        self.builder = builder
        self.size = dtype.bitwidth // 8
        self.lanes = VECTORS.size // self.size
        self.vector = ir.VectorType(ir.FloatType() if self.size == 4 else ir.DoubleType(), self.lanes)
        fma = f"llvm.fma.v{self.lanes}f{dtype.bitwidth}"
        self.fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(self.vector, [self.vector] * 3), fma)

    def at(self, pointer: ir.Value, offset: ir.Value | int) -> ir.Value:
        return self.builder.gep(pointer, [INT(offset) if isinstance(offset, int) else offset])

    def load(self, pointer: ir.Value) -> ir.Value:
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def spread(self, number: ir.Value) -> ir.Value:
        """`number` in all lanes."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(nothing, number, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None))

    def evens(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The lanes 0, 2, 4... of a and b, one behind the other."""
        return self.shuffle(a, b, [2 * i for i in range(self.lanes)])

    def swap_quarters(self, a: ir.Value, b: ir.Value, half: int) -> tuple[ir.Value, ir.Value]:
        """Of every 2*half lanes: the first halves of a and b, and their second halves."""
        lanes = range(self.lanes)
        first = [self.lanes + i - half if i & half else i for i in lanes]
        second = [self.lanes + i if i & half else i + half for i in lanes]
        return self.shuffle(a, b, first), self.shuffle(a, b, second)

    def shuffle(self, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
        """The lanes of a, then of b, in another order."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), lanes))

    def total(self, vector: ir.Value) -> ir.Value:
        """The sum of all lanes, by halves."""
        half = self.lanes // 2
        while half:
            vector = self.builder.fadd(vector, self.shuffle(vector, vector, [(i + half) % self.lanes for i in range(self.lanes)]))
            half //= 2
        return self.builder.extract_element(vector, ir.IntType(32)(0))

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        if VECTORS.fused:
            return self.builder.call(self.fma, [a, b, c])
        return self.builder.fadd(self.builder.fmul(a, b), c)


def _data(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, i: int) -> ir.Value:
    """Pointer to the elements of an argument that is an array, or the address of one (see `vectors.address`)."""
    if isinstance(signature.args[i], types.CPointer):
        return arguments[i]
    return context.make_array(signature.args[i])(context, builder, arguments[i]).data


class _Operands:
    """Where the arguments of `add_products` point to."""

    def __init__(self, emit: Emitter, context: Any, signature: Any, arguments: Any) -> None:
        pointers = {i: _data(context, emit.builder, signature, arguments, i) for i in (0, 3, 4, 6, 7, 8)}
        self.c, self.c_stride = emit.at(pointers[0], arguments[1]), arguments[2]
        self.a, self.a_rows, self.a_offsets = pointers[3], emit.at(pointers[4], arguments[5]), pointers[6]
        self.b, self.b_offsets = pointers[7], pointers[8]
        self.depth, self.fresh = arguments[9], emit.builder.icmp_signed("!=", arguments[10], INT(0))


def _emit_tile(emit: Emitter, o: _Operands, rows: int, vectors: int) -> None:
    """The loop for one shape of tile; the builder is left behind it."""
    builder, cells = emit.builder, [(i, j) for i in range(rows) for j in range(vectors)]
    a = [emit.at(o.a, builder.load(emit.at(o.a_rows, i))) for i in range(rows)]
    c = {(i, j): emit.at(o.c, builder.add(builder.mul(INT(i), o.c_stride), INT(j * emit.lanes))) for i, j in cells}
    zero = {cell: ir.Constant(emit.vector, None) for cell in cells}
    clear, go_on, loop = (builder.append_basic_block(name) for name in ("clear", "go_on", "step"))
    builder.cbranch(o.fresh, clear, go_on)
    builder.position_at_end(clear)
    builder.branch(loop)
    builder.position_at_end(go_on)
    before = {cell: emit.load(c[cell]) for cell in cells}
    builder.branch(loop)

    builder.position_at_end(loop)
    k = builder.phi(INT)
    sums = {cell: builder.phi(emit.vector) for cell in cells}
    a_offset, b_step = builder.load(emit.at(o.a_offsets, k)), emit.at(o.b, builder.load(emit.at(o.b_offsets, k)))
    b = [emit.load(emit.at(b_step, j * emit.lanes)) for j in range(vectors)]
    added: dict[tuple[int, int], ir.Value] = {}
    for i in range(rows):
        weight = emit.spread(builder.load(emit.at(a[i], a_offset)))
        added |= {(i, j): emit.multiply_add(weight, b[j], sums[i, j]) for j in range(vectors)}
    following = builder.add(k, INT(1))
    for block, start in ((clear, zero), (go_on, before), (loop, added)):
        k.add_incoming(following if block is loop else INT(0), block)
        for cell in cells:
            sums[cell].add_incoming(start[cell], block)
    done, add, store = (builder.append_basic_block(name) for name in ("done", "add", "store"))
    builder.cbranch(builder.icmp_signed("<", following, o.depth), loop, done)

    builder.position_at_end(done)
    builder.cbranch(o.fresh, add, store)
    builder.position_at_end(add)
    for cell in cells:
        emit.store(builder.fadd(emit.load(c[cell]), added[cell]), c[cell])
    end = builder.append_basic_block("end")
    builder.branch(end)
    builder.position_at_end(store)
    for cell in cells:
        emit.store(added[cell], c[cell])
    builder.branch(end)
    builder.position_at_end(end)


@intrinsic
def add_products(typing, c, c_first, c_stride, a, a_rows, row, a_offsets, b, b_offsets, depth, fresh, rows, vectors):
    """``c[c_first + i*c_stride + j] += sum over k < depth of a[a_rows[row + i] + a_offsets[k]] * b[b_offsets[k] + j]``

    for ``i < rows`` and j in `vectors` vectors; depth >= 1, 1 <= rows <= MR, 1 <= vectors <= NV. Arrays are flat.

    The terms are added to c one after the other or, if `fresh`, summed from zero and then added: the former gives the same bits
    wherever a sum is cut, the latter has smaller errors in long sums.
    """
    _of_one_type(c, a, b)
    whole = types.intp
    signature = types.void(c, whole, whole, a, a_rows, whole, a_offsets, b, b_offsets, whole, whole, whole, whole)

    def codegen(context, builder, signature, arguments):
        emit = Emitter(builder, signature.args[0].dtype)
        operands = _Operands(emit, context, signature, arguments)
        end = builder.append_basic_block("end")
        shape = builder.add(builder.mul(arguments[11], INT(NV + 1)), arguments[12])
        switch = builder.switch(shape, end)
        for rows in range(1, MR + 1):
            for vectors in range(1, NV + 1):
                block = builder.append_basic_block(f"tile_{rows}x{vectors}")
                switch.add_case(INT(rows * (NV + 1) + vectors), block)
                builder.position_at_end(block)
                _emit_tile(emit, operands, rows, vectors)
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def pick_vector(typing, target, t, source, s, stride):
    """``target[t + lane] = source[s + lane*stride]`` for every lane of a vector; stride 1, 2 or 4. Arrays are flat.

    All of ``source[s : s + lanes*stride]`` is read.
    """
    _of_one_type(target, source)
    signature = types.void(target, types.intp, source, types.intp, types.intp)

    def codegen(context, builder, signature, arguments):
        emit = Emitter(builder, signature.args[0].dtype)
        target, source = (_data(context, builder, signature, arguments, i) for i in (0, 2))
        to, of, end = emit.at(target, arguments[1]), emit.at(source, arguments[3]), builder.append_basic_block("end")
        switch = builder.switch(arguments[4], end)
        for stride in (1, 2, 4):
            block = builder.append_basic_block(f"stride_{stride}")
            switch.add_case(INT(stride), block)
            builder.position_at_end(block)
            vectors = [emit.load(emit.at(of, i * emit.lanes)) for i in range(stride)]
            while len(vectors) > 1:
                vectors = [emit.evens(a, b) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
            emit.store(vectors[0], to)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def transpose_tile(typing, target, t, t_stride, source, s, s_stride):
    """``target[t + j*t_stride + i] = source[s + i*s_stride + j]`` for i and j less than the lanes of a vector. Arrays are flat."""
    _of_one_type(target, source)
    signature = types.void(target, types.intp, types.intp, source, types.intp, types.intp)

    def codegen(context, builder, signature, arguments):
        emit = Emitter(builder, signature.args[0].dtype)
        to = emit.at(_data(context, builder, signature, arguments, 0), arguments[1])
        of = emit.at(_data(context, builder, signature, arguments, 3), arguments[4])
        lines = [emit.load(emit.at(of, builder.mul(INT(i), arguments[5]))) for i in range(emit.lanes)]
        half = emit.lanes // 2
        while half:  # swap the off-diagonal quarters of every square of 2*half, then of the squares in it
            for i in range(emit.lanes):
                if not i & half:
                    lines[i], lines[i + half] = emit.swap_quarters(lines[i], lines[i + half], half)
            half //= 2
        for j, line in enumerate(lines):
            emit.store(line, emit.at(to, builder.mul(INT(j), arguments[2])))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def prefetch(typing, array, i):
    """Ask for ``array[i]`` to be brought into the second-level cache; nothing waits for it."""
    signature = types.void(array, types.intp)

    def codegen(context, builder, signature, arguments):
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.gep(_data(context, builder, signature, arguments, 0), [arguments[1]])
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(place, byte), i32(0), i32(2), i32(1)])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def add_dots(typing, c, c_first, c_step, c_stride, a, a_first, a_stride, b, b_first, b_stride, depth, rows, columns):
    """``c[c_first + i*c_step + j*c_stride] += sum over k < depth of a[a_first + i*a_stride + k] * b[b_first + j*b_stride + k]``

    for ``i < rows <= MR`` and ``j < columns <= NV``; depth is a positive multiple of the lanes of a vector. Arrays are flat.
    """
    _of_one_type(c, a, b)
    whole = types.intp
    signature = types.void(c, whole, whole, whole, a, whole, whole, b, whole, whole, whole, whole, whole)

    def codegen(context, builder, signature, arguments):
        emit = Emitter(builder, signature.args[0].dtype)
        c, a, b = (emit.at(_data(context, builder, signature, arguments, i), arguments[i + 1]) for i in (0, 4, 7))
        c_strides, a_stride, b_stride, depth = arguments[2:4], arguments[6], arguments[9], arguments[10]
        end = builder.append_basic_block("end")
        switch = builder.switch(builder.add(builder.mul(arguments[11], INT(NV + 1)), arguments[12]), end)
        for rows in range(1, MR + 1):
            for columns in range(1, NV + 1):
                block = builder.append_basic_block(f"dots_{rows}x{columns}")
                switch.add_case(INT(rows * (NV + 1) + columns), block)
                builder.position_at_end(block)
                a_rows = [emit.at(a, builder.mul(INT(i), a_stride)) for i in range(rows)]
                b_rows = [emit.at(b, builder.mul(INT(j), b_stride)) for j in range(columns)]
                for (i, j), sums in _emit_dots(emit, a_rows, b_rows, depth).items():
                    place = emit.at(c, builder.add(builder.mul(INT(i), c_strides[0]), builder.mul(INT(j), c_strides[1])))
                    builder.store(builder.fadd(builder.load(place), emit.total(sums)), place)
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, codegen


def _emit_dots(emit: Emitter, a: list[ir.Value], b: list[ir.Value], depth: ir.Value) -> dict[tuple[int, int], ir.Value]:
    """The loop of `add_dots` for one shape: a sum in every lane, for every row of a with every row of b."""
    builder, cells = emit.builder, [(i, j) for i in range(len(a)) for j in range(len(b))]
    entry, loop, done = builder.block, builder.append_basic_block("step"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(INT)
    sums = {cell: builder.phi(emit.vector) for cell in cells}
    b_vectors = [emit.load(emit.at(row, k)) for row in b]
    added: dict[tuple[int, int], ir.Value] = {}
    for i, row in enumerate(a):
        a_vector = emit.load(emit.at(row, k))
        added |= {(i, j): emit.multiply_add(a_vector, b_vectors[j], sums[i, j]) for j in range(len(b))}
    following = builder.add(k, INT(emit.lanes))
    k.add_incoming(INT(0), entry)
    k.add_incoming(following, loop)
    for cell in cells:
        sums[cell].add_incoming(ir.Constant(emit.vector, None), entry)
        sums[cell].add_incoming(added[cell], loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
    builder.position_at_end(done)
    return added
