"""Wavelet shrinkage."""

from __future__ import annotations

import math
from itertools import product
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators._wavelet import (
    approximation_index,
    detail_indices,
    dwt,
    idwt,
    max_levels,
    orthogonal_filters,
    soft_threshold,
)
from ._base import Denoiser


class WaveletDenoiser(Denoiser):
    """Shrinkage of orthogonal wavelet coefficients, optionally averaged over cyclic shifts.

    Detail coefficients c are shrunk towards zero, the coarsest approximation is kept. With the threshold t,
    soft: ``c max(1 - t / |c|, 0)``; hard: ``c`` where ``|c| > t``, else 0; block [4]_: ``c max(1 - t² / m,
    0)`` with m the mean of ``|c|²`` over square blocks of a subband, of side ``floor((log n)^(1 /
    spatial_dims))`` for images of n pixels. Complex coefficients are shrunk in magnitude. Averaging over
    shifts [2]_ removes most of the blocky artifacts.

    Parameters
    ----------
    shrinkage : "soft", "hard" or "block"
    threshold : "bayes", "universal", "stein" or float
        ``"bayes"``: for each channel and subband the threshold ``noise variance / signal standard deviation``
        with the signal's estimated from the subband (BayesShrink [1]_). ``"universal"``: ``sqrt(2 log n)``
        standard deviations of the noise coefficients (``sqrt(2) sigma`` for complex images) [3]_.
        ``"stein"``: ``sqrt(4.50524)``, the constant of block shrinkage [4]_. A number: that many standard
        deviations.
    wavelet : str
        An orthogonal wavelet of PyWavelets.
    levels : int, optional
        By default as many as leave the shortest axis at least as long as the filter.
    spins : int
        Shifts 0 to ``spins - 1`` along every axis are averaged: ``spins ** spatial_dims`` transforms.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    .. [1] S. G. Chang, B. Yu, M. Vetterli, "Adaptive wavelet thresholding for image denoising and
       compression", IEEE Trans. Image Process. 9 (2000).
    .. [2] R. R. Coifman, D. L. Donoho, "Translation-invariant de-noising", Wavelets and Statistics (1995).
    .. [3] D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81
       (1994).
    .. [4] C. Chesneau, J. Fadili, J.-L. Starck, "Stein block thresholding for image denoising", Appl. Comput.
       Harmon. Anal. 28 (2010).

    Examples
    --------
    >>> D = WaveletDenoiser(wavelet="haar", levels=2)
    >>> x = torch.ones(1, 8, 8)
    >>> torch.allclose(D(x, 0.1), x)
    True
    """

    channels: ClassVar[int | None] = None
    value_range: ClassVar[tuple[float, float] | None] = None
    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    shrinkage: Literal["soft", "hard", "block"] = "soft"
    threshold: float | Literal["bayes", "universal", "stein"] = "bayes"
    wavelet: str = "db4"
    levels: int | None = None
    spins: int = 1
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        orthogonal_filters(self.wavelet)
        if self.shrinkage not in ("soft", "hard", "block"):
            raise ParameterError(
                f"WaveletDenoiser: shrinkage must be 'soft', 'hard' or 'block', got {self.shrinkage!r}."
            )
        named = self.threshold in ("bayes", "universal", "stein")
        if not named and (isinstance(self.threshold, str) or not self.threshold >= 0):
            raise ParameterError(
                f"WaveletDenoiser: threshold must be 'bayes', 'universal', 'stein' or a number >= 0, "
                f"got {self.threshold!r}."
            )
        if self.levels is not None and self.levels < 0:
            raise ParameterError(f"WaveletDenoiser: levels must be None or >= 0, got {self.levels!r}.")
        if self.spins < 1:
            raise ParameterError(f"WaveletDenoiser: spins must be at least 1, got {self.spins!r}.")
        if self.spatial_dims not in (1, 2, 3):
            raise ParameterError(
                f"WaveletDenoiser: spatial_dims must be 1, 2 or 3, got {self.spatial_dims!r}."
            )

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        dims = (-3, -2, -1)[-self.spatial_dims :]
        levels = self.levels
        if levels is None:
            levels = max_levels([x.shape[d] for d in dims], self.wavelet)
        total = torch.zeros_like(x)
        shifts = list(product(range(self.spins), repeat=self.spatial_dims))
        for shift in shifts:
            shrunk = self._shrink(dwt(x, self.wavelet, levels, dims, shift), sigma, levels, dims)
            total = total + idwt(shrunk, self.wavelet, levels, dims, shift)
        return total / len(shifts)

    def _shrink(self, c: Tensor, sigma: Tensor, levels: int, dims: tuple[int, ...]) -> Tensor:
        variance = sigma.square() * (2 if c.is_complex() else 1)
        pixels = math.prod(c.shape[d] for d in dims)
        out = c.clone()
        if self.threshold != "bayes":
            limit = self._multiple(pixels) * variance.sqrt()
            if self.shrinkage == "soft":
                kept = approximation_index(c.shape, levels, dims)
                out = soft_threshold(c, limit)
                out[kept] = c[kept]
                return out
        for level in detail_indices(c.shape, levels, dims):
            for index in level.values():
                band = c[index]
                if not band.numel():
                    continue
                if self.threshold == "bayes":
                    signal = _energy(band).mean(dims, keepdim=True) - variance
                    limit = variance / signal.clamp_min(torch.finfo(signal.dtype).tiny).sqrt()
                out[index] = self._shrunk(band, limit, pixels)
        return out

    def _multiple(self, pixels: int) -> float:
        """The threshold in standard deviations."""
        if self.threshold == "universal":
            return math.sqrt(2 * math.log(max(pixels, 1)))
        return math.sqrt(4.50524) if self.threshold == "stein" else float(self.threshold)

    def _shrunk(self, band: Tensor, limit: Tensor, pixels: int) -> Tensor:
        if self.shrinkage == "soft":
            return soft_threshold(band, limit)
        if self.shrinkage == "hard":
            return torch.where(band.abs() > limit, band, 0)
        d = self.spatial_dims
        side = max(1, math.floor(math.log(max(pixels, 3)) ** (1 / d)))
        power = _block_means(_energy(band), side, d)
        kept = power > limit.square()  # where nothing is kept no infinite derivative may arise
        return band * torch.where(kept, 1 - limit.square() / torch.where(kept, power, 1.0), 0.0)


def _energy(c: Tensor) -> Tensor:
    return c.real.square() + c.imag.square() if c.is_complex() else c.square()


def _block_means(x: Tensor, side: int, dims: int) -> Tensor:
    """Each value replaced by the mean of its block; blocks at the end of an axis are smaller."""
    for d in range(-dims, 0):
        n = x.shape[d]
        block = torch.arange(n, device=x.device) // side
        line = torch.nn.functional.pad(x.movedim(d, -1), (0, -n % side)).unflatten(-1, (-1, side)).sum(-1)
        size = (n - side * torch.arange(line.shape[-1], device=x.device)).clamp_max(side)
        x = (line / size).index_select(-1, block).movedim(-1, d)
    return x
