"""Poisson-disc sampling of a grid: as many samples as asked for, as far apart as they can be."""

from __future__ import annotations

import numpy as np
import torch

_FASTER = 0.85  # how the slope of the spacing falls from one pass to the next


def poisson_discs(
    kept: np.ndarray,
    allowed: np.ndarray,
    growth: np.ndarray,
    *,
    spacing: tuple[float, float],
    wanted: int,
    source: torch.Generator,
    per_row: int | None = None,
) -> np.ndarray:
    r"""Fill a grid by dart throwing, with distances of at least 1 + slope * growth.

    Candidates come in random order, and one is taken if no sample is nearer than its distance [1]_. Once none
    is left the slope falls, and the search goes on between the samples that are there, until there are as
    many as wanted [2]_: it ends, as at a slope of 0 every position is free.

    Parameters
    ----------
    kept, allowed : array of bool, shape (rows, columns)
        Samples that are there from the start, and positions that may be added.
    growth : array, shape (rows, columns)
        How much the distance grows with the slope, 0 or more.
    spacing : tuple of float
        Distance of rows and of columns.
    wanted : int
        Number of samples, those kept included, of at most all that are allowed.
    source : torch.Generator
    per_row : int, optional
        Number of samples of each row, if all have the same.

    Returns
    -------
    array of bool, shape (rows, columns)

    References
    ----------
    .. [1] R. Bridson, "Fast Poisson disk sampling in arbitrary dimensions", SIGGRAPH sketches (2007).
    .. [2] M. McCool and E. Fiume, "Hierarchical Poisson disk sampling distributions", Graphics Interface
       (1992).
    """
    from scipy.ndimage import distance_transform_edt

    rows, columns = kept.shape
    mask = kept.copy()
    room = np.full(rows, columns) if per_row is None else per_row - mask.sum(1)
    order = torch.randperm(rows * columns, generator=source).numpy()
    steepest = max(float(np.abs(d).max()) / h if d.size else 0.0 for d, h in _slopes(growth, spacing))
    left = wanted - int(mask.sum())
    slope = _first_slope(growth[allowed], spacing, wanted)
    while left > 0:
        reach = 1 + slope * growth
        nearest = (
            distance_transform_edt(~mask, sampling=spacing) if mask.any() else np.full(mask.shape, np.inf)
        )
        free = allowed & ~mask & ((nearest >= reach - 1e-9) | (slope == 0)) & (room > 0)[:, None]
        for index in order[free.ravel()[order]]:
            row, column = divmod(int(index), columns)
            if not free[row, column] or room[row] <= 0:
                continue
            mask[row, column] = True
            room[row] -= 1
            left -= 1
            if left == 0:
                break
            _blank(free, reach, row, column, spacing, slope * steepest)
        slope = slope * _FASTER if slope > 1e-2 else 0.0
    return mask


def _blank(
    free: np.ndarray,
    reach: np.ndarray,
    row: int,
    column: int,
    spacing: tuple[float, float],
    steep: float,
) -> None:
    """Rule out what is nearer to a new sample than its own distance, which grows by at most ``steep``."""
    far = reach[row, column] / (1 - steep) if steep < 0.9 else max(free.shape) * max(spacing)
    h, w = int(far / spacing[0]) + 1, int(far / spacing[1]) + 1
    rows = slice(max(row - h, 0), row + h + 1)
    columns = slice(max(column - w, 0), column + w + 1)
    dy = (np.arange(rows.start, min(rows.stop, free.shape[0])) - row) * spacing[0]
    dx = (np.arange(columns.start, min(columns.stop, free.shape[1])) - column) * spacing[1]
    distance = np.sqrt(dy[:, None] ** 2 + dx**2)
    free[rows, columns] &= distance >= reach[rows, columns] - 1e-9


def _slopes(growth: np.ndarray, spacing: tuple[float, float]) -> list[tuple[np.ndarray, float]]:
    return [(np.diff(growth, axis=axis), spacing[axis]) for axis in (0, 1)]


def _first_slope(growth: np.ndarray, spacing: tuple[float, float], wanted: int) -> float:
    """A slope at which discs of that size fill the grid with about half of the samples."""
    area = spacing[0] * spacing[1]
    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        held = float(np.minimum(0.7 * area / (1 + middle * growth) ** 2, 1).sum())
        low, high = (middle, high) if held > 0.5 * wanted else (low, middle)
    return high
