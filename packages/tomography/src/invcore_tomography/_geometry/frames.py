"""Parts of the constructors of scans: angles, frames, displacements, and the grid of the field of view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

from .grid import Grid
from .units import looks_like_degrees

Number = float | Tensor
"""A number, or a tensor with one for each view."""
Angles = int | Sequence[float] | np.ndarray | Tensor


def read_angles(angles: Angles, arc: float, *, turns: bool = False) -> Tensor:
    """Angles in radians; those that look like degrees are refused. ``turns``: many turns are usual."""
    if isinstance(angles, int) and not isinstance(angles, bool):
        if angles < 1:
            raise ParameterError(f"angles: a number of views must be positive, got {angles}")
        return torch.arange(angles, dtype=torch.float64) * (arc / angles)
    theta = floating("angles", angles)
    if theta.ndim == 0 or theta.shape[-1] == 0:
        raise ShapeError(f"angles must be (..., view) with at least one view, got {tuple(theta.shape)}")
    if not bool(theta.detach().isfinite().all()):
        raise ParameterError("angles has entries that are not finite")
    low, high = (float(end) for end in theta.detach().aminmax())
    degrees = looks_like_degrees(theta.detach().double().cpu().numpy(), turns=turns)
    if degrees or (turns and high - low > 200 * math.pi):
        other = "" if turns else ". If they are radians over many turns, give angles % (2 * torch.pi)"
        raise ParameterError(
            f"angles go from {low:.4g} to {high:.4g}, which look like degrees; they are in radians: use "
            f"torch.deg2rad{other}"
        )
    return theta


def floating(name: str, given: Any) -> Tensor:
    """Convert to a floating-point tensor, in double precision unless it has a precision already."""
    if isinstance(given, Tensor):
        return given if given.is_floating_point() else given.to(torch.float64)
    try:
        return torch.as_tensor(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} must be numbers, got {given!r}: {error}") from error


def count(name: str, n: int) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ParameterError(f"{name} must be a positive int, got {n!r}")
    return n


def require_positive(**lengths: Number | None) -> None:
    for name, length in lengths.items():
        if length is not None and not bool(torch.as_tensor(length).detach().gt(0).all()):
            raise ParameterError(f"{name} must be positive, got {length}")


def mean_of(length: Number) -> float:
    return float(torch.as_tensor(length).detach().double().mean())


def frame(theta: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors along the columns and along the rays, (..., view, 2)."""
    c, s = theta.cos(), theta.sin()
    return torch.stack([c, s], dim=-1), torch.stack([-s, c], dim=-1)


def in_space(vectors: Tensor) -> Tensor:
    return torch.cat([vectors, torch.zeros_like(vectors[..., :1])], dim=-1)


def upwards(like: Tensor) -> Tensor:
    up = torch.zeros_like(like)
    up[..., 2] = 1
    return up


def per_view(number: Number, theta: Tensor) -> Tensor:
    """A number, or one for each view, as a factor of vectors."""
    return torch.as_tensor(number, dtype=theta.dtype, device=theta.device).unsqueeze(-1)


def displacement(theta: Tensor, columns: int, pitch: float, center: Number | None, offset: Number) -> Tensor:
    """Displacement of the detector along its columns in meters, with one entry or one for each view."""
    moved = torch.as_tensor(offset, dtype=theta.dtype, device=theta.device)
    if center is not None:
        axis = torch.as_tensor(center, dtype=theta.dtype, device=theta.device)
        moved = moved + ((columns - 1) / 2 - axis) * pitch
    if moved.ndim and moved.shape[-1] not in (1, theta.shape[-1]):
        raise ShapeError(
            f"offsets must be one number or one for each of the {theta.shape[-1]} views, got "
            f"{tuple(moved.shape)}"
        )
    return moved


def stand(
    theta: Tensor,
    across: Tensor,
    along: Tensor,
    source_distance: Number,
    detector_distance: Number,
    source_offset: Number,
    shift: Tensor,
    pitch: float,
    curved: bool,
) -> tuple[Tensor, Tensor, Tensor, float | None]:
    """Source, center of the detector, u and radius of a divergent beam."""
    before, behind = per_view(source_distance, theta), per_view(detector_distance, theta)
    source = per_view(source_offset, theta) * across - before * along
    if not curved:
        return source, behind * along + shift.unsqueeze(-1) * across, pitch * across, None
    radius = mean_of(source_distance) + mean_of(detector_distance)
    # along the arc, a displacement is an angle about the source
    angle = (shift / radius).unsqueeze(-1)
    turned = angle.cos() * along + angle.sin() * across
    tangent = angle.cos() * across - angle.sin() * along
    return source, source + (before + behind) * turned, pitch * tangent, radius


def parallel_field(
    grid: Grid | tuple[int, ...] | None,
    columns: int,
    rows: int | None,
    pitch: float,
    row_pitch: float | None,
    shift: Tensor,
    width: float | None = None,
    middle: float = 0.0,
    length: float | None = None,
) -> Grid:
    """The given grid, or one that covers the field of view.

    It is ``width`` wide, and in 3-D ``length`` long along z, around ``middle``.
    """
    if isinstance(grid, Grid):
        if grid.ndim != (2 if rows is None else 3):
            raise ShapeError(f"the scan has {2 if rows is None else 3} dimensions, the grid {grid.ndim}")
        return grid
    width = columns * pitch if width is None else width
    away = float(shift.detach().abs().max())
    off = 2 * away if away > columns * pitch / 8 else 0.0  # a detector off the middle sees a wider field
    widened = width * (1 + off / (columns * pitch))
    if grid is None:
        step = width / columns
        n = columns if not off else 2 * math.ceil(widened / step / 2 - 1e-9)
        if rows is None or row_pitch is None:
            return Grid(shape=(n, n), spacing=step)
        if length is None:
            return Grid(shape=(rows, n, n), spacing=(row_pitch * width / (columns * pitch), step, step))
        return Grid(shape=(max(1, round(length / step)), n, n), spacing=step, center=(middle, 0.0, 0.0))
    if not isinstance(grid, tuple) or len(grid) != (2 if rows is None else 3):
        wanted = "(y, x)" if rows is None else "(z, y, x)"
        raise ShapeError(f"grid must be a Grid or a shape {wanted}, got {grid!r}")
    step = widened / max(grid[-2:])
    if rows is None or row_pitch is None:
        return Grid(shape=grid, spacing=step)
    tall = rows * row_pitch * width / (columns * pitch) if length is None else length
    return Grid(shape=grid, spacing=(tall / grid[0], step, step), center=(middle, 0.0, 0.0))


def divergent_field(
    grid: Grid | tuple[int, ...] | None,
    columns: int,
    rows: int | None,
    pitch: float,
    row_pitch: float | None,
    shift: Tensor,
    near: float,
    far: float,
    curved: bool,
    heights: tuple[float, float] = (0.0, 0.0),
) -> Grid:
    """As `parallel_field`, for the circle about the axis inside the fan; along z, as seen at the axis."""
    half = columns * pitch / 2
    angle = min(half / far, math.pi / 2) if curved else math.atan2(half, far)
    width = 2 * near * math.sin(angle)
    if rows is None or row_pitch is None:
        return parallel_field(grid, columns, rows, pitch, row_pitch, shift, width)
    length = rows * row_pitch * near / far + heights[1] - heights[0]
    return parallel_field(grid, columns, rows, pitch, row_pitch, shift, width, sum(heights) / 2, length)


def height_range(height: Number) -> tuple[float, float]:
    ends = torch.as_tensor(height).detach().double().reshape(-1).aminmax()
    return float(ends.min), float(ends.max)
