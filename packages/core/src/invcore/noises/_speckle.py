"""Speckle: multiplicative Gamma noise, and its logarithm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..fidelities import FisherTippettLikelihood, GammaLikelihood
from ..fidelities._separable import check_positive
from ..operators import SpaceLike
from ..spaces import scaled, tree_map
from ._base import EntryNoise, need_real, standard_gamma, uniform


class GammaNoise(EntryNoise):
    """Speckle of an intensity, y ↦ y g with g of mean one and density ∝ g^(ℓ-1) e^(-ℓg): variance y²/ℓ.

    Parameters
    ----------
    looks : float or Tensor, shape (batch...)
        Shape ℓ > 0: the number of independent looks that are averaged.

    References
    ----------
    G. Aubert, J.-F. Aujol, "A variational approach to removing multiplicative noise", SIAM J. Appl. Math. 68
    (2008).

    Examples
    --------
    >>> y = GammaNoise(looks=4.0)(torch.full((10000,), 2.0), generator=torch.Generator().manual_seed(0))
    >>> round(float(y.mean()), 1), round(float(y.var()), 1)
    (2.0, 1.0)
    """

    units = {}
    looks: float | Tensor
    params = ("looks",)

    def __post_init__(self) -> None:
        check_positive(self, "looks")

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        return y * (standard_gamma(self.looks, y, generator) / self.looks)

    def _information(self, u: Any, space: SpaceLike) -> Any:
        return scaled(self.looks, tree_map(lambda t: 1 / t**2, u), space)

    def likelihood(self) -> GammaLikelihood:
        return GammaLikelihood(looks=self.looks)


class FisherTippettNoise(EntryNoise):
    """Speckle of a log intensity, y ↦ y + log g with g Gamma distributed of mean one and ℓ looks.

    The density of d = log g is ∝ exp(ℓd - ℓeᵈ); its mean is ψ(ℓ) - log ℓ, not zero, and its variance ψ'(ℓ).

    Parameters
    ----------
    looks : float or Tensor, shape (batch...)
        ℓ > 0.

    References
    ----------
    J. W. Goodman, "Some fundamental properties of speckle", J. Opt. Soc. Am. 66 (1976); J. M. Bioucas-Dias,
    M. A. T. Figueiredo, IEEE Trans. Image Process. 19 (2010).

    Examples
    --------
    >>> y = FisherTippettNoise(looks=1.0)(torch.zeros(100000), generator=torch.Generator().manual_seed(0))
    >>> round(float(y.mean()), 2), bool((y.var() - 1.645).abs() < 0.05)  # minus Euler's constant, and π²/6
    (-0.58, True)
    """

    looks: float | Tensor
    params = ("looks",)

    def __post_init__(self) -> None:
        check_positive(self, "looks")

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        above = standard_gamma(
            self.looks + 1, y, generator
        )  # G(ℓ) = G(ℓ + 1) U^(1/ℓ), which does not underflow
        return y + torch.log(above / self.looks) + torch.log1p(-uniform(y, generator)) / self.looks

    def _information(self, u: Any, space: SpaceLike) -> Any:
        return scaled(self.looks, tree_map(torch.ones_like, u), space)

    def likelihood(self) -> FisherTippettLikelihood:
        return FisherTippettLikelihood(looks=self.looks)
