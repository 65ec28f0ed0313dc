"""Vector instructions for numba kernels: two short loops written out as 64-byte vectors.

Left to itself the compiler guards such loops by overlap tests between all the arrays or gives up; here the vectors are
explicit, and the compiler only cuts them to what the processor has.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

__all__ = ["GROUP", "VECTOR", "add_groups", "add_rows"]

GROUP = 8  # rows (or views) summed at a time, while the sums stay in registers
VECTOR = 16  # every call handles this many entries

_CONTRACT = ("contract",)


class _Vectors:
    """Loads, stores and products of vectors of ``VECTOR`` entries, for one code generation."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        self.type = ir.VectorType(context.get_data_type(dtype), VECTOR)
        self.align = dtype.bitwidth // 8

    def pointer(self, array_type: Any, array: Any, index: Any) -> Any:
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        return self.builder.bitcast(self.builder.gep(data, [index]), self.type.as_pointer())

    def load(self, pointer: Any) -> Any:
        value = self.builder.load(pointer)
        value.align = self.align
        return value

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, pointer).align = self.align

    def splat(self, scalar: Any) -> Any:
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), [0] * VECTOR)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b, flags=_CONTRACT)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.fadd(self.builder.fmul(a, b, flags=_CONTRACT), c, flags=_CONTRACT)


def _check(array: Any, offsets: Any) -> bool:
    return isinstance(array, types.Array) and array.layout == "C" and len(offsets) == GROUP


@intrinsic
def add_rows(typing_context, sums, total, moment, x, offsets, fractions):  # type: ignore[no-untyped-def]
    """``sums[total:] += Σ_g x[offsets[g]:]`` and ``sums[moment:] += Σ_g fractions[g] x[offsets[g]:]``, VECTOR entries."""
    if not _check(sums, offsets):
        return None
    signature = types.void(sums, total, moment, x, offsets, fractions)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        sums, total, moment, x, offsets, fractions = arguments
        v = _Vectors(context, builder, signature.args[0].dtype)
        at_total = v.pointer(signature.args[0], sums, total)
        at_moment = v.pointer(signature.args[0], sums, moment)
        a, b = v.load(at_total), v.load(at_moment)
        for g in range(GROUP):
            row = v.load(v.pointer(signature.args[3], x, builder.extract_value(offsets, g)))
            a = v.add(a, row)
            b = v.multiply_add(row, v.splat(builder.extract_value(fractions, g)), b)
        v.store(a, at_total)
        v.store(b, at_moment)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_groups(typing_context, out, at, x, stride, offsets, fractions):  # type: ignore[no-untyped-def]
    """``out[at:] += Σ_g x[offsets[g]:] + fractions[g] x[offsets[g] + stride:]``, VECTOR entries."""
    if not _check(out, offsets):
        return None
    signature = types.void(out, at, x, stride, offsets, fractions)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        out, at, x, stride, offsets, fractions = arguments
        v = _Vectors(context, builder, signature.args[0].dtype)
        target = v.pointer(signature.args[0], out, at)
        value = v.load(target)
        for g in range(GROUP):
            offset = builder.extract_value(offsets, g)
            total = v.load(v.pointer(signature.args[2], x, offset))
            moment = v.load(v.pointer(signature.args[2], x, builder.add(offset, stride)))
            value = v.multiply_add(moment, v.splat(builder.extract_value(fractions, g)), v.add(value, total))
        v.store(value, target)
        return context.get_dummy_value()

    return signature, generate
