"""Priors made of denoisers: plug-and-play, regularization by denoising, gradient-step."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._weights import Weight
from ..denoisers import Denoiser
from ..fidelities import Fidelity
from ..operators import Space, SpaceLike
from ..spaces import broadcast_shapes, per_sample
from ._base import Prior, gradient_by_torch


class PnP(Prior):
    r"""Plug-and-play: a denoiser in place of a proximal operator [1]_.

    .. math:: \operatorname{prox}_{t g}(x) := D(x, s \sqrt t)

    because prox is the MAP denoiser for white noise of variance t per real component (t is the weight λ times
    the step of the solver): at strength s = 1 and λ = 1, with a fidelity that is the negative log-likelihood,
    the denoiser acts as if it were the prior's own. With ``sigma`` given it works at that level whatever the
    step, and the weight plays no part. There is no function g: nothing to evaluate; convergence depends on
    the denoiser.

    Parameters
    ----------
    denoiser : Denoiser
    strength : float
        s > 0; more denoises more.
    sigma : float or Tensor, shape (batch...), optional
        Fixed noise level, standard deviation of each real component.

    References
    ----------
    .. [1] S. Venkatakrishnan, C. Bouman, B. Wohlberg, "Plug-and-play priors for model based reconstruction",
       GlobalSIP (2013).

    Examples
    --------
    >>> from invcore.denoisers import WaveletDenoiser
    >>> D = WaveletDenoiser(wavelet="haar", levels=2)
    >>> x = torch.arange(64.0).reshape(1, 8, 8)
    >>> torch.equal(PnP(D).prox(x, 0.25), D(x, 0.5))
    True
    """

    denoiser: Denoiser
    strength: float = 1.0
    sigma: float | Tensor | None = None
    params = ("sigma",)

    def __post_init__(self) -> None:
        if not self.strength > 0:
            raise ParameterError(f"PnP: strength must be positive, got {self.strength!r}")

    def at(self, k: int) -> Self:
        """With the denoiser that iteration ``k`` uses."""
        inner = self.denoiser.at(k)
        return self if inner is self.denoiser else dataclasses.replace(self, denoiser=inner)

    @property
    def stochastic(self) -> bool:
        """As the denoiser."""
        return self.denoiser.stochastic

    @property
    def longest_step(self) -> float:
        """The step at which the denoiser works at its largest level, less what rounding may add."""
        high = self.denoiser.sigma_range[1]
        return math.inf if self.sigma is not None else (1 - 1e-5) * (high / self.strength) ** 2

    @property
    def settles(self) -> bool:
        """No: a denoiser need not be the proximal operator of any function."""
        return False

    def _value(self, x: Tensor, space: Space) -> Tensor:
        raise ParameterError(
            "PnP has no value: a denoiser is not the proximal operator of a known function. "
            "GradientStep has one"
        )

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        sigma = self.strength * step**0.5 if self.sigma is None else self.sigma
        return _denoise(self.denoiser, x, sigma, space)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        """λ = 1: the noise level and the solver's step say how much to denoise."""
        return Weight(1.0)


class RED(Prior):
    r"""Regularization by denoising [1]_: the residual of a denoiser as the gradient of the prior.

    .. math:: ∇g(x) := x - D(x, σ) \quad (\texttt{"unit"}), \qquad
        ∇g(x) := (x - D(x, σ))/σ^2 \quad (\texttt{"score"})

    The second is minus the score of the images smoothed by noise of level σ, for a denoiser that is the
    posterior mean (Tweedie [2]_); λ = 1 then is the Bayesian weight. For a denoiser with Lipschitz constant 1
    the gradient's is 2, or 2/σ². g itself exists only for denoisers with a symmetric Jacobian [3]_: there is
    nothing to evaluate, and the solver is 'scaled_pgd', which takes no value.

    Parameters
    ----------
    denoiser : Denoiser
    sigma : float or Tensor, shape (batch...)
        Noise level, standard deviation of each real component.
    scale : {"unit", "score"}

    References
    ----------
    .. [1] Y. Romano, M. Elad, P. Milanfar, "The little engine that could: regularization by denoising (RED)",
       SIAM J. Imaging Sci. 10 (2017).
    .. [2] B. Efron, "Tweedie's formula and selection bias", J. Am. Stat. Assoc. 106 (2011).
    .. [3] E. Reehorst and P. Schniter, "Regularization by denoising: clarifications and new interpretations",
       IEEE Trans. Comput. Imaging 5 (2019).

    Examples
    --------
    >>> from invcore.denoisers import WaveletDenoiser
    >>> g = RED(WaveletDenoiser(wavelet="haar", levels=2), sigma=0.1)
    >>> float(g.grad(torch.ones(1, 8, 8)).abs().max()) < 1e-6
    True
    """

    denoiser: Denoiser
    sigma: float | Tensor
    scale: Literal["unit", "score"] = "unit"
    params = ("sigma",)

    def __post_init__(self) -> None:
        if self.scale not in ("unit", "score"):
            raise ParameterError(f"RED: scale must be 'unit' or 'score', got {self.scale!r}")
        if self.scale == "score" and not bool((torch.as_tensor(self.sigma) > 0).all()):
            raise ParameterError("RED: scale='score' divides by sigma², which must be positive")

    def at(self, k: int) -> Self:
        """With the denoiser that iteration ``k`` uses."""
        inner = self.denoiser.at(k)
        return self if inner is self.denoiser else dataclasses.replace(self, denoiser=inner)

    @property
    def stochastic(self) -> bool:
        """As the denoiser."""
        return self.denoiser.stochastic

    def _value(self, x: Tensor, space: Space) -> Tensor:
        raise ParameterError(
            "RED has no value: the residual of a denoiser is the gradient of a function only if its Jacobian "
            "is symmetric. "
            "GradientStep has a value"
        )

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        residual = x - _denoise(self.denoiser, x, self.sigma, space)
        if self.scale == "unit":
            return residual
        variance = per_sample(self.sigma**2, space)
        return residual / variance if isinstance(variance, Tensor) else residual.div_(variance)

    def majorizer(self, space: SpaceLike) -> float | Tensor:
        """1, or 1/σ²: of conditional means, and enough for denoisers with Lipschitz constant 1 to settle."""
        return 1.0 if self.scale == "unit" else 1 / self.sigma**2


class GradientStep(Prior):
    r"""Gradient-step prior [1]_: the squared residual of a denoiser, with its exact gradient.

    .. math:: g(x) = \tfrac12 \|x - N(x, σ)\|^2, \qquad
        ∇g(x) = r - J_N(x)^{\mathsf H} r, \quad r = x - N(x, σ)

    An explicit function, unlike plug-and-play and RED, so that solvers with a line search converge whatever
    the denoiser; the denoiser x - ∇g(x) is a gradient step. N must be written in torch operations that can be
    differentiated.

    Parameters
    ----------
    denoiser : Denoiser
        N.
    sigma : float or Tensor, shape (batch...)
        Noise level, standard deviation of each real component.

    References
    ----------
    .. [1] S. Hurault, A. Leclaire, N. Papadakis, "Gradient step denoiser for convergent plug-and-play", ICLR
       (2022).

    Examples
    --------
    >>> from invcore.denoisers import WaveletDenoiser
    >>> g = GradientStep(WaveletDenoiser(wavelet="haar", levels=2), sigma=0.1)
    >>> float(g.value(torch.ones(1, 8, 8))) < 1e-6
    True
    """

    denoiser: Denoiser
    sigma: float | Tensor
    params = ("sigma",)

    def at(self, k: int) -> Self:
        """With the denoiser that iteration ``k`` uses."""
        inner = self.denoiser.at(k)
        return self if inner is self.denoiser else dataclasses.replace(self, denoiser=inner)

    @property
    def stochastic(self) -> bool:
        """As the denoiser."""
        return self.denoiser.stochastic

    def _value(self, x: Tensor, space: Space) -> Tensor:
        r = x - _denoise(self.denoiser, x, self.sigma, space)
        power = r.real.square() + r.imag.square() if r.is_complex() else r.square()
        return power.sum(tuple(range(-len(space.shape), 0))) / 2

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        return gradient_by_torch(self, x, space)


def _denoise(D: Denoiser, x: Tensor, sigma: float | Tensor, space: Space) -> Tensor:
    """D(x, σ) with σ for all or one per sample; a batch of levels brings its batch to x."""
    if not isinstance(sigma, Tensor) or sigma.ndim == 0:
        return D(x, sigma)
    shape = space.shape
    batch = broadcast_shapes(x.shape[: x.ndim - len(shape)], sigma.shape)
    return D(x.expand(*batch, *shape), sigma.expand(batch))
