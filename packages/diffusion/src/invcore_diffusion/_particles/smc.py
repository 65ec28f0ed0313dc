"""Twisted sequential Monte Carlo."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import Denoiser
from invcore.solvers import Problem
from invcore.spaces import per_sample, vdot

from .._guidance.likelihood import denoised_with_pullback, uncertainty
from .._sampling.given_data import curvature_of
from .._sampling.levels import transition
from .base import ParticleSampler, Swarm


class TwistedSMC(ParticleSampler):
    """Sequential Monte Carlo guided by the likelihood of the denoised image [1]_; exact as particles grow.

    The twisting function p̃(y | x) = exp(-β f(A D(x, σ); y)) stands for the likelihood of a noisy image. A
    particle moves to x' by the transition of the diffusion with the mean shifted by (σ² - σ'²) ∇ log p̃(y |
    x), and its weight is multiplied by p(x' | x) p̃(y | x') / (q(x' | x) p̃(y | x)). Without noise p̃ is the
    likelihood itself, so that all approximations cancel.

    β = 1/(1 + L r²) says how uncertain the data of the denoised image are: L is the curvature of f(A ·; y),
    and r² = σ² v/(σ² + v) the variance of a pixel, v that of clean images (``variance``, by default of a
    quarter of the denoiser's range of values; r² = σ² if that has none).

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.
    curvature : float or Tensor, shape (batch...), optional
        L, by default ‖A‖² times the Lipschitz constant of the gradient of f. To be given for nonlinear
        operators and for noise without that constant. It changes how many particles are
        needed, not what draws tend to.

    References
    ----------
    .. [1] L. Wu, B. L. Trippe, C. A. Naesseth, D. M. Blei, J. P. Cunningham, "Practical and asymptotically
       exact conditional sampling in diffusion models", NeurIPS 2023.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 2), covariance=torch.eye(2))
    >>> smc = TwistedSMC(D, particles=256, steps=60)
    >>> physics, y = Physics(Identity((1, 2)), GaussianNoise(sigma=1.0)), torch.ones(1, 2)
    >>> end = smc.chain(y, physics, draws=1, generator=torch.Generator().manual_seed(0)).state
    >>> mean = (end.log_weights.exp()[:, None, None] * end.particles).sum(0)  # 0.5
    >>> bool((mean - 0.5).abs().max() < 0.2), abs(float(end.log_evidence) + 1.19) < 0.1
    (True, True)
    """

    denoiser: Denoiser
    curvature: float | Tensor | None = None

    def enter(
        self, problem: Problem, like: Tensor, sigma: float, following: float, generator: torch.Generator
    ) -> tuple[Tensor, Any, Any, Tensor]:
        """See `ParticleSampler.enter`."""
        x = sigma * self.noise(like, generator)
        memory = self._twist(problem, x, sigma)
        return x, memory, (), memory[2]

    def move(
        self, problem: Problem, state: Swarm, sigma: float, following: float, generator: torch.Generator
    ) -> tuple[Tensor, Any, Any, Tensor]:
        """See `ParticleSampler.move`."""
        clean, gradient, twist = state.memory
        mean, deviation = transition(clean, state.particles, sigma, following, self.variance)
        if following == 0:
            return mean, state.memory, (), -problem.objective(mean) - twist
        noise = self.noise(mean, generator)
        shift = (sigma**2 - following**2) / deviation * gradient
        x = mean + deviation * (shift + noise)
        memory = self._twist(problem, x, following)
        correction = vdot(shift, noise + shift / 2, problem.space)
        return x, memory, (), memory[2] - correction - twist

    def _twist(self, problem: Problem, x: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
        """The denoised image, and the gradient and value of log p̃(y | x)."""
        clean, pullback = denoised_with_pullback(self.denoiser, x, sigma)
        beta = self._beta(problem, sigma)
        gradient = -pullback(per_sample(beta, problem.space) * problem.gradient(clean))
        return clean, gradient, -beta * problem.objective(clean)

    def _beta(self, problem: Problem, sigma: float) -> float | Tensor:
        values, variance = self.denoiser.value_range, self.variance
        if variance is None and values is not None:
            variance = ((values[1] - values[0]) / 4) ** 2
        r2 = sigma**2 if variance is None else uncertainty(sigma, variance)
        return 1 / (1 + curvature_of(problem, self.curvature, "TwistedSMC") * r2)
