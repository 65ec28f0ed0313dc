"""`Phantom`: sums of ellipses or ellipsoids, with exact line integrals."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Value
from invcore.spaces import broadcast_shapes

if TYPE_CHECKING:
    from .._geometry.geometry import Geometry
    from .._geometry.grid import Grid

_CHUNK = 2**22  # numbers held at once by the loops below


class Phantom(Value):
    """A sum of ellipses (2-D) or ellipsoids (3-D), sharp or smooth, with exact line integrals.

    The image is f(r) = Σₙ ρₙ g(|Mₙ(r - cₙ)|) with M = diag(1/axes) Rᵀ, and the profile g is

    * ``"sharp"``: 1 inside the unit ball, 0 outside;
    * ``"bump"``: (1 - s²)³ inside, 0 outside: two continuous derivatives, the third bounded;
    * ``"gaussian"``: exp(-s²/2), band-limited to any precision: its spectrum is a Gaussian too.

    Along a ray r = o + t d, |d| = 1, with a = M(o - c), b = Md and q² = |a|² - (a·b)²/|b|² the distance of
    the ray from the center, the integral of g is 2√(1-q²)/|b|, (32/35)(1-q²)^(7/2)/|b| and √(2π)
    exp(-q²/2)/|b|. Everything is differentiable in the parameters.

    Parameters
    ----------
    center : Tensor, shape (batch..., n, spatial_dims)
        cₙ in world coordinates (x, y) or (x, y, z), in meters or whatever the geometry uses.
    axes : Tensor, shape (batch..., n, spatial_dims)
        Semi-axes, or standard deviations of Gaussians; > 0.
    rotation : Tensor, shape (batch..., n, spatial_dims, spatial_dims)
        R: its columns are the directions of the axes.
    density : Tensor, shape (batch..., n)
        ρₙ, added where they overlap, in attenuation per unit of length.
    profile : {"sharp", "bump", "gaussian"}
        Profile g.

    References
    ----------
    A. C. Kak, M. Slaney, "Principles of Computerized Tomographic Imaging", IEEE Press (1988), section 3.1.

    Examples
    --------
    >>> from invcore_tomography import ellipses
    >>> disk = ellipses(center=[(0.0, 0.0)], axes=[(1.0, 1.0)], density=[3.0])
    >>> origin, direction = torch.tensor([[-5.0, 0.0], [-5.0, 0.6]]), torch.tensor([[2.0, 0.0], [1.0, 0.0]])
    >>> disk.line_integrals(origin, direction)
    tensor([6.0000, 4.8000])
    """

    center: Tensor
    axes: Tensor
    rotation: Tensor
    density: Tensor
    profile: Literal["sharp", "bump", "gaussian"] = "sharp"
    params = ("center", "axes", "rotation", "density")

    def __post_init__(self) -> None:
        spatial_dims = self.center.shape[-1]
        if self.center.ndim < 2 or spatial_dims not in (2, 3):
            raise ShapeError(
                f"center must be (batch..., n, 2 or 3), one position for each ellipse, got "
                f"{tuple(self.center.shape)}"
            )
        n = self.center.shape[-2]
        wanted = {"axes": (n, spatial_dims), "rotation": (n, spatial_dims, spatial_dims), "density": (n,)}
        for name, shape in wanted.items():
            have = tuple(getattr(self, name).shape)
            if have[len(have) - len(shape) :] != shape:
                raise ShapeError(f"{name} must be (batch..., {str(shape)[1:-1].rstrip(',')}), got {have}")
        if self.profile not in ("sharp", "bump", "gaussian"):
            raise ParameterError(f"profile must be 'sharp', 'bump' or 'gaussian', got {self.profile!r}")
        if not bool((self.axes.detach() > 0).all()):
            raise ParameterError("axes must be positive")

    @property
    def spatial_dims(self) -> int:
        """Number of dimensions, 2 or 3."""
        return self.center.shape[-1]

    def value(self, points: Tensor) -> Tensor:
        """Evaluate f at points.

        Parameters
        ----------
        points : Tensor, shape (..., spatial_dims)

        Returns
        -------
        Tensor, shape (batch..., ...)
        """
        out: Tensor | float = 0.0
        for matrix, center, density in self._parts(points, points.ndim - 1):
            inside = _apply(matrix, points - center)
            out = out + density * _profile(self.profile, inside.square().sum(-1))
        return _tensor(out)

    def line_integrals(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Exact integrals of f along whole lines.

        Parameters
        ----------
        origin, direction : Tensor, shape (..., spatial_dims)
            A point of each line and its direction, of any length.

        Returns
        -------
        Tensor, shape (batch..., ...)
        """
        direction = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        rays = broadcast_shapes(origin.shape, direction.shape)
        out: Tensor | float = 0.0
        for matrix, center, density in self._parts(origin, len(rays) - 1):
            a, b = _apply(matrix, origin - center), _apply(matrix, direction)
            norm2 = b.square().sum(-1)
            nearest = a - ((a * b).sum(-1) / norm2).unsqueeze(-1) * b
            out = out + density * _chord(self.profile, nearest.square().sum(-1)) / norm2.sqrt()
        return _tensor(out)

    def project(self, geometry: Geometry) -> Tensor:
        """The exact sinogram: ∫ f along the ray to the center of each detector pixel.

        Parameters
        ----------
        geometry : Geometry
            Any geometry.

        Returns
        -------
        Tensor, shape (batch..., 1, view, column) or (batch..., 1, view, row, column)
        """
        origin, direction = geometry.rays()
        detector = len(geometry.detector_shape)
        views = max(1, _CHUNK // max(1, math.prod(geometry.detector_shape)))
        rays = (t.split(views, dim=-detector - 2) for t in torch.broadcast_tensors(origin, direction))
        pieces = [self.line_integrals(o, d) for o, d in zip(*rays)]
        return torch.cat(pieces, dim=-detector - 1).unsqueeze(-detector - 2)

    def rasterize(self, grid: Grid, *, samples: int = 1) -> Tensor:
        """Values at the voxel centers, or averages over the voxels.

        Parameters
        ----------
        grid : Grid
        samples : int
            1: the value at the center. More: the average over the voxel; exact along x for sharp and
            Gaussian profiles, over ``samples`` equally spaced lines along each other axis.

        Returns
        -------
        Tensor, shape (batch..., 1, y, x) or (batch..., 1, z, y, x)
        """
        if len(grid.shape) != self.spatial_dims:
            raise ShapeError(f"the phantom has {self.spatial_dims} dimensions, the grid {len(grid.shape)}")
        if not isinstance(samples, int) or samples < 1:
            raise ParameterError(f"samples must be a positive integer, got {samples!r}")
        like = self.center
        coordinates = [
            grid.coordinates(axis, dtype=like.dtype, device=like.device) for axis in range(self.spatial_dims)
        ]
        offsets = [((i + 0.5) / samples - 0.5) for i in range(samples)]
        others = list(itertools.product(offsets, repeat=self.spatial_dims - 1))
        total: Tensor | float = 0.0
        for shift in others:
            moved = [c + h * s for c, h, s in zip(coordinates, grid.spacing, shift)] + [coordinates[-1]]
            total = total + self._plane(moved, grid.spacing[-1], samples)
        return (_tensor(total) / len(others)).unsqueeze(-self.spatial_dims - 1)

    def _plane(self, coordinates: list[Tensor], width: float, samples: int) -> Tensor:
        """Values on a grid given by its coordinates (z,) y, x, averaged along x if samples > 1."""
        out = []
        step = max(1, _CHUNK // max(1, math.prod(len(c) for c in coordinates[1:])))
        for first in coordinates[0].split(step):
            mesh = torch.meshgrid(first, *coordinates[1:], indexing="ij")
            points = torch.stack(mesh[::-1], dim=-1)  # components (x, y[, z])
            if samples == 1:
                out.append(self.value(points))
            elif self.profile == "bump":
                shifts = [((i + 0.5) / samples - 0.5) * width for i in range(samples)]
                e = points.new_tensor([1.0] + [0.0] * (self.spatial_dims - 1))
                out.append(_tensor(sum(self.value(points + s * e) for s in shifts)) / samples)
            else:
                out.append(self._averages_along_x(points, width))
        return torch.cat(out, dim=-self.spatial_dims)

    def _averages_along_x(self, points: Tensor, width: float) -> Tensor:
        """(1/w) ∫ f(x + s, y, z) ds over |s| < w/2, exactly."""
        out: Tensor | float = 0.0
        for matrix, center, density in self._parts(points, points.ndim - 1):
            a, b = _apply(matrix, points - center), matrix[..., :, 0]
            norm = b.square().sum(-1).sqrt()
            along = (a * b).sum(-1) / norm  # in units of the profile, from the nearest point of the line
            distance2 = (a.square().sum(-1) - along.square()).clamp_min(0)
            low, high = along - norm * width / 2, along + norm * width / 2
            if self.profile == "sharp":
                half = (1 - distance2).clamp_min(0).sqrt()
                part = (torch.minimum(high, half) - torch.maximum(low, -half)).clamp_min(0)
            else:
                part = torch.exp(-distance2 / 2) * math.sqrt(math.pi / 2)
                part = part * (torch.erf(high / math.sqrt(2)) - torch.erf(low / math.sqrt(2)))
            out = out + density * part / (norm * width)
        return _tensor(out)

    def _parts(self, like: Tensor, extra: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(M, c, ρ) of each ellipse, with ``extra`` dimensions after the batch to broadcast to points."""
        turned = self.rotation.transpose(-1, -2) / self.axes.unsqueeze(-1)
        parts = []
        for i in range(self.center.shape[-2]):
            matrix, center, density = turned[..., i, :, :], self.center[..., i, :], self.density[..., i]
            matrix, center, density = (t.to(like.dtype) for t in (matrix, center, density))
            ones = (1,) * extra
            parts.append(
                (
                    matrix.reshape(*matrix.shape[:-2], *ones, *matrix.shape[-2:]),
                    center.reshape(*center.shape[:-1], *ones, center.shape[-1]),
                    density.reshape((*density.shape, *ones)),
                )
            )
        return parts


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _profile(name: str, s2: Tensor) -> Tensor:
    if name == "gaussian":
        return torch.exp(-s2 / 2)
    if name == "bump":
        return (1 - s2).clamp_min(0) ** 3
    return (s2 <= 1).to(s2.dtype)


def _chord(name: str, q2: Tensor) -> Tensor:
    """∫ g along a line at distance q, for |b| = 1."""
    if name == "gaussian":
        return math.sqrt(2 * math.pi) * torch.exp(-q2 / 2)
    inside = q2 < 1
    rest = torch.where(inside, 1 - q2, 1.0)  # keeps the derivative of the root finite outside
    power, factor = (3.5, 32 / 35) if name == "bump" else (0.5, 2.0)
    return torch.where(inside, factor * rest**power, 0.0)


def _tensor(out: Tensor | float) -> Tensor:
    return out if isinstance(out, Tensor) else torch.tensor(out)
