"""Parallel-beam projection by unit shears: an addition and a multiplication per pixel and view, no gathers.

Along the view's main axis, Joseph's rule reads row r of the image at c = t + slope (r - (rows-1)/2), linearly
interpolated. For rays one half pixel apart all positions in a row share their fractional part, so that a row
enters the sums of all rays with a few constant weights. Let row r be shifted by o = slope
(r - (rows-1)/2) = ref + f - p/2 with f in [0, 1/2) and parity p in {0, 1}; then

    S_p[j] = Σ_{r of parity p} image[r, j + ref_r],      T_p[j] = Σ_{r of parity p} f_r image[r, j + ref_r]

hold all that is needed: with a_p[j] = S_p[j] - T_p[j] + T_p[j+1] and
b_p[j] = (S_p[j] + S_p[j+1])/2 - T_p[j] + T_p[j+1], the Joseph sums at t = j and t = j + 1/2 are
Q[2j] = a_0[j] + b_1[j-1] and Q[2j+1] = b_0[j] + a_1[j]. The detector's columns at t0 + k dt are read from Q
by Keys' cubic convolution (Keys 1981, a = -1/2), which is third-order accurate. The adjoint runs the same
steps transposed.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from invcore import threads

from .buffers import BEFORE, SPREAD, Array, Jobs, call, contiguous, merges, padded, stride
from .vector import GROUP, VECTOR, add_groups, add_rows

__all__ = ["parallel_adjoint", "parallel_forward"]

MARGIN = 4  # entries beyond the last needed one, so that the cubic's four taps stay inside
ABREAST = 4  # views that pass over the image together, while its rows are in the cache
ACROSS = 256  # columns that the adjoint fills at a time, while the sums they come from are in the cache
CHUNK = 32 << 20  # bytes of sheared sums held at a time by the adjoint


class _Side(NamedTuple):
    """The views with one main axis, in the frame where that axis is the rows."""

    views: NDArray[np.int64]  # their numbers
    rows: int
    cols: int
    slope: NDArray[np.float64]
    t0: NDArray[np.float64]
    dt: NDArray[np.float64]
    weight: NDArray[np.float64]
    first: NDArray[np.int64]  # the smallest j of S and T that is kept
    length: NDArray[np.int64]  # how many; 0: the detector misses the image
    shift: NDArray[np.int64]  # bound of |ref|


def _side(
    main: int,
    axis: NDArray[np.uint8],
    slope: NDArray[np.float64],
    t0: NDArray[np.float64],
    dt: NDArray[np.float64],
    weight: NDArray[np.float64],
    columns: int,
    shape: tuple[int, int],
) -> _Side:
    views = np.flatnonzero(axis == main)
    rows, cols = shape if main == 0 else shape[::-1]
    slope, t0, dt, weight = (
        np.ascontiguousarray(p[views], dtype=np.float64) for p in (slope, t0, dt, weight)
    )
    if not all(np.isfinite(p).all() for p in (slope, t0, dt, weight)):
        raise ValueError("slope, t0, dt and weight must be finite")
    slope = np.clip(slope, -1e12, 1e12)
    limit = 2.0**52
    shift = np.floor(np.minimum(np.abs(slope) * (rows - 1) / 2, limit)).astype(np.int64) + 1
    ends = np.clip(np.stack([t0, t0 + (columns - 1) * dt]), -limit, limit)
    low = np.floor(ends.min(axis=0)).astype(np.int64) - MARGIN + 1
    high = np.floor(ends.max(axis=0)).astype(np.int64) + MARGIN
    first = np.maximum(low, -shift - MARGIN)
    length = np.minimum(high, cols + shift + MARGIN) - first + 1
    length = np.where((length < MARGIN) | (columns == 0), 0, length)
    return _Side(views, rows, cols, slope, t0, dt, weight, first, length, shift)


# -- forward ------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _split(slope, row, rows):  # type: ignore[no-untyped-def]
    """(ref, f, parity) of one row: slope (row - (rows-1)/2) = ref + f - parity/2."""
    twice = 2 * slope * (row - 0.5 * (rows - 1))
    half = np.floor(twice)
    index = np.int64(half)
    return (index + 1) >> 1, 0.5 * (twice - half), index & 1


@njit(nogil=True, cache=True)
def _groups(slope, rows, cols, stride, first, length, offsets, fractions, ranges):  # type: ignore[no-untyped-def]
    """Gather the rows of each parity into groups of GROUP with nearly the same shift; return how many groups.

    offsets[g, i] + j is where entry j of S and T meets the buffer; ranges[g] = (parity, first j, end of j) of
    the group.
    """
    count = 0
    zero_row = rows * stride + BEFORE
    group = np.full(2, -1)  # the group of each parity that is being filled, and what is in it
    filled = np.zeros(2, np.int64)
    lowest = np.zeros(2, np.int64)
    highest = np.zeros(2, np.int64)
    for row in range(rows):
        ref, fraction, p = _split(slope, row, rows)
        low = max(0, -ref - first)  # entries of S and T that this row reaches
        high = min(length, cols - ref - first)
        if high <= low:
            continue
        g = group[p]
        if g < 0 or filled[p] == GROUP or max(highest[p], ref) - min(lowest[p], ref) > SPREAD:
            if g >= 0:
                for i in range(filled[p], GROUP):
                    offsets[g, i] = zero_row - ranges[g, 1]
                    fractions[g, i] = 0
            g = count
            count += 1
            group[p] = g
            filled[p] = 0
            lowest[p] = highest[p] = ref
            ranges[g, 0] = p
            ranges[g, 1] = low
            ranges[g, 2] = high
        lowest[p], highest[p] = min(lowest[p], ref), max(highest[p], ref)
        ranges[g, 1] = min(ranges[g, 1], low)
        ranges[g, 2] = max(ranges[g, 2], high)
        offsets[g, filled[p]] = row * stride + BEFORE + first + ref
        fractions[g, filled[p]] = fraction
        filled[p] += 1
    for p in range(2):
        if group[p] >= 0:
            g = group[p]
            for i in range(filled[p], GROUP):
                offsets[g, i] = zero_row - ranges[g, 1]
                fractions[g, i] = 0
    return count


@njit(nogil=True, cache=True, fastmath={"contract"})
def _resample(fine, length, t0, dt, first, weight, out):  # type: ignore[no-untyped-def]
    """Keys' cubic convolution of the half-pixel samples at the detector's columns."""
    one = out.dtype.type(1)
    half = one / 2
    scale = out.dtype.type(weight)
    last = 2 * length - 3
    for k in range(out.size):
        s = 2 * (t0 + k * dt - first)
        base = np.floor(s)
        w = out.dtype.type(s - base)
        m = np.int64(min(max(base, 1.0), float(last)))
        v = one - w
        p0 = -half * w * v * v
        p3 = -half * v * w * w
        p1 = one - w * w * (5 * half - 3 * half * w)
        p2 = one - v * v * (5 * half - 3 * half * v)
        i = np.uint64(m - 1)
        out[k] = scale * (
            p0 * fine[i]
            + p1 * fine[i + np.uint64(1)]
            + p2 * fine[i + np.uint64(2)]
            + p3 * fine[i + np.uint64(3)]
        )


@njit(nogil=True, cache=True, fastmath={"contract"})
def _interleave(sums, width, length, fine):  # type: ignore[no-untyped-def]
    """The Joseph sums at half-pixel steps, from S and T of both parities."""
    s0, m0 = sums[:width], sums[width : 2 * width]
    s1, m1 = sums[2 * width : 3 * width], sums[3 * width :]
    half = fine.dtype.type(0.5)
    b1 = fine.dtype.type(0)
    for j in range(length):
        d0 = m0[j + 1] - m0[j]
        d1 = m1[j + 1] - m1[j]
        fine[2 * j] = s0[j] + d0 + b1
        fine[2 * j + 1] = half * (s0[j] + s0[j + 1]) + d0 + s1[j] + d1
        b1 = half * (s1[j] + s1[j + 1]) + d1


@njit(nogil=True, cache=True)
def _forward(buffer, out, views, rows, cols, slope, t0, dt, weight, first, length, low, high):  # type: ignore[no-untyped-def]
    """Views low..high of one main axis, for all images."""
    stride = buffer.shape[2]
    longest = 1
    for v in range(low, high):
        longest = max(longest, length[v])
    width = longest + VECTOR + 1
    sums = np.empty((ABREAST, 4 * width), buffer.dtype)
    fine = np.empty(2 * longest, buffer.dtype)
    offsets = np.empty((ABREAST, rows + 2, GROUP), np.int64)
    fractions = np.empty((ABREAST, rows + 2, GROUP), buffer.dtype)
    ranges = np.empty((ABREAST, rows + 2, 3), np.int64)
    counts = np.zeros(ABREAST, np.int64)
    for v0 in range(low, high, ABREAST):
        v1 = min(v0 + ABREAST, high)
        most = 0
        for v in range(v0, v1):
            i = v - v0
            counts[i] = 0
            if length[v] > 0:
                counts[i] = _groups(
                    slope[v], rows, cols, stride, first[v], length[v], offsets[i], fractions[i], ranges[i]
                )
            most = max(most, counts[i])
        for n in range(len(buffer)):
            x = buffer[n].reshape(-1)
            sums[:] = 0
            for g in range(most):
                for i in range(v1 - v0):
                    if g >= counts[i]:
                        continue
                    o, f, part = offsets[i, g], fractions[i, g], sums[i]
                    o0, o1, o2, o3, o4, o5, o6, o7 = o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]
                    fs = (f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7])
                    total = 2 * width * ranges[i, g, 0]
                    for j in range(ranges[i, g, 1], ranges[i, g, 2], VECTOR):
                        at = (o0 + j, o1 + j, o2 + j, o3 + j, o4 + j, o5 + j, o6 + j, o7 + j)
                        add_rows(part, total + j, total + width + j, x, at, fs)
            for v in range(v0, v1):
                if length[v] == 0:
                    out[n, views[v]] = 0
                    continue
                _interleave(sums[v - v0], width, length[v], fine)
                _resample(fine, length[v], t0[v], dt[v], first[v], weight[v], out[n, views[v]])


def parallel_forward(
    image: Array,
    axis: NDArray[np.uint8],
    slope: NDArray[np.float64],
    t0: NDArray[np.float64],
    dt: NDArray[np.float64],
    weight: NDArray[np.float64],
    columns: int,
) -> Array:
    """Parallel-beam projections ``(n, views, columns)`` of images ``(n, rows, cols)``.

    Column k of a view with axis 0 crosses row r at ``t0 + k dt + slope (r - (rows-1)/2)``, in pixels; with
    axis 1 rows and columns change roles. The value is ``weight`` times the sum over the rows of the image
    there (see the module's docstring).

    >>> import numpy as np
    >>> one = np.ones(1)
    >>> parallel_forward(np.ones((1, 4, 3)), np.zeros(1, np.uint8), 0 * one, 0 * one, one, one, 3)
    array([[[4., 4., 4.]]])
    """
    image = contiguous(image)
    out = np.empty((len(image), len(axis), columns), image.dtype)
    if out.size == 0:
        return out
    fills: Jobs = []
    jobs: Jobs = []
    for main in (0, 1):
        side = _side(main, axis, slope, t0, dt, weight, columns, image.shape[1:])
        if len(side.views):
            # a spare row of zeros fills up incomplete groups
            buffer, pieces = padded(image, side.rows, side.cols, transposed=bool(main), spare=1)
            fills += pieces
            rest = (side.rows, side.cols, side.slope, side.t0, side.dt, side.weight, side.first, side.length)
            jobs += [
                (_forward, buffer, out, side.views, *rest, a, b)
                for a, b in threads.pieces(len(side.views), least=4)
            ]
    threads.run(call, fills)
    threads.run(call, jobs)
    return out


# -- adjoint ------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True, fastmath={"contract"})
def _spread(row, length, t0, dt, first, weight, fine):  # type: ignore[no-untyped-def]
    """Transpose of `_resample`."""
    one = fine.dtype.type(1)
    half = one / 2
    scale = fine.dtype.type(weight)
    last = 2 * length - 3
    fine[: 2 * length] = 0
    for k in range(row.size):
        s = 2 * (t0 + k * dt - first)
        base = np.floor(s)
        w = fine.dtype.type(s - base)
        m = np.int64(min(max(base, 1.0), float(last)))
        v = one - w
        value = scale * row[k]
        i = np.uint64(m - 1)
        fine[i] += -half * w * v * v * value
        fine[i + np.uint64(1)] += (one - w * w * (5 * half - 3 * half * w)) * value
        fine[i + np.uint64(2)] += (one - v * v * (5 * half - 3 * half * v)) * value
        fine[i + np.uint64(3)] += -half * v * w * w * value


@njit(nogil=True, cache=True, fastmath={"contract"})
def _separate(fine, length, before, sums):  # type: ignore[no-untyped-def]
    """Transpose of `_interleave`: S and T of both parities to sums (2, 2, width) from ``before`` on."""
    half = fine.dtype.type(0.5)
    sums[:, :, :before] = 0
    sums[:, :, before + length :] = 0
    s0, m0 = sums[0, 0, before:], sums[0, 1, before:]
    s1, m1 = sums[1, 0, before:], sums[1, 1, before:]
    s0[0] = s1[0] = m0[0] = m1[0] = 0  # never read by the image: the margin
    s0[length - 1] = s1[length - 1] = m0[length - 1] = m1[length - 1] = 0
    for j in range(1, length - 1):
        b, c, d, e, f = fine[2 * j - 2], fine[2 * j - 1], fine[2 * j], fine[2 * j + 1], fine[2 * j + 2]
        s0[j] = d + half * (c + e)
        s1[j] = e + half * (d + f)
        m0[j] = (b - d) + (c - e)
        m1[j] = (c - e) + (d - f)


@njit(nogil=True, cache=True)
def _shear(sino, sums, image, views, t0, dt, weight, first, length, before, start, low, high):  # type: ignore[no-untyped-def]
    """S and T of views low..high, for one image."""
    longest = 1
    for v in range(low, high):
        longest = max(longest, length[v])
    fine = np.empty(2 * longest, sino.dtype)
    for v in range(low, high):
        if length[v] == 0:
            sums[v - start] = 0
            continue
        _spread(sino[image, views[v]], length[v], t0[v], dt[v], first[v], weight[v], fine)
        _separate(fine, length[v], before[v], sums[v - start])


@njit(nogil=True, cache=True)
def _collect(sums, buffer, image, rows, cols, slope, first, length, before, start, stop, low, high):  # type: ignore[no-untyped-def]
    """Add views start..stop to rows low..high of one image."""
    stride = buffer.shape[2]
    width = sums.shape[3]
    x = sums.reshape(-1)
    out = buffer[image].reshape(-1)
    reach = -(-cols // VECTOR) * VECTOR
    offsets = np.empty((high - low, GROUP), np.int64)
    fractions = np.empty((high - low, GROUP), sums.dtype)
    if start == 0:
        out[low * stride : high * stride] = 0
    for v0 in range(start, stop, GROUP):
        v1 = min(v0 + GROUP, stop)
        if v1 < v0 + GROUP:
            offsets[:] = 4 * (stop - start) * width  # the zeros at the end
            fractions[:] = 0
        for v in range(v0, v1):
            for row in range(low, high):
                ref, fraction, parity = _split(slope[v], row, rows)
                # a row that the detector misses reads zeros beyond the view's entries
                at = min(max(before[v] - first[v] - ref, 0), width - reach)
                offsets[row - low, v - v0] = (4 * (v - start) + 2 * parity) * width + at
                fractions[row - low, v - v0] = fraction
        for c0 in range(0, cols, ACROSS):
            c1 = min(c0 + ACROSS, cols)
            for row in range(low, high):
                o, f = offsets[row - low], fractions[row - low]
                o0, o1, o2, o3, o4, o5, o6, o7 = o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]
                fs = (f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7])
                base = row * stride + BEFORE
                for c in range(c0, c1, VECTOR):
                    at = (o0 + c, o1 + c, o2 + c, o3 + c, o4 + c, o5 + c, o6 + c, o7 + c)
                    add_groups(out, base + c, x, width, at, fs)


def _collect_side(sino: Array, side: _Side) -> Array:
    """The images of one main axis's views, in its frame, with margins."""
    n, count = len(sino), len(side.views)
    reach = -(-side.cols // VECTOR) * VECTOR
    # entries read before and after those a view keeps: where the whole row lies outside, a row of zeros
    before = np.clip(side.shift + side.first, 0, reach)
    needed = np.maximum(side.length, MARGIN)
    after = np.clip(side.shift + reach - (side.first + side.length), 0, reach)
    width = int((before + needed + np.maximum(after, 0)).max()) + VECTOR
    width = max(width, reach + VECTOR)
    buffer = np.empty((n, side.rows, stride(side.cols)), sino.dtype)
    chunk = max(GROUP, CHUNK // (4 * width * sino.itemsize) // GROUP * GROUP)
    sums = np.zeros((min(chunk, count) + 1, 2, 2, width), sino.dtype)  # the last stays zero
    for image in range(n):
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            part = sums[: stop - start + 1]
            part[-1] = 0
            kept = (side.first, side.length, before, start)
            threads.run(
                _shear,
                [
                    (
                        sino,
                        part,
                        image,
                        side.views,
                        side.t0,
                        side.dt,
                        side.weight,
                        *kept,
                        start + a,
                        start + b,
                    )
                    for a, b in threads.pieces(stop - start, least=4)
                ],
            )
            threads.run(
                _collect,
                [
                    (part, buffer, image, side.rows, side.cols, side.slope, *kept, stop, a, b)
                    for a, b in threads.pieces(side.rows, least=16)
                ],
            )
    return buffer


def parallel_adjoint(
    sino: Array,
    axis: NDArray[np.uint8],
    slope: NDArray[np.float64],
    t0: NDArray[np.float64],
    dt: NDArray[np.float64],
    weight: NDArray[np.float64],
    shape: tuple[int, int],
) -> Array:
    """The exact adjoint of `parallel_forward`: sinograms (n, views, columns) to images (n, rows, cols)."""
    sino = contiguous(sino)
    n, _, columns = sino.shape
    out = np.empty((n, *shape), sino.dtype)
    if out.size == 0:
        return out
    sides = [_side(main, axis, slope, t0, dt, weight, columns, shape) for main in (0, 1)]
    used = [bool(len(side.views)) and columns > 0 for side in sides]
    empty = np.empty((0, 0, 0), sino.dtype)
    straight, turned = (_collect_side(sino, s) if u else empty for s, u in zip(sides, used))
    threads.run(*merges(straight, turned, used, out))
    return out
