"""Hamiltonian Monte Carlo, and MALA, which is its shortest trajectory."""

from __future__ import annotations

from typing import ClassVar

import torch

from invcore import ParameterError
from invcore.solvers import Problem
from invcore.spaces import per_sample, vdot

from .langevin import gradient
from .metropolis import Walk, WithDensity, scale, uniform

_JITTER = 0.2


class Hamiltonian(WithDensity, abstract=True):
    """Base class of proposals by leapfrog steps of dx = p dt, dp = -∇U(x) dt, with p ~ N(0, 1) drawn anew."""

    leapfrogs: ClassVar[int]
    jitter: ClassVar[float] = 0.0

    def init(self, problem: Problem, generator: torch.Generator) -> Walk:
        """See `Sampler.init`."""
        x = problem.start()
        return self.started(problem, problem.objective(x), gradient(problem, x, 0), scale(problem) ** -0.5)

    def step(self, problem: Problem, state: Walk, generator: torch.Generator) -> Walk:
        """See `Sampler.step`."""
        space = problem.image_space
        length = state.size
        if self.jitter:  # so that no direction comes back to where it was, trajectory after trajectory
            length = length * (1 + self.jitter * (2 * uniform(state, problem, generator) - 1))
        t = per_sample(length, space)
        x, slope = state.x, state.gradient
        momentum = self.noise(x, generator)
        before = state.energy + vdot(momentum, momentum, space) / 2
        assert slope is not None
        p = momentum - t / 2 * slope
        for j in range(self.leapfrogs):
            x = x + t * p
            slope = gradient(problem, x, state.k)
            p = p - (t if j + 1 < self.leapfrogs else t / 2) * slope
        energy = problem.objective(x)
        risen = energy + vdot(p, p, space) / 2 - before
        return self.decided(problem, state, x, energy, slope, risen, generator)


class MALA(Hamiltonian):
    r"""The Metropolis-adjusted Langevin algorithm [1]_: exact Langevin sampling.

    .. math:: x' = x - γ ∇U(x) + \sqrt{2γ} ε, \text{ accepted with probability }
        \min\left(1, \frac{π(x') q(x | x')}{π(x) q(x' | x)}\right), \quad π \propto e^{-U}

    γ adapts during the burn-in to an acceptance of 0.574, the best in high dimension [2]_. It is one leapfrog
    step of `HMC` of length √(2γ).

    References
    ----------
    .. [1] G. Roberts and R. Tweedie, "Exponential convergence of Langevin distributions and their discrete
       approximations", Bernoulli 2 (1996).
    .. [2] G. Roberts and J. Rosenthal, "Optimal scaling of discrete approximations to Langevin diffusions",
       J. R. Stat. Soc. B 60 (1998).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> from invcore.priors import Tikhonov
    >>> physics = Physics(Identity((1, 2, 2)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> mala = MALA(prior=Tikhonov(), burn_in=200)
    >>> chain = mala.chain(torch.ones(1, 2, 2), physics, draws=1000, generator=g)
    >>> round(float(chain.mean.mean()), 1)
    0.5
    """

    leapfrogs: ClassVar[int] = 1
    share: ClassVar[float] = 0.574


class HMC(Hamiltonian):
    """Hamiltonian Monte Carlo [1]_: long trajectories, accepted by their error in the energy.

    It forgets where it was after a few trajectories even if the problem is ill-conditioned: the sampler of
    choice where the prior has a density. The length of a leapfrog step adapts during the burn-in to an
    acceptance of 0.8 [2]_, and varies by ±20 % from trajectory to trajectory.

    Parameters
    ----------
    leapfrogs : int
        Number of gradients of a trajectory.

    References
    ----------
    .. [1] R. Neal, "MCMC using Hamiltonian dynamics", Handbook of Markov Chain Monte Carlo (2011).
    .. [2] M. Betancourt, S. Byrne, M. Girolami, "Optimizing the integrator step size for Hamiltonian Monte
       Carlo", 2014, arXiv:1411.6669.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> from invcore.priors import Tikhonov
    >>> physics = Physics(Identity((1, 2, 2)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> chain = HMC(prior=Tikhonov()).chain(torch.ones(1, 2, 2), physics, draws=200, generator=g)
    >>> round(float(chain.mean.mean()), 1)
    0.5
    """

    leapfrogs: int = 10  # type: ignore[misc]
    jitter: ClassVar[float] = _JITTER
    share: ClassVar[float] = 0.8
    burn_in: int = 200
    thin: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.leapfrogs, bool) or not isinstance(self.leapfrogs, int) or self.leapfrogs < 1:
            raise ParameterError(f"HMC: leapfrogs must be a whole number from 1 on, got {self.leapfrogs!r}")
