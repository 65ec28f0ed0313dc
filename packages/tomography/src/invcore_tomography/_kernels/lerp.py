"""Linear interpolation of a contiguous line at equidistant positions, and its transpose, by sixteen entries.

The position of output ``a`` is ``t(a) = start + a * step``. Sixteen neighboring outputs read a short window
of the line, so the values come from two (or four) vector registers by permutation rather than from memory one
by one; a processor without such a permutation, double precision and steps outside the window take the loads
one by one. All variants use the same weights.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from .vector import VECTOR, Vectors

__all__ = ["MARGIN", "TAPS", "blend", "interpolate", "spread", "window"]

MARGIN = 80  # entries that may be read (not used) beyond the end of a line
TAPS = 16  # most outputs that contribute to one entry of the line; also the zeros in front of a spread line

_I32, _I64 = ir.IntType(32), ir.IntType(64)
INDICES = ir.VectorType(_I32, VECTOR)


def _permutes() -> bool:
    """True if the processor permutes two 64-byte registers."""
    return bool(llvm.get_host_cpu_features().get("avx512f", False))


class Lanes(Vectors):
    """Vectors of positions, and look-up in a line of memory."""

    def constant(self, values: list[float]) -> Any:
        return ir.Constant(self.type, values)

    def affine(self, first: Any, step: Any, start: Any) -> Any:
        """``start + (first + lane) * step``; ``first`` an integer."""
        lanes = self.constant([float(i) for i in range(VECTOR)])
        number = self.builder.fadd(self.splat(self.builder.sitofp(first, self.type.element)), lanes)
        return self.multiply_add(number, self.splat(step), self.splat(start))

    def clamp(self, x: Any, low: Any, high: Any) -> Any:
        x = self.builder.select(self.builder.fcmp_ordered(">", x, low), x, low)
        return self.builder.select(self.builder.fcmp_ordered("<", x, high), x, high)

    def call(self, name: str, x: Any, *others: Any) -> Any:
        arguments = (x, *others)
        kind = ir.FunctionType(self.type, [a.type for a in arguments])
        function = self.builder.module.globals.get(name) or ir.Function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def suffix(self) -> str:
        return f"v{VECTOR}f{self.align * 8}"

    def at(self, base: Any, offset: Any) -> Any:
        return self.builder.gep(base, [offset], inbounds=True)

    def line(self, base: Any, offset: int) -> Any:
        pointer = self.at(base, _I64(offset))
        return self.load(self.builder.bitcast(pointer, self.type.as_pointer()))

    def gather(self, base: Any, index: Any) -> Any:
        out = ir.Constant(self.type, ir.Undefined)
        for lane in range(VECTOR):
            offset = self.builder.sext(self.builder.extract_element(index, _I32(lane)), _I64)
            out = self.builder.insert_element(out, self.builder.load(self.at(base, offset)), _I32(lane))
        return out

    def permute(self, base: Any, index: Any, registers: int) -> Any:
        """Entries ``base[index]`` for ``0 <= index < 16 * registers``; two or four registers."""
        name = "llvm.x86.avx512.vpermi2var.ps.512"
        low = self.call(name, self.line(base, 0), index, self.line(base, 16))
        if registers == 2:
            return low
        high = self.call(name, self.line(base, 32), index, self.line(base, 48))
        beyond = self.builder.icmp_signed(">", index, ir.Constant(INDICES, [31] * VECTOR))
        return self.builder.select(beyond, high, low)

    def permutes(self, registers: int) -> bool:
        return registers > 0 and self.align == 4 and _permutes()

    def splat_index(self, scalar: Any) -> Any:
        undefined = ir.Constant(INDICES, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, _I32(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(INDICES, [0] * VECTOR))

    def look_up(self, base: Any, index: Any, shifts: list[int], registers: int) -> list[Any]:
        """``base[index + shift]`` for each shift; ``index`` must not decrease, and span < 16 * registers."""
        if not self.permutes(registers):
            return [self.gather(self.at(base, _I64(shift)), index) for shift in shifts]
        first = self.builder.extract_element(index, _I32(0))
        near = self.builder.sub(index, self.splat_index(first))
        start = self.at(base, self.builder.sext(first, _I64))
        return [self.permute(self.at(start, _I64(shift)), near, registers) for shift in shifts]


def _make_interpolate(registers: int) -> Any:
    @intrinsic
    def interpolate16(typing_context, line, out, at, first, start, step, low, high):  # type: ignore[no-untyped-def]
        real = line.dtype
        signature = types.void(line, out, types.intp, types.intp, real, real, real, real)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            line, out, at, first, start, step, low, high = arguments
            v = Lanes(context, builder, real)
            base = context.make_array(signature.args[0])(context, builder, line).data
            t = v.clamp(v.affine(first, step, start), v.splat(low), v.splat(high))
            index = builder.fptosi(t, INDICES)
            fraction = builder.fsub(t, builder.sitofp(index, v.type))
            left, right = v.look_up(base, index, [0, 1], registers)
            target = v.pointer(signature.args[1], out, at)
            value = v.add(v.load(target), left)
            v.store(v.multiply_add(fraction, builder.fsub(right, left), value), target)
            return context.get_dummy_value()

        return signature, generate

    return interpolate16


def _make_spread(registers: int) -> Any:
    @intrinsic
    def spread16(  # type: ignore[no-untyped-def]
        typing_context, q, q_at, out, at, other, weight, other_weight, first, start, step, inverse, rows, taps
    ):
        real = q.dtype
        index_type = types.intp
        signature = types.void(
            q,
            index_type,
            out,
            index_type,
            index_type,
            real,
            real,
            index_type,
            real,
            real,
            real,
            real,
            types.int32,
        )

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            q, q_at, out, at, other, weight, other_weight, first, start, step, inverse, rows, taps = arguments
            v = Lanes(context, builder, real)
            data = context.make_array(signature.args[0])(context, builder, q).data
            base = v.at(data, q_at)  # entry 0 of the line, TAPS zeros before it
            lanes = v.constant([float(i) for i in range(VECTOR)])
            k = builder.fadd(v.splat(builder.sitofp(first, v.type.element)), lanes)
            one = v.constant([1.0] * VECTOR)
            start_v, step_v = v.splat(start), v.splat(step)
            lowest = builder.fmul(builder.fsub(builder.fsub(k, one), start_v), v.splat(inverse))
            lowest = builder.fadd(v.call(f"llvm.floor.{v.suffix()}", lowest), one)
            lowest = v.clamp(lowest, v.constant([-float(TAPS)] * VECTOR), v.splat(rows))
            index = builder.fptosi(lowest, INDICES)
            total = _local(builder, v.type)
            builder.store(v.constant([0.0] * VECTOR), total)
            counter = _local(builder, _I32)
            builder.store(_I32(0), counter)
            function = builder.function
            body, done = function.append_basic_block("tap"), function.append_basic_block("taps.done")
            builder.branch(body)
            builder.position_at_end(body)
            m = builder.load(counter)
            shifted = v.at(base, builder.sext(m, _I64))
            value = v.look_up(shifted, index, [0], registers)[0]
            number = builder.fadd(lowest, v.splat(builder.sitofp(m, v.type.element)))
            distance = builder.fsub(v.multiply_add(number, step_v, start_v), k)
            hat = builder.fsub(one, v.call(f"llvm.fabs.{v.suffix()}", distance))
            zero = v.constant([0.0] * VECTOR)
            hat = builder.select(builder.fcmp_ordered(">", hat, zero), hat, zero)
            builder.store(v.multiply_add(value, hat, builder.load(total)), total)
            following = builder.add(m, _I32(1))
            builder.store(following, counter)
            builder.cbranch(builder.icmp_signed("<", following, taps), body, done)
            builder.position_at_end(done)
            c = builder.load(total)
            for place, factor in ((at, weight), (other, other_weight)):
                target = v.pointer(signature.args[2], out, place)
                v.store(v.multiply_add(c, v.splat(factor), v.load(target)), target)
            return context.get_dummy_value()

        return signature, generate

    return spread16


def _local(builder: Any, kind: Any) -> Any:
    """A local variable, placed in the entry block so that it becomes a register."""
    with builder.goto_entry_block():
        return builder.alloca(kind)


_interpolate_2, _interpolate_4, _interpolate_0 = (_make_interpolate(n) for n in (2, 4, 0))
_spread_2, _spread_4, _spread_0 = (_make_spread(n) for n in (2, 4, 0))


@intrinsic
def _blend16(typing_context, x, at, other, weight, other_weight, out, to):  # type: ignore[no-untyped-def]
    real = x.dtype
    signature = types.void(x, types.intp, types.intp, real, real, out, types.intp)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, at, other, weight, other_weight, out, to = arguments
        v = Vectors(context, builder, real)
        first = v.load(v.pointer(signature.args[0], x, at))
        second = v.load(v.pointer(signature.args[0], x, other))
        product = builder.fmul(first, v.splat(weight))
        v.store(v.multiply_add(second, v.splat(other_weight), product), v.pointer(signature.args[5], out, to))
        return context.get_dummy_value()

    return signature, generate


@njit(nogil=True)
def window(step):  # type: ignore[no-untyped-def]
    """Number of registers that hold what sixteen neighbors ``step`` apart read: 2, 4, or 0 for more."""
    if 0.0 <= step <= 1.9:
        return 2
    return 4 if 0.0 <= step <= 4.0 else 0


@njit(nogil=True)
def blend(x, at, other, weight, other_weight, out, to, length):  # type: ignore[no-untyped-def]
    """Set ``out[to + k] = weight * x[at + k] + other_weight * x[other + k]``.

    k < length, rounded up to VECTOR.
    """
    for k in range(0, length, VECTOR):
        _blend16(x, at + k, other + k, weight, other_weight, out, to + k)  # type: ignore[call-arg]


@njit(nogil=True)
def interpolate(line, out, at, first, last, start, step, low, high):  # type: ignore[no-untyped-def]
    """Add ``line(clamp(start + a * step, low, high))`` to ``out[at + a]``.

    ``first <= a < last``, rounded up to VECTOR;
    ``step >= 0``; ``MARGIN`` entries may be read beyond ``line[high]``.
    """
    registers = window(step)
    if registers == 2:
        for a in range(first, last, VECTOR):
            _interpolate_2(line, out, at + a, a, start, step, low, high)
    elif registers == 4:
        for a in range(first, last, VECTOR):
            _interpolate_4(line, out, at + a, a, start, step, low, high)
    else:
        for a in range(first, last, VECTOR):
            _interpolate_0(line, out, at + a, a, start, step, low, high)


@njit(nogil=True)
def spread(q, q_at, out, at, other, weight, other_weight, first, last, start, step, rows, taps):  # type: ignore[no-untyped-def]
    """Add ``weight * c[k]`` to ``out[at + k]``, ``other_weight * c[k]`` to ``out[other + k]``.

    c is the transpose of the interpolation:

    ``c[k] = Σ_a q[q_at + a] max(0, 1 - |start + a * step - k|)`` for ``first <= k < last`` rounded up to
    VECTOR, with at most ``taps = ceil(2 / step) <= TAPS`` rows a each; ``TAPS`` zeros before ``q[q_at]`` and
    ``MARGIN`` entries, ``TAPS`` of them zero, from ``q[q_at + rows]``.
    """
    inverse = 1 / step
    registers = window(inverse)
    if registers == 2:
        for k in range(first, last, VECTOR):
            _spread_2(
                q, q_at, out, at + k, other + k, weight, other_weight, k, start, step, inverse, rows, taps
            )
    elif registers == 4:
        for k in range(first, last, VECTOR):
            _spread_4(
                q, q_at, out, at + k, other + k, weight, other_weight, k, start, step, inverse, rows, taps
            )
    else:
        for k in range(first, last, VECTOR):
            _spread_0(
                q, q_at, out, at + k, other + k, weight, other_weight, k, start, step, inverse, rows, taps
            )
