"""Voxel-driven backprojection, linear on the detector, with a distance weight, and its exact adjoint.

A voxel column (x, y) is seen by a view at one detector column (rows along z), so two neighboring detector
columns are blended and the result is interpolated along z at equidistant rows. A plane, seen by a single
detector row, is left to `plane`.

Every view is given by ten numbers (all in voxels and detector pixels): ``near = a0 + ax x + ay y``, the
distance of the source from the voxel as a fraction of that from the detector; ``side = c0 + cx x + cy y``, so
that the voxel is seen at the column ``middle + side / near`` (or ``middle + per_radian * atan2(side, near)``
on a curved detector, ``near`` then becoming the length of both); ``e0, e1, e2``, so that it is seen at the
row ``e0 + (e1 + e2 z) / near``, e2 > 0; and the ``weight`` of the view, divided by ``near ** power``.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from invcore import threads

from .lerp import MARGIN, TAPS, blend, interpolate, spread
from .plane import plane_adjoint, plane_backproject, seen
from .vector import VECTOR

__all__ = ["fdk_adjoint", "fdk_backproject"]


@njit(nogil=True, cache=True)
def _two(column, columns):  # type: ignore[no-untyped-def]
    """The columns on both sides and their shares; a missing one is replaced by the other with no share."""
    j = math.floor(column)
    f = column - j
    if j < 0:
        return 0, 0, 0.0, f
    if j + 1 >= columns:
        return j, j, 1 - f, 0.0
    return j, j + 1, 1 - f, f


@njit(nogil=True, cache=True)
def _range(start, step, size, count):  # type: ignore[no-untyped-def]
    """Entries 0 <= k < count with -1 < start + k * step < size, from a multiple of VECTOR; or a few more."""
    first = max(0.0, (-1 - start) / step)
    last = min(float(count), (size - start) / step + 2)
    if last <= 0 or first >= last:
        return 0, 0
    return int(first) // VECTOR * VECTOR, int(last)


@njit(nogil=True, cache=True)
def _backproject(q, views, volume, shape, rows, middle, per_radian, power, first, last):  # type: ignore[no-untyped-def]
    """Add views ``q`` (views, columns, padded rows) to rows first..last of the volume (y, x, padded z)."""
    nz, nx, stride = shape
    columns, padded = q.shape[1], q.shape[2]
    real = q.dtype.type
    flat = q.reshape(-1)
    line = np.zeros(padded + 2 * VECTOR + MARGIN, q.dtype)  # detector row a at VECTOR + a
    for n in range(q.shape[0]):
        view = views[n]
        for y in range(first, last):
            for x in range(nx):
                column, magnification, weight = seen(view, x, y, middle, per_radian, power)
                if not (-1 < column < columns):
                    continue
                start, step = view[6] + view[7] * magnification, view[8] * magnification
                k0, k1 = _range(start, step, rows, nz)
                if k1 <= k0:
                    continue
                low = max(0.0, start + k0 * step)
                high = min(float(rows), start + k1 * step + 2)
                a0 = int(low) // VECTOR * VECTOR
                a1 = max(int(high), a0 + 1)
                j0, j1, w0, w1 = _two(column, columns)
                at = n * columns * padded + a0
                w0, w1 = w0 * weight, w1 * weight
                blend(
                    flat, at + j0 * padded, at + j1 * padded, real(w0), real(w1), line, VECTOR + a0, a1 - a0
                )
                low_end, high_end = real(VECTOR - 1), real(VECTOR + rows)
                at = (y * nx + x) * stride
                interpolate(line, volume, at, k0, k1, real(start + VECTOR), real(step), low_end, high_end)


@njit(nogil=True, cache=True)
def _project(volume, views, out, shape, rows, middle, per_radian, power, first, last):  # type: ignore[no-untyped-def]
    """The adjoint for views first..last: volume (y, x, padded z), out (views, columns, padded rows)."""
    nz, ny, nx, stride = shape
    columns, padded = out.shape[1], out.shape[2]
    real = out.dtype.type
    flat = out.reshape(-1)
    for n in range(first, last):
        view = views[n]
        for y in range(ny):
            for x in range(nx):
                column, magnification, weight = seen(view, x, y, middle, per_radian, power)
                if not (-1 < column < columns):
                    continue
                start, step = view[6] + view[7] * magnification, view[8] * magnification
                end = start + (nz - 1) * step
                if end <= -1 or start >= rows:
                    continue
                j0, j1, w0, w1 = _two(column, columns)
                at0, at1 = (n * columns + j0) * padded, (n * columns + j1) * padded
                at_q = (y * nx + x) * stride + TAPS
                w0, w1 = real(w0 * weight), real(w1 * weight)
                narrow = real(step)
                if math.ceil(2 / narrow) <= TAPS:
                    a0 = max(0, math.floor(start)) // VECTOR * VECTOR
                    a1 = min(rows, math.floor(end) + 2)
                    taps = np.int32(math.ceil(2 / narrow))
                    spread(volume, at_q, flat, at0, at1, w0, w1, a0, a1, real(start), narrow, real(nz), taps)
                    continue
                for k in range(nz):
                    height = real(start) + real(k) * narrow
                    a = math.floor(height)
                    f = height - real(a)
                    for c, w in ((a, real(1) - f), (a + 1, f)):
                        if 0 <= c < rows:
                            flat[at0 + c] += w0 * w * volume[at_q + k]
                            flat[at1 + c] += w1 * w * volume[at_q + k]


def _padded(length: int) -> int:
    return -(-length // VECTOR) * VECTOR


def fdk_backproject(
    projections: NDArray[np.floating],
    views: NDArray[np.float64],
    grid: tuple[int, int, int],
    *,
    per_radian: float = 0.0,
    power: int = 2,
) -> NDArray[np.floating]:
    """Sum over the views of the weighted, interpolated projections (n, views, rows, columns): (n, z, y, x).

    ``views`` are the ten numbers of each view (see the module); ``grid`` = (z, y, x). A grid of one slice
    with a detector of one row is a plane, and the row is used as it is.
    """
    n, count, rows, columns = projections.shape
    nz, ny, nx = grid
    out = np.zeros((n, *grid), projections.dtype)
    if not projections.size or not out.size:
        return out
    middle = (columns - 1) / 2
    if rows == 1 and nz == 1:
        planes = plane_backproject(projections[:, :, 0], views, (ny, nx), per_radian=per_radian, power=power)
        return planes[:, None]
    stride = _padded(nz)
    q = np.zeros((count, columns, _padded(rows)), projections.dtype)
    lines = np.zeros((ny, nx, stride), projections.dtype)
    for projection, image in zip(projections, out):
        q[..., :rows] = projection.transpose(0, 2, 1)
        lines[:] = 0
        flat = lines.reshape(-1)
        threads.run(
            lambda a, b, flat=flat: _backproject(
                q, views, flat, (nz, nx, stride), rows, middle, per_radian, power, a, b
            ),
            threads.pieces(ny),
        )
        image[:] = lines[..., :nz].transpose(2, 0, 1)
    return out


def fdk_adjoint(
    volume: NDArray[np.floating],
    views: NDArray[np.float64],
    shape: tuple[int, int],
    *,
    per_radian: float = 0.0,
    power: int = 2,
) -> NDArray[np.floating]:
    """The exact adjoint: (n, z, y, x) to (n, views, rows, columns); ``shape`` = (rows, columns)."""
    n, nz, ny, nx = volume.shape
    rows, columns = shape
    count = views.shape[0]
    out = np.zeros((n, count, rows, columns), volume.dtype)
    if not volume.size or not out.size:
        return out
    middle = (columns - 1) / 2
    if rows == 1 and nz == 1:
        planes = plane_adjoint(volume[:, 0], views, columns, per_radian=per_radian, power=power)
        return planes[:, :, None]
    stride = TAPS + nz + TAPS + MARGIN
    q = np.zeros((count, columns, _padded(rows)), volume.dtype)
    lines = np.zeros((ny, nx, stride), volume.dtype)
    for image, projection in zip(volume, out):
        lines[..., TAPS : TAPS + nz] = image.transpose(1, 2, 0)
        q[:] = 0
        flat = lines.reshape(-1)
        threads.run(
            lambda a, b, flat=flat: _project(
                flat, views, q, (nz, ny, nx, stride), rows, middle, per_radian, power, a, b
            ),
            threads.pieces(count),
        )
        projection[:] = q[..., :rows].transpose(0, 2, 1)
    return out
