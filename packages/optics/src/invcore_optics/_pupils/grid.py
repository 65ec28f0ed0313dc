"""Sampling of a pupil, and the Fourier transform from it to the pixels of a camera."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .objective import Objective, StratifiedMedium

_FINE = 32  # strips per cell for the covered area
_LEAST = 32


class Grid(NamedTuple):
    """Cell centers of a square around the unit disk, and what they count in integrals over the disk.

    Attributes
    ----------
    y, x, radius : Tensor, shape (samples, samples)
        In units of the radius. The outermost cells lie just outside of the disk.
    inside : Tensor, shape (samples, samples)
        Share of each cell inside the disk.
    weights : Tensor, shape (samples, samples)
        Of a quadrature of fourth order: shares sharpened, as a sum over cells with shares for weights blurs
        the edge by a cell and so loses light far from the axis.
    """

    y: Tensor
    x: Tensor
    radius: Tensor
    inside: Tensor
    weights: Tensor


def pupil_grid(samples: int, edge: float = 1.0) -> Grid:
    """Return a grid of ``samples`` x ``samples`` cells, in double precision.

    Parameters
    ----------
    samples : int
        Two more than cells across the unit disk.
    edge : float
        Radius of the pupil, at most 1.
    """
    center = _centers(samples)
    y, x = torch.meshgrid(center, center, indexing="ij")
    inside = torch.nn.functional.pad(coverage(samples - 2, edge), (1, 1, 1, 1))
    weights = inside
    for axis in (0, 1):
        around = torch.roll(weights, 1, axis) + torch.roll(weights, -1, axis)
        weights = weights + (2 * weights - around) / 24
    return Grid(y, x, torch.hypot(y, x), inside, weights)


def _centers(samples: int) -> Tensor:
    cells = samples - 2
    return (torch.arange(samples, dtype=torch.float64) - 0.5) * (2 / cells) - 1


def coverage(samples: int, edge: float = 1.0) -> Tensor:
    """Return the share of each cell of [-1, 1]² that a disk covers: exact along y, in strips along x."""
    sides = torch.linspace(-1, 1, samples + 1, dtype=torch.float64)
    strip = (torch.arange(samples * _FINE, dtype=torch.float64) + 0.5) * (2 / (samples * _FINE)) - 1
    half = (edge**2 - strip**2).clamp_min(0).sqrt()[:, None]
    covered = (torch.minimum(half, sides[1:]) - torch.maximum(-half, sides[:-1])).clamp_min(0)
    share = covered.reshape(samples, _FINE, samples).mean(1) * (samples / 2)
    return (share + share.T) / 2


def needed_samples(
    objective: Objective,
    pixel: float,
    shape: tuple[int, int],
    depths: Tensor,
    medium: StratifiedMedium | None,
) -> int:
    """Return the samples with which the periodic images of the PSF stay out of the window.

    The period is (samples - 2) λ / (2 NA). It holds half the window, twice the geometric blur by defocus and
    medium, and a margin of 12 λ / NA for diffraction and aberrations.
    """
    rho = torch.linspace(0, 0.999, 200, dtype=torch.float64)
    path = objective.path(rho, depths.detach().double().reshape(-1, 1), medium)
    blur = float(path.diff(dim=-1).abs().amax()) / float(rho[1]) / objective.na if depths.numel() else 0.0
    period = max(shape) * pixel / 2 + 2 * blur + 12 * objective.wavelength / objective.na
    return max(_LEAST, 4 * math.ceil((2 + period * objective.cutoff) / 4))


def sample_matrix(objective: Objective, samples: int, count: int, pixel: float, oversampling: int) -> Tensor:
    """Return exp(-2πi f x), (count · oversampling, samples), for pupil frequencies f and sub-pixels x.

    Pixel ``count // 2`` is at 0.
    """
    f = _centers(samples) * (objective.cutoff / 2)
    sub = (torch.arange(count * oversampling, dtype=torch.float64) + 0.5) / oversampling - 0.5
    angle = -2 * math.pi * torch.outer((sub - count // 2) * pixel, f)
    return torch.complex(angle.cos(), angle.sin())


def vector_weights(grid: Grid, objective: Objective, index: float) -> tuple[Tensor, Tensor]:
    """Return pupil weights (5, y, x) whose transforms give the field of any dipole, and cos θ in ``index``.

    (1 + cos θ)/2, its companion (1 - cos θ)/2 times cos 2φ and sin 2φ, and sin θ times cos φ and sin φ.
    """
    sine = (objective.na / index * grid.radius).clamp(max=0.9999995)
    cosine = (1 - sine**2).sqrt()
    angle = torch.atan2(grid.y, grid.x)
    even, odd = (1 + cosine) / 2, (1 - cosine) / 2
    parts = (even, odd * torch.cos(2 * angle), odd * torch.sin(2 * angle))
    return torch.stack((*parts, sine * torch.cos(angle), sine * torch.sin(angle))), cosine
