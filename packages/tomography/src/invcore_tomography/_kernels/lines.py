"""Integrals along line segments (lines of response), with or without time of flight, and their adjoint.

A segment runs between two points in voxel indices. Joseph's rule: one sample in each plane of the axis along
which the segment advances most, bilinear between the four voxels around it, zero outside the grid. With time
of flight each sample is shared among the bins by the normal distribution of its distance from the middle of
the segment. Both directions compute the weights by the same function, so one is the transpose of the other to
rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from invcore import threads

Array = NDArray[Any]

__all__ = ["lines_adjoint", "lines_forward"]

_PARTS = 4  # private images of the adjoint: a fixed number, so that sums do not depend on the threads
_REACH = 5.0  # standard deviations beyond which a normal distribution is taken as complete


@njit(nogil=True, cache=True, inline="always")
def _normal(z: float) -> float:
    """The normal distribution function, exactly 0 and 1 beyond the reach."""
    if z <= -_REACH:
        return 0.0
    if z >= _REACH:
        return 1.0
    return 0.5 * math.erfc(-z * 0.7071067811865476)


@njit(nogil=True, cache=True)
def _shares(s, edges, sigma, only, shares):  # type: ignore[no-untyped-def]
    """Share of each bin in a sample at distance s from the middle; returns the range of bins with a share."""
    bins = edges.shape[0] - 1
    if bins < 1:
        shares[0] = 1.0
        return 0, 1
    if only >= 0:
        shares[0] = _normal((edges[only + 1] - s) / sigma) - _normal((edges[only] - s) / sigma)
        return 0, 1
    width = edges[1] - edges[0]
    first = max(0, math.floor((s - _REACH * sigma - edges[0]) / width))
    end = min(bins, math.floor((s + _REACH * sigma - edges[0]) / width) + 1)
    if first >= end:
        return 0, 0
    below = _normal((edges[first] - s) / sigma)
    for j in range(first, end):
        above = _normal((edges[j + 1] - s) / sigma)
        shares[j] = above - below
        below = above
    return first, end


@njit(nogil=True, cache=True, inline="always")
def _axis(d0, d1, d2):  # type: ignore[no-untyped-def]
    """The axis along which a segment crosses most planes."""
    a0, a1, a2 = abs(d0), abs(d1), abs(d2)
    if a0 >= a1 and a0 >= a2:
        return 0
    return 1 if a1 >= a2 else 2


@njit(nogil=True, cache=True)
def _pass(  # type: ignore[no-untyped-def]
    to_lines, volume, shape, values, start, stop, spacing, edges, sigma, only, begin, end
):
    """Sum the volume into the values of lines begin..end, or (to_lines False) spread these into the volume.

    volume (n, voxels), shape (x, y, z), values (n, bins, lines); start, stop (lines, 3) in voxel indices
    (x, y, z).
    """
    n = volume.shape[0]
    strides = (1, shape[0], shape[0] * shape[1])
    shares = np.empty(max(1, edges.shape[0] - 1))
    for line in range(begin, end):
        d = (stop[line, 0] - start[line, 0], stop[line, 1] - start[line, 1], stop[line, 2] - start[line, 2])
        p = (start[line, 0], start[line, 1], start[line, 2])
        m = _axis(d[0], d[1], d[2])
        if d[m] == 0.0:
            continue
        a, b = (1, 2) if m == 0 else ((0, 2) if m == 1 else (0, 1))
        length = math.sqrt((d[0] * spacing[0]) ** 2 + (d[1] * spacing[1]) ** 2 + (d[2] * spacing[2]) ** 2)
        step = length / abs(d[m])
        low, high = min(p[m], p[m] + d[m]), max(p[m], p[m] + d[m])
        bin_of_line = only[line] if only.shape[0] > 0 else -1
        for k in range(max(0, math.ceil(low)), min(shape[m] - 1, math.floor(high)) + 1):
            t = (k - p[m]) / d[m]
            qa, qb = p[a] + t * d[a], p[b] + t * d[b]
            if qa <= -1.0 or qb <= -1.0 or qa >= shape[a] or qb >= shape[b]:
                continue
            ia, ib = math.floor(qa), math.floor(qb)
            fa, fb = qa - ia, qb - ib
            first, last = _shares((t - 0.5) * length, edges, sigma, bin_of_line, shares)
            base = k * strides[m] + ia * strides[a] + ib * strides[b]
            for corner in range(4):
                ca, cb = corner & 1, corner >> 1
                weight = (fa if ca else 1.0 - fa) * (fb if cb else 1.0 - fb) * step
                if weight == 0.0 or not (0 <= ia + ca < shape[a] and 0 <= ib + cb < shape[b]):
                    continue
                voxel = base + ca * strides[a] + cb * strides[b]
                for i in range(n):
                    if to_lines:
                        v = weight * volume[i, voxel]
                        for j in range(first, last):
                            values[i, j, line] += shares[j] * v
                    else:
                        v = 0.0
                        for j in range(first, last):
                            v += shares[j] * values[i, j, line]
                        volume[i, voxel] += weight * v


def lines_forward(
    volume: Array, start: Array, stop: Array, spacing: Array, edges: Array, sigma: float, only: Array
) -> Array:
    """Integrals of volumes along segments.

    Parameters
    ----------
    volume : ndarray, shape (n, z, y, x)
    start, stop : ndarray of float64, shape (lines, 3)
        End points in voxel indices (x, y, z).
    spacing : ndarray of float64, shape (3,)
        Size of a voxel (x, y, z).
    edges : ndarray of float64, shape (bins + 1,)
        Borders of the time-of-flight bins, as distances from the middle of a segment towards ``stop``; empty
        without.
    sigma : float
        Standard deviation of that distance.
    only : ndarray of int64, shape (lines,)
        The one bin of each line (list mode), or empty for all bins.

    Returns
    -------
    ndarray, shape (n, bins or 1, lines)
    """
    bins = 1 if only.size else max(1, edges.size - 1)
    values = np.zeros((volume.shape[0], bins, start.shape[0]), volume.dtype)
    flat, shape = volume.reshape(volume.shape[0], -1), np.array(volume.shape[:0:-1])
    threads.run(
        _pass,
        [
            (True, flat, shape, values, start, stop, spacing, edges, sigma, only, i, j)
            for i, j in threads.pieces(start.shape[0], least=256)
        ],
    )
    return values


def lines_adjoint(
    shape: tuple[int, int, int],
    values: Array,
    start: Array,
    stop: Array,
    spacing: Array,
    edges: Array,
    sigma: float,
    only: Array,
) -> Array:
    """The transpose of `lines_forward`: values (n, bins or 1, lines) to volumes (n, \\*shape)."""
    n, _, lines = values.shape
    parts = min(_PARTS, max(1, lines // 256))
    volumes = np.zeros((parts, n, math.prod(shape)), values.dtype)
    ends = [lines * i // parts for i in range(parts + 1)]
    world = np.array(shape[::-1])
    threads.run(
        _pass,
        [
            (False, volumes[i], world, values, start, stop, spacing, edges, sigma, only, ends[i], ends[i + 1])
            for i in range(parts)
        ],
    )
    return volumes.sum(axis=0).reshape(n, *shape)
