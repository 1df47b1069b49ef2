"""What kernels say to the processor that Numba has no words for: a few numbers in one access, and arithmetic in 32 bits.

Numba's own accesses are of one number each, its integers of 64 bits. Where these functions touch memory, nothing is checked, and an
index counts from the array's beginning.
"""

from __future__ import annotations

from typing import Any

from zfkernels.cuda.device import SIMULATED

if SIMULATED:

    def load(to: Any, at: int, source: Any, start: int, width: int) -> None:
        """``to[at : at + width] = source[start : start + width]``, read at once: the width is a constant, and start a multiple of it."""
        assert start % width == 0
        for lane in range(width):
            to[at + lane] = source[start + lane]

    def store(to: Any, start: int, source: Any, at: int, width: int) -> None:
        """``to[start : start + width] = source[at : at + width]``, written at once: the width is a constant, and start a multiple of it."""
        assert start % width == 0
        for lane in range(width):
            to[start + lane] = source[at + lane]

    def inside(i: Any, step: Any, size: Any) -> bool:
        """Whether ``0 <= i + step < size``."""
        return 0 <= int(i) + int(step) < size

    def quotient(i: Any, n: Any) -> Any:
        """``i // n`` of numbers from 0 to 2**32 - 1, n not 0."""
        assert 0 <= i < 1 << 32 and 0 < n < 1 << 32
        return i // n

else:
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    def _element(context: Any, builder: Any, array: Any, value: Any, index: Any) -> Any:
        return builder.gep(context.make_array(array)(context, builder, value).data, [index])

    def _vector(context: Any, builder: Any, array: Any, value: Any, index: Any, width: Any) -> Any:
        """(Where the vector lies, its alignment)."""
        dtype, lanes = context.get_value_type(array.dtype), width.literal_value
        place = _element(context, builder, array, value, index)
        kind = ir.VectorType(dtype, lanes) if lanes > 1 else dtype
        return builder.bitcast(place, kind.as_pointer()), lanes * (array.dtype.bitwidth // 8)

    @intrinsic
    def load(typingctx, to, at, source, start, width):
        if not isinstance(width, types.IntegerLiteral):
            return None  # Numba asks again with what it knows of constants

        def build(context, builder, signature, arguments):
            place, size = _vector(context, builder, source, arguments[2], arguments[3], width)
            vector = builder.load(place, align=size)
            for lane in range(width.literal_value):
                index = ir.Constant(ir.IntType(32), lane)
                target = _element(context, builder, to, arguments[0], builder.add(arguments[1], arguments[1].type(lane)))
                builder.store(builder.extract_element(vector, index) if width.literal_value > 1 else vector, target)
            return context.get_dummy_value()

        return types.void(to, types.intp, source, types.intp, width), build

    @intrinsic
    def store(typingctx, to, start, source, at, width):
        if not isinstance(width, types.IntegerLiteral):
            return None  # Numba asks again with what it knows of constants

        def build(context, builder, signature, arguments):
            place, size = _vector(context, builder, to, arguments[0], arguments[1], width)
            vector = ir.Constant(place.type.pointee, ir.Undefined)
            for lane in range(width.literal_value):
                index = ir.Constant(ir.IntType(32), lane)
                value = builder.load(_element(context, builder, source, arguments[2], builder.add(arguments[3], arguments[3].type(lane))))
                vector = builder.insert_element(vector, value, index) if width.literal_value > 1 else value
            builder.store(vector, place, align=size)
            return context.get_dummy_value()

        return types.void(to, types.intp, source, types.intp, width), build

    @intrinsic
    def inside(typingctx, i, step, size):
        def build(context, builder, signature, arguments):
            return builder.icmp_unsigned("<", builder.add(*arguments[:2]), arguments[2])

        return types.boolean(types.int32, types.int32, types.int32), build

    @intrinsic
    def quotient(typingctx, i, n):
        def build(context, builder, signature, arguments):
            short = (builder.trunc(argument, ir.IntType(32)) for argument in arguments)
            return builder.zext(builder.udiv(*short), arguments[0].type)

        return types.intp(types.intp, types.intp), build
