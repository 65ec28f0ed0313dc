"""Parameters of FBP and FDK for a scan: cosine weights, filter step, projection of voxels."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError

from .._geometry.geometry import Geometry
from . import redundancy

_ROUND = 0.05  # largest distance of a source from the fitted circle, as a fraction of its radius
_LEVEL = 1e-3  # largest tilt that passes for none


class FbpScan(NamedTuple):
    """One scan (no batch dimensions), in double precision.

    Attributes
    ----------
    before : Tensor, shape (view, row or 1, column)
        Weights of the data before filtering.
    step : Tensor
        Distance between columns, or between their angles if ``angle`` is given.
    angle : Tensor or None
        Angle between the columns of a curved detector.
    views : Tensor, shape (view, 10)
        Projection of voxels onto the detector, and weight, of each view; see `_kernels.fdk`.
    per_radian : Tensor, shape ()
        Columns per radian on a curved detector; 0: flat.
    power : int
        Exponent of the distance weight.
    flipped : bool
        True if the detector rows run against z.
    helical : bool
        True if the source moves along z, so that each voxel is seen over its own range of views.
    margin : int
        Columns to add at both ends before filtering: filtered data of an off-center detector extend beyond
        it.
    """

    before: Tensor
    step: Tensor
    angle: Tensor | None
    views: Tensor
    per_radian: Tensor
    power: int
    flipped: bool
    helical: bool
    margin: int


def fbp_scan(geometry: Geometry) -> FbpScan:
    """Weights and positions for a parallel, circular or helical scan; differentiable in its vectors.

    Raises
    ------
    ParameterError
        For any other scan.
    """
    vectors = {name: t.double() for name, t in geometry.parameters().items()}
    flipped = False
    if geometry.ndim == 3:
        _require_upright(vectors)
        flipped = bool(vectors["v"][0, 2] < 0)
        if flipped:
            vectors["v"] = -vectors["v"]
    planar = {name: t[..., :2] for name, t in vectors.items()}
    if geometry.beam == "parallel":
        return _parallel(geometry, vectors, planar, flipped)
    return _divergent(geometry, vectors, planar, flipped)


def _parallel(
    geometry: Geometry, vectors: dict[str, Tensor], planar: dict[str, Tensor], flipped: bool
) -> FbpScan:
    if geometry.ndim == 3 and bool(
        (vectors["source"][:, 2].abs() > _LEVEL * planar["source"].norm(dim=-1)).any()
    ):
        raise _unsupported("the rays of a parallel beam must lie in planes across z")
    ray = planar["source"] / planar["source"].norm(dim=-1, keepdim=True)
    normal = torch.stack([ray[:, 1], -ray[:, 0]], dim=-1)
    pitch = (planar["u"] * normal).sum(-1)
    normal, pitch = normal * pitch.sign()[:, None], pitch.abs()
    step = _one(pitch, "distance between columns")
    angle = torch.atan2(normal[:, 1], normal[:, 0])
    b = _centered(geometry.columns, geometry)
    center = _axis(normal, planar["detector"])
    position = ((planar["detector"] - center) * normal).sum(-1, keepdim=True) + b * step
    margin = _margin(position)
    turn = redundancy.arc(angle, 2 * math.pi)
    if margin and turn.full and geometry.views > 1:
        weight, before = turn.weight / 2, redundancy.offset(position)
    else:  # views half a turn apart measure the same rays
        weight, before, margin = redundancy.arc(angle, math.pi).weight, torch.ones_like(position), 0
    y, x = geometry.grid.spacing[-2:]
    side = [(_from(planar["detector"], geometry) * normal).sum(-1), x * normal[:, 0], y * normal[:, 1]]
    one, zero = torch.ones_like(step).expand_as(pitch), torch.zeros_like(pitch)
    views = torch.stack(
        [
            one,
            zero,
            zero,
            *(s / pitch for s in side),
            *_rows(geometry, vectors, torch.zeros_like(pitch)),
            weight.to(one),
        ],
        dim=-1,
    )
    return FbpScan(before[:, None], step, None, views, torch.zeros_like(step), 0, flipped, False, margin)


def _divergent(
    geometry: Geometry, vectors: dict[str, Tensor], planar: dict[str, Tensor], flipped: bool
) -> FbpScan:
    source, detector, u = planar["source"], planar["detector"], planar["u"]
    pitch = u.norm(dim=-1)
    step = _one(pitch, "distance between columns")
    across = u / pitch[:, None]
    towards = torch.stack([-across[:, 1], across[:, 0]], dim=-1)
    side = ((detector - source) * towards).sum(-1).sign()
    if bool((side != side[0]).any()) or bool(side[0] == 0):
        raise _unsupported("the columns must run the same way in all views, across the beam")
    towards = towards * side[0]
    _, radius, lateral = _circle(source, across, towards)
    beta = torch.atan2(towards[:, 1], towards[:, 0])
    columns = _centered(geometry.columns, geometry)
    if geometry.curvature is None:
        reach = ((detector - source) * towards).sum(-1)
        s = ((detector - source) * across).sum(-1, keepdim=True) + columns * step
        distance, gamma, angle = reach, torch.atan2(s, reach[:, None]), None
        before = radius - s / reach[:, None] * lateral  # the source's motion across the ray, over the cosine
        slant = s / reach[:, None]
    else:
        distance = (detector - source).norm(dim=-1)
        angle = step / geometry.curvature
        gamma = (columns * angle).expand(geometry.views, -1)
        before = radius * gamma.cos() - lateral * gamma.sin()
        slant = torch.zeros_like(gamma)
    alpha = (gamma - torch.atan2(-lateral, radius)) * -side[0]
    if geometry.ndim == 3:
        rise = (vectors["detector"] - vectors["source"])[:, 2, None]
        rise = rise + _centered(geometry.rows, geometry) * vectors["v"][:, 2, None]
        tilt = (rise / distance[:, None])[:, :, None]
        # FDK's cosine of the cone angle (Feldkamp, Davis and Kress, 1984)
        before = before[:, None] / (1 + slant[:, None] ** 2 + tilt**2).sqrt()
    else:
        before = (before / (1 + slant**2).sqrt())[:, None]
    margin = 0
    helical = geometry.ndim == 3 and _moves_along_z(geometry, vectors, distance, radius)
    if helical:
        weight, share = redundancy.along(beta, vectors["source"][:, 2]) / 2, torch.ones_like(gamma)
        before = before * _taper(geometry.rows, before)[:, None]
    else:
        margin = _margin(alpha)
        # with the detector in the middle, opposite views have the rays of a gap: it need not be filled
        turn = redundancy.arc(beta, 2 * math.pi, wedge=0.5 if margin else 0.1)
        if turn.full:
            weight, share = turn.weight / 2, redundancy.offset(alpha)
        else:
            margin, begin = 0, (beta - turn.start) % (2 * math.pi)
            weight, share = turn.weight, redundancy.parker(begin, alpha, turn.range)
    before = before * share[:, None]
    (y, x), first = geometry.grid.spacing[-2:], _from(source, geometry)
    near = [(first * towards).sum(-1), x * towards[:, 0], y * towards[:, 1]]
    off = [(first * across).sum(-1), x * across[:, 0], y * across[:, 1]]
    near = [n / distance for n in near]
    if geometry.curvature is None:
        shift = ((source - detector) * across).sum(-1) / pitch
        off = [o / pitch + n * shift for o, n in zip(off, near)]
        per_radian, scale = torch.zeros_like(step), distance
    else:
        off = [o / distance for o in off]
        per_radian, scale = geometry.curvature / step, distance**2
    views = torch.stack(
        [*near, *off, *_rows(geometry, vectors, vectors["source"][:, -1]), weight / scale], dim=-1
    )
    step = step if angle is None else angle
    return FbpScan(before, step, angle, views, per_radian, 2, flipped, helical, margin)


# -- parts ---------------------------------------------------------------------------------------------


def _unsupported(why: str) -> ParameterError:
    return ParameterError(
        f"filtered backprojection: {why}. For other scans solve least squares, for example with the solver "
        "'cgls' or 'fista'"
    )


def _require_upright(vectors: dict[str, Tensor]) -> None:
    u, v = vectors["u"], vectors["v"]
    tilted = (v[:, :2].norm(dim=-1) > _LEVEL * v[:, 2].abs()) | (
        u[:, 2].abs() > _LEVEL * u[:, :2].norm(dim=-1)
    )
    if bool(tilted.any()) or bool((v[:, 2].sign() != v[0, 2].sign()).any()):
        raise _unsupported("the detector's rows must be stacked along z and its columns lie across z")
    _one(v[:, 2].abs(), "distance between rows")


def _one(values: Tensor, what: str) -> Tensor:
    """The mean of values that must agree."""
    mean = values.mean()
    if bool(((values - mean).abs() > 1e-3 * mean.abs()).any()) or bool(mean == 0):
        raise _unsupported(f"the {what} must be the same in all views")
    return mean


def _centered(n: int, geometry: Geometry) -> Tensor:
    """Indices 0 to n - 1 relative to their mean."""
    return torch.arange(n, dtype=torch.float64, device=geometry.device) - (n - 1) / 2


def _margin(position: Tensor) -> int:
    """Columns by which the longer side of the detector exceeds the shorter one, if more than two."""
    if position.shape[1] < 2:
        return 0
    step = float(position.detach().diff(dim=1).abs().min())
    off = float((position.detach()[:, 0] + position.detach()[:, -1]).abs().max())
    return math.ceil(off / step) if off > 2 * step else 0


def _axis(normal: Tensor, detector: Tensor) -> Tensor:
    """Axis of rotation: the point that projects to one distance from the detector's middle in all views."""
    # (c - detector) · normal = -o for all views, in the three unknowns c and o
    if normal.shape[0] < 3:
        return torch.zeros(2, dtype=normal.dtype, device=normal.device)
    matrix = torch.cat([normal, torch.ones_like(normal[:, :1])], dim=1)
    found = torch.linalg.pinv(matrix, rtol=1e-6) @ (detector * normal).sum(-1)
    return found[:2]


def _circle(source: Tensor, across: Tensor, towards: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Center, radius R and lateral offset o of the circle source = center - R towards + o across."""
    n = source.shape[0]
    if n < 3:
        center = torch.zeros(2, dtype=source.dtype, device=source.device)
        radius = -((source - center) * towards).sum(-1).mean()
        return center, radius, ((source - center) * across).sum(-1).mean()
    eye = torch.eye(2, dtype=source.dtype, device=source.device).expand(n, 2, 2)
    matrix = torch.cat([eye, -towards[..., None], across[..., None]], dim=-1).reshape(2 * n, 4)
    found = torch.linalg.pinv(matrix, rtol=1e-6) @ source.reshape(-1)
    center, radius, lateral = found[:2], found[2], found[3]
    miss = source - (center - radius * towards + lateral * across)
    if bool(radius <= 0) or bool((miss.norm(dim=-1) > _ROUND * radius).any()):
        raise _unsupported(
            "the source must go around on a circle or a helix about z, the detector turning with it"
        )
    return center, radius, lateral


def _from(point: Tensor, geometry: Geometry) -> Tensor:
    """From a point of each view to the center of the first pixel, in the xy-plane."""
    grid = geometry.grid
    first = [grid.center[k] - (grid.shape[k] - 1) / 2 * grid.spacing[k] for k in (-1, -2)]
    return torch.stack([first[0] - point[:, 0], first[1] - point[:, 1]], dim=-1)


def _rows(geometry: Geometry, vectors: dict[str, Tensor], height: Tensor) -> list[Tensor]:
    """Three numbers that map the slice of a voxel to a detector row; ``height`` is that of the source."""
    if geometry.ndim == 2:
        zero = torch.zeros_like(height)
        return [zero, zero, zero + 1]
    grid, pitch = geometry.grid, vectors["v"][:, 2]
    first = grid.center[0] - (grid.shape[0] - 1) / 2 * grid.spacing[0]
    start = (geometry.rows - 1) / 2 + (height - vectors["detector"][:, 2]) / pitch
    return [start, (first - height) / pitch, grid.spacing[0] / pitch]


def _moves_along_z(geometry: Geometry, vectors: dict[str, Tensor], distance: Tensor, radius: Tensor) -> bool:
    """True if the source rises by more than a detector row, seen at the axis."""
    z = vectors["source"][:, 2]
    row = vectors["v"][0, 2] * radius / distance.mean()
    return bool(z.max() - z.min() > row)


def _taper(rows: int, like: Tensor) -> Tensor:
    """Weight of the detector rows of a helical scan: falls off over the outer fifth at both ends."""
    a = (torch.arange(rows, dtype=like.dtype, device=like.device) + 0.5) / rows
    return torch.sin(math.pi / 2 * (torch.minimum(a, 1 - a) / 0.2).clamp(max=1)) ** 2


def coverage(scan: FbpScan, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Row weights of a helical scan as data (1, view, row, column), and views weighted by their angles."""
    shape: Any = geometry.detector_shape
    data = _taper(geometry.rows, scan.before)[:, None].expand(geometry.views, *shape)[None]
    width = redundancy.along(_turning(geometry), geometry.source[:, 2].double())
    views = torch.cat([scan.views[:, :9], width[:, None]], dim=1)
    return data, views


def _turning(geometry: Geometry) -> Tensor:
    u = geometry.u.double()
    return torch.atan2(u[:, 1], u[:, 0])
