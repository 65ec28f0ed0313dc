"""Pixel-driven backprojection in a plane, linear on the detector, and its exact adjoint, by sixteen pixels.

A view sees the pixel (x, y) at a column given by the ratio of two affine functions (`fdk`). Along a row of
pixels, at x = m + t, that is

    column = column(m) + a t / (1 + b t)     or     column(m) + per_radian * atan(a t / (1 + b t))     on a
    curved detector,

with a and b from the values at m. Rows are cut into pieces whose middle m is found in double precision;
relative to it single precision suffices, and the arc tangent is that of a small angle, a short series.
Columns rise or fall along a row, so that sixteen neighbors read a short window of the detector (see `lerp`).
Pixels next to the source, and curved detectors in double precision, are done one by one.

The adjoint adds a pixel's value to two sums a column, as the adjoint in `rays` does.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from invcore import threads

from .lerp import INDICES, MARGIN, Lanes, window
from .vector import COPIES, VECTOR, Rays, add_pairs

__all__ = ["plane_adjoint", "plane_backproject", "seen"]

PIECE = 256  # pixels from one middle
BEFORE = 2  # zeros before a detector line
ABREAST = 8  # rows that a view is added to at a time
_LARGEST = 0.25  # tangent up to which the series is accurate to 2e-8
_FAR = 1e6  # columns that are counted exactly
_SERIES = (1 / 9, -1 / 7, 1 / 5, -1 / 3, 1.0)

AFFINE, FLAT, CURVED = 0, 1, 2


class _Pixels(Lanes, Rays):
    """Sixteen pixels of a row: the detector columns on both sides and between, and the weight."""

    def seen(self, kind: int, numbers: list[Any], low: Any, high: Any) -> tuple[Any, Any, Any]:
        """(column, fraction, weight or None); columns count from the one left of the piece's middle."""
        b_ = self.builder
        first, start, a, b, weight, per_radian = numbers
        lanes = self.constant([float(i) for i in range(VECTOR)])
        t = b_.fadd(self.splat(first), lanes)
        shift = b_.fmul(t, self.splat(a), flags=("contract",))
        weight = self.splat(weight)
        one = self.constant([1.0] * VECTOR)
        if kind != AFFINE:
            cosine = self.multiply_add(t, self.splat(b), one)
        if kind == FLAT:
            inverse = b_.fdiv(one, cosine)
            shift = b_.fmul(shift, inverse)
            weight = b_.fmul(weight, b_.fmul(inverse, inverse))
        if kind == CURVED:  # one division for the tangent and for the weight
            square = self.multiply_add(shift, shift, b_.fmul(cosine, cosine))
            both = b_.fdiv(one, b_.fmul(cosine, square))
            tangent = b_.fmul(shift, b_.fmul(square, both))
            weight = b_.fmul(weight, b_.fmul(cosine, both))
            z = b_.fmul(tangent, tangent)
            series = self.constant([_SERIES[0]] * VECTOR)
            for coefficient in _SERIES[1:]:
                series = self.multiply_add(series, z, self.constant([coefficient] * VECTOR))
            shift = b_.fmul(b_.fmul(series, tangent), self.splat(per_radian))
        place = self.clamp(b_.fadd(shift, self.splat(start)), self.splat(low), self.splat(high))
        whole = self.floor(place)
        return b_.fptosi(whole, INDICES), b_.fsub(place, whole), weight

    def two(self, array_type: Any, array: Any, at: Any, index: Any, registers: int) -> tuple[Any, Any]:
        """Entries ``at + index`` and the next; ``index`` is monotonic and spans < 16 * registers - 2."""
        if not self.permutes(registers):
            return self.neighbors(array_type, array, at, index)
        ends = [self.builder.extract_element(index, ir.Constant(ir.IntType(32), k)) for k in (0, VECTOR - 1)]
        first = self.builder.select(self.builder.icmp_signed("<", *ends), *ends)
        first = self.builder.sub(
            first, ir.Constant(ir.IntType(32), 1)
        )  # rounding may take one below both ends
        near = self.builder.sub(index, self.splat_index(first))
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        start = self.at(self.at(data, at), self.builder.sext(first, ir.IntType(64)))
        left = self.permute(start, near, registers)
        return left, self.permute(self.at(start, ir.Constant(ir.IntType(64), 1)), near, registers)


def _make_read(kind: int, registers: int) -> Any:
    @intrinsic
    def read(typing_context, out, at, q, q_at, first, start, a, b, weight, per_radian, low, high):  # type: ignore[no-untyped-def]
        real = out.dtype
        signature = types.void(out, types.intp, q, types.intp, *[real] * 8)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            out, at, q, q_at, *numbers, low, high = arguments
            v = _Pixels(context, builder, real)
            index, fraction, weight = v.seen(kind, numbers, low, high)
            left, right = v.two(signature.args[2], q, q_at, index, registers)
            value = v.multiply_add(fraction, builder.fsub(right, left), left)
            target = v.pointer(signature.args[0], out, at)
            v.store(v.multiply_add(value, weight, v.load(target)), target)
            return context.get_dummy_value()

        return signature, generate

    return read


def _make_cross(kind: int) -> Any:
    @intrinsic
    def cross(  # type: ignore[no-untyped-def]
        typing_context, indices, both, at, x, x_at, base, first, start, a, b, weight, per_radian, low, high
    ):
        real = both.dtype
        signature = types.void(indices, both, types.intp, x, types.intp, types.int32, *[real] * 8)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            indices, both, at, x, x_at, base, *numbers, low, high = arguments
            v = _Pixels(context, builder, real)
            index, fraction, weight = v.seen(kind, numbers, low, high)
            value = builder.fmul(weight, v.load(v.pointer(signature.args[3], x, x_at)))
            index = builder.add(index, v.splat_index(base))
            v.store_pairs(signature.args, indices, both, at, index, value, builder.fmul(fraction, value))
            return context.get_dummy_value()

        return signature, generate

    return cross


_affine_2, _affine_4, _affine_0 = (_make_read(AFFINE, n) for n in (2, 4, 0))
_flat_2, _flat_4, _flat_0 = (_make_read(FLAT, n) for n in (2, 4, 0))
_curved_2, _curved_4, _curved_0 = (_make_read(CURVED, n) for n in (2, 4, 0))
_cross_affine, _cross_flat, _cross_curved = (_make_cross(kind) for kind in (AFFINE, FLAT, CURVED))


@njit(nogil=True, cache=True)
def seen(view, x, y, middle, per_radian, power):  # type: ignore[no-untyped-def]
    """Detector column, magnification and weight at which ``view`` (its ten numbers) sees (x, y)."""
    near = view[0] + view[1] * x + view[2] * y
    side = view[3] + view[4] * x + view[5] * y
    if per_radian == 0:
        if near <= 0:
            return -2.0, 0.0, 0.0
        magnification = 1 / near
        column = middle + side * magnification
    else:
        length = math.sqrt(near * near + side * side)
        if length == 0:
            return -2.0, 0.0, 0.0
        column = middle + per_radian * math.atan2(side, near)
        magnification = 1 / length
    weight = view[9]
    for _ in range(power):
        weight *= magnification
    return column, magnification, weight


@njit(nogil=True, cache=True)
def _piece(view, m, y, half, middle, per_radian, power, single):  # type: ignore[no-untyped-def]
    """(kind, column, a, b, weight, largest step) of the pixels m - half to m + half; kind -1: one by one."""
    near = view[0] + view[1] * m + view[2] * y
    side = view[3] + view[4] * m + view[5] * y
    if per_radian == 0:
        if view[1] == 0 and near > 0:
            inverse = 1 / near
            a = view[4] * inverse
            return AFFINE, middle + side * inverse, a, 0.0, view[9] * inverse**power, abs(a)
        if power != 2 or near <= 0:
            return -1, 0.0, 0.0, 0.0, 0.0, 0.0
        inverse = 1 / near
        b = view[1] * inverse
        shift = side * inverse
        a = (view[4] - view[1] * shift) * inverse
        least = 1 - half * abs(b)
        if least < 0.1:
            return -1, 0.0, 0.0, 0.0, 0.0, 0.0
        return FLAT, middle + shift, a, b, view[9] * inverse * inverse, abs(a) / (least * least)
    square = near * near + side * side
    if power != 2 or square == 0 or not single:
        return -1, 0.0, 0.0, 0.0, 0.0, 0.0
    inverse = 1 / square
    a = (view[4] * near - view[1] * side) * inverse
    b = (view[1] * near + view[4] * side) * inverse
    least = 1 - half * abs(b)
    if least < 0.1 or half * abs(a) > _LARGEST * least:
        return -1, 0.0, 0.0, 0.0, 0.0, 0.0
    column = middle + per_radian * math.atan2(side, near)
    return CURVED, column, a, b, view[9] * inverse, per_radian * abs(a) / (least * least)


@njit(nogil=True)
def _read(kind, registers, out, at, q, q_at, length, numbers, curve, ends):  # type: ignore[no-untyped-def]
    """Add a view to ``length`` pixels ``out[at:]``."""
    half, start, a, b, weight = numbers
    low, high = ends
    for k in range(0, length, VECTOR):
        t = out.dtype.type(k) - half
        if kind == AFFINE and registers == 2:
            _affine_2(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)
        elif kind == AFFINE and registers == 4:
            _affine_4(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)
        elif kind == AFFINE and registers == 0:
            _affine_0(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)
        elif kind == FLAT and registers == 2:
            _flat_2(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)
        elif kind == FLAT and registers == 4:
            _flat_4(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)
        elif kind == FLAT and registers == 0:
            _flat_0(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)
        elif kind == CURVED and registers == 2:
            _curved_2(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)
        elif kind == CURVED and registers == 4:
            _curved_4(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)
        else:
            _curved_0(out, at + k, q, q_at, t, start, a, b, weight, curve, low, high)


@njit(nogil=True)
def _cross(kind, indices, both, x, at, base, length, numbers, curve, ends):  # type: ignore[no-untyped-def]
    """Columns from ``base`` that see ``length`` pixels ``x[at:]``, and their pairs of value and moment."""
    half, start, a, b, weight = numbers
    low, high = ends
    for k in range(0, length, VECTOR):
        t = x.dtype.type(k) - half
        if kind == AFFINE:
            _cross_affine(indices, both, k, x, at + k, base, t, start, a, b, weight, curve, low, high)
        elif kind == FLAT:
            _cross_flat(indices, both, k, x, at + k, base, t, start, a, b, weight, curve, low, high)
        else:
            _cross_curved(indices, both, k, x, at + k, base, t, start, a, b, weight, curve, low, high)


@njit(nogil=True, cache=True)
def _backproject(q, views, image, nx, middle, per_radian, power, low, high):  # type: ignore[no-untyped-def]
    """Add views ``q`` (views, BEFORE + columns + MARGIN) to rows low..high of the image (whole vectors).

    ``q`` has zeros at both ends.
    """
    real = q.dtype.type
    count, stride = q.shape
    columns = stride - BEFORE - MARGIN
    flat, out = q.reshape(-1), image.reshape(-1)
    width = image.shape[1]
    single = q.itemsize == 4
    for top in range(low, high, ABREAST):
        for n in range(count):
            view = views[n]
            for y in range(top, min(top + ABREAST, high)):
                x, length = 0, PIECE
                while x < width:
                    length = min(length, width - x)
                    half = 0.5 * (length - 1)
                    kind, column, a, b, weight, step = _piece(
                        view, x + half, y, half, middle, per_radian, power, single
                    )
                    if abs(column) > _FAR:
                        kind = -1
                    if kind < 0 and length > VECTOR:
                        length = length // 2 // VECTOR * VECTOR
                        continue
                    if kind < 0:
                        for k in range(x, min(x + length, nx)):
                            column, _, weight = seen(view, k, y, middle, per_radian, power)
                            if -1 < column < columns:
                                whole = math.floor(column)
                                f, j = real(column - whole), BEFORE + int(whole)
                                image[y, k] += real(weight) * (q[n, j] + f * (q[n, j + 1] - q[n, j]))
                    elif column + half * step > -1 and column - half * step < columns:
                        base = math.floor(column)
                        ends = (real(-1 - base), real(columns - base))
                        numbers = (real(half), real(column - base), real(a), real(b), real(weight))
                        q_at = n * stride + BEFORE + int(base)
                        _read(
                            kind,
                            window(step),
                            out,
                            y * width + x,
                            flat,
                            q_at,
                            length,
                            numbers,
                            real(per_radian),
                            ends,
                        )
                    x += length
                    length = PIECE


@njit(nogil=True, cache=True)
def _project(image, views, out, nx, middle, per_radian, power, low, high):  # type: ignore[no-untyped-def]
    """The adjoint for the views low..high: image (rows of whole vectors), out (views, columns)."""
    real = out.dtype.type
    columns = out.shape[1]
    rows, width = image.shape
    flat = image.reshape(-1)
    single = out.itemsize == 4
    indices = np.zeros(PIECE, np.int32)
    both = np.zeros(2 * PIECE, out.dtype)
    entry = 2 * COPIES
    pairs = np.empty(entry * (columns + 3), out.dtype)  # column j at j + 1
    for n in range(low, high):
        view = views[n]
        pairs[:] = 0
        for y in range(rows):
            x, length = 0, PIECE
            while x < width:
                length = min(length, width - x)
                half = 0.5 * (length - 1)
                kind, column, a, b, weight, step = _piece(
                    view, x + half, y, half, middle, per_radian, power, single
                )
                if abs(column) > _FAR:
                    kind = -1
                if kind < 0 and length > VECTOR:
                    length = length // 2 // VECTOR * VECTOR
                    continue
                if kind < 0:
                    for k in range(x, min(x + length, nx)):
                        column, _, weight = seen(view, k, y, middle, per_radian, power)
                        if -1 < column < columns:
                            whole = math.floor(column)
                            j, value = 1 + int(whole), real(weight) * image[y, k]
                            pairs[entry * j] += value
                            pairs[entry * j + 1] += real(column - whole) * value
                elif column + half * step > -1 and column - half * step < columns:
                    base = math.floor(column)
                    ends = (real(-1 - base), real(columns - base))
                    numbers = (real(half), real(column - base), real(a), real(b), real(weight))
                    first = np.int32(base + 1)
                    at = y * width + x
                    _cross(kind, indices, both, flat, at, first, length, numbers, real(per_radian), ends)
                    for k in range(0, length, VECTOR):
                        add_pairs(pairs, 0, indices, both, k)
                x += length
                length = PIECE
        for j in range(columns):
            value = real(0)
            for i in range(0, entry, 2):
                here = entry * (j + 1) + i
                value += (pairs[here] - pairs[here + 1]) + pairs[here - entry + 1]
            out[n, j] = value


def _whole(length: int) -> int:
    return -(-length // VECTOR) * VECTOR


def plane_backproject(
    projections: NDArray[np.floating],
    views: NDArray[np.float64],
    shape: tuple[int, int],
    *,
    per_radian: float = 0.0,
    power: int = 2,
) -> NDArray[np.floating]:
    """Images (n, *shape): sums over the views of weighted, interpolated projections (n, views, columns)."""
    n, _, columns = projections.shape
    rows, cols = shape
    out = np.zeros((n, rows, _whole(cols)), projections.dtype)
    options = ((columns - 1) / 2, per_radian, power)
    for projection, image in zip(projections, out):
        q = np.pad(projection, ((0, 0), (BEFORE, MARGIN)))
        threads.run(
            lambda a, b, q=q, image=image: _backproject(q, views, image, cols, *options, a, b),
            threads.pieces(rows, least=ABREAST),
        )
    return np.ascontiguousarray(out[..., :cols])


def plane_adjoint(
    images: NDArray[np.floating],
    views: NDArray[np.float64],
    columns: int,
    *,
    per_radian: float = 0.0,
    power: int = 2,
) -> NDArray[np.floating]:
    """The exact adjoint of `plane_backproject`: (n, y, x) to (n, views, columns)."""
    cols = images.shape[2]
    images = np.pad(images, ((0, 0), (0, 0), (0, _whole(cols) - cols)))
    out = np.empty((len(images), len(views), columns), images.dtype)
    options = ((columns - 1) / 2, per_radian, power)
    for image, projection in zip(images, out):
        threads.run(
            lambda a, b, image=image, out=projection: _project(image, views, out, cols, *options, a, b),
            threads.pieces(len(views)),
        )
    return out
