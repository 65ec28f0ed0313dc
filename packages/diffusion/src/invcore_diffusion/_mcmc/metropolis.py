"""Proposals that are accepted or refused, item by item, and whose size adapts during the burn-in."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Prior
from invcore.denoisers import MMSEDenoiser
from invcore.solvers import Problem
from invcore.spaces import batch_shape, per_sample

from .adaptation import adapted_until
from .chain import MarkovChain, small_level
from .density import NoisyDensity


class Walk(NamedTuple):
    """Where a chain with acceptance is.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
    energy : Tensor, shape (batch...)
        What the acceptance compares, up to a constant minus the logarithm of a density.
    gradient : Tensor or None
        Its gradient, where the proposal uses it.
    size : Tensor, shape (batch...)
        The size of the proposals of each item; fixed in the last fifth of the burn-in and after it.
    accepted : Tensor, shape (batch...)
        How many have been accepted since the burn-in.
    k : int
        Number of steps so far.
    """

    x: Tensor
    energy: Tensor
    gradient: Tensor | None
    size: Tensor
    accepted: Tensor
    k: int


class Metropolis(MarkovChain, abstract=True, fields=True):
    """Base class of chains with an accept-reject step [1]_: their law is exactly the posterior.

    Each item of a batch is accepted or refused by itself. During the burn-in the size of the proposals of
    each is adapted so that a good share of them is accepted [2]_, but not in its last fifth: an exact chain
    must not depend on its past, and forgets it there. The share since the burn-in is
    ``chain.state.accepted / (chain.steps - burn_in)``.

    References
    ----------
    .. [1] W. Hastings, "Monte Carlo sampling methods using Markov chains and their applications", Biometrika
       57 (1970).
    .. [2] C. Andrieu and J. Thoms, "A tutorial on adaptive MCMC", Stat. Comput. 18 (2008).
    """

    share: ClassVar[float]
    """The share of proposals to be accepted."""
    largest: ClassVar[float] = float("inf")
    """The largest size of a proposal."""

    def started(self, problem: Problem, energy: Tensor, gradient: Tensor | None, size: Any) -> Walk:
        """The first state."""
        x = problem.start()
        zero = torch.zeros_like(energy)
        first = torch.as_tensor(size, dtype=energy.dtype, device=energy.device).expand_as(energy).clone()
        return Walk(x, energy, gradient, first, zero, 0)

    def decided(
        self,
        problem: Problem,
        state: Walk,
        proposal: Tensor,
        energy: Tensor,
        gradient: Tensor | None,
        risen: Tensor,
        generator: torch.Generator,
    ) -> Walk:
        """The next state: the proposal with probability exp(-risen), each item by itself."""
        chance = torch.exp(-risen.clamp_min(0)).nan_to_num(0.0)
        draw = torch.rand(chance.shape, generator=generator, dtype=chance.dtype, device=generator.device)
        taken = draw.to(chance.device) < chance
        size = state.size
        if state.k < adapted_until(self.burn_in):
            change = (chance - self.share) / (state.k + 1) ** 0.6
            size = (size * change.exp()).clamp_max(self.largest)
        accepted = state.accepted if state.k < self.burn_in else state.accepted + taken
        on = per_sample(taken, problem.space)
        return Walk(
            torch.where(on, proposal, state.x),
            torch.where(taken, energy, state.energy),
            None if gradient is None or state.gradient is None else torch.where(on, gradient, state.gradient),
            size,
            accepted,
            state.k + 1,
        )


class WithDensity(Metropolis, abstract=True, fields=True):
    """Base class of chains that ask for the value and the gradient of U(x) = f(Ax; y) + λ g(x).

    A denoiser must know its density, as the exact ones of Gaussians and of mixtures do: that of images with
    noise of a small level σ takes the place of the prior.

    Parameters
    ----------
    sigma : float, optional
        σ; by default 2 % of the range of values that the denoiser is meant for.
    """

    prior_by = "grad"
    sigma: float | None = None

    def _check(self) -> None:
        super()._check()
        if not (self.denoiser is None or isinstance(self.denoiser, MMSEDenoiser)):
            raise ParameterError(
                f"{type(self.denoiser).__name__} has no known density, which an accept-reject step asks for: "
                "use 'diffusion.ula', 'diffusion.sk_rock' or 'diffusion.psgla', or give prior="
            )

    def from_denoiser(self) -> Prior:
        """See `MarkovChain`."""
        assert isinstance(self.denoiser, MMSEDenoiser)
        return NoisyDensity(self.denoiser, sigma=small_level(self.denoiser, self.sigma, type(self).__name__))


def scale(problem: Problem) -> Tensor | float:
    """A first guess of the curvature of U: adaptation corrects it."""
    bound = problem.lipschitz
    own = None if problem.prior is None else problem.prior.curvature(problem.space)
    bound = bound if own is None else bound + problem.weight * own
    return torch.where(bound > 0, bound, 1)


def uniform(state: Walk, problem: Problem, generator: torch.Generator) -> Tensor:
    """One number from 0 to 1 for each item."""
    shape = batch_shape(state.x, problem.space)
    draw = torch.rand(shape, generator=generator, dtype=state.size.dtype, device=generator.device)
    return draw.to(state.size.device)
