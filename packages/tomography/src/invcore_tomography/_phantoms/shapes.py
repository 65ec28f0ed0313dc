"""Constructors of phantoms: ellipses, ellipsoids, Shepp and Logan's head."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import ParameterError

from .phantom import Phantom

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
    >>> ellipses(center=[(0.0, 0.0)], axes=[(2.0, 1.0)], density=[1.0], angle=[0.3]).spatial_dims
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
    spatial_dims: int = 2,
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
    spatial_dims : {2, 3}
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
    if spatial_dims not in (2, 3):
        raise ParameterError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}")
    if variant not in _DENSITY:
        raise ParameterError(f"variant must be one of {sorted(_DENSITY)}, got {variant!r}")
    if not radius > 0:
        raise ParameterError(f"radius must be positive, got {radius!r}")
    density = [scale * rho for rho in _DENSITY[variant]]
    turns = [-math.radians(turn) for _, _, turn in _HEAD]  # y downwards turns the other way
    if spatial_dims == 2:
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


def _turn(angle: Tensor, spatial_dims: int = 2, axis: int = 2) -> Tensor:
    """Rotation matrices about z, or in 3-D about x (``axis=0``)."""
    c, s = torch.cos(angle), torch.sin(angle)
    if spatial_dims == 2:
        return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
    o, l = torch.zeros_like(c), torch.ones_like(c)
    rows = ((c, -s, o), (s, c, o), (o, o, l)) if axis == 2 else ((l, o, o), (o, c, -s), (o, s, c))
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
