"""A point spread function from images of beads."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError

from .psf import PSF


class MeasuredPSF(NamedTuple):
    """What `measured_psf` returns.

    Attributes
    ----------
    psf : PSF
        The average, with sum 1. Its noise has both signs.
    centers : Tensor, shape (bead, 3)
        Where the beads are, (z, y, x) in voxels.
    background : float
        Counts per voxel that were subtracted, the mean over the beads.
    scatter : Tensor, shape (plane, y, x)
        Standard deviation over the beads, in the unit of the average; 0 for a single bead.
    """

    psf: PSF
    centers: Tensor
    background: float
    scatter: Tensor


def measured_psf(
    stack: Tensor,
    voxel: tuple[float, float, float],
    *,
    shape: tuple[int, int, int],
    threshold: float = 8.0,
    limit: int = 100,
) -> MeasuredPSF:
    """Average the images of isolated beads, each centered to a fraction of a voxel.

    Beads are maxima of the slightly smoothed stack, ``threshold`` standard deviations (by the median absolute
    deviation) above the median, with a whole window inside the stack and no brighter bead in it. The
    background of each is the median on the sides of its window. Each window is moved by the phase of its
    Fourier transform so that the center of mass of its brightest voxels is in the center, then scaled to the
    same light.

    Parameters
    ----------
    stack : Tensor, shape (plane, y, x)
    voxel : tuple of float
        ``(dz, dy, dx)`` in meters.
    shape : tuple of int
        Voxels of the result.
    threshold : float
    limit : int
        Use the brightest beads only.

    Returns
    -------
    MeasuredPSF

    Raises
    ------
    ShapeError, ParameterError
    DataError
        If there is no bead, or the stack has NaN.

    Examples
    --------
    >>> r = (torch.arange(31.0) - 15.3) / 2
    >>> bead = torch.exp(-(r[:, None, None] ** 2 + r[:, None] ** 2 + r**2) / 2)
    >>> found = measured_psf(1000 * bead + 10, (1e-7, 1e-7, 1e-7), shape=(17, 17, 17))
    >>> found.centers.round(decimals=1), int(found.psf.values.argmax()) == 17**3 // 2
    (tensor([[15.3000, 15.3000, 15.3000]]), True)
    """
    if stack.ndim != 3 or len(shape) != 3 or any(k < 3 or k > n for k, n in zip(shape, stack.shape)):
        raise ShapeError(
            f"measured_psf: the stack must be (plane, y, x) and shape 3 voxels or more and no larger, got "
            f"{tuple(stack.shape)} and {shape}"
        )
    y = stack if stack.is_floating_point() else stack.float()
    if not bool(torch.isfinite(y).all()):
        raise DataError("measured_psf: the stack holds NaN or infinity")
    if not threshold > 0 or limit < 1:
        raise ParameterError(f"measured_psf: threshold > 0 and limit >= 1, got {threshold}, {limit}")
    places = _places(y, shape, threshold)[:limit]
    if not places:
        raise DataError(
            f"measured_psf: no bead stands {threshold} deviations above the background with a window {shape} "
            "inside the stack: lower threshold=, or take a smaller shape="
        )
    images, centers, grounds = [], [], []
    for place in places:
        corner = [p - k // 2 for p, k in zip(place, shape)]
        window = y[tuple(slice(c, c + k) for c, k in zip(corner, shape))]
        sides = torch.cat([window[:, 0], window[:, -1], window[:, :, 0], window[:, :, -1]], -1)
        ground = float(sides.median())
        clear = window - ground
        offset = _offset(clear)
        centers.append([c + k // 2 + o for c, k, o in zip(corner, shape, offset)])
        moved = _moved(clear, [-o for o in offset])
        images.append(moved / moved.sum())
        grounds.append(ground)
    held = torch.stack(images)
    mean = held.mean(0)
    scatter = held.std(0) if len(held) > 1 else torch.zeros_like(mean)
    psf = PSF(mean / mean.sum(), voxel)
    return MeasuredPSF(psf, torch.tensor(centers), sum(grounds) / len(grounds), scatter)


def _places(y: Tensor, shape: tuple[int, int, int], threshold: float) -> list[tuple[int, int, int]]:
    smooth = torch.nn.functional.avg_pool3d(y[None, None], 3, stride=1, padding=1, count_include_pad=False)[
        0, 0
    ]
    middle = smooth.median()
    deviation = 1.4826 * (smooth - middle).abs().median()
    found: list[tuple[int, int, int]] = []
    candidates = torch.nonzero(smooth > middle + threshold * deviation)
    order = smooth[tuple(candidates.T)].argsort(descending=True)
    peaks = torch.nn.functional.max_pool3d(smooth[None, None], 3, stride=1, padding=1)[0, 0]
    for z, row, column in candidates[order].tolist():
        if smooth[z, row, column] < peaks[z, row, column]:
            continue
        place = (z, row, column)
        fits = all(p - k // 2 >= 0 and p - k // 2 + k <= n for p, k, n in zip(place, shape, y.shape))
        apart = all(any(abs(p - q) >= k // 2 for p, q, k in zip(place, other, shape)) for other in found)
        if fits and apart:
            found.append(place)
    return found


def _offset(clear: Tensor) -> list[float]:
    """Center of mass of the voxels above half the maximum, relative to n // 2."""
    bright = (clear - clear.max() / 2).clamp_min(0).double()
    return [
        float(
            (bright.sum([a for a in range(3) if a != axis]) * (torch.arange(n) - n // 2)).sum() / bright.sum()
        )
        for axis, n in enumerate(clear.shape)
    ]


def _moved(window: Tensor, by: list[float]) -> Tensor:
    spectrum = torch.fft.fftn(window.double())
    for axis, (n, d) in enumerate(zip(window.shape, by)):
        f = torch.fft.fftfreq(n, dtype=torch.float64, device=window.device)
        phase = torch.exp(-2j * torch.pi * f * d)
        spectrum = spectrum * phase.reshape([-1 if a == axis else 1 for a in range(3)])
    return torch.fft.ifftn(spectrum).real.to(window.dtype)
