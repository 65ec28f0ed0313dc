"""Photon counting: Poisson, Poisson with read noise, and the logarithm of transmitted counts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..fidelities import LogPoisson, PoissonKL, ShiftedPoisson
from ..fidelities._separable import check_positive
from ..operators import SpaceLike
from ..spaces import broadcast_shapes, device_of, dtype_of, per_sample, scaled, spaces_of, tree_map
from ._base import EntryNoise, need_real, normal, poisson
from ._counts_information import counts_information


class PoissonNoise(EntryNoise):
    """Poisson noise, y ↦ γ N with N of density e^(-m) mᴺ/N!, m = (y + β)/γ: mean y + β, variance γ(y + β).

    The likelihood is the Kullback-Leibler divergence. Draws carry no gradient.

    Parameters
    ----------
    gain : float or Tensor, shape (batch...)
        γ > 0, data units per count; large is noisy.
    background : float, Tensor or tuple of Tensor
        β >= 0 in data units (dark counts, randoms, scatter): a number, or a tensor (batch..., *space.shape)
        that broadcasts against the data. For stacked data also a tuple, one for each block.

    Raises
    ------
    DataError
        If the clean data has negative entries.

    References
    ----------
    M. Bertero, P. Boccacci, G. Desiderà, G. Vicidomini, "Image deblurring with Poisson data: from cells to
    galaxies", Inverse Problems 25 (2009).

    Examples
    --------
    >>> y = PoissonNoise(gain=0.1)(torch.full((10000,), 3.0), generator=torch.Generator().manual_seed(0))
    >>> round(float(y.mean()), 1), round(float(y.var()), 1)
    (3.0, 0.3)
    """

    units = {"gain": 1, "background": 1}
    gain: float | Tensor = 1.0
    background: float | Tensor | tuple[Tensor, ...] = 0.0
    params = ("gain", "background")
    maps = ("background",)

    def __post_init__(self) -> None:
        check_positive(self, "gain")
        check_positive(self, "background", zero=True)

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        if not isinstance(self.background, Tensor | tuple):
            return super().sample(y, space, generator)
        shifts = self.background if isinstance(self.background, tuple) else (self.background,)
        total = (
            tuple(u + b for u, b in zip(y, shifts, strict=True)) if isinstance(y, tuple) else y + shifts[0]
        )
        return PoissonNoise(gain=self.gain).sample(total, space, generator)

    def parameter_batch(self, space: SpaceLike) -> torch.Size:
        own = [self.gain.shape] if isinstance(self.gain, Tensor) else []
        return broadcast_shapes(*own, *(b.shape[:k] for b, k in self._backgrounds(space)))

    def of_item(self, index: int, batch: torch.Size, space: SpaceLike) -> PoissonNoise:
        gain = self.gain
        if isinstance(gain, Tensor) and gain.ndim:
            gain = gain.expand(batch).reshape(-1)[index]
        parts = tuple(
            b.expand(*batch, *b.shape[k:]).reshape(-1, *b.shape[k:])[index]
            for b, k in self._backgrounds(space)
        )
        background: Any = parts if isinstance(self.background, tuple) else (*parts, self.background)[0]
        return PoissonNoise(gain=gain, background=background)

    def _backgrounds(self, space: SpaceLike) -> list[tuple[Tensor, int]]:
        """The tensors of the background, and how many of their dimensions are batch."""
        if isinstance(self.background, Tensor):
            held: tuple[Tensor, ...] = (self.background,)
        else:
            held = self.background if isinstance(self.background, tuple) else ()
        return [(b, max(b.ndim - len(s.shape), 0)) for b, s in zip(held, spaces_of(space))]

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        assert not isinstance(self.background, tuple)
        return self.gain * poisson((y + self.background) / self.gain, generator)

    def _information(self, u: Any, space: SpaceLike) -> Any:
        b: Any = self.background
        mean = tree_map(torch.add, u, b) if isinstance(b, tuple) else tree_map(lambda t: t + b, u)
        return scaled(1 / self.gain, tree_map(torch.reciprocal, mean), space)

    def likelihood(self) -> PoissonKL:
        return PoissonKL(gain=self.gain, background=self.background)


class PoissonGaussianNoise(EntryNoise):
    """Photon counting with read noise, y ↦ γ N + σ n with N Poisson of mean y/γ: mean y, variance γy + σ².

    The density is Σₖ Poisson(k; y/γ) Normal(·; γk, σ²). The likelihood is that of the shifted Poisson
    variable with the same mean and variance (`invcore.fidelities.ShiftedPoisson`).

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
    A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, "Practical Poissonian-Gaussian noise modeling and
    fitting for single-image raw-data", IEEE Trans. Image Process. 17 (2008).

    Examples
    --------
    >>> noise = PoissonGaussianNoise(gain=0.1, sigma=0.3)
    >>> y = noise(torch.full((10000,), 3.0), generator=torch.Generator().manual_seed(0))
    >>> round(float(y.mean()), 1), bool((y.var() - 0.39).abs() < 0.02)
    (3.0, True)
    """

    units = {"gain": 1, "sigma": 1}
    sigma: float | Tensor
    gain: float | Tensor = 1.0
    params = ("gain", "sigma")

    def __post_init__(self) -> None:
        check_positive(self, "gain")
        check_positive(self, "sigma", zero=True)

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        return self.gain * poisson(y / self.gain, generator) + self.sigma * normal(y, generator)

    def _information(self, u: Any, space: SpaceLike) -> Any:
        gain, sigma = (
            per_sample(torch.as_tensor(p, dtype=dtype_of(u), device=device_of(u)), spaces_of(space)[0])
            for p in (self.gain, self.sigma)
        )
        return tree_map(lambda t: counts_information(t / gain, sigma / gain) / gain**2, u)

    def likelihood(self) -> ShiftedPoisson:
        return ShiftedPoisson(gain=self.gain, sigma=self.sigma)


class LogPoissonNoise(EntryNoise):
    """Transmission measurements, y ↦ -log(N/N₀)/μ with N Poisson of mean N₀e^(-μy).

    A count of zero has no logarithm: it is replaced by ``zero_count``. For many photons the noise has
    variance about e^(μy)/(μ²N₀).

    Parameters
    ----------
    photons : float or Tensor, shape (batch...)
        N₀ > 0, mean counts without an object.
    mu : float or Tensor, shape (batch...)
        Attenuation μ > 0 per unit of y.
    zero_count : float
        Value that replaces counts of zero.

    References
    ----------
    J. Leuschner, M. Schmidt, D. O. Baguer, P. Maass, "LoDoPaB-CT, a benchmark dataset for low-dose computed
    tomography reconstruction", Scientific Data 8 (2021).

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

    def _information(self, u: Any, space: SpaceLike) -> Any:
        counts = tree_map(lambda t: torch.exp(-t), scaled(self.mu, u, space))
        return scaled(self.mu**2 * self.photons, counts, space)

    def likelihood(self) -> LogPoisson:
        return LogPoisson(photons=self.photons, mu=self.mu)
