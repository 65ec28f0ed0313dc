"""Scans at half the resolution: pixels twice as large, neighboring detector pixels averaged."""

from __future__ import annotations

import math

from torch import Tensor

from .geometry import Geometry
from .grid import Grid

_SMALLEST = 2**16
"""An image of fewer pixels is small: a step costs little more than its overhead."""
_NARROWEST = 32


def coarser(geometry: Geometry) -> Geometry | None:
    """The same scan with pixels of twice the size on detector and image; None if it is a small one.

    Slices and detector rows are left as they are where there is only one. Of an odd number of columns or rows
    the last one is left out; an image of odd size grows by one pixel at its end. Views stay.

    Examples
    --------
    >>> from invcore_tomography import parallel
    >>> coarser(parallel(10, columns=300))
    Geometry(parallel beam, 10 views, 150 columns of 2 m, Grid(150 x 150 pixels of 2 x 2 m, center (0, 0)))
    """
    grid, vectors = geometry.grid, geometry.parameters()
    if math.prod(grid.shape) < _SMALLEST or min(*grid.shape[-2:], geometry.columns) < _NARROWEST:
        return None
    flat = geometry.ndim == 2 or grid.shape[0] == 1 or geometry.rows == 1
    sizes = (1, 2, 2)[-geometry.ndim :] if flat else (2, 2, 2)
    detector_sizes = (1, 2)[-(geometry.ndim - 1) :] if flat else (2, 2)
    shape = tuple(-(-n // k) for n, k in zip(grid.shape, sizes))
    moved = [(m * k - n) / 2 * h for m, n, k, h in zip(shape, grid.shape, sizes, grid.spacing)]
    detector = vectors["detector"]
    for name, n, k in zip("vu"[-(geometry.ndim - 1) :], geometry.detector_shape, detector_sizes):
        detector = detector - n % k / 2 * vectors[name]
        vectors[name] = k * vectors[name]
    return Geometry(
        **{**vectors, "detector": detector},
        detector_shape=tuple(n // k for n, k in zip(geometry.detector_shape, detector_sizes)),
        grid=Grid(
            shape=shape,
            spacing=tuple(k * h for k, h in zip(sizes, grid.spacing)),
            center=tuple(c + d for c, d in zip(grid.center, moved)),
        ),
        beam=geometry.beam,
        curvature=geometry.curvature,
    )


def pixel_means(y: Tensor, fine: Geometry, coarse: Geometry) -> Tensor:
    """Means of the detector pixels that make one pixel of the coarser scan.

    Parameters
    ----------
    y : Tensor, shape (..., view, column) or (..., view, row, column)
        Data of ``fine``.
    fine, coarse : Geometry
        The second is ``coarser(fine)``.
    """
    shapes = zip(fine.detector_shape, coarse.detector_shape)
    for axis, (n, m) in enumerate(shapes, -len(fine.detector_shape)):
        if n != m:
            y = y.narrow(axis, 0, 2 * m).unflatten(axis, (m, 2)).mean(axis)
    return y
