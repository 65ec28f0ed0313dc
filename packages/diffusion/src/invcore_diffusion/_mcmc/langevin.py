"""Langevin steps, and the unadjusted Langevin algorithm."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Prior, Sampler
from invcore.priors import RED
from invcore.solvers import Problem
from invcore.spaces import per_sample

from .chain import MarkovChain, small_level


class Position(NamedTuple):
    """Where a chain is.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
    step : float or Tensor
        γ, for all or one per sample with dimensions to broadcast against images.
    k : int
        Number of steps so far.
    """

    x: Tensor
    step: float | Tensor
    k: int


class Langevin(MarkovChain, abstract=True, fields=True):
    """Base class of discretizations of dx = -∇U(x) dt + √2 dw, U(x) = f(Ax; y) + λ g(x).

    The step is γ = ``step_size``/L, where L bounds the curvature of U: certified bounds of ‖A‖² times the
    curvature of f, and of that of the prior. It is not for the user to guess.

    Parameters
    ----------
    step_size : float
        γL. The law of the draws differs from the posterior by an error of first order in it.
    """

    longest: ClassVar[float]
    """The largest step_size that is stable."""
    step_size: float = 0.1

    def _check(self) -> None:
        super()._check()
        if not 0 < self.step_size < self._longest():
            raise ParameterError(
                f"{type(self).__name__}: step_size is the step times the largest curvature, and the chain is "
                f"stable below {self._longest():.4g}; got {self.step_size!r}"
            )

    def _longest(self) -> float:
        return self.longest

    def init(self, problem: Problem, generator: torch.Generator) -> Position:
        """See `Sampler.init`."""
        bound: Any = self.bound(problem)
        if isinstance(bound, Tensor):
            bound = per_sample(bound, problem.image_space) if bound.ndim else float(bound)
        return Position(problem.start(), self.step_size / bound, 0)

    def bound(self, problem: Problem) -> float | Tensor:
        """L, for all samples or one each."""
        return problem.lipschitz


class Smooth(Langevin, abstract=True, fields=True):
    """Base class of Langevin steps along gradients.

    With a denoiser, ∇g(x) = (x - D(x, σ))/σ², minus the score of images with noise of a small level σ: their
    density takes the place of the prior's. Its curvature is at most λ/σ² if D is a posterior mean.

    Parameters
    ----------
    sigma : float, optional
        σ; by default 2 % of the range of values that the denoiser is meant for.
    curvature : float or Tensor, shape (batch...), optional
        The largest curvature of g, for a prior that does not state it.
    """

    prior_by = "grad"
    sigma: float | None = None
    curvature: float | Tensor | None = None

    def from_denoiser(self) -> Prior:
        """See `MarkovChain`."""
        assert self.denoiser is not None
        sigma = small_level(self.denoiser, self.sigma, type(self).__name__)
        return RED(self.denoiser, sigma=sigma, scale="score")

    def bound(self, problem: Problem) -> float | Tensor:
        """See `Langevin`."""
        prior = problem.prior
        assert prior is not None
        own = prior.curvature(problem.space) if self.curvature is None else self.curvature
        if own is None:
            raise ParameterError(
                f"{type(self).__name__}: {type(prior).__name__} states no bound of its curvature, from which "
                "the step follows. Give curvature= (the largest eigenvalue of its Hessian), or use "
                "'diffusion.mala' or 'diffusion.hmc', which find their steps, or 'diffusion.myula'"
            )
        return problem.lipschitz + problem.weight * own


class ULA(Smooth):
    r"""The unadjusted Langevin algorithm [1]_: gradient steps with noise.

    .. math:: x_{k+1} = x_k - γ ∇U(x_k) + \sqrt{2γ} ε_k, \qquad U(x) = f(Ax; y) + λ g(x)

    In a direction of curvature h its variance is 1/(h (1 - γh/2)) in place of 1/h: too large by about γh/2,
    at most 5 % for the default step, and less by as much as the direction is softer. It takes some 1/(γh)
    steps to forget where it was: an ill-conditioned problem is for `SKROCK`.

    References
    ----------
    .. [1] A. Durmus and E. Moulines, "Nonasymptotic convergence analysis for the unadjusted Langevin
       algorithm", Ann. Appl. Probab. 27 (2017).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> from invcore.priors import Tikhonov
    >>> physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = ULA(prior=Tikhonov(), burn_in=200)(torch.ones(1, 32, 32), physics, generator=g)
    >>> round(float(x.mean()), 1), round(float(x.var()), 1)
    (0.5, 0.5)
    """

    longest: ClassVar[float] = 2.0
    burn_in: int = 2000
    thin: int = 20

    def step(self, problem: Problem, state: Position, generator: torch.Generator) -> Position:
        """See `Sampler.step`."""
        x, step, k = state
        return Position(langevin(x, gradient(problem, x, k), step, generator), step, k + 1)


def gradient(problem: Problem, x: Tensor, k: int) -> Tensor:
    """∇U(x), with the prior of step ``k``."""
    assert problem.prior is not None
    own = problem.prior.at(k).grad(x, problem.space)
    data = problem.gradient(x)
    if isinstance(problem.weight, Tensor):
        return data + per_sample(problem.weight, problem.space) * own
    return torch.add(data, own, alpha=problem.weight)


def langevin(x: Tensor, drift: Tensor, step: float | Tensor, generator: torch.Generator) -> Tensor:
    """x - γ drift + √(2γ) ε."""
    noise = Sampler.noise(x, generator)
    if isinstance(step, Tensor):
        return x - step * drift + (2 * step).sqrt() * noise
    return noise.mul_((2 * step) ** 0.5).add_(x).sub_(drift, alpha=step)
