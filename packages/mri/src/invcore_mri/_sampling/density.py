"""The part of k-space that each sample of a trajectory stands for: weights of gridding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DtypeError, MissingDependencyError, ParameterError, ShapeError, Space
from invcore.operators import NUFFT


def radial_density(trajectory: Tensor) -> Tensor:
    r"""Return the area of k-space that each sample of a radial trajectory stands for.

    Spokes at any angles go straight through the center, their samples equally far apart. A sample at the
    radius r has the area :math:`|r| \, \Delta r \, \Delta \theta`, where Δθ is half the angle between the two
    neighboring spokes. The samples at the center share :math:`\pi \Delta r^2 / 6`: then the sum along a line
    is the integral of \|r\| times a smooth function but for terms in :math:`\Delta r^4` (Euler, Maclaurin).
    The area of the disc, a fourth instead of a sixth, would add a constant to the image. With the root of the
    area as ``weights`` of `NUFFTSense`, the adjoint of the weighted data is the gridded image.

    Parameters
    ----------
    trajectory : Tensor, shape (spoke, sample, 2)
        In any unit, as of `radial`.

    Returns
    -------
    Tensor, shape (spoke, sample)
        In the square of that unit. In cycles per field of view, 1 is the density of a fully sampled grid.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the samples do not lie on straight lines through the center.

    Examples
    --------
    >>> from invcore_mri import radial
    >>> radial_density(radial(2, 4, 4))
    tensor([[3.1416, 1.5708, 0.2618, 1.5708],
            [3.1416, 1.5708, 0.2618, 1.5708]])
    """
    if trajectory.ndim != 3 or trajectory.shape[-1] != 2 or 0 in trajectory.shape or trajectory.shape[1] < 2:
        raise ShapeError(
            "radial_density: the trajectory must be (spoke, sample, 2) with two samples or more, got "
            f"{tuple(trajectory.shape)}"
        )
    if not trajectory.is_floating_point():
        raise DtypeError(f"radial_density: the trajectory must be real and floating, got {trajectory.dtype}")
    k = trajectory.detach().double()
    along = k[:, -1] - k[:, 0]
    length = torch.linalg.vector_norm(along, dim=-1, keepdim=True)
    step = length / (k.shape[1] - 1)
    directions = along / length
    radii = (k * directions.unsqueeze(1)).sum(-1)
    straight = radii.unsqueeze(-1) * directions.unsqueeze(1)
    even = radii[:, :1] + step * torch.arange(k.shape[1], device=k.device)
    tolerance = 1e-3 * float(step.mean())
    off = max(float((k - straight).abs().max()), float((radii - even).abs().max()))
    if not off <= tolerance:  # nan included
        raise ParameterError(
            "radial_density: samples must be equally far apart on straight lines through the center; some "
            f"are {off / float(step.mean()):.2g} of a step away"
        )
    widths = _widths(torch.atan2(directions[:, 1], directions[:, 0]) % math.pi).unsqueeze(-1)
    area = radii.abs() * step * widths
    center = radii.abs() < 0.5 * step * (1 - 1e-6)
    shared = math.pi * step**2 / (6 * center.sum().clamp_min(1))
    return torch.where(center, shared, area).to(trajectory.dtype)


def _widths(angles: Tensor) -> Tensor:
    """Half the angle between the neighbors of each line, modulo π; coincident lines share."""
    ordered, order = angles.sort()
    gaps = torch.diff(ordered, append=ordered[:1] + math.pi)
    widths = torch.empty_like(ordered)
    widths[order] = (gaps + gaps.roll(1)) / 2
    return widths


def voronoi_density(trajectory: Tensor) -> Tensor:
    r"""Return the area of the Voronoi cell of each sample: what is closer to it than to any other.

    For any planar trajectory [1]_. Samples at one place share their cell. Cells at the border reach half the
    distance of neighbors beyond the convex hull of all samples.

    Parameters
    ----------
    trajectory : Tensor, shape (..., 2)
        In any unit; of a stack of planes one of them.

    Returns
    -------
    Tensor, shape (...)
        In the square of that unit. In cycles per field of view, 1 is the density of a fully sampled grid.

    Raises
    ------
    ShapeError, DtypeError, ParameterError, MissingDependencyError
        Without SciPy.

    References
    ----------
    .. [1] V. Rasche, R. Proksa, R. Sinkus, P. Börnert, H. Eggers, "Resampling of data between arbitrary grids
       using convolution interpolation", IEEE Trans. Med. Imaging 18 (1999).

    Examples
    --------
    >>> grid = torch.cartesian_prod(torch.arange(4.0), torch.arange(3.0))
    >>> voronoi_density(grid).unique()
    tensor([1.])
    """
    _check_trajectory("voronoi_density", trajectory)
    if trajectory.shape[-1] != 2:
        raise ShapeError(
            f"voronoi_density: the trajectory must be (..., 2), got {tuple(trajectory.shape)}; in three "
            "dimensions use pipe_menon_density"
        )
    try:
        from scipy.spatial import ConvexHull, QhullError, Voronoi
    except ImportError as error:
        raise MissingDependencyError("voronoi_density needs SciPy: pip install scipy") from error
    k = trajectory.detach().double().cpu().reshape(-1, 2).numpy()
    extent = float(np.ptp(k, axis=0).max())
    keys = np.round(k / (1e-6 * extent or 1.0)).astype(np.int64)
    _, first, which, count = np.unique(
        keys, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    points = k[first]
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError) as error:
        raise ParameterError("voronoi_density: the samples do not span a plane") from error
    center = points.mean(0)
    turns = np.arange(8) * np.pi / 4
    far = center + 20 * extent * np.stack([np.cos(turns), np.sin(turns)], -1)
    cells = Voronoi(np.vstack([points, far]))
    planes = hull.equations.copy()  # n·x + c ≤ 0 inside
    planes[:, -1] -= _margin(points, hull.vertices)
    area = _areas(cells, len(points))
    outside = (cells.vertices @ planes[:, :-1].T + planes[:, -1]).max(1) > 1e-12 * extent
    for i in range(len(points)):
        region = cells.regions[cells.point_region[i]]
        if any(v < 0 or outside[v] for v in region):
            area[i] = _clipped(cells.vertices[[v for v in region if v >= 0]], points[i], planes)
    share = torch.from_numpy(area[which.reshape(-1)] / count[which.reshape(-1)])
    return share.reshape(trajectory.shape[:-1]).to(trajectory.dtype).to(trajectory.device)


def _margin(points: np.ndarray, border: np.ndarray) -> float:
    """Half the median distance of a sample on the hull to its nearest neighbor."""
    from scipy.spatial import cKDTree

    nearest = cKDTree(points).query(points[border], k=2)[0][:, 1]
    return float(np.median(nearest)) / 2


def _areas(cells: Any, count: int) -> np.ndarray:
    """The areas of all cells: triangles of a sample and an edge, whose height is half the way across it."""
    pairs, edges = cells.ridge_points, np.array(cells.ridge_vertices)
    finite = (edges >= 0).all(1)
    pairs, edges = pairs[finite], edges[finite]
    length = np.linalg.norm(cells.vertices[edges[:, 0]] - cells.vertices[edges[:, 1]], axis=1)
    triangle = length * np.linalg.norm(cells.points[pairs[:, 0]] - cells.points[pairs[:, 1]], axis=1) / 4
    return np.bincount(pairs.ravel(), np.repeat(triangle, 2), minlength=count)[:count]


def _clipped(corners: np.ndarray, point: np.ndarray, planes: np.ndarray) -> float:
    """The area of a convex polygon inside of half planes (Sutherland and Hodgman)."""
    angles = np.arctan2(*(corners - corners.mean(0)).T[::-1])
    polygon = corners[np.argsort(angles)]
    for normal in planes:
        side = polygon @ normal[:-1] + normal[-1]
        if (side <= 0).all():
            continue
        kept = []
        for a, b, sa, sb in zip(polygon, np.roll(polygon, -1, 0), side, np.roll(side, -1)):
            if sa <= 0:
                kept.append(a)
            if (sa <= 0) != (sb <= 0):
                kept.append(a + (b - a) * sa / (sa - sb))
        polygon = np.array(kept)
        if len(polygon) < 3:
            return 0.0
    x, y = (polygon - point).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def pipe_menon_density(
    trajectory: Tensor, shape: tuple[int, ...], *, steps: int = 30, eps: float = 1e-4
) -> Tensor:
    r"""Return weights whose point spread function is nearly a point within the field of view, by iteration.

    .. math:: w_{i+1} = w_i / \sum_m K(k - k_m) \, w_{i,m}

    of Pipe and Menon [1]_, in two and three dimensions, with K the transform of the triangle over twice the
    field of view, a product of sinc² [2]_: positive, so that the iteration is stable.

    Parameters
    ----------
    trajectory : Tensor, shape (..., d)
        In cycles per field of view.
    shape : tuple of int
        Pixels of the image.
    steps : int
        Number of iterations.
    eps : float
        Accuracy of the transforms.

    Returns
    -------
    Tensor, shape (...)
        1 is the density of a fully sampled grid.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    .. [1] J. Pipe and P. Menon, "Sampling density compensation in MRI: rationale and an iterative numerical
       solution", Magn. Reson. Med. 41 (1999).
    .. [2] K. Johnson and J. Pipe, "Convolution kernel design and efficient algorithm for sampling density
       correction", Magn. Reson. Med. 61 (2009).

    Examples
    --------
    >>> grid = torch.cartesian_prod(torch.arange(8.0) - 4, torch.arange(8.0) - 4)
    >>> pipe_menon_density(grid, (8, 8)).round(decimals=2).unique()
    tensor([1.])
    """
    _check_trajectory("pipe_menon_density", trajectory)
    if trajectory.shape[-1] != len(shape):
        raise ShapeError(
            f"pipe_menon_density: the trajectory must be (..., {len(shape)}) for pixels {shape}, got "
            f"{tuple(trajectory.shape)}"
        )
    if int(steps) != steps or steps < 1:
        raise ParameterError(f"pipe_menon_density: steps must be a positive whole number, got {steps!r}")
    k = trajectory.detach().reshape(-1, len(shape))
    wide = tuple(2 * n for n in shape)
    pixels = torch.tensor(shape, dtype=k.dtype, device=k.device)
    F = NUFFT(k / pixels, Space((1, *wide), "complex"), unit="cycles", eps=eps)
    window = torch.ones(wide, dtype=k.dtype, device=k.device)
    for axis, n in enumerate(shape):
        triangle = 1 - (torch.arange(2 * n, dtype=k.dtype, device=k.device) - n).abs() / n
        window = window * triangle.reshape(-1, *(1,) * (len(shape) - axis - 1))
    window = window * 2 ** len(shape)  # so that K(0) = 1
    w = torch.ones(1, len(k), dtype=k.dtype, device=k.device)
    for _ in range(steps):
        smooth = F(window * F.H(w + 0j)).real
        w = w / smooth.clamp_min(1e-3)
    return w.reshape(trajectory.shape[:-1])


def _check_trajectory(name: str, trajectory: Tensor) -> None:
    if not trajectory.is_floating_point():
        raise DtypeError(f"{name}: the trajectory must be real and floating, got {trajectory.dtype}")
    if trajectory.ndim < 2 or 0 in trajectory.shape:
        raise ShapeError(f"{name}: the trajectory must be (..., d), got {tuple(trajectory.shape)}")
    if not bool(torch.isfinite(trajectory).all()):
        raise ParameterError(f"{name}: the trajectory is not finite")
