"""`cone` and `rays_space` in plain torch: the same sums on any device, twice differentiable.

The oracle of the compiled kernels, the path for devices without one, and the source of derivatives by the
geometry.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["spatial_adjoint", "spatial_forward"]

_BYTES_PER_SAMPLE = 160  # held at a time for one sample of one ray


def _pixels(
    source: Tensor,
    detector: Tensor,
    u: Tensor,
    v: Tensor,
    spacing: Tensor,
    columns: int,
    curvature: float | None,
) -> Tensor:
    """Pixel centers of the middle detector row, in voxels: ``(views, columns, 3)``."""
    offset = torch.arange(columns, dtype=u.dtype, device=u.device)[:, None] - (columns - 1) / 2
    if curvature is None:
        return detector[:, None] + offset * u[:, None]
    axis = v * spacing
    axis = axis / torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
    across, step = (detector - source) * spacing, u * spacing
    along = (across * axis).sum(-1, keepdim=True) * axis
    across = across - along
    pitch = torch.linalg.vector_norm(step, dim=-1, keepdim=True)
    radius = torch.linalg.vector_norm(across, dim=-1, keepdim=True)
    angle = offset * pitch[:, None] / curvature
    turned = angle.cos() * across[:, None] + angle.sin() * (radius * step / pitch)[:, None]
    return source[:, None] + (along[:, None] + turned) / spacing


def _rays(
    source: Tensor,
    detector: Tensor,
    u: Tensor,
    v: Tensor,
    spacing: Tensor,
    shape: tuple[int, int],
    curvature: float | None,
    parallel: bool,
) -> tuple[Tensor, Tensor]:
    """A point and the direction of every ray, in voxels: two of ``(views * rows * columns, 3)``."""
    rows, columns = shape
    height = torch.arange(rows, dtype=v.dtype, device=v.device)[:, None, None] - (rows - 1) / 2
    middle = _pixels(source, detector, u, v, spacing, columns, curvature)
    points = middle[:, None] + height * v[:, None, None]
    origin = source[:, None, None].expand_as(points)
    if parallel:
        return points.reshape(-1, 3), origin.reshape(-1, 3)
    return origin.reshape(-1, 3), (points - origin).reshape(-1, 3)


def _samples(
    origin: Tensor, direction: Tensor, spacing: Tensor, grid: tuple[int, ...], max_bytes: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Groups of rays: numbers of the rays, voxels (rays, 4 * slices), their weights; ``grid`` = (z, y, x)."""
    sizes = (grid[2], grid[1], grid[0])
    strides = (1, grid[2], grid[2] * grid[1])
    axis = direction.detach().abs().argmax(-1)
    for m in range(3):
        p, q = (k for k in range(3) if k != m)
        chosen = (axis == m).nonzero()[:, 0]
        slices = torch.arange(sizes[m], device=origin.device)
        for rays in chosen.split(max(1, max_bytes // (_BYTES_PER_SAMPLE * sizes[m]))):
            o, d = origin[rays], direction[rays]
            slope = d / d[:, m : m + 1]
            start = o - o[:, m : m + 1] * slope
            length = torch.linalg.vector_norm(slope * spacing, dim=-1)[:, None]
            x = start[:, p, None] + slices * slope[:, p, None]
            y = start[:, q, None] + slices * slope[:, q, None]
            indices, weights = [], []
            for corner_x in (0, 1):
                for corner_y in (0, 1):
                    j, k = x.detach().floor() + corner_x, y.detach().floor() + corner_y
                    inside = (j >= 0) & (j < sizes[p]) & (k >= 0) & (k < sizes[q])
                    weight = (1 - (x - j).abs()) * (1 - (y - k).abs()) * length
                    index = slices * strides[m] + j.long() * strides[p] + k.long() * strides[q]
                    indices.append(torch.where(inside, index, 0))
                    weights.append(torch.where(inside, weight, torch.zeros_like(weight)))
            yield rays, torch.cat(indices, dim=1), torch.cat(weights, dim=1)


def spatial_forward(
    volume: Tensor,
    source: Tensor,
    detector: Tensor,
    u: Tensor,
    v: Tensor,
    spacing: Tensor,
    shape: tuple[int, int],
    curvature: float | None = None,
    parallel: bool = False,
    *,
    max_bytes: int = 2**27,
) -> Tensor:
    """Line integrals of ``volume`` (n, z, y, x): ``(n, views, rows, columns)``; arguments as `rays3_forward`.

    Without gradients about ``max_bytes`` are used beside the result; with them, all samples are kept: then
    take few views at a time.
    """
    n, views = volume.shape[0], source.shape[0]
    flat = volume.reshape(n, -1)
    origin, direction = _rays(source, detector, u, v, spacing, shape, curvature, parallel)
    out = volume.new_zeros(n, origin.shape[0])
    if flat.shape[1]:
        for rays, index, weight in _samples(
            origin, direction, spacing, volume.shape[1:], max_bytes // max(1, n)
        ):
            values = (flat[:, index] * weight.to(flat.dtype)).sum(-1)
            out = (
                out.index_copy(1, rays, values) if values.requires_grad else out.index_copy_(1, rays, values)
            )
    return out.reshape(n, views, *shape)


def spatial_adjoint(
    sinogram: Tensor,
    source: Tensor,
    detector: Tensor,
    u: Tensor,
    v: Tensor,
    spacing: Tensor,
    grid: tuple[int, int, int],
    curvature: float | None = None,
    parallel: bool = False,
    *,
    max_bytes: int = 2**27,
) -> Tensor:
    """The exact adjoint: ``(n, views, rows, columns)`` to ``(n, z, y, x)``; arguments as `rays3_adjoint`."""
    n, _, rows, columns = sinogram.shape
    flat = sinogram.reshape(n, -1)
    origin, direction = _rays(source, detector, u, v, spacing, (rows, columns), curvature, parallel)
    voxels = grid[0] * grid[1] * grid[2]
    out = sinogram.new_zeros(n, voxels)
    if voxels:
        for rays, index, weight in _samples(origin, direction, spacing, grid, max_bytes // max(1, n)):
            values = flat[:, rays, None] * weight.to(flat.dtype)
            add = out.index_add if values.requires_grad else out.index_add_
            out = add(1, index.reshape(-1), values.reshape(n, -1))
    return out.reshape(n, *grid)
