"""MYULA: Langevin steps on the Moreau envelope of a prior."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from invcore import ParameterError, Physics
from invcore.solvers import Problem

from .langevin import Langevin, Position, gradient, langevin
from .moreau import MoreauEnvelope


class MYULA(Langevin):
    r"""The Moreau-Yosida unadjusted Langevin algorithm [1]_, for priors with a proximal operator.

    .. math:: x_{k+1} = x_k - γ ∇f(x_k) - \frac{γ}{μ} (x_k - \operatorname{prox}_{μ λ g}(x_k)) + \sqrt{2γ} ε_k

    `ULA` with the Moreau envelope in place of the prior, whose curvature is 1/μ. The error is of first order
    in μ and in γ: where the prior is sharper than the data, choose a smaller ``smoothing`` or `PSGLA`. A
    denoiser takes the place of prox as in `invcore.priors.PnP`, at the level √(μλ).

    Parameters
    ----------
    smoothing : float
        μ times the curvature of the data's term.

    References
    ----------
    .. [1] A. Durmus, E. Moulines, M. Pereyra, "Efficient Bayesian computation by proximal Markov chain Monte
       Carlo: when Langevin meets Moreau", SIAM J. Imaging Sci. 11 (2018).

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = MYULA(prior=L1(), burn_in=500)(torch.ones(1, 32, 32), physics, generator=g)
    >>> round(float(x.mean()), 1)  # data 1, shrunk towards 0
    0.5
    """

    prior_by = "prox"
    longest: ClassVar[float] = 2.0
    smoothing: float = 0.5
    burn_in: int = 2000
    thin: int = 20

    def __post_init__(self) -> None:
        check_smoothing(self)

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """See `Sampler.problem`; its prior is the envelope."""
        return enveloped(super().problem(y, physics, x0), self.smoothing)

    def bound(self, problem: Problem) -> Any:
        """See `Langevin`."""
        return problem.lipschitz * (1 + 1 / self.smoothing)

    def step(self, problem: Problem, state: Position, generator: torch.Generator) -> Position:
        """See `Sampler.step`."""
        x, step, k = state
        return Position(langevin(x, gradient(problem, x, k), step, generator), step, k + 1)


def check_smoothing(sampler: Any) -> None:
    """Refuse a smoothing that is not positive."""
    if not sampler.smoothing > 0:
        raise ParameterError(
            f"{type(sampler).__name__}: smoothing must be positive, got {sampler.smoothing!r}"
        )


def enveloped(problem: Problem, smoothing: float) -> Problem:
    """The problem with the Moreau envelope of its prior, μ = smoothing/L."""
    assert problem.prior is not None
    envelope = MoreauEnvelope(problem.prior, mu=smoothing / problem.lipschitz, weight=problem.weight)
    return problem.replace(weight=1.0, prior=envelope)
