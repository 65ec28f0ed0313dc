"""`LocalVoxel`: each voxel from the data around its shadow in every view."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from invcore import ParameterError, Physics
from invcore.spaces import broadcast_shapes, check

from .._geometry.geometry import Geometry
from .xray import XRay

_CHUNK = 2**22
"""Numbers of windows that are worked on together."""


class LocalVoxel(nn.Module):
    r"""A network for one voxel, from windows of the views around its shadow, as in CryoLithe [1]_.

    .. math:: \hat x(r) = N\left((y_v(s_v(r) + k))_{v, k}\right)

    with s_v(r) the shadow of r in view v, and offsets k in a window of ``window`` pixels a side, read by
    linear interpolation. All voxels have the same network, fully connected with GELU, so that it is trained
    on few volumes, moves with the object, and needs no more memory for a large one. Filtered backprojection
    is such a function, without hidden layers: each view's window times the ramp filter, but for what the
    window cuts off. Data are divided by their root mean square, and the image multiplied by it.

    Parameters
    ----------
    views : int
        Number of views of the scans; their angles are part of what is learned.
    window : int
        Odd. In 3-D the windows are squares.
    hidden : tuple of int
        Widths of the hidden layers.
    spatial_dims : int
        2 or 3, the dimensions of the image.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] V. Kishore, V. Debarnot, A. Khorashadizadeh, I. Dokmanić, "Localized supervised learning for
       cryo-ET reconstruction", arXiv:2509.00968 (2025).

    Examples
    --------
    >>> from invcore_tomography import XRay, parallel
    >>> physics = Physics(XRay(parallel(7, columns=16, grid=(12, 12))))
    >>> R = LocalVoxel(views=7, window=5, hidden=(16,), spatial_dims=2)
    >>> R(torch.rand(2, 1, 7, 16), physics).shape
    torch.Size([2, 1, 12, 12])
    """

    def __init__(
        self, *, views: int, window: int = 21, hidden: tuple[int, ...] = (128, 128), spatial_dims: int = 3
    ) -> None:
        super().__init__()
        good = views >= 1 and window >= 1 and window % 2 and all(n >= 1 for n in hidden)
        if not good or spatial_dims not in (2, 3):
            raise ParameterError(
                "LocalVoxel: expected views >= 1, an odd window, positive widths and spatial_dims 2 or 3, "
                f"got {views!r}, {window!r}, {hidden!r} and {spatial_dims!r}"
            )
        self.views, self.window, self.hidden, self.spatial_dims = views, window, tuple(hidden), spatial_dims
        sizes = (views * window ** (spatial_dims - 1), *hidden, 1)
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.GELU())]
        self.network = nn.Sequential(*layers[:-1])

    def forward(self, y: Tensor, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor, shape (batch..., channel, view, [row,] column)
        physics : Physics
            An `XRay`, of one scan with a flat detector.

        Returns
        -------
        Tensor, shape (batch..., channel, *grid.shape)

        Raises
        ------
        ShapeError, DtypeError
        ParameterError
            If the operator is another one, or the number of views.
        """
        geometry = self._geometry(y, physics)
        voxels = torch.arange(math.prod(geometry.grid.shape), device=y.device)
        return self.values(y, physics, voxels).unflatten(-1, geometry.grid.shape)

    def values(self, y: Tensor, physics: Physics, voxels: Tensor) -> Tensor:
        """Some voxels of the image only: what a step of training needs.

        Parameters
        ----------
        y : Tensor, shape (batch..., channel, view, [row,] column)
        physics : Physics
        voxels : Tensor of int, shape (n,)
            Their indices in the flattened grid.

        Returns
        -------
        Tensor, shape (batch..., channel, n)
        """
        geometry = self._geometry(y, physics)
        lead = y.ndim - len(geometry.detector_shape) - 1
        batch = y.shape[:lead]
        views = y.reshape(-1, 1, self.views, geometry.rows, geometry.columns)
        size = views.flatten(1).square().mean(-1).sqrt()
        size = torch.where(size > 0, size, 1)
        views = views / size.view(-1, 1, 1, 1, 1)
        many = max(1, len(views)) * self.views * self.window ** (self.spatial_dims - 1)
        parts = [
            self.network(self._windows(views, geometry, some).flatten(2)).squeeze(-1)
            for some in voxels.split(max(1, _CHUNK // many))
        ]
        out = torch.cat(parts, -1) if parts else views.new_zeros(len(views), 0)
        return (size[:, None] * out).view(*batch, len(voxels))

    def _windows(self, views: Tensor, geometry: Geometry, voxels: Tensor) -> Tensor:
        """The data around the shadows: (item, voxel, view, *window)."""
        centers, index = [], voxels
        for axis in range(-1, -geometry.ndim - 1, -1):
            n = geometry.grid.shape[axis]
            centers.append(geometry.grid.coordinates(axis, device=voxels.device)[index % n])
            index = index // n
        at = shadows(geometry, torch.stack(centers, -1))
        k = torch.arange(self.window, device=at.device, dtype=at.dtype) - self.window // 2
        if geometry.ndim == 2:
            at = torch.cat([at, torch.zeros_like(at)], -1)
            offsets = torch.stack([k, 0 * k], -1)
        else:
            offsets = torch.stack([k.expand(len(k), -1), k[:, None].expand(-1, len(k))], -1).flatten(0, 1)
        pixels = (at[:, :, None] + offsets).unbind(-1)
        both = zip(pixels, (geometry.columns, geometry.rows))
        where = torch.stack([2 * p / (n - 1) - 1 if n > 1 else 0 * p for p, n in both], -1).to(views.dtype)
        found = [
            functional.grid_sample(views[:, :, v], w.expand(len(views), *w.shape), align_corners=True)[:, 0]
            for v, w in enumerate(where)
        ]
        return torch.stack(found, 2)

    def _geometry(self, y: Tensor, physics: Physics) -> Geometry:
        A: Any = physics.operator
        if not isinstance(A, XRay):
            raise ParameterError(f"LocalVoxel: the operator must be an XRay, got {type(A).__name__}")
        check(y, A.range, "LocalVoxel: y")
        geometry = A.geometry
        if geometry.ndim != self.spatial_dims or geometry.views != self.views:
            raise ParameterError(
                f"LocalVoxel: it is for {self.views} views of images with {self.spatial_dims} dimensions, "
                f"got {geometry.views} views and {geometry.ndim}"
            )
        if geometry.batch or geometry.curvature is not None:
            raise ParameterError("LocalVoxel: it takes one scan with a flat detector")
        return geometry


def shadows(geometry: Geometry, points: Tensor) -> Tensor:
    """Where the rays through points (n, 2 or 3) meet the detector: column and row, (view, n, 1 or 2).

    In pixels, counted from the center of the first one.
    """
    held = [t for t in (geometry.u, geometry.v) if t is not None]
    u_v = [t.to(points)[:, None] for t in held]
    source, detector = (t.to(points)[:, None] for t in (geometry.source, geometry.detector))
    rays = source if geometry.beam == "parallel" else points - source
    # d + a u + b v = p + t r
    shape = broadcast_shapes(rays.shape, u_v[0].shape)
    system = torch.stack([*(t.expand(shape) for t in u_v), -rays.expand(shape)], -1)
    offsets = torch.linalg.solve(system, (points - detector).unsqueeze(-1))[..., :-1, 0]
    middle = [(n - 1) / 2 for n in geometry.detector_shape[::-1]]
    return torch.stack([o + m for o, m in zip(offsets.unbind(-1), middle)], -1)
