"""Dirty beam, noise of the dirty image, sensitivity over the field, and scales: the inputs of CLEAN."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, ShapeError, Space
from invcore.fidelities import Fidelity, LeastSquares, WeightedLeastSquares

from .._operators.interferometer import Interferometer


class Weighted(NamedTuple):
    """Weights of the data in the dirty image, and the variance of each real component (None: unknown)."""

    weights: Tensor
    variance: Tensor | None


def image_space(A: LinearOperator, name: str) -> Space:
    """Return the domain of A; raise `ShapeError` unless it is an image (channel, y, x)."""
    if not isinstance(A.domain, Space) or len(A.domain.shape) != 3 or not isinstance(A.range, Space):
        raise ShapeError(
            f"{name} needs images (channel, y, x) and one block of data; "
            f"the operator maps {A.domain} to {A.range}"
        )
    return A.domain


def natural(fidelity: Fidelity, known: bool, y: Tensor, ndim: int) -> Weighted:
    """Return natural weights 1/σ² that broadcast against data of ``ndim`` dimensions besides the batch."""
    if isinstance(fidelity, WeightedLeastSquares):
        weights = fidelity.weight.to(y.real)
        variance = torch.where(weights > 0, weights, torch.inf) ** -1
    elif isinstance(fidelity, LeastSquares):
        precision = torch.as_tensor(fidelity.precision(), dtype=y.real.dtype, device=y.device)
        weights = precision.reshape(*precision.shape, *(1,) * ndim)
        variance = 1 / weights
    else:
        raise ParameterError(
            "CLEAN is for Gaussian noise (least squares, with weights or without), "
            f"not for {type(fidelity).__name__}"
        )
    return Weighted(weights, variance if known else None)


def center_delta(space: Space, like: Tensor) -> Tensor:
    """Return an image with 1 in the middle pixel of each channel."""
    _, ny, nx = space.shape
    x = torch.zeros(space.shape, dtype=like.dtype, device=like.device)
    x[:, ny // 2, nx // 2] = 1
    return x


def beam_and_norm(A: LinearOperator, weights: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the dirty beam, scaled to a peak of 1, and its original peak.

    The beam is (..., channel, 2h+1, 2w+1) with the peak in the middle, the original peak (..., channel).

    For an interferometer the beam covers all differences of two pixels and ignores the primary beam. For
    other operators it is the response to the middle pixel, within the image.
    """
    space = image_space(A, "CLEAN")
    ny, nx = space.shape[1:]
    if isinstance(A, Interferometer):
        py, px = A.pixel if isinstance(A.pixel, tuple) else (A.pixel, A.pixel)
        seen = math.hypot(ny * py, nx * px) < 1
        wide: Any = dataclasses.replace(A, shape=(2 * ny, 2 * nx), beam=None, w_term=A.w_term and seen)
        delta = center_delta(wide.domain, like)
        response = wide.H(weights * wide(delta))
        beam = response[..., 1:, 1:]
    else:
        delta = center_delta(space, like)
        response = A.H(weights * A(delta))
        beam = response.new_zeros((*response.shape[:-2], 2 * ny - 1, 2 * nx - 1))
        top, left = ny - 1 - ny // 2, nx - 1 - nx // 2
        beam[..., top : top + ny, left : left + nx] = response
    norm = beam[..., ny - 1, nx - 1].real
    if not bool((norm > 0).all()):
        raise ParameterError("CLEAN: the array does not see the middle of the image: all weights there are 0")
    return beam / norm[..., None, None], norm


def sensitivity(A: LinearOperator, weights: Tensor, like: Tensor) -> Tensor | None:
    """Return the sensitivity, (..., channel, y, x), or None if it is 1 everywhere.

    It is the square root of the diagonal of Aᴴ W A, relative to an array without a primary beam.
    """
    if not isinstance(A, Interferometer) or A.beam is None:
        return None
    power = A.beam.to(like.real.dtype).to(like.device) ** 2
    if power.shape[-3] == A.channels:
        return power.sqrt()
    total = weights.expand(*weights.shape[:-2], *A.range.shape)
    if A.mask is not None:
        total = total * A.mask.to(total) ** 2
    share = total.sum(-2)
    share = share / share.sum(-1, keepdim=True)
    return (share[..., None, None] * power).sum(-3, keepdim=True).sqrt()


def dirty_noise(A: LinearOperator, weighted: Weighted, norm: Tensor, like: Tensor) -> Tensor:
    """Return the noise (1 σ) at the center of the dirty image, (..., channel); 0 if unknown."""
    if weighted.variance is None:
        return torch.zeros_like(norm)
    if isinstance(A, Interferometer) and A.beam is not None:
        A = dataclasses.replace(A, beam=None)
    known = torch.where(weighted.weights > 0, weighted.variance, 0)
    delta = center_delta(image_space(A, "CLEAN"), like)
    response = A.H(weighted.weights**2 * known * A(delta))
    ny, nx = response.shape[-2:]
    return response[..., ny // 2, nx // 2].real.clamp_min(0).sqrt() / norm


def scale_kernels(scales: tuple[float, ...], like: Tensor) -> list[Tensor]:
    """Return a tapered paraboloid of unit sum for each radius in pixels (Cornwell, 2008); 0 is one pixel."""
    kernels = []
    for radius in scales:
        h = max(0, math.ceil(radius) - 1)
        at = torch.arange(-h, h + 1, dtype=torch.float64)
        r = (at[:, None] ** 2 + at**2).sqrt() / max(radius, 1)
        kernel = torch.where(r < 1, (1 - r**2) * (torch.pi / 2 * r).cos() ** 2, 0)
        kernels.append((kernel / kernel.sum()).to(like.real))
    return kernels


def convolved(image: Tensor, kernel: Tensor) -> Tensor:
    """Convolve images (..., y, x), zero outside, with a real kernel of odd size; the shape stays the same."""
    ky, kx = kernel.shape[-2:]
    if ky == kx == 1:
        return image * kernel[..., 0, 0]
    ny, nx = image.shape[-2:]
    size = (_even(ny + ky - 1), _even(nx + kx - 1))
    if image.is_complex():
        product = torch.fft.ifft2(torch.fft.fft2(image, s=size) * torch.fft.fft2(kernel, s=size))
    else:
        product = torch.fft.irfft2(torch.fft.rfft2(image, s=size) * torch.fft.rfft2(kernel, s=size), s=size)
    return product[..., ky // 2 : ky // 2 + ny, kx // 2 : kx // 2 + nx]


def _even(n: int) -> int:
    """Return the next even number without prime factors above 7."""
    while True:
        n += n % 2
        rest = n
        for p in (2, 3, 5, 7):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return n
        n += 2


def largest_sidelobe(beam: Tensor) -> float:
    """Return the largest |sidelobe|, the maximum beyond the first minimum of the radial envelope."""
    hy, hx = beam.shape[0] // 2, beam.shape[1] // 2
    real = beam.real
    y = torch.arange(beam.shape[0], device=beam.device)[:, None] - hy
    x = torch.arange(beam.shape[1], device=beam.device) - hx
    radius = (y**2 + x**2).sqrt().round().long()
    rings = int(radius.max()) + 1
    lowest = torch.full((rings,), torch.inf, dtype=real.dtype, device=real.device)
    lowest = lowest.scatter_reduce(0, radius.flatten(), real.flatten(), "amin")
    highest = torch.zeros(rings, dtype=real.dtype, device=real.device)
    highest = highest.scatter_reduce(0, radius.flatten(), beam.abs().flatten(), "amax")
    rising = (highest[1:] > highest[:-1]).nonzero()
    start = int(rising[0]) if len(rising) else rings - 1
    return max(float(highest[start:].max()), max(0.0, -float(lowest.min()))) if rings > 1 else 0.0


def inside(image: Tensor, radius: float) -> Tensor:
    """Return 1 where a component of this radius lies fully in the image, 0 elsewhere; never 0 everywhere."""
    ny, nx = image.shape
    h = math.ceil(radius)
    inside = torch.zeros(ny, nx, device=image.device)
    y, x = min(h, (ny - 1) // 2), min(h, (nx - 1) // 2)
    inside[y : ny - y, x : nx - x] = 1
    return inside
