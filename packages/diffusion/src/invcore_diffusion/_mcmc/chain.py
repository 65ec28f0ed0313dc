"""`MarkovChain`: what all chains share, a prior or a denoiser in its place."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from invcore import Denoiser, LinearOperator, ParameterError, Physics, Prior, Sampler
from invcore.noises import NoNoise
from invcore.priors import PnP
from invcore.solvers import Problem

from .._sampling.start import direct_estimate


class MarkovChain(Sampler, abstract=True, fields=True):
    """Base class of Markov chains.

    Images are given a prior density ∝ exp(-λ g(x)) by ``prior``, or by a ``denoiser`` in its place. With a
    denoiser of images of a known range, and a linear operator, the chain starts from a direct estimate.

    Parameters
    ----------
    prior : Prior, optional
        g.
    denoiser : Denoiser, optional
        In place of the prior.
    weight : float or Tensor, shape (batch...)
        λ; 1 for a prior that is a negative log-density.
    burn_in : int
        Number of steps before the first draw.
    thin : int
        Number of steps from one draw to the next.
    """

    prior_by: ClassVar[Literal["grad", "prox", "either"]]
    prior: Prior | None = None
    denoiser: Denoiser | None = None
    weight: float | Tensor = 1.0
    burn_in: int = 1000
    thin: int = 10

    def _check(self) -> None:
        super()._check()
        name = type(self).__name__
        if (self.prior is None) == (self.denoiser is None):
            given = "neither" if self.prior is None else "both"
            raise ParameterError(
                f"{name} draws images that look like some: give prior= or denoiser=, got {given}"
            )
        if self.prior is not None:
            self._check_prior(self.prior)

    def _check_prior(self, prior: Prior) -> None:
        name, kind = type(self).__name__, type(prior).__name__
        if self.prior_by == "grad" and not prior.has_grad:
            raise ParameterError(
                f"{name} needs the gradient of the prior, and {kind} has none: use a sampler for proximal "
                "operators, 'diffusion.psgla', 'diffusion.myula' or 'diffusion.sk_rock'"
            )
        if self.prior_by == "prox" and not prior.has_prox:
            raise ParameterError(
                f"{name} needs the proximal operator of the prior, and {kind} has none: use a sampler for "
                "gradients, 'diffusion.ula' or 'diffusion.sk_rock'"
            )
        if not (prior.has_grad or prior.has_prox):
            raise ParameterError(f"{name}: {kind} has neither a gradient nor a proximal operator")

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """See `Sampler.problem`."""
        if isinstance(physics.noise, NoNoise):
            raise ParameterError(
                f"{type(self).__name__} weighs the data by their noise, and this physics has none: "
                "Physics(operator, GaussianNoise(sigma=...))"
            )
        problem = super().problem(y, physics, x0)
        if self.denoiser is None:
            return problem
        problem = problem.replace(prior=self.from_denoiser())
        if x0 is None and self.denoiser.value_range is not None and isinstance(problem.A, LinearOperator):
            problem = problem.replace(x0=direct_estimate(problem, self.denoiser))  # not black
        return problem

    def from_denoiser(self) -> Prior:
        """The prior that the denoiser stands for."""
        assert self.denoiser is not None
        return PnP(self.denoiser)


def small_level(denoiser: Denoiser, sigma: float | None, name: str) -> float:
    """The noise level ``sigma``, by default 2 % of the range of values that the denoiser is meant for."""
    if sigma is not None:
        return sigma
    if denoiser.value_range is None:
        raise ParameterError(
            f"{name}: {type(denoiser).__name__} adapts to images of any range of values, so give the noise "
            "level sigma= at which its score is taken; 2 % of the range of your images is usual"
        )
    low, high = denoiser.value_range
    least, most = denoiser.sigma_range
    return min(max(0.02 * (high - low), least), most)
