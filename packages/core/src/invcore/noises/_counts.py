"""Photon counting: Poisson, Poisson with read noise, and the logarithm of transmitted counts."""

from __future__ import annotations

import torch
from torch import Tensor

from ..fidelities import LogPoisson, PoissonKL, ShiftedPoisson
from ..fidelities._separable import check_positive
from ._base import EntryNoise, need_real, normal, poisson


class PoissonNoise(EntryNoise):
    """Poisson noise, y ↦ γ N with N of density e^(-m) mᴺ/N!, m = y/γ: mean y, variance γy.

    The likelihood is the Kullback-Leibler divergence. Draws carry no gradient.

    Parameters
    ----------
    gain : float or Tensor, shape (batch...)
        γ > 0, data units per count; large is noisy.

    Raises
    ------
    DataError
        If the clean data has negative entries.

    References
    ----------
    M. Bertero, P. Boccacci, G. Desiderà, G. Vicidomini, "Image deblurring with Poisson data: from cells to galaxies", Inverse
    Problems 25 (2009).

    Examples
    --------
    >>> y = PoissonNoise(gain=0.1)(torch.full((10000,), 3.0), generator=torch.Generator().manual_seed(0))
    >>> round(float(y.mean()), 1), round(float(y.var()), 1)
    (3.0, 0.3)
    """

    gain: float | Tensor = 1.0
    params = ("gain",)

    def __post_init__(self) -> None:
        check_positive(self, "gain")

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        return self.gain * poisson(y / self.gain, generator)

    def likelihood(self) -> PoissonKL:
        return PoissonKL(gain=self.gain)


class PoissonGaussianNoise(EntryNoise):
    """Photon counting with read noise, y ↦ γ N + σ n with N Poisson of mean y/γ: mean y, variance γy + σ².

    The density is Σₖ Poisson(k; y/γ) Normal(·; γk, σ²). The likelihood is that of the shifted Poisson variable with the same mean and
    variance (`invcore.fidelities.ShiftedPoisson`).

    Parameters
    ----------
    gain : float or Tensor, shape (batch...)
        γ > 0, data units per count.
    sigma : float or Tensor, shape (batch...)
        Standard deviation σ >= 0 of the read noise, in the units of the data.

    Raises
    ------
    DataError
        If the clean data has negative entries.

    References
    ----------
    A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, "Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data", IEEE Trans. Image Process. 17 (2008).

    Examples
    --------
    >>> noise = PoissonGaussianNoise(gain=0.1, sigma=0.3)
    >>> y = noise(torch.full((10000,), 3.0), generator=torch.Generator().manual_seed(0))
    >>> round(float(y.mean()), 1), bool((y.var() - 0.39).abs() < 0.02)
    (3.0, True)
    """

    gain: float | Tensor = 1.0
    sigma: float | Tensor
    params = ("gain", "sigma")

    def __post_init__(self) -> None:
        check_positive(self, "gain")
        check_positive(self, "sigma", zero=True)

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        return self.gain * poisson(y / self.gain, generator) + self.sigma * normal(y, generator)

    def likelihood(self) -> ShiftedPoisson:
        return ShiftedPoisson(gain=self.gain, sigma=self.sigma)


class LogPoissonNoise(EntryNoise):
    """Transmission measurements, y ↦ -log(N/N₀)/μ with N Poisson of mean N₀e^(-μy).

    A count of zero has no logarithm: it is replaced by ``zero_count``. For many photons the noise has variance about
    e^(μy)/(μ²N₀).

    Parameters
    ----------
    photons : float or Tensor, shape (batch...)
        N₀ > 0, mean counts without an object.
    mu : float or Tensor, shape (batch...)
        Attenuation μ > 0 per unit of y.
    zero_count : float
        What counts of zero become.

    References
    ----------
    J. Leuschner, M. Schmidt, D. O. Baguer, P. Maass, "LoDoPaB-CT, a benchmark dataset for low-dose computed tomography
    reconstruction", Scientific Data 8 (2021).

    Examples
    --------
    >>> noise = LogPoissonNoise(photons=1e4)
    >>> y = noise(torch.full((10000,), 2.0), generator=torch.Generator().manual_seed(0))
    >>> round(float(y.mean()), 2), bool((1e4 * y.var() - 7.39).abs() < 0.5)  # e² = 7.39
    (2.0, True)
    """

    photons: float | Tensor
    mu: float | Tensor = 1.0
    zero_count: float = 0.1
    params = ("photons", "mu")

    def __post_init__(self) -> None:
        check_positive(self, "photons", "mu", "zero_count")

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        counts = poisson(self.photons * torch.exp(-self.mu * y), generator)
        return -torch.log(torch.where(counts == 0, self.zero_count, counts) / self.photons) / self.mu

    def likelihood(self) -> LogPoisson:
        return LogPoisson(photons=self.photons, mu=self.mu)
