"""Likelihoods of speckle: Gamma for intensities, Fisher-Tippett for their logarithm."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ._counts import exp_conjugate, exp_divergence, exp_prox, log_of
from ._roots import cubic_minimizer
from ._separable import Separable, check_positive, need_real


class GammaLikelihood(Separable):
    """Gamma noise of mean u and ℓ looks: f(u; y) = ℓ Σᵢ [log(uᵢ/yᵢ) + yᵢ/uᵢ - 1] for u > 0, else infinite.

    Convex only for u < 2y. `prox` is the global minimizer, from the roots of a cubic; where two minima are
    equally good, that nearer to u. The gradient has no Lipschitz constant. Data must be real and > 0.

    Parameters
    ----------
    looks : float or Tensor, shape (batch...)
        Shape ℓ > 0 of the Gamma density; the relative standard deviation is 1/√ℓ.

    References
    ----------
    G. Aubert, J.-F. Aujol, "A variational approach to removing multiplicative noise", SIAM J. Appl. Math. 68
    (2008).

    Examples
    --------
    >>> GammaLikelihood(looks=4.0).grad(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))
    tensor([0., 1.])
    """

    units = {}
    looks: float | Tensor
    params = ("looks",)
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "looks")

    def _value(self, u: Tensor, y: Tensor, looks: Any) -> Tensor:
        need_real(self, u, y)
        ratio = y / torch.where(u > 0, u, 1.0)
        return torch.where(u > 0, looks * (ratio - 1 - ratio.log()), torch.inf)

    def _grad(self, u: Tensor, y: Tensor, looks: Any) -> Tensor:
        need_real(self, u, y)
        return looks * (u - y) / u.square()

    def _prox(self, u: Tensor, y: Tensor, step: Any, looks: Any) -> Tensor:
        need_real(self, u, y)

        def objective(z: Tensor) -> Tensor:
            return self._value(z, y, looks) + (z - u).square() / (2 * step)

        weight = step * looks + torch.zeros_like(u)
        return cubic_minimizer(u, weight, weight * y, torch.maximum(u, y), objective)


class FisherTippettLikelihood(Separable):
    """Logarithm of speckle with ℓ looks: f(u; y) = ℓ Σᵢ [e^(yᵢ-uᵢ) - 1 - (yᵢ - uᵢ)]; convex, zero for u = y.

    The proximal operator (a Lambert W function) is found by Newton's method. The gradient has no Lipschitz
    constant on all of ℝ.

    Parameters
    ----------
    looks : float or Tensor, shape (batch...)
        ℓ > 0.

    References
    ----------
    J. M. Bioucas-Dias, M. A. T. Figueiredo, "Multiplicative noise removal using variable splitting and
    constrained optimization", IEEE Trans. Image Process. 19 (2010).

    Examples
    --------
    >>> FisherTippettLikelihood(looks=1.0).grad(torch.tensor([0.0, 50.0]), torch.tensor([0.0, 0.0]))
    tensor([-0., 1.])
    """

    looks: float | Tensor
    params = ("looks",)

    def __post_init__(self) -> None:
        check_positive(self, "looks")

    def _value(self, u: Tensor, y: Tensor, looks: Any) -> Tensor:
        need_real(self, u, y)
        return looks * exp_divergence(y - u)

    def _grad(self, u: Tensor, y: Tensor, looks: Any) -> Tensor:
        need_real(self, u, y)
        return -looks * torch.expm1(y - u)

    def _prox(self, u: Tensor, y: Tensor, step: Any, looks: Any) -> Tensor:
        need_real(self, u, y)
        return y + exp_prox(u - y, log_of(step, u) + log_of(looks, u), 1.0)

    def _conjugate(self, p: Tensor, y: Tensor, looks: Any) -> Tensor:
        need_real(self, p, y)
        return p * y + looks * exp_conjugate(p / looks)
