"""The exact denoiser of Gaussian images: the Wiener filter."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import real_dtype
from ._gaussian_field import GaussianField, at_precision
from ._mmse import MMSEDenoiser, log_normal, squared


class GaussianDenoiser(GaussianField, MMSEDenoiser):  # type: ignore[misc]
    """The Wiener filter [1]_, exact for images drawn from N(m, C): D(x, σ) = m + C (C + σ²)⁻¹ (x - m).

    Its mean squared error is tr(C - C (C + σ²)⁻¹ C), twice that for complex images. C is given in one of
    three forms: by its eigenvectors and in Fourier space D is exact to rounding, for an operator conjugate
    gradient is as exact as ``rtol`` says. As σ → 0 it becomes the identity, and where C has directions
    without variance the projection on the others; an operator may have such directions, so that σ = 0 is
    refused there.

    Parameters
    ----------
    mean : Tensor, shape (channel, *spatial)
        m, complex for complex images.
    covariance : Tensor, shape (n, n)
        C as a matrix over the n entries of the image in the order of ``mean.flatten()``: symmetric, or
        Hermitian for complex images (then C is half of E (x - m)(x - m)ᴴ, as σ is the standard deviation of
        each real component), and positive semidefinite.
    spectrum : Tensor, shape (channel, *spatial), with size 1 where it is constant
        C of a stationary field, periodic, with independent channels: the variance of each coefficient of the
        orthonormal FFT over the spatial dimensions. The variance of a pixel is the mean of the spectrum. For
        real images it is even, S(-k) = S(k).
    operator : LinearOperator
        C as an operator on (channel, *spatial): symmetric and positive semidefinite.
    rtol : float, optional
        Relative residual at which conjugate gradient stops (``operator``); by default a few ulps.
    max_steps : int, optional
        Maximum number of its steps.

    References
    ----------
    .. [1] N. Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series (1949).

    Examples
    --------
    >>> D = GaussianDenoiser(mean=torch.zeros(1, 2), covariance=torch.diag(torch.tensor([1.0, 3.0])))
    >>> D(torch.ones(1, 2), 1.0)
    tensor([[0.5000, 0.7500]])
    >>> white = GaussianDenoiser(mean=torch.zeros(1, 4, 4), spectrum=torch.ones(1, 1, 1))
    >>> float(white(torch.ones(1, 4, 4), 1.0).mean())
    0.5
    """

    @property
    def kind(self) -> str:
        """That of the mean."""
        return "complex" if self.mean.is_complex() else "real"

    @property
    def sigma_range(self) -> tuple[float, float]:  # type: ignore[override]
        """From 0, for an operator from 1e-12 of the range of values."""
        return 0.0 if self.operator is None else self._least, math.inf

    @cached_property
    def _least(self) -> float:
        low, high = self.value_range
        return 1e-12 * (high - low)

    @property
    def value_range(self) -> tuple[float, float]:  # type: ignore[override]
        """The mean and three standard deviations, of the pixel with the largest ones."""
        m = torch.view_as_real(self.mean) if self.mean.is_complex() else self.mean
        reach = 3 * self.largest_variance**0.5
        return float(m.min()) - reach, float(m.max()) + reach

    @property
    def identity_at_zero(self) -> bool:  # type: ignore[override]
        """Unless C is singular."""
        return not self.singular

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not x.numel():
            return x.clone()
        mean = at_precision(self.mean, x.dtype)
        return mean + self.shrunk(x - mean, sigma.square())

    def _log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        away = x - at_precision(self.mean, x.dtype)
        dims = len(self.shape)
        if self.covariance is not None:
            powers, vectors = (at_precision(t, x.dtype) for t in self._eigen)
            modes = away.flatten(-dims) @ vectors.to(x.dtype).conj()
        elif self.spectrum is not None:
            powers = self.spectrum.to(real_dtype(x.dtype)).expand(self.shape).flatten()
            modes = torch.fft.fftn(away, dim=tuple(range(1 - dims, 0)), norm="ortho").flatten(-dims)
        else:
            raise ParameterError(
                "GaussianDenoiser: the density needs the determinant of C, which an operator does not give: "
                "pass a covariance or a spectrum."
            )
        variance = sigma.square()
        total = powers + (variance.flatten(-dims) if variance.ndim else variance)
        return log_normal(squared(modes), total, 2 if x.is_complex() else 1)
