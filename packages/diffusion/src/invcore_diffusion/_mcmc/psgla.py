"""PSGLA: the noise inside the proximal step."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from invcore.solvers import Problem

from .langevin import Langevin, Position, langevin


class PSGLA(Langevin):
    r"""The proximal stochastic gradient Langevin algorithm [1]_, [2]_.

    .. math:: x_{k+1} = \operatorname{prox}_{γ λ g}(x_k - γ ∇f(x_k) + \sqrt{2γ} ε_k)

    It takes constraints and kinks as they are. The error is of first order in γ. A denoiser takes the place
    of prox as in `invcore.priors.PnP`, D(·, √(γλ)).

    For f'' = a, g'' = b the variance is 2γκ²/(1 - κ²(1 - γa)²), κ = 1/(1 + γb), in place of 1/(a + b).

    Parameters
    ----------
    step_size : float
        γL, where L is the curvature of f alone; at most 1.

    References
    ----------
    .. [1] A. Salim, D. Kovalev, P. Richtárik, "Stochastic proximal Langevin algorithm: potential splitting
       and nonasymptotic rates", NeurIPS 2019.
    .. [2] M. Renaud, V. De Bortoli, A. Leclaire, N. Papadakis, "From stability of Langevin diffusion to
       convergence of proximal MCMC for non-log-concave sampling", 2025, arXiv:2505.14177.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> from invcore.priors import NonNegative
    >>> physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = PSGLA(prior=NonNegative(), burn_in=200)(torch.zeros(1, 32, 32), physics, generator=g)
    >>> bool((x >= 0).all())
    True
    """

    prior_by = "prox"
    longest: ClassVar[float] = 1.0 + 1e-9
    burn_in: int = 2000
    thin: int = 20

    def step(self, problem: Problem, state: Position, generator: torch.Generator) -> Position:
        """See `Sampler.step`."""
        x, step, k = state
        assert problem.prior is not None
        moved = langevin(x, problem.gradient(x), step, generator)
        length: Any = step * problem.weight
        return Position(problem.prior.at(k).prox(moved, length, problem.space), step, k + 1)
