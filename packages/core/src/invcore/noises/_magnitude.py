"""Rician noise: the magnitude of complex data."""

from __future__ import annotations

import torch
from torch import Tensor

from ..fidelities import RicianLikelihood
from ..fidelities._separable import check_positive
from ._base import EntryNoise, need_real, normal


class RicianNoise(EntryNoise):
    """Magnitude of a signal in complex Gaussian noise, y ↦ √((y + σn₁)² + (σn₂)²).

    The density is (m/σ²) exp(-(m² + y²)/(2σ²)) I₀(my/σ²), and E m² = y² + 2σ². For y = 0 it is Rayleigh's.

    Parameters
    ----------
    sigma : float or Tensor, shape (batch...)
        Standard deviation σ > 0 of the real and of the imaginary part of the noise: one value, or one per
        sample.

    References
    ----------
    H. Gudbjartsson, S. Patz, "The Rician distribution of noisy MRI data", Magn. Reson. Med. 34 (1995).

    Examples
    --------
    >>> y = RicianNoise(sigma=1.0)(torch.zeros(20000), generator=torch.Generator().manual_seed(0))
    >>> bool((y.mean() - 1.2533).abs() < 0.02)  # √(π/2)
    True
    """

    units = {"sigma": 1}
    sigma: float | Tensor
    params = ("sigma",)

    def __post_init__(self) -> None:
        check_positive(self, "sigma")

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        real = y + self.sigma * normal(y, generator)
        return torch.hypot(real, self.sigma * normal(y, generator))

    def likelihood(self) -> RicianLikelihood:
        return RicianLikelihood(sigma=self.sigma)
