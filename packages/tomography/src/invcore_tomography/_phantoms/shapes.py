"""Phantoms with exact line integrals: ellipses, ellipsoids, smooth blobs, Shepp and Logan's head."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Value

if TYPE_CHECKING:
    from .._geometry.geometry import Geometry
    from .._geometry.grid import Grid

_CHUNK = 2**22  # numbers held at once by the loops below

# Shepp and Logan's head: semi-axes and center (x, y), turn in degrees; y up.
_HEAD = (
    ((0.69, 0.92), (0.0, 0.0), 0.0),
    ((0.6624, 0.874), (0.0, -0.0184), 0.0),
    ((0.11, 0.31), (0.22, 0.0), -18.0),
    ((0.16, 0.41), (-0.22, 0.0), 18.0),
    ((0.21, 0.25), (0.0, 0.35), 0.0),
    ((0.046, 0.046), (0.0, 0.1), 0.0),
    ((0.046, 0.046), (0.0, -0.1), 0.0),
    ((0.046, 0.023), (-0.08, -0.605), 0.0),
    ((0.023, 0.023), (0.0, -0.606), 0.0),
    ((0.023, 0.046), (0.06, -0.605), 0.0),
)
_HEAD_DEPTH = (0.81, 0.78, 0.22, 0.28, 0.41, 0.05, 0.05, 0.05, 0.02, 0.02)  # third semi-axis
_HEAD_Z = (0.0, 0.0, 0.0, 0.0, -0.15, 0.25, 0.25, 0.0, 0.0, 0.0)
_HEAD_TILT = (0.0, 0.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # degrees, second turn about z
_DENSITY = {
    "standard": (2.0, -0.98, -0.02, -0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01),
    "modified": (1.0, -0.8, -0.2, -0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1),
}


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
    center : Tensor, shape (batch..., n, dims)
        cₙ in world coordinates (x, y) or (x, y, z), in meters or whatever the geometry uses.
    axes : Tensor, shape (batch..., n, dims)
        Semi-axes, or standard deviations of Gaussians; > 0.
    rotation : Tensor, shape (batch..., n, dims, dims)
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
        dims = self.center.shape[-1]
        if self.center.ndim < 2 or dims not in (2, 3):
            raise ShapeError(
                f"center must be (batch..., n, 2 or 3), one position for each ellipse, got "
                f"{tuple(self.center.shape)}"
            )
        n = self.center.shape[-2]
        wanted = {"axes": (n, dims), "rotation": (n, dims, dims), "density": (n,)}
        for name, shape in wanted.items():
            have = tuple(getattr(self, name).shape)
            if have[len(have) - len(shape) :] != shape:
                raise ShapeError(f"{name} must be (batch..., {str(shape)[1:-1].rstrip(',')}), got {have}")
        if self.profile not in ("sharp", "bump", "gaussian"):
            raise ParameterError(f"profile must be 'sharp', 'bump' or 'gaussian', got {self.profile!r}")
        if not bool((self.axes.detach() > 0).all()):
            raise ParameterError("axes must be positive")

    @property
    def dims(self) -> int:
        """Number of dimensions, 2 or 3."""
        return self.center.shape[-1]

    def value(self, points: Tensor) -> Tensor:
        """Evaluate f at points.

        Parameters
        ----------
        points : Tensor, shape (..., dims)

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
        origin, direction : Tensor, shape (..., dims)
            A point of each line and its direction, of any length.

        Returns
        -------
        Tensor, shape (batch..., ...)
        """
        direction = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        rays = torch.broadcast_shapes(origin.shape, direction.shape)
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
        if len(grid.shape) != self.dims:
            raise ShapeError(f"the phantom has {self.dims} dimensions, the grid {len(grid.shape)}")
        if not isinstance(samples, int) or samples < 1:
            raise ParameterError(f"samples must be a positive integer, got {samples!r}")
        like = self.center
        coordinates = [
            grid.coordinates(axis, dtype=like.dtype, device=like.device) for axis in range(self.dims)
        ]
        offsets = [((i + 0.5) / samples - 0.5) for i in range(samples)]
        others = list(itertools.product(offsets, repeat=self.dims - 1))
        total: Tensor | float = 0.0
        for shift in others:
            moved = [c + h * s for c, h, s in zip(coordinates, grid.spacing, shift)] + [coordinates[-1]]
            total = total + self._plane(moved, grid.spacing[-1], samples)
        return (_tensor(total) / len(others)).unsqueeze(-self.dims - 1)

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
                e = points.new_tensor([1.0] + [0.0] * (self.dims - 1))
                out.append(_tensor(sum(self.value(points + s * e) for s in shifts)) / samples)
            else:
                out.append(self._averages_along_x(points, width))
        return torch.cat(out, dim=-self.dims)

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


def ellipses(
    *,
    center: Tensor | list[tuple[float, float]],
    axes: Tensor | list[tuple[float, float]],
    density: Tensor | list[float],
    angle: Tensor | list[float] | None = None,
    profile: Literal["sharp", "bump", "gaussian"] = "sharp",
    dtype: torch.dtype | None = None,
) -> Phantom:
    """Make a 2-D phantom of ellipses.

    Parameters
    ----------
    center, axes : Tensor or list, shape (..., n, 2)
        Positions (x, y) and semi-axes before turning, in units of length.
    density : Tensor or list, shape (..., n)
    angle : Tensor or list, shape (..., n), optional
        Turn of the first axis from x towards y, in radians; 0 by default.
    profile : {"sharp", "bump", "gaussian"}
        See `Phantom`.
    dtype : torch.dtype, optional
        Precision of values given as lists; torch's default dtype if left out.

    Returns
    -------
    Phantom

    Examples
    --------
    >>> ellipses(center=[(0.0, 0.0)], axes=[(2.0, 1.0)], density=[1.0], angle=[0.3]).dims
    2
    """
    middle, axes, density = (torch.as_tensor(t, dtype=dtype) for t in (center, axes, density))
    turn = torch.zeros_like(density) if angle is None else torch.as_tensor(angle, dtype=dtype)
    return Phantom(center=middle, axes=axes, rotation=_turn(turn), density=density, profile=profile)


def ellipsoids(
    *,
    center: Tensor | list[tuple[float, float, float]],
    axes: Tensor | list[tuple[float, float, float]],
    density: Tensor | list[float],
    angles: Tensor | list[tuple[float, float, float]] | None = None,
    profile: Literal["sharp", "bump", "gaussian"] = "sharp",
    dtype: torch.dtype | None = None,
) -> Phantom:
    """Make a 3-D phantom of ellipsoids.

    Parameters
    ----------
    center, axes : Tensor or list, shape (..., n, 3)
        Positions (x, y, z) and semi-axes before turning, in units of length.
    density : Tensor or list, shape (..., n)
    angles : Tensor or list, shape (..., n, 3), optional
        Euler angles (φ, θ, ψ) in radians: R = Rz(φ) Rx(θ) Rz(ψ).
    profile : {"sharp", "bump", "gaussian"}
        See `Phantom`.
    dtype : torch.dtype, optional
        Precision of values given as lists; torch's default dtype if left out.

    Returns
    -------
    Phantom

    Examples
    --------
    >>> ball = ellipsoids(center=[(0.0, 0.0, 0.0)], axes=[(1.0, 1.0, 1.0)], density=[2.0])
    >>> ball.line_integrals(torch.zeros(3), torch.tensor([1.0, 1.0, 1.0])).item()
    4.0
    """
    middle, axes, density = (torch.as_tensor(t, dtype=dtype) for t in (center, axes, density))
    turns = torch.zeros_like(middle) if angles is None else torch.as_tensor(angles, dtype=dtype)
    first, tilt, second = _turn(turns[..., 0], 3), _turn(turns[..., 1], 3, axis=0), _turn(turns[..., 2], 3)
    return Phantom(center=middle, axes=axes, rotation=first @ tilt @ second, density=density, profile=profile)


def shepp_logan(
    dims: int = 2,
    *,
    variant: Literal["standard", "modified"] = "modified",
    radius: float = 1.0,
    scale: float = 1.0,
    dtype: torch.dtype | None = None,
) -> Phantom:
    """Make Shepp and Logan's head phantom: ten ellipses, or ten ellipsoids.

    The y axis points to the back of the head, so the face is at the top of a picture, whose first row has the
    smallest y. The 3-D table is that of Schabel's phantom3d; the standard one has the same shapes with the
    original contrasts.

    Parameters
    ----------
    dims : {2, 3}
    variant : {"standard", "modified"}
        The densities of Shepp and Logan (skull 2, brain 1.02, differences of 1 %), or Toft's, with more
        contrast (skull 1, brain 0.2).
    radius : float
        Half of the field of view, in units of length; the head is 0.92 of it high.
    scale : float
        Factor of the densities.
    dtype : torch.dtype, optional
        Torch's default dtype if left out.

    Returns
    -------
    Phantom

    References
    ----------
    L. A. Shepp, B. F. Logan, "The Fourier reconstruction of a head section", IEEE Trans. Nucl. Sci. 21
    (1974).
    P. A. Toft, "The Radon transform: theory and implementation", PhD thesis, DTU (1996).

    Examples
    --------
    >>> from invcore_tomography import Grid
    >>> head = shepp_logan().rasterize(Grid(shape=(64, 64), spacing=(2 / 64, 2 / 64)))
    >>> head.shape, round(head.max().item(), 3)
    (torch.Size([1, 64, 64]), 1.0)
    """
    if dims not in (2, 3):
        raise ParameterError(f"dims must be 2 or 3, got {dims!r}")
    if variant not in _DENSITY:
        raise ParameterError(f"variant must be one of {sorted(_DENSITY)}, got {variant!r}")
    if not radius > 0:
        raise ParameterError(f"radius must be positive, got {radius!r}")
    density = [scale * rho for rho in _DENSITY[variant]]
    turns = [-math.radians(turn) for _, _, turn in _HEAD]  # y downwards turns the other way
    if dims == 2:
        return ellipses(
            center=[(radius * x, -radius * y) for _, (x, y), _ in _HEAD],
            axes=[(radius * a, radius * b) for (a, b), _, _ in _HEAD],
            density=density,
            angle=turns,
            dtype=dtype,
        )
    return ellipsoids(
        center=[(radius * x, -radius * y, radius * z) for (_, (x, y), _), z in zip(_HEAD, _HEAD_Z)],
        axes=[(radius * a, radius * b, radius * c) for ((a, b), _, _), c in zip(_HEAD, _HEAD_DEPTH)],
        density=density,
        angles=[(turn, 0.0, -math.radians(tilt)) for turn, tilt in zip(turns, _HEAD_TILT)],
        dtype=dtype,
    )


def _turn(angle: Tensor, dims: int = 2, axis: int = 2) -> Tensor:
    """Rotation matrices about z, or in 3-D about x (``axis=0``)."""
    c, s = torch.cos(angle), torch.sin(angle)
    if dims == 2:
        return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
    o, l = torch.zeros_like(c), torch.ones_like(c)
    rows = ((c, -s, o), (s, c, o), (o, o, l)) if axis == 2 else ((l, o, o), (o, c, -s), (o, s, c))
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


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
