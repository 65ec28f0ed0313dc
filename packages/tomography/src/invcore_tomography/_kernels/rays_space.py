"""Joseph's projector in 3-D ray by ray, for any source and detector, and its exact adjoint.

A ray is followed along its main axis, in voxels; in each slice of that axis the four voxels around it are
weighted bilinearly. The geometry is kept per view; rays are computed where they are used.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from invcore import threads

__all__ = ["pixels", "rays3_adjoint", "rays3_forward"]


def pixels(
    source: NDArray[np.float64],
    detector: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    spacing: tuple[float, ...],
    columns: int,
    curvature: float | None,
) -> NDArray[np.float64]:
    """Pixel centers of the middle detector row, in voxels: ``(views, columns, 3)``."""
    offset = np.arange(columns)[:, None] - (columns - 1) / 2
    if curvature is None:
        return np.asarray(detector[:, None] + offset * u[:, None])
    scale = np.asarray(spacing, dtype=np.float64)
    axis = v * scale
    axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    across, step = (detector - source) * scale, u * scale
    along = (across * axis).sum(-1, keepdims=True) * axis
    across = across - along
    pitch = np.linalg.norm(step, axis=-1, keepdims=True)
    radius = np.linalg.norm(across, axis=-1, keepdims=True)
    angle = offset * pitch[:, None] / curvature
    turned = np.cos(angle) * across[:, None] + np.sin(angle) * (radius * step / pitch)[:, None]
    return np.asarray(source[:, None] + (along[:, None] + turned) / scale)


@njit(nogil=True, cache=True)
def _ray(source, middle, v, row, parallel, spacing):  # type: ignore[no-untyped-def]
    """Main axis, crossing of slice 0 and slope on the other axes (in the order x, y, z), length of a step."""
    px, py, pz = middle[0] + row * v[0], middle[1] + row * v[1], middle[2] + row * v[2]
    if parallel:
        dx, dy, dz = source[0], source[1], source[2]
    else:
        dx, dy, dz = px - source[0], py - source[1], pz - source[2]
        px, py, pz = source[0], source[1], source[2]
    ax, ay, az = abs(dx), abs(dy), abs(dz)
    length = math.sqrt((dx * spacing[0]) ** 2 + (dy * spacing[1]) ** 2 + (dz * spacing[2]) ** 2)
    if ax >= ay and ax >= az:
        return 0, py - px * (dy / dx), dy / dx, pz - px * (dz / dx), dz / dx, length / ax
    if ay >= az:
        return 1, px - py * (dx / dy), dx / dy, pz - py * (dz / dy), dz / dy, length / ay
    return 2, px - pz * (dx / dz), dx / dz, py - pz * (dy / dz), dy / dz, length / az


@njit(nogil=True, cache=True)
def _within(start, slope, size, first, last):  # type: ignore[no-untyped-def]
    """The part of ``first <= i < last`` with ``-1 < start + i * slope < size``."""
    if slope < 0:
        start, slope = size - 1 - start, -slope
    if slope == 0 or last <= first:
        return (first, last) if -1 < start < size else (first, first)
    low, high = (-1 - start) / slope, (size - start) / slope
    a = max(first, int(max(low - 1, float(first - 1))))
    b = min(last, int(min(high + 2, float(last + 1))))
    while a < b and start + a * slope <= -1:
        a += 1
    while b > a and start + (b - 1) * slope >= size:
        b -= 1
    return a, b


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _sum(volume, at, step, step_p, step_q, p, slope_p, q, slope_q, first, last):  # type: ignore[no-untyped-def]
    """Sum over slices first <= i < last of the bilinear interpolation at (p, q) + i * slopes; p, q > 0."""
    real = volume.dtype.type
    total = real(0)
    for i in range(first, last):
        x, y = p + i * slope_p, q + i * slope_q
        j, k = int(x), int(y)
        f, g = real(x - j), real(y - k)
        n = at + i * step + j * step_p + k * step_q
        low = volume[n] + f * (volume[n + step_p] - volume[n])
        high = volume[n + step_q] + f * (volume[n + step_p + step_q] - volume[n + step_q])
        total += low + g * (high - low)
    return total


@njit(nogil=True, cache=True)
def _forward(volume, shape, source, middle, v, parallel, spacing, out, first, last):  # type: ignore[no-untyped-def]
    """Project views first..last of a flat volume with a border of one zero; shape (x, y, z) without it."""
    nx, ny, _nz = shape
    steps = (1, nx + 2, (nx + 2) * (ny + 2))
    real = volume.dtype.type
    rows, columns = out.shape[1], out.shape[2]
    for view in range(first, last):
        for a in range(rows):
            for b in range(columns):
                axis, p, slope_p, q, slope_q, length = _ray(
                    source[view], middle[view, b], v[view], a - (rows - 1) / 2, parallel, spacing
                )
                m_p, m_q = (1 if axis == 0 else 0), (1 if axis == 2 else 2)
                i0, i1 = _within(p, slope_p, shape[m_p], 0, shape[axis])
                i0, i1 = _within(q, slope_q, shape[m_q], i0, i1)
                if i0 < i1:
                    total = _sum(
                        volume,
                        steps[axis],
                        steps[axis],
                        steps[m_p],
                        steps[m_q],
                        p + 1,
                        slope_p,
                        q + 1,
                        slope_q,
                        i0,
                        i1,
                    )
                    out[view, a, b] = real(length) * total


@njit(nogil=True, cache=True)
def _adjoint(sinogram, volume, shape, source, middle, v, parallel, spacing, main, first, last):  # type: ignore[no-untyped-def]
    """Add the rays with main axis ``main`` to its slices ``first`` to ``last`` of the bordered volume."""
    nx, ny, _nz = shape
    steps = (1, nx + 2, (nx + 2) * (ny + 2))
    real = volume.dtype.type
    m_p, m_q = (1 if main == 0 else 0), (1 if main == 2 else 2)
    step, step_p, step_q = steps[main], steps[m_p], steps[m_q]
    rows, columns = sinogram.shape[1], sinogram.shape[2]
    for view in range(sinogram.shape[0]):
        for a in range(rows):
            for b in range(columns):
                axis, p, slope_p, q, slope_q, length = _ray(
                    source[view], middle[view, b], v[view], a - (rows - 1) / 2, parallel, spacing
                )
                if axis != main:
                    continue
                i0, i1 = _within(p, slope_p, shape[m_p], first, last)
                i0, i1 = _within(q, slope_q, shape[m_q], i0, i1)
                value = real(length) * sinogram[view, a, b]
                p += 1
                q += 1
                for i in range(i0, i1):
                    x, y = p + i * slope_p, q + i * slope_q
                    j, k = int(x), int(y)
                    f, g = real(x - j), real(y - k)
                    n = (i + 1) * step + j * step_p + k * step_q
                    high = g * value
                    low = value - high
                    volume[n] += low - f * low
                    volume[n + step_p] += f * low
                    volume[n + step_q] += high - f * high
                    volume[n + step_p + step_q] += f * high


def _bordered(image: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.pad(image, 1)


def rays3_forward(
    volume: NDArray[np.floating],
    source: NDArray[np.float64],
    detector: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    spacing: tuple[float, ...],
    shape: tuple[int, int],
    curvature: float | None = None,
    parallel: bool = False,
) -> NDArray[np.floating]:
    """Line integrals of ``volume`` (n, z, y, x) along any rays: ``(n, views, rows, columns)``.

    Arguments as `cone_forward`, but ``u`` and ``v`` may point anywhere. With ``parallel``, ``source`` is the
    direction of the rays in voxels. Single rays are views with a 1 x 1 detector: ``source`` their directions
    and ``detector`` a point on each.
    """
    n, nz, ny, nx = volume.shape
    rows, columns = shape
    out = np.zeros((n, source.shape[0], rows, columns), volume.dtype)
    if 0 in volume.shape or not out.size:
        return out
    middle = pixels(source, detector, u, v, spacing, columns, curvature)
    sizes, voxel = (nx, ny, nz), tuple(float(s) for s in spacing)
    for image, projection in zip(volume, out):
        flat = _bordered(image).reshape(-1)
        threads.run(
            lambda a, b, flat=flat, out=projection: _forward(
                flat, sizes, source, middle, v, parallel, voxel, out, a, b
            ),
            threads.pieces(source.shape[0]),
        )
    return out


def rays3_adjoint(
    sinogram: NDArray[np.floating],
    source: NDArray[np.float64],
    detector: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    spacing: tuple[float, ...],
    grid: tuple[int, int, int],
    curvature: float | None = None,
    parallel: bool = False,
) -> NDArray[np.floating]:
    """The exact adjoint of `rays3_forward`, (n, views, rows, columns) to (n, z, y, x); grid = (z, y, x)."""
    n, _views, _rows, columns = sinogram.shape
    nz, ny, nx = grid
    out = np.zeros((n, *grid), sinogram.dtype)
    if not sinogram.size or not out.size:
        return out
    middle = pixels(source, detector, u, v, spacing, columns, curvature)
    sizes, voxel = (nx, ny, nz), tuple(float(s) for s in spacing)
    volume = np.zeros((nz + 2, ny + 2, nx + 2), sinogram.dtype)
    for projection, image in zip(sinogram, out):
        volume[:] = 0
        flat = volume.reshape(-1)
        for axis, count in enumerate(sizes):
            threads.run(
                lambda a, b, q=projection, flat=flat, axis=axis: _adjoint(
                    q, flat, sizes, source, middle, v, parallel, voxel, axis, a, b
                ),
                threads.pieces(count),
            )
        image[:] = volume[1:-1, 1:-1, 1:-1]
    return out
