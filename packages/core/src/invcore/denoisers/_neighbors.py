"""Weighted means of neighbors: non-local means and the bilateral filter."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from ._base import Denoiser
from ._windows import Boundary, check_options, extended, offsets, window


class NonLocalMeans(Denoiser):
    """Non-local means: each pixel becomes the mean of those around it whose patches look alike.

    ``D(x)_p = Σ_q w_pq x_q / Σ_q w_pq`` over a search window, with ``w_pq = exp(-max(d_pq - 2 σ², 0) / (h
    σ)²)`` and ``d_pq`` the mean squared difference of the patches around p and q, over all channels [1]_,
    [2]_. The distances for one offset are box sums of one squared difference image [3]_: time grows with the
    area of the window, not of the patch. Complex images are compared by ``|x_p - x_q|²``; σ² then counts
    twice. σ = 0 returns ``x``.

    Parameters
    ----------
    patch : int
        Side of the patches, odd.
    radius : int
        Offsets from ``-radius`` to ``radius`` along every axis are searched.
    strength : float
        ``h`` above: more is smoother.
    boundary : "reflect", "symmetric", "replicate" or "circular"
        How the image goes on beyond its edges.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    .. [1] A. Buades, B. Coll, J.-M. Morel, "A non-local algorithm for image denoising", CVPR (2005).
    .. [2] A. Buades, B. Coll, J.-M. Morel, "Non-local means denoising", Image Processing On Line 1 (2011).
    .. [3] J. Darbon et al., "Fast nonlocal filtering applied to electron cryomicroscopy", ISBI (2008).

    Examples
    --------
    >>> D = NonLocalMeans(patch=3, radius=2)
    >>> torch.allclose(D(torch.ones(1, 8, 8), 0.1), torch.ones(1, 8, 8))
    True
    """

    channels: ClassVar[int | None] = None
    value_range: ClassVar[tuple[float, float] | None] = None
    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    patch: int = 5
    radius: int = 10
    strength: float = 0.7
    boundary: Boundary = "reflect"
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        check_options("NonLocalMeans", self.spatial_dims, self.boundary)
        if self.patch < 1 or self.patch % 2 == 0:
            raise ParameterError(f"NonLocalMeans: patch must be odd and positive, got {self.patch!r}.")
        if self.radius < 0:
            raise ParameterError(f"NonLocalMeans: radius must be at least 0, got {self.radius!r}.")
        if not 0 < self.strength < math.inf:
            raise ParameterError(f"NonLocalMeans: strength must be positive, got {self.strength!r}.")

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not x.numel():
            return x.clone()
        d, r, half = self.spatial_dims, self.radius, self.patch // 2
        lengths = x.shape[-d:]
        level = torch.where(sigma > 0, sigma, 1.0)
        parts = 2 if x.is_complex() else 1
        near = extended(x, r + half, range(-d, 0), self.boundary)
        scaled = near / level  # noise of standard deviation one: nothing under- or overflows
        wide = [n + 2 * half for n in lengths]
        center = window(scaled, (r,) * d, wide)
        num, den = torch.zeros_like(x), torch.zeros_like(x.real.narrow(-d - 1, 0, 1))
        for offset in offsets(r, d):
            difference = _energy(window(scaled, [r + o for o in offset], wide) - center).mean(-d - 1, True)
            for axis in range(-d, 0):
                difference = _box_sum(difference, axis, self.patch)
            excess = (difference / self.patch**d - 2 * parts).clamp_min(0)
            w = torch.exp(excess / -(parts * self.strength**2))
            num = num + w * window(near, [r + half + o for o in offset], lengths)
            den = den + w
        return torch.where(sigma > 0, num / den, x)


class Bilateral(Denoiser):
    """Bilateral filter: a Gaussian blur that leaves out neighbors of another brightness.

    ``D(x)_p = Σ_q w_pq x_q / Σ_q w_pq`` with ``w_pq = exp(-|p - q|² / 2 s² - |x_p - x_q|² / 2 (k σ)²)``; in
    images of several channels the mean of ``|x_p - x_q|²`` over the channels counts, in complex images half
    of it. σ = 0 returns ``x``.

    Parameters
    ----------
    spread : float
        ``s`` above, in pixels.
    strength : float
        ``k`` above, in standard deviations of the noise.
    radius : int, optional
        Neighbors at offsets from ``-radius`` to ``radius`` along every axis; ``ceil(3 spread)`` by default.
    boundary : "symmetric", "reflect", "replicate" or "circular"
        How the image goes on beyond its edges.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    C. Tomasi, R. Manduchi, "Bilateral filtering for gray and color images", ICCV (1998).

    Examples
    --------
    >>> step = torch.tensor([[0.0, 0.0, 0.0, 9.0, 9.0, 9.0]])
    >>> Bilateral(spatial_dims=1)(step, 0.1).round(decimals=4)
    tensor([[0., 0., 0., 9., 9., 9.]])
    """

    channels: ClassVar[int | None] = None
    value_range: ClassVar[tuple[float, float] | None] = None
    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    spread: float = 1.5
    strength: float = 2.5
    radius: int | None = None
    boundary: Boundary = "symmetric"
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        check_options("Bilateral", self.spatial_dims, self.boundary)
        if not (0 < self.spread < math.inf and 0 < self.strength < math.inf):
            raise ParameterError(
                f"Bilateral: spread and strength must be positive, got {self.spread!r} and {self.strength!r}."
            )
        if self.radius is not None and self.radius < 0:
            raise ParameterError(f"Bilateral: radius must be None or at least 0, got {self.radius!r}.")

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not x.numel():
            return x.clone()
        d = self.spatial_dims
        r = math.ceil(3 * self.spread) if self.radius is None else self.radius
        lengths = x.shape[-d:]
        level = torch.where(sigma > 0, sigma, 1.0) * self.strength
        near = extended(x, r, range(-d, 0), self.boundary)
        scaled, center = near / level, x / level
        parts = 2 if x.is_complex() else 1
        num, den = torch.zeros_like(x), torch.zeros_like(x.real.narrow(-d - 1, 0, 1))
        for offset in offsets(r, d):
            start = [r + o for o in offset]
            difference = _energy(window(scaled, start, lengths) - center).mean(-d - 1, True)
            far = sum(o * o for o in offset) / (2 * self.spread**2)
            w = torch.exp(-difference / (2 * parts) - far)
            num = num + w * window(near, start, lengths)
            den = den + w
        return torch.where(sigma > 0, num / den, x)


def _energy(x: Tensor) -> Tensor:
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()


def _box_sum(x: Tensor, dim: int, size: int) -> Tensor:
    """Sums of ``size`` neighbors along ``dim``, without padding."""
    count = x.shape[dim] - size + 1
    total = x.narrow(dim, 0, count)
    for i in range(1, size):
        total = total + x.narrow(dim, i, count)
    return total
