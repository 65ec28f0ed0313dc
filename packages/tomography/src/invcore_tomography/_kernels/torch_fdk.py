"""`fdk` in plain torch: the same sums on any device, differentiable; the oracle of the compiled kernel."""

import torch
from torch import Tensor

__all__ = ["fdk_adjoint", "fdk_backproject"]


def _weights(
    views: Tensor, grid: tuple[int, int, int], shape: tuple[int, int], per_radian: Tensor | float, power: int
) -> tuple[Tensor, Tensor]:
    """For one view (10,): detector pixels (4, voxels) seen by each voxel, and their weights."""
    rows, columns = shape
    z, y, x = (torch.arange(k, dtype=views.dtype, device=views.device) for k in grid)
    near = views[0] + views[1] * x + views[2] * y[:, None]
    side = views[3] + views[4] * x + views[5] * y[:, None]
    seen = near > 0
    if bool(per_radian != 0):
        angle = torch.atan2(side, near)
        near = torch.hypot(near, side)
        seen = near > 0
        column = (columns - 1) / 2 + per_radian * angle
    else:
        column = (columns - 1) / 2 + side / near
    factor = views[9] / near**power
    row = views[6] + (views[7] + views[8] * z[:, None, None]) / near
    if rows == 1 and grid[0] == 1:
        row = torch.zeros_like(row)
    indices, weights = [], []
    for step_a in (0, 1):
        for step_b in (0, 1):
            a, b = row.detach().floor() + step_a, column.detach().floor() + step_b
            inside = seen & (a >= 0) & (a < rows) & (b >= 0) & (b < columns)
            weight = (1 - (row - a).abs()) * (1 - (column - b).abs()) * factor
            indices.append(torch.where(inside, a * columns + b, 0).long())
            weights.append(torch.where(inside, weight, torch.zeros_like(weight)))
    return torch.stack(indices).flatten(1), torch.stack(weights).flatten(1)


def fdk_backproject(
    projections: Tensor,
    views: Tensor,
    grid: tuple[int, int, int],
    *,
    per_radian: Tensor | float = 0.0,
    power: int = 2,
) -> Tensor:
    """(n, views, rows, columns) to (n, z, y, x); arguments as the compiled kernel's."""
    n, _, rows, columns = projections.shape
    out = projections.new_zeros(n, grid[0] * grid[1] * grid[2])
    for k, view in enumerate(views):
        index, weight = _weights(view, grid, (rows, columns), per_radian, power)
        values = projections[:, k].reshape(n, -1)
        out = out + (values[:, index] * weight.to(out.dtype)).sum(1)
    return out.reshape(n, *grid)


def fdk_adjoint(
    volume: Tensor, views: Tensor, shape: tuple[int, int], *, per_radian: Tensor | float = 0.0, power: int = 2
) -> Tensor:
    """(n, z, y, x) to (n, views, rows, columns); arguments as the compiled kernel's."""
    n = volume.shape[0]
    grid = (volume.shape[1], volume.shape[2], volume.shape[3])
    out = []
    for view in views:
        index, weight = _weights(view, grid, shape, per_radian, power)
        values = volume.reshape(n, 1, -1) * weight.to(volume.dtype)
        empty = volume.new_zeros(n, shape[0] * shape[1])
        out.append(empty.index_add(1, index.reshape(-1), values.reshape(n, -1)))
    return torch.stack(out, dim=1).reshape(n, len(views), *shape)
