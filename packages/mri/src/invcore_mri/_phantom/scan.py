"""Simulated scan of a head: coil array and k-space."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

from .fields import axes_of, grid_of, seeded
from .head import head_phantom


class Scan(NamedTuple):
    """A simulated scan.

    Attributes
    ----------
    kspace : Tensor
        Shape ``(coil, *spatial)``, complex, zero where not sampled.
    image : Tensor
        The truth, shape ``(1, *spatial)``, complex, magnitude 0 to about 1.
    maps : Tensor
        The coil sensitivities, shape ``(coil, *spatial)``, complex, norm 1 over the coils everywhere.
    mask : Tensor
        Measured positions, shape ``(*spatial)``, float.
    sigma : float
        Standard deviation of the noise in each real component of k-space.
    """

    kspace: Tensor
    image: Tensor
    maps: Tensor
    mask: Tensor
    sigma: float


def coil_array(shape: tuple[int, ...], *, coils: int = 8) -> Tensor:
    r"""Compute the sensitivities of surface loops around the head, by the law of Biot and Savart.

    Each coil is a circular loop on a cylinder around the head, its axis pointing at the center. Its
    sensitivity is the transverse field :math:`B_x - i B_y` of a unit current,
    :math:`B(r) = \oint dl \times (r - l) / |r - l|^3`, summed over the segments of a polygon. At every
    voxel the maps are divided by their norm over the coils, so that the coil-combined image is the object.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    coils : int
        Number of loops; they sit on one ring, or on two from eight coils on in 3-D.

    Returns
    -------
    Tensor
        complex64, shape ``(coils, *shape)``.

    Raises
    ------
    ParameterError
        If ``coils`` is smaller than 1.

    Examples
    --------
    >>> from invcore_mri import coil_array
    >>> maps = coil_array((32, 32), coils=6)
    >>> maps.shape, round(float(maps.abs().square().sum(0).mean()), 5)
    (torch.Size([6, 32, 32]), 1.0)
    """
    if coils < 1:
        raise ParameterError(f"coils must be at least 1, got {coils}")
    z, y, x = grid_of(axes_of(shape)[0], shape)
    rings = 2 if len(shape) == 3 and coils >= 8 else 1
    per_ring = -(-coils // rings)
    distance = 1.18
    size = min(0.62, 1.25 * math.pi * distance / per_ring)
    segments = 24
    turn = 2 * math.pi * (torch.arange(segments, dtype=torch.float64) + 0.5) / segments
    maps = []
    for coil in range(coils):
        ring, number = divmod(coil, per_ring)
        angle = 2 * math.pi * (number + 0.5 * ring) / per_ring + 0.3
        center_z = 0.0 if rings == 1 else (ring - 0.5) * 0.8
        outward = (math.cos(angle), math.sin(angle))
        along = (-outward[1], outward[0])
        loop_x = distance * outward[0] + size * along[0] * turn.cos()
        loop_y = distance * outward[1] + size * along[1] * turn.cos()
        loop_z = center_z + size * turn.sin()
        real, imag = torch.zeros_like(x), torch.zeros_like(x)
        for lx, ly, lz, t in zip(loop_x.tolist(), loop_y.tolist(), loop_z.tolist(), turn.tolist()):
            dx, dy, dz = -along[0] * math.sin(t), -along[1] * math.sin(t), math.cos(t)
            rx, ry, rz = x - lx, y - ly, z - lz
            falloff = (rx**2 + ry**2 + rz**2 + 0.01).rsqrt() ** 3
            real += (dy * rz - dz * ry) * falloff
            imag -= (dz * rx - dx * rz) * falloff
        maps.append(torch.complex(real, imag))
    stacked = torch.stack(maps)
    norm = torch.linalg.vector_norm(stacked, dim=0).clamp_min(1e-12)
    return (stacked / norm).to(torch.complex64).reshape(coils, *shape)


def simulate(
    shape: tuple[int, ...],
    *,
    coils: int = 8,
    mask: Tensor | None = None,
    sigma: float = 0.01,
    generator: torch.Generator | None = None,
) -> Scan:
    """Simulate a multi-coil scan of :func:`head_phantom` with :func:`coil_array`.

    ``kspace = mask * (F(maps * image) + noise)``, with F the centered orthonormal Fourier transform.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    coils : int
        Number of coils.
    mask : Tensor, optional
        Sampling mask, broadcastable to ``shape``; all samples if not given.
    sigma : float
        Standard deviation of the noise in each real component of k-space.
    generator : torch.Generator, optional
        Source of anatomy and noise; seed 0 if not given.

    Returns
    -------
    Scan
        ``kspace, image, maps, mask, sigma``.

    Raises
    ------
    ShapeError
        If ``mask`` does not broadcast to ``shape``.
    ParameterError
        If ``sigma`` is negative or ``coils`` is smaller than 1.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import simulate
    >>> scan = simulate((32, 32), coils=4, generator=torch.Generator().manual_seed(1))
    >>> scan.kspace.shape, scan.image.shape
    (torch.Size([4, 32, 32]), torch.Size([1, 32, 32]))
    """
    if sigma < 0:
        raise ParameterError(f"sigma is a standard deviation and cannot be negative; got {sigma}")
    generator = seeded(generator)
    image = head_phantom(shape, generator=generator)
    maps = coil_array(shape, coils=coils)
    if mask is None:
        mask = torch.ones(shape)
    try:
        mask = (mask.cpu() != 0).float().broadcast_to(shape)
    except RuntimeError as error:
        raise ShapeError(
            f"the mask has shape {tuple(mask.shape)}, which does not broadcast to {shape}"
        ) from error
    axes = tuple(range(-len(shape), 0))
    coil_images = torch.fft.ifftshift(maps * image, dim=axes)
    kspace = torch.fft.fftshift(torch.fft.fftn(coil_images, dim=axes, norm="ortho"), dim=axes)
    noise = torch.randn(*kspace.shape, 2, generator=generator, device=generator.device).cpu()
    kspace = mask * (kspace + sigma * torch.view_as_complex(noise))
    return Scan(kspace, image, maps, mask.contiguous(), float(sigma))
