"""Moment matching: the denoised image as uncertain as its Jacobian says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import Denoiser
from invcore.operators import LinearOperator, SpaceLike, solve
from invcore.samplers import Guidance
from invcore.solvers import Problem
from invcore.spaces import scaled

from .likelihood import denoised_with_pullback, noise_levels


class MomentMatching(Guidance):
    r"""The likelihood of the clean image N(D(x, σ), V) with its true covariance V = σ² J_D [1]_ [2]_.

    .. math:: \hat x = D(x, σ) + σ^2 J_D^H A^H (A V A^H + σ_y^2)^{-1} (y - A D(x, σ))

    V is the covariance of x₀ | x (Tweedie's formula of second order), so that this is exact for Gaussian
    images of any covariance; for others x₀ | x is no Gaussian. V is never formed: the system is solved by
    GMRES, of which each step takes a vector-Jacobian product. Noise is Gaussian or none.

    Parameters
    ----------
    rtol : float
        Relative residual at which GMRES stops.
    max_steps : int, optional
        Maximum number of its steps; by default as many as the data may need.

    References
    ----------
    .. [1] B. Boys et al., Tweedie moment projected diffusions for inverse problems, TMLR 2024.
    .. [2] F. Rozet et al., Learning diffusion priors from observations by expectation maximization,
       NeurIPS 2024.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> from invcore.solvers import Problem
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), covariance=torch.tensor([[0.5]]))
    >>> physics = Physics(operators.Identity((1, 1)), noises.GaussianNoise(sigma=1.0))
    >>> problem = Problem(physics=physics, y=torch.ones(1, 1), fidelity=physics.likelihood())
    >>> MomentMatching().estimate(problem, D, torch.ones(1, 1), 1.0, torch.Generator())  # (1 + 1)/(1 + 1 + 2)
    tensor([[0.5000]])
    """

    rtol: float = 1e-4
    max_steps: int | None = None
    bias: ClassVar[str] = "moment matching takes the clean image given the noisy one for Gaussian"

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        clean, pullback = denoised_with_pullback(denoiser, x, sigma)
        A, levels = problem.linear, noise_levels(problem, "MomentMatching")
        spread = _DataCovariance(A, pullback, sigma**2, levels**2)
        dual = solve(spread, problem.y - A(clean), rtol=self.rtol, max_steps=self.max_steps)
        return clean + sigma**2 * pullback(A.H(dual))


class _DataCovariance(LinearOperator):
    """A V Aᴴ + σ_y² with V = σ² J: the covariance of the data given the noisy image."""

    operator: LinearOperator
    pullback: Callable[[Tensor], Tensor]
    scale: float
    variance: Any

    positional: ClassVar[int] = 4

    @property
    def domain(self) -> SpaceLike:
        return self.operator.range

    @property
    def range(self) -> SpaceLike:
        return self.operator.range

    def forward(self, u: Any) -> Any:
        back = self.pullback(self.operator.H(u))
        return self.scale * self.operator(back) + scaled(self.variance, u, self.range)
