"""Waves in the plane on the pixels of a grid: sources, and what receivers pick up.

Time goes as e^{-iωt}, and G(r) = (i/4) H₀⁽¹⁾(k r) is the outgoing solution of ΔG + k² G = -δ. Positions are
(y, x) in meters from the middle of the grid; an angle θ is the direction (sin θ, cos θ).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError, ShapeError


def plane_waves(angles: Any, shape: tuple[int, int], *, spacing: float, wavelength: float) -> Tensor:
    """Plane waves e^{ik d·r} of unit amplitude.

    Parameters
    ----------
    angles : Tensor, shape (n,)
        Of the directions d in which they travel, radians.
    shape : tuple of int
        Pixels (y, x).
    spacing, wavelength : float
        Meters; the wavelength is that of the medium around.

    Returns
    -------
    Tensor, complex, shape (n, y, x)

    Examples
    --------
    >>> plane_waves(torch.zeros(1), (1, 3), spacing=0.25, wavelength=1.0).imag
    tensor([[[-1.,  0.,  1.]]], dtype=torch.float64)
    """
    phase = 2 * math.pi / wavelength * _along(angles, shape, spacing)
    return torch.polar(torch.ones_like(phase), phase)


def line_sources(positions: Tensor, shape: tuple[int, int], *, spacing: float, wavelength: float) -> Tensor:
    """Cylindrical waves (i/4) H₀⁽¹⁾(k |r - s|).

    Parameters
    ----------
    positions : Tensor, shape (n, 2)
        s, (y, x) in meters, outside of the grid or between pixel centers.
    shape, spacing, wavelength
        As in `plane_waves`.

    Returns
    -------
    Tensor, complex, shape (n, y, x)

    Raises
    ------
    ShapeError
        If the positions are no pairs.
    ParameterError
        If one is a pixel center, where the wave is infinite.
    """
    k = 2 * math.pi / wavelength
    return 0.25j * _hankel(0, k * _distances(positions, shape, spacing))


def near_receivers(positions: Tensor, shape: tuple[int, int], *, spacing: float, wavelength: float) -> Tensor:
    """The field at receivers of currents in the pixels: what `Scattering` calls greens.

    Entries are k² ∫ G over a disk of the pixel's area [1]_: (iπ k a / 2) J₁(k a) H₀⁽¹⁾(k R), a = spacing/√π.

    Parameters
    ----------
    positions : Tensor, shape (receiver, 2)
        (y, x) in meters.
    shape, spacing, wavelength
        As in `plane_waves`.

    Returns
    -------
    Tensor, complex, shape (receiver, y, x)

    Raises
    ------
    ShapeError, ParameterError
        As in `line_sources`.

    References
    ----------
    .. [1] J. H. Richmond, "Scattering by a dielectric cylinder of arbitrary cross section shape", IEEE Trans.
       Antennas Propag. 13 (1965).
    """
    k = 2 * math.pi / wavelength
    return _weight(k, spacing) * line_sources(positions, shape, spacing=spacing, wavelength=wavelength)


def far_receivers(angles: Any, shape: tuple[int, int], *, spacing: float, wavelength: float) -> Tensor:
    """The far field of currents in the pixels, the factor of e^{ikr}/√r in their field.

    Parameters
    ----------
    angles : Tensor, shape (receiver,)
        Of the directions in which it is looked at, radians.
    shape, spacing, wavelength
        As in `plane_waves`.

    Returns
    -------
    Tensor, complex, shape (receiver, y, x)
    """
    k = 2 * math.pi / wavelength
    phase = math.pi / 4 - k * _along(angles, shape, spacing)
    return _weight(k, spacing) * torch.polar(torch.full_like(phase, (8 * math.pi * k) ** -0.5), phase)


@lru_cache(maxsize=8)
def pixel_potential(
    shape: tuple[int, int], spacing: float, wavelength: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The spectrum of k² ∫ G between pixels on a grid of twice the size, so that nothing wraps around."""
    k, a = 2 * math.pi / wavelength, spacing / math.sqrt(math.pi)
    y, x = (spacing * np.minimum(np.arange(2 * n), 2 * n - np.arange(2 * n)) for n in shape)
    r = np.hypot(y[:, None], x)
    r[0, 0] = spacing
    kernel = _weight(k, spacing) * 0.25j * _hankel(0, torch.from_numpy(k * r))
    kernel[0, 0] = 0.5j * math.pi * k * a * _hankel(1, torch.tensor(k * a)) - 1
    return torch.fft.fft2(kernel).to(device, dtype)


def _weight(k: float, spacing: float) -> float:
    """k² times the integral of a wave over a disk of the pixel's area, over its value at the middle."""
    from scipy.special import j1

    a = spacing / math.sqrt(math.pi)
    return float(2 * math.pi * k * a * j1(k * a))


def _hankel(order: int, z: Tensor) -> Tensor:
    from scipy.special import hankel1

    return torch.from_numpy(np.asarray(hankel1(order, z.numpy())))


def _centers(shape: tuple[int, int], spacing: float) -> tuple[Tensor, Tensor]:
    y, x = (spacing * (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) for n in shape)
    return y[:, None], x


def _along(angles: Any, shape: tuple[int, int], spacing: float) -> Tensor:
    """d·r for the directions of angles, (n, y, x)."""
    angles = torch.as_tensor(angles, dtype=torch.float64).cpu()
    if angles.ndim != 1:
        raise ShapeError(f"angles must be of shape (n,), got {tuple(angles.shape)}")
    y, x = _centers(shape, spacing)
    return angles.sin()[:, None, None] * y + angles.cos()[:, None, None] * x


def _distances(positions: Tensor, shape: tuple[int, int], spacing: float) -> Tensor:
    """|r - s|, (n, y, x)."""
    positions = torch.as_tensor(positions, dtype=torch.float64).cpu()
    if positions.ndim != 2 or positions.shape[-1] != 2:
        raise ShapeError(f"positions must be of shape (n, 2), (y, x) in meters, got {tuple(positions.shape)}")
    y, x = _centers(shape, spacing)
    r = torch.hypot(y - positions[:, 0, None, None], x - positions[:, 1, None, None])
    if r.numel() and float(r.min()) < 1e-6 * spacing:
        raise ParameterError(
            "a source or receiver lies on the center of a pixel: move it outside of the grid"
        )
    return r
