"""Joseph's projector for a detector with rows along z, column by column, and its exact adjoint.

All rays of a detector column lie in one plane through z. It meets each slice of the column's main axis in one
vertical line: two neighboring z-columns of the volume are blended there, and interpolated along z at
equidistant heights, one for every detector row.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from invcore import threads

from .lerp import MARGIN, TAPS, blend, interpolate, spread
from .vector import VECTOR

__all__ = ["Plan", "cone_adjoint", "cone_forward", "is_columnar", "plan"]

_CHUNK_BYTES = 32 * 2**20  # of weighted projections held at a time by the adjoint


class Plan(NamedTuple):
    """Paths of the rays of every detector column, for ``(views, columns)`` unless said otherwise.

    Slice i of the main axis is met at ``cross + i * slope`` on the other axis and at the fraction
    ``reach + i * gain`` of the way from the source to the detector, so at height
    ``z0 + fraction * (height + (row - (rows - 1)/2) * pitch)``.
    """

    axis: NDArray[np.uint8]  # 0: the main axis is x, 1: it is y
    cross: NDArray[np.float64]
    slope: NDArray[np.float64]
    reach: NDArray[np.float64]
    gain: NDArray[np.float64]
    run: NDArray[np.float64]  # length in the xy-plane of the step from slice to slice
    rise: NDArray[np.float64]  # length along z of that step, per voxel of height at the detector
    z0: NDArray[np.float64]  # (views,) height of the source
    height: NDArray[np.float64]  # (views,) height of the detector's center above the source
    pitch: NDArray[np.float64]  # (views,) height between rows


def bearings(
    source: NDArray[np.float64],
    detector: NDArray[np.float64],
    u: NDArray[np.float64],
    spacing: tuple[float, ...],
    columns: int,
    curvature: float | None,
) -> NDArray[np.float64]:
    """Vectors from the source to the detector's columns, seen along z, in voxels: ``(views, columns, 2)``."""
    offset = np.arange(columns) - (columns - 1) / 2
    center = detector[:, None, :2] - source[:, None, :2]
    if curvature is None:
        return np.asarray(center + offset[:, None] * u[:, None, :2])
    scale = np.asarray(spacing[:2], dtype=np.float64)
    center, step = center * scale, u[:, None, :2] * scale
    pitch = np.linalg.norm(step, axis=-1, keepdims=True)
    angle = offset[:, None] * pitch / curvature
    radius = np.linalg.norm(center, axis=-1, keepdims=True)
    return np.asarray((np.cos(angle) * center + np.sin(angle) * radius * step / pitch) / scale)


def is_columnar(
    source: NDArray[np.float64],
    detector: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    spacing: tuple[float, ...],
    shape: tuple[int, int],
    curvature: float | None = None,
) -> bool:
    """True if the column kernel computes Joseph's sums.

    Rows are along z, columns in the xy-plane, and no ray is mainly along z.
    """
    if not source.shape[0]:
        return True
    size = np.abs(v[:, 2])
    if np.any(np.abs(v[:, :2]).max(axis=1) > 1e-12 * size) or np.any(size == 0):
        return False
    if np.any(np.abs(u[:, 2]) > 1e-12 * np.abs(u[:, :2]).max(axis=1)):
        return False
    direction = np.abs(bearings(source, detector, u, spacing, shape[1], curvature)).max(axis=2).min(axis=1)
    top = np.abs(detector[:, 2] - source[:, 2]) + (shape[0] - 1) / 2 * size
    return bool(np.all(top <= direction) and np.all(direction > 0))


def plan(
    source: NDArray[np.float64],
    detector: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    spacing: tuple[float, ...],
    shape: tuple[int, int],
    curvature: float | None = None,
) -> Plan:
    """The rays of every detector column; arguments as `cone_forward`."""
    e = bearings(source, detector, u, spacing, shape[1], curvature)
    along_x = np.abs(e[..., 0]) >= np.abs(e[..., 1])
    main = np.where(along_x, e[..., 0], e[..., 1])
    other = np.where(along_x, e[..., 1], e[..., 0])
    start = np.where(along_x, source[:, None, 0], source[:, None, 1])
    across = np.where(along_x, source[:, None, 1], source[:, None, 0])
    slope = other / main
    return Plan(
        axis=np.where(along_x, 0, 1).astype(np.uint8),
        cross=across - start * slope,
        slope=slope,
        reach=-start / main,
        gain=1 / main,
        run=np.hypot(e[..., 0] * spacing[0], e[..., 1] * spacing[1]) / np.abs(main),
        rise=spacing[2] / np.abs(main),
        z0=np.ascontiguousarray(source[:, 2]),
        height=np.ascontiguousarray(detector[:, 2] - source[:, 2]),
        pitch=np.ascontiguousarray(v[:, 2]),
    )


@njit(nogil=True, cache=True)
def _side(position, count):  # type: ignore[no-untyped-def]
    """The two neighbors of a position in (-1, count), and their weights; a missing one has no weight."""
    j = math.floor(position)
    f = position - j
    if j < 0:
        return 0, 0, 0.0, f
    if j + 1 >= count:
        return j, j, 1 - f, 0.0
    return j, j + 1, 1 - f, f


@njit(nogil=True, cache=True)
def _forward(volume, shape, rays, out, rows, first, last):  # type: ignore[no-untyped-def]
    """Views ``first`` to ``last``; volume flat (y, x, padded z) ; out (views, rows, columns)."""
    nz, ny, nx, stride = shape
    real = volume.dtype.type
    columns = out.shape[2]
    padded = -(-rows // VECTOR) * VECTOR
    sums = np.zeros((columns, padded), volume.dtype)
    flat = sums.reshape(-1)
    line = np.zeros(stride + 2 * VECTOR + MARGIN, volume.dtype)  # entry k of the column at VECTOR + k
    middle = (rows - 1) / 2
    for view in range(first, last):
        sums[:] = 0
        pitch = abs(rays.pitch[view])
        lowest, z0 = rays.height[view] - middle * pitch, rays.z0[view]
        for b in range(columns):
            along_x = rays.axis[view, b] == 0
            main, others = (nx, ny) if along_x else (ny, nx)
            step_main, step_other = (stride, nx * stride) if along_x else (nx * stride, stride)
            for i in range(main):
                position = rays.cross[view, b] + i * rays.slope[view, b]
                if not (-1 < position < others):
                    continue
                fraction = rays.reach[view, b] + i * rays.gain[view, b]
                start, step = z0 + fraction * lowest, fraction * pitch
                end = start + (rows - 1) * step
                low, high = min(start, end), max(start, end)
                if high <= -1 or low >= nz:
                    continue
                a0, a1 = 0, rows
                if step > 0:
                    if start < -1:
                        a0 = int((-1 - start) / step) // VECTOR * VECTOR
                    if end > nz:
                        a1 = min(rows, int((nz - start) / step) + 2)
                k0 = max(0, math.floor(low)) // VECTOR * VECTOR
                k1 = min(nz, math.floor(high) + 3)
                j0, j1, w0, w1 = _side(position, others)
                at = i * step_main + k0
                blend(
                    volume,
                    at + j0 * step_other,
                    at + j1 * step_other,
                    real(w0),
                    real(w1),
                    line,
                    VECTOR + k0,
                    k1 - k0,
                )
                interpolate(
                    line,
                    flat,
                    b * padded,
                    a0,
                    a1,
                    real(start + VECTOR),
                    real(step),
                    real(VECTOR - 1),
                    real(VECTOR + nz),
                )
        flip = rays.pitch[view] < 0
        for a in range(rows):
            source_row = rows - 1 - a if flip else a
            above = (lowest + source_row * pitch) ** 2
            for b in range(columns):
                length = math.sqrt(rays.run[view, b] ** 2 + rays.rise[view, b] ** 2 * above)
                out[view, a, b] = real(length) * sums[b, source_row]


@njit(nogil=True, cache=True)
def _weigh(sinogram, rays, q, offset, rows, first, last):  # type: ignore[no-untyped-def]
    """Write views offset + first to offset + last, times lengths, to ``q`` (views, columns, padded)."""
    real = sinogram.dtype.type
    middle = (rows - 1) / 2
    for view in range(first, last):
        n = offset + view
        pitch = abs(rays.pitch[n])
        lowest = rays.height[n] - middle * pitch
        flip = rays.pitch[n] < 0
        for a in range(rows):
            source_row = rows - 1 - a if flip else a
            above = (lowest + source_row * pitch) ** 2
            for b in range(q.shape[1]):
                length = math.sqrt(rays.run[n, b] ** 2 + rays.rise[n, b] ** 2 * above)
                q[view, b, TAPS + source_row] = real(length) * sinogram[n, a, b]


@njit(nogil=True, cache=True)
def _adjoint(q, offset, volume, shape, rays, rows, axis, first, last):  # type: ignore[no-untyped-def]
    """Add the views of ``q`` to slices ``first`` to ``last`` of their columns' main axis."""
    nz, ny, nx, stride = shape
    real = volume.dtype.type
    views, columns, line = q.shape
    flat = q.reshape(-1)
    others = ny if axis == 0 else nx
    step_main, step_other = (stride, nx * stride) if axis == 0 else (nx * stride, stride)
    middle = (rows - 1) / 2
    for view in range(views):
        n = offset + view
        pitch = abs(rays.pitch[n])
        lowest, z0 = rays.height[n] - middle * pitch, rays.z0[n]
        for i in range(first, last):
            for b in range(columns):
                if rays.axis[n, b] != axis:
                    continue
                position = rays.cross[n, b] + i * rays.slope[n, b]
                if not (-1 < position < others):
                    continue
                fraction = rays.reach[n, b] + i * rays.gain[n, b]
                start, step = z0 + fraction * lowest, fraction * pitch
                end = start + (rows - 1) * step
                low, high = min(start, end), max(start, end)
                if high <= -1 or low >= nz:
                    continue
                j0, j1, w0, w1 = _side(position, others)
                at0 = i * step_main + j0 * step_other
                at1 = i * step_main + j1 * step_other
                at_q = (view * columns + b) * line + TAPS
                narrow = real(step)
                if narrow > 0 and math.ceil(2 / narrow) <= TAPS:
                    k0 = max(0, math.floor(low)) // VECTOR * VECTOR
                    k1 = min(nz, math.floor(high) + 2)
                    taps = np.int32(math.ceil(2 / narrow))
                    spread(
                        flat,
                        at_q,
                        volume,
                        at0,
                        at1,
                        real(w0),
                        real(w1),
                        k0,
                        k1,
                        real(start),
                        narrow,
                        real(rows),
                        taps,
                    )
                    continue
                for a in range(
                    rows
                ):  # rows so close together that many fall between two slices, or behind the source
                    height = real(start) + real(a) * narrow
                    k = math.floor(height)
                    f = height - real(k)
                    for c, w in ((k, real(1) - f), (k + 1, f)):
                        if 0 <= c < nz:
                            value = w * flat[at_q + a]
                            volume[at0 + c] += real(w0) * value
                            volume[at1 + c] += real(w1) * value


def _padded(nz: int) -> int:
    return -(-nz // VECTOR) * VECTOR


def cone_forward(
    volume: NDArray[np.floating],
    source: NDArray[np.float64],
    detector: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    spacing: tuple[float, ...],
    shape: tuple[int, int],
    curvature: float | None = None,
) -> NDArray[np.floating]:
    """Line integrals ``(n, views, rows, columns)`` of ``volume`` (n, z, y, x); detector rows lie along z.

    ``source``, ``detector`` (its center), ``u`` and ``v`` are ``(views, 3)`` in (x, y, z) order, in voxels
    (0 = center of the first voxel); ``spacing`` is the voxel's size in (x, y, z) order; ``shape`` the
    detector's (rows, columns); ``curvature`` the radius, as a length, of a cylindrical detector centered on
    the source.
    """
    n, nz, ny, nx = volume.shape
    rays = plan(source, detector, u, v, spacing, shape, curvature)
    views, (rows, columns) = source.shape[0], shape
    stride = _padded(nz)
    out = np.zeros((n, views, rows, columns), volume.dtype)
    if 0 in volume.shape or not out.size:
        return out
    lines = np.zeros((ny, nx, stride), volume.dtype)
    for image, projection in zip(volume, out):
        lines[..., :nz] = image.transpose(1, 2, 0)
        flat = lines.reshape(-1)
        threads.run(
            lambda a, b, flat=flat, projection=projection: _forward(
                flat, (nz, ny, nx, stride), rays, projection, rows, a, b
            ),
            threads.pieces(views),
        )
    return out


def cone_adjoint(
    sinogram: NDArray[np.floating],
    source: NDArray[np.float64],
    detector: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    spacing: tuple[float, ...],
    grid: tuple[int, int, int],
    curvature: float | None = None,
) -> NDArray[np.floating]:
    """The exact adjoint of `cone_forward`: (n, views, rows, columns) to (n, z, y, x), ``grid``: (z, y, x)."""
    n, views, rows, columns = sinogram.shape
    nz, ny, nx = grid
    out = np.zeros((n, *grid), sinogram.dtype)
    if not sinogram.size or not out.size:
        return out
    rays = plan(source, detector, u, v, spacing, (rows, columns), curvature)
    stride = _padded(nz)
    line = TAPS + rows + TAPS + MARGIN
    chunk = max(1, min(views, _CHUNK_BYTES // (columns * line * sinogram.itemsize)))
    q = np.zeros((chunk, columns, line), sinogram.dtype)
    lines = np.zeros((ny, nx, stride), sinogram.dtype)
    sizes = (nz, ny, nx, stride)
    for projection, image in zip(sinogram, out):
        lines[:] = 0
        flat = lines.reshape(-1)
        for offset in range(0, views, chunk):
            part = q[: min(chunk, views - offset)]
            threads.run(
                lambda a, b, p=projection, q=part, o=offset: _weigh(p, rays, q, o, rows, a, b),
                threads.pieces(part.shape[0]),
            )
            for axis, count in ((0, nx), (1, ny)):
                if np.any(rays.axis[offset : offset + part.shape[0]] == axis):
                    threads.run(
                        lambda a, b, q=part, o=offset, axis=axis, flat=flat: _adjoint(
                            q, o, flat, sizes, rays, rows, axis, a, b
                        ),
                        threads.pieces(count),
                    )
        image[:] = lines[..., :nz].transpose(2, 0, 1)
    return out
