"""Preconditioned Crank-Nicolson: proposals that leave a Gaussian prior as it is."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import ParameterError, Prior
from invcore.denoisers import GaussianDenoiser
from invcore.operators import Identity
from invcore.priors import Quadratic, Tikhonov
from invcore.solvers import Problem
from invcore.spaces import per_sample

from .metropolis import Metropolis, Walk


class PCN(Metropolis):
    r"""The preconditioned Crank-Nicolson algorithm [1]_, for Gaussian priors N(m, C).

    .. math:: x' = m + \sqrt{1 - β^2} (x - m) + β w, \quad w \sim N(0, C), \text{ accepted with probability }
        \min(1, e^{f(Ax; y) - f(Ax'; y)})

    It needs no gradient, so that f and A may be anything, and its acceptance does not fall as the image gets
    finer. β adapts during the burn-in to an acceptance of 0.25; with data that say much it becomes small, and
    `HMC` mixes better.

    Parameters
    ----------
    prior : Tikhonov or Quadratic with the identity, optional
        C = 1/λ.
    denoiser : GaussianDenoiser, optional
        In place of the prior: its mean and its covariance, over λ.

    References
    ----------
    .. [1] S. Cotter, G. Roberts, A. Stuart, D. White, "MCMC methods for functions: modifying old algorithms
       to make them faster", Stat. Sci. 28 (2013).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 2, 2)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> chain = PCN(prior=Tikhonov()).chain(torch.ones(1, 2, 2), physics, draws=400, generator=g)
    >>> round(float(chain.mean.mean()), 1)
    0.5
    """

    prior_by = "grad"
    share: ClassVar[float] = 0.25
    largest: ClassVar[float] = 1.0

    def _check(self) -> None:
        super()._check()
        name = type(self.prior or self.denoiser).__name__
        white = isinstance(self.prior, Quadratic) and isinstance(self.prior.operator, Identity)
        if not (white or isinstance(self.prior, Tikhonov) or isinstance(self.denoiser, GaussianDenoiser)):
            raise ParameterError(
                "PCN draws from a Gaussian prior: prior=Tikhonov(), Quadratic(Identity(...), center=...), or "
                f"denoiser=GaussianDenoiser(...); got {name}. Use 'diffusion.hmc' for others"
            )

    def from_denoiser(self) -> Prior:
        """See `MarkovChain`; the prior of the problem plays no part."""
        return Tikhonov()

    def init(self, problem: Problem, generator: torch.Generator) -> Walk:
        """See `Sampler.init`: a draw from the prior."""
        state = self.started(problem, self._misfit(problem, problem.start()), None, 0.5)
        if problem.x0 is not None:
            return state
        x = state.x + self._mean(state.x) + self._drawn(state.x, generator, problem)
        return state._replace(x=x, energy=self._misfit(problem, x))

    def step(self, problem: Problem, state: Walk, generator: torch.Generator) -> Walk:
        """See `Sampler.step`."""
        beta, mean = per_sample(state.size, problem.space), self._mean(state.x)
        drawn = self._drawn(state.x, generator, problem)
        x = mean + (1 - beta.square()).sqrt() * (state.x - mean) + beta * drawn
        energy = self._misfit(problem, x)
        return self.decided(problem, state, x, energy, None, energy - state.energy, generator)

    @staticmethod
    def _misfit(problem: Problem, x: Tensor) -> Tensor:
        return problem.fidelity.value(problem.A._apply(x), problem.y, problem.A.range)

    def _mean(self, like: Tensor) -> Any:
        if isinstance(self.denoiser, GaussianDenoiser):
            return self.denoiser.mean.to(like)
        center = getattr(self.prior, "center", None)
        return like.new_zeros(()) if center is None else center.to(like)

    def _drawn(self, like: Tensor, generator: torch.Generator, problem: Problem) -> Tensor:
        """w ~ N(0, C)."""
        w = self.noise(like, generator)
        if isinstance(self.denoiser, GaussianDenoiser):
            w = self.denoiser.colored(w)
        return w / per_sample(torch.as_tensor(self.weight, dtype=w.real.dtype).sqrt(), problem.space)
