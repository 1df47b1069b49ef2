"""Vectors inside compiled functions: sixteen numbers side by side, in whatever registers the processor has.

LLVM turns a loop into vectors when it sees fit, and in short rows or between two strides it does not. A function written in
these terms is vectors, on every processor: one register of AVX-512 for sixteen float32, two of AVX2, four of NEON or SSE.
Loads and stores take an array's `address` and an index, which nothing checks.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import extending
from numba.core import cgutils, types
from numba.extending import models, overload, register_model

from zfkernels.cpu.processor import VECTORS

LANES = 16

intrinsic: Any = extending.intrinsic  # it drops the first argument, the typing context


class Vector(types.Type):
    """The type of sixteen numbers of one type, or of sixteen truths."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(f"Vector({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, ir.VectorType(manager.lookup(fe_type.dtype).get_value_type(), LANES))


@intrinsic
def address(typingctx, array):
    """Where a contiguous array begins. It indexes like a flat array, without looking.

    Who uses it keeps the array alive: Numba lets go of a local array after its last use, which the use of an address is not. See `hold`.

    Arrays that are passed on are counted, with a call at every branch; addresses are numbers.
    """

    def build(context, builder, signature, arguments):
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), build


@intrinsic
def hold(typingctx, array):
    """Does nothing; up to here a local array is alive, and so what its address points to."""
    return types.void(array), lambda context, builder, signature, arguments: context.get_dummy_value()


@intrinsic
def offset(typingctx, pointer, index):
    """The address so many elements further."""

    def build(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.intp), build


def _place(context, builder, pointer, index, dtype):
    """The address of a vector, and the alignment it is sure to have."""
    vector = ir.VectorType(context.get_value_type(dtype), LANES)
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer()), context.get_abi_sizeof(vector.element)


def _shuffle(builder, low, high, places):
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(places)))


@intrinsic
def load(typingctx, pointer, index):
    """``pointer[index : index + 16]``"""

    def build(context, builder, signature, arguments):
        start, index = arguments
        place, size = _place(context, builder, start, index, pointer.dtype)
        return builder.load(place, align=size)

    return Vector(pointer.dtype)(pointer, types.intp), build


@intrinsic
def store(typingctx, pointer, index, vector):
    """``pointer[index : index + 16] = vector``"""

    def build(context, builder, signature, arguments):
        start, index, numbers = arguments
        place, size = _place(context, builder, start, index, pointer.dtype)
        builder.store(numbers, place, align=size)
        return context.get_dummy_value()

    return types.void(pointer, types.intp, vector), build


@intrinsic
def splat(typingctx, number):
    """The number in every lane."""

    def build(context, builder, signature, arguments):
        vector = ir.VectorType(arguments[0].type, LANES)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        return _shuffle(builder, one, ir.Constant(vector, ir.Undefined), [0] * LANES)

    return Vector(number)(number), build


def _pick(places, name, doc):
    def pick(typingctx, low, high):
        def build(context, builder, signature, arguments):
            low, high = arguments
            return _shuffle(builder, low, high, places)

        return low(low, high), build

    pick.__name__, pick.__doc__ = name, doc
    return intrinsic(pick)


evens = _pick(range(0, 2 * LANES, 2), "evens", "Every second of thirty-two numbers, from the first on.")
odds = _pick(range(1, 2 * LANES, 2), "odds", "Every second of thirty-two numbers, from the second on.")
lower_pairs = _pick([i // 2 + i % 2 * LANES for i in range(LANES)], "lower_pairs", "The first sixteen of two vectors' numbers in turn.")
upper_pairs = _pick(
    [(i + LANES) // 2 + i % 2 * LANES for i in range(LANES)], "upper_pairs", "The last sixteen of two vectors' numbers in turn."
)


@intrinsic
def first_lanes(typingctx, count):
    """True in the first `count` lanes; a count fits 32 bits."""

    def build(context, builder, signature, arguments):
        lanes, i32 = ir.VectorType(ir.IntType(32), LANES), ir.IntType(32)
        one = builder.insert_element(ir.Constant(lanes, ir.Undefined), builder.trunc(arguments[0], i32), ir.Constant(i32, 0))
        counts = _shuffle(builder, one, ir.Constant(lanes, ir.Undefined), [0] * LANES)
        return builder.icmp_signed("<", ir.Constant(lanes, list(range(LANES))), counts)

    return Vector(types.boolean)(types.intp), build


@intrinsic
def select(typingctx, truths, yes, no):
    """Lane by lane `yes` or `no`."""

    def build(context, builder, signature, arguments):
        return builder.select(*arguments)

    return yes(truths, yes, no), build


def _comparison(name, doc, compare):
    def relate(typingctx, left, right):
        def build(context, builder, signature, arguments):
            return compare(builder, *arguments)

        return Vector(types.boolean)(left, right), build

    relate.__name__, relate.__doc__ = name, doc
    return intrinsic(relate)


differs = _comparison(
    "differs", "Where two numbers are not equal; NaN equals nothing.", lambda builder, a, b: builder.fcmp_unordered("!=", a, b)
)
exceeds = _comparison("exceeds", "Where `left` is larger than `right`.", lambda builder, a, b: builder.fcmp_ordered(">", a, b))
unordered = _comparison("unordered", "Where either is NaN.", lambda builder, a, b: builder.fcmp_unordered("uno", a, b))
either = _comparison("either", "Lane by lane, one truth or the other.", lambda builder, a, b: builder.or_(a, b))
but_not = _comparison(
    "but_not", "Lane by lane, the first truth and not the second.", lambda builder, a, b: builder.and_(a, builder.not_(b))
)


def _verdict(name, doc, relation, pattern):
    def judge(typingctx, truths):
        def build(context, builder, signature, arguments):
            bits = builder.bitcast(arguments[0], ir.IntType(LANES))
            return builder.icmp_unsigned(relation, bits, ir.Constant(ir.IntType(LANES), pattern))

        return types.boolean(truths), build

    judge.__name__, judge.__doc__ = name, doc
    return intrinsic(judge)


anywhere = _verdict("anywhere", "Whether any of the truths holds.", "!=", 0)
everywhere = _verdict("everywhere", "Whether all of the truths hold.", "==", 2**LANES - 1)


@intrinsic
def multiply_add(typingctx, left, right, total):
    """``left * right + total``, rounded once where the processor does that in one instruction."""

    def build(context, builder, signature, arguments):
        a, b, c = arguments
        if not VECTORS.fused:
            return builder.fadd(builder.fmul(a, b), c)
        name = f"llvm.fma.v{LANES}f{left.dtype.bitwidth}"
        return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name), [a, b, c])

    return total(left, right, total), build


@intrinsic
def keep(typingctx, pointer, index, vector, truths):
    """Store the numbers of the lanes that hold side by side from ``pointer[index]`` on; returns how many they are."""

    def build(context, builder, signature, arguments):
        start, index, numbers, held = arguments
        place, count = builder.gep(start, [index]), ir.IntType(LANES)
        kind = ir.FunctionType(ir.VoidType(), [numbers.type, place.type, held.type])
        name = f"llvm.masked.compressstore.v{LANES}i{vector.dtype.bitwidth}"
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [numbers, place, held])
        return builder.zext(builder.ctpop(builder.bitcast(held, count)), ir.IntType(64))

    return types.intp(pointer, types.intp, vector, truths), build


@intrinsic
def inverse_fourth_root(typingctx, vector):
    """``vector**-0.25`` to a rounding or two, lane by lane; of normal numbers whose fourth power is one.

    A quarter of the logarithm is nearly a quarter of the bits. What that is off, 3 % at most, Halley's iteration cubes.
    """

    def build(context, builder, signature, arguments):
        (s,), kind = arguments, arguments[0].type
        width = 8 * context.get_abi_sizeof(kind.element)
        bias, fraction, rounds = {32: (127, 23, 2), 64: (1023, 52, 3)}[width]
        bits = ir.VectorType(ir.IntType(width), LANES)
        # 5/4 of the bias would be exact for powers of 16; 0.0606 less halves the error in between.
        guess = ir.Constant(bits, [int((1.25 * bias - 0.0606) * 2**fraction)] * LANES)
        quarter = builder.lshr(builder.bitcast(s, bits), ir.Constant(bits, [2] * LANES))
        z = builder.bitcast(builder.sub(guess, quarter), kind)
        one, linear, square = (ir.Constant(kind, [number] * LANES) for number in (1, 1 / 4, 5 / 32))
        fused = ["contract"]
        for _ in range(rounds):
            z2 = builder.fmul(z, z)
            h = builder.fsub(one, builder.fmul(s, builder.fmul(z2, z2), flags=fused), flags=fused)
            factor = builder.fadd(linear, builder.fmul(h, square, flags=fused), flags=fused)
            z = builder.fadd(z, builder.fmul(builder.fmul(z, h), factor, flags=fused), flags=fused)
        return z

    return vector(vector), build


def _arithmetic(operation, of_floats, of_integers):
    @intrinsic
    def combine(typingctx, left, right):
        floats = isinstance(left.dtype, types.Float)

        def build(context, builder, signature, arguments):
            # "contract": a product and the sum it goes into may be rounded once.
            return getattr(builder, of_floats)(*arguments, flags=["contract"]) if floats else getattr(builder, of_integers)(*arguments)

        return left(left, right), build

    @overload(operation)
    def operate(left, right):
        if isinstance(left, Vector) and left == right:
            return lambda left, right: combine(left, right)
        return None


for _operation, _of_floats, _of_integers in (
    (operator.add, "fadd", "add"), (operator.sub, "fsub", "sub"), (operator.mul, "fmul", "mul"), (operator.truediv, "fdiv", "sdiv"),
):  # fmt: skip
    _arithmetic(_operation, _of_floats, _of_integers)
