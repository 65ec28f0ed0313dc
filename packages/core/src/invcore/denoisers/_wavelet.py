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
    """Soft thresholding of orthogonal wavelet coefficients, optionally averaged over cyclic shifts.

    Detail coefficients are shrunk towards zero, the coarsest approximation is kept. Complex coefficients are
    shrunk in magnitude. Averaging over shifts [2]_ removes most of the blocky artifacts.

    Parameters
    ----------
    threshold : "bayes" or float
        ``"bayes"``: for each channel and subband the threshold ``noise variance / signal standard
        deviation`` with the signal's estimated from the subband (BayesShrink [1]_). A number: that many
        times the standard deviation of the noise coefficients (``sqrt(2) sigma`` for complex images).
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

    threshold: float | Literal["bayes"] = "bayes"
    wavelet: str = "db4"
    levels: int | None = None
    spins: int = 1
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        orthogonal_filters(self.wavelet)
        if self.threshold != "bayes" and (isinstance(self.threshold, str) or not self.threshold >= 0):
            raise ParameterError(
                f"WaveletDenoiser: threshold must be 'bayes' or a number >= 0, got {self.threshold!r}."
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
        out = c.clone()
        if self.threshold != "bayes":
            kept = approximation_index(c.shape, levels, dims)
            out = soft_threshold(c, self.threshold * variance.sqrt())
            out[kept] = c[kept]
            return out
        for level in detail_indices(c.shape, levels, dims):
            for index in level.values():
                band = c[index]
                if band.numel():
                    power = (band.abs().square() if c.is_complex() else band.square()).mean(
                        dims, keepdim=True
                    )
                    signal = (power - variance).clamp_min(torch.finfo(power.dtype).tiny)
                    out[index] = soft_threshold(band, variance / signal.sqrt())
        return out
