"""Vector instructions for numba kernels: a few short loops written out as vectors of 16 entries.

Left to itself the compiler guards such loops by overlap tests between all the arrays or gives up; here the
vectors are explicit, and the compiler only cuts them to what the processor has.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

__all__ = ["COPIES", "GROUP", "VECTOR", "add_groups", "add_pairs", "add_rows", "cross_rays", "read_rays"]

GROUP = 8  # rows (or views) summed at a time, while the sums stay in registers
VECTOR = 16  # every call handles this many entries
COPIES = 4  # sums kept apart, so that neighboring rays do not wait for one another at a shared pixel

_CONTRACT = ("contract",)


class Vectors:
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


def _add_rows(typing_context, sums, total, moment, x, offsets, fractions):  # type: ignore[no-untyped-def]
    """Add ``Σ_g x[offsets[g]:]`` to sums[total:], ``Σ_g fractions[g] x[offsets[g]:]`` to sums[moment:]."""
    if not _check(sums, offsets):
        return None
    signature = types.void(sums, total, moment, x, offsets, fractions)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        sums, total, moment, x, offsets, fractions = arguments
        v = Vectors(context, builder, signature.args[0].dtype)
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


def _add_groups(typing_context, out, at, x, stride, offsets, fractions):  # type: ignore[no-untyped-def]
    """``out[at:] += Σ_g x[offsets[g]:] + fractions[g] x[offsets[g] + stride:]``, VECTOR entries."""
    if not _check(out, offsets):
        return None
    signature = types.void(out, at, x, stride, offsets, fractions)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        out, at, x, stride, offsets, fractions = arguments
        v = Vectors(context, builder, signature.args[0].dtype)
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


class Rays(Vectors):
    """Sixteen rays at one row: where they cross it and how far between two pixels."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        super().__init__(context, builder, dtype)
        self.index_type = ir.VectorType(ir.IntType(32), VECTOR)
        self.pair_type = ir.VectorType(self.type.element, 2)

    def integers(self, array_type: Any, array: Any, index: Any) -> Any:
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        pointer = self.builder.bitcast(self.builder.gep(data, [index]), self.index_type.as_pointer())
        value = self.builder.load(pointer)
        value.align = 4
        return value

    def floor(self, value: Any) -> Any:
        name = f"llvm.floor.v{VECTOR}f{8 * self.align}"
        function = self.builder.module.globals.get(name)
        if function is None:
            function = ir.Function(self.builder.module, ir.FunctionType(self.type, [self.type]), name)
        return self.builder.call(function, [value])

    def clamp(self, index: Any, low: Any, high: Any) -> Any:
        low, high = (self._splat_index(bound) for bound in (low, high))
        index = self.builder.select(self.builder.icmp_signed("<", index, low), low, index)
        return self.builder.select(self.builder.icmp_signed(">", index, high), high, index)

    def _splat_index(self, scalar: Any) -> Any:
        undefined = ir.Constant(self.index_type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(self.index_type, [0] * VECTOR))

    def cross(self, base: Any, start: Any, step: Any, down: Any, low: Any, high: Any) -> tuple[Any, Any]:
        """(index, fraction) of start + step * down, the index clamped to where the margins are zero."""
        place = self.multiply_add(step, self.splat(down), start)
        whole = self.floor(place)
        index = self.builder.add(base, self.builder.fptosi(whole, self.index_type))
        return self.clamp(index, low, high), self.builder.fsub(place, whole)

    def pair(self, array_type: Any, array: Any, first: Any, indices: Any, lane: int) -> Any:
        """Pointer to two neighbors: entry ``first + indices[lane]`` and the next."""
        index = self.builder.extract_element(indices, ir.Constant(ir.IntType(32), lane))
        wide = self.builder.sext(index, ir.IntType(64))
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        pointer = self.builder.gep(self.builder.gep(data, [first]), [wide])
        return self.builder.bitcast(pointer, self.pair_type.as_pointer())

    def pick(self, a: Any, b: Any, lanes: Any) -> Any:
        lanes = list(lanes)
        return self.builder.shuffle_vector(
            a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        )

    def neighbors(self, array_type: Any, array: Any, first: Any, indices: Any) -> tuple[Any, Any]:
        """Entries ``first + indices`` and the next ones."""
        parts = [self.load(self.pair(array_type, array, first, indices, lane)) for lane in range(VECTOR)]
        size = 2
        while len(parts) > 1:  # one load a lane fetches both neighbors; join them, then part left from right
            parts = [self.pick(a, b, range(2 * size)) for a, b in zip(parts[::2], parts[1::2])]
            size *= 2
        left = self.pick(parts[0], parts[0], range(0, size, 2))
        return left, self.pick(parts[0], parts[0], range(1, size, 2))

    def store_pairs(
        self, types_: Any, indices: Any, both: Any, at: Any, index: Any, value: Any, moment: Any
    ) -> None:
        """Store ``index`` to indices[at:], pairs (value, moment) to both[2 at:]; types ``types_[:2]``."""
        data = self.context.make_array(types_[0])(self.context, self.builder, indices).data
        target = self.builder.bitcast(self.builder.gep(data, [at]), self.index_type.as_pointer())
        self.builder.store(index, target).align = 4
        for part in range(2):
            lanes = range(part * VECTOR // 2, (part + 1) * VECTOR // 2)
            mixed = self.pick(value, moment, [lane for k in lanes for lane in (k, VECTOR + k)])
            place = self.builder.mul(at, ir.Constant(at.type, 2))
            place = self.builder.add(place, ir.Constant(at.type, part * VECTOR))
            self.store(mixed, self.pointer(types_[1], both, place))


def _read_rays(typing_context, sums, at, x, row, base, start, step, down, low, high):  # type: ignore[no-untyped-def]
    """Add ``(1-f) x[row + i] + f x[row + i + 1]`` to ``sums[at + k]``, 16 rays.

    ``i + f = base[k] + start[k] + step[k] down``.
    """
    signature = types.void(sums, at, x, row, base, start, step, down, low, high)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        sums, at, x, row, base, start, step, down, low, high = arguments
        types_ = signature.args
        v = Rays(context, builder, types_[0].dtype)
        index, fraction = v.cross(
            v.integers(types_[4], base, at),
            v.load(v.pointer(types_[5], start, at)),
            v.load(v.pointer(types_[6], step, at)),
            down,
            low,
            high,
        )
        left, right = v.neighbors(types_[2], x, row, index)
        difference = builder.fsub(right, left, flags=_CONTRACT)
        target = v.pointer(types_[0], sums, at)
        v.store(v.add(v.load(target), v.multiply_add(fraction, difference, left)), target)
        return context.get_dummy_value()

    return signature, generate


def _cross_rays(typing_context, indices, both, values, at, base, start, step, down, low, high):  # type: ignore[no-untyped-def]
    """Store 16 rays' i to ``indices[at:]``, pairs (value, f value) to ``both[2 at:]``, as in `read_rays`."""
    signature = types.void(indices, both, values, at, base, start, step, down, low, high)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        indices, both, values, at, base, start, step, down, low, high = arguments
        types_ = signature.args
        v = Rays(context, builder, types_[1].dtype)
        index, fraction = v.cross(
            v.integers(types_[4], base, at),
            v.load(v.pointer(types_[5], start, at)),
            v.load(v.pointer(types_[6], step, at)),
            down,
            low,
            high,
        )
        value = v.load(v.pointer(types_[2], values, at))
        v.store_pairs(types_, indices, both, at, index, value, builder.fmul(fraction, value))
        return context.get_dummy_value()

    return signature, generate


def _add_pairs(typing_context, pairs, row, indices, both, at):  # type: ignore[no-untyped-def]
    """Add 16 pairs ``both[2 k:]`` to ``pairs[row + 2 (COPIES indices[k] + k % COPIES):]``, one by one."""
    signature = types.void(pairs, row, indices, both, at)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        pairs, row, indices, both, at = arguments
        types_ = signature.args
        v = Rays(context, builder, types_[0].dtype)
        pairs, indices, both = (
            context.make_array(types_[i])(context, builder, array).data
            for i, array in ((0, pairs), (2, indices), (3, both))
        )
        for lane in range(VECTOR):  # one number at a time: taking them out of a vector would be slower
            k = builder.add(at, ir.Constant(at.type, lane))
            index = builder.sext(builder.load(builder.gep(indices, [k])), at.type)
            place = builder.add(row, builder.mul(index, ir.Constant(at.type, 2 * COPIES)))
            place = builder.gep(builder.gep(pairs, [place]), [ir.Constant(at.type, 2 * (lane % COPIES))])
            place = builder.bitcast(place, v.pair_type.as_pointer())
            pair = builder.gep(both, [builder.mul(k, ir.Constant(at.type, 2))])
            pair = v.load(builder.bitcast(pair, v.pair_type.as_pointer()))
            v.store(builder.fadd(v.load(place), pair), place)
        return context.get_dummy_value()

    return signature, generate


# what the kernels call: without the first argument, which numba supplies
add_rows: Any = intrinsic(_add_rows)
add_groups: Any = intrinsic(_add_groups)
read_rays: Any = intrinsic(_read_rays)
cross_rays: Any = intrinsic(_cross_rays)
add_pairs: Any = intrinsic(_add_pairs)
