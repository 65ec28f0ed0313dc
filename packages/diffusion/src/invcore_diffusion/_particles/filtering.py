"""Particle filters for linear operators, in the coordinates of their singular value decomposition."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Physics
from invcore.noises import GaussianNoise
from invcore.solvers import Problem
from invcore.spaces import broadcast_shapes, per_sample

from .._sampling.decomposed import decomposed
from .._sampling.levels import transition
from .base import ParticleSampler, Swarm


class Hop(NamedTuple):
    """A particle on its way from a level to the next, which is below.

    Attributes
    ----------
    x : Tensor
    sigma : float
        Where it is; infinite for a particle that enters at the largest level.
    path : object
        What all particles share there.
    mean : Tensor
    deviation : float
        Where the diffusion would take it: N(mean, deviation²).
    following : float
        The next level.
    ahead : object
        What all particles share there.
    """

    x: Tensor
    sigma: float
    path: Any
    mean: Tensor
    deviation: float
    following: float
    ahead: Any


class Seen(NamedTuple):
    """What is seen of the coordinates s Vᴴx of an image, N(data; s Vᴴx, variance), where ``known``."""

    data: Tensor
    variance: Tensor
    known: Tensor


class LinearFilter(ParticleSampler, abstract=True, fields=True):
    """Base class of particle filters for A = U s Vᴴ, whose particles move as if noisy data were seen.

    A particle moves by the transition p(x' | x) of the diffusion times what is `seen` at the new level: a
    product of Gaussians, from which one can draw. What its weight gains depends on where it comes from only,
    so that it has it before particles are resampled.
    """

    @abstractmethod
    def advance(
        self, problem: Problem, path: Any, sigma: float, following: float, generator: torch.Generator
    ) -> Any:
        """What all particles of an item share at the next level."""

    @abstractmethod
    def seen(self, problem: Problem, hop: Hop) -> Seen:
        """What is seen at the next level."""

    @abstractmethod
    def gain(self, problem: Problem, hop: Hop, seen: Seen) -> Tensor:
        """What the logarithm of the weight gains by the hop, in each coordinate."""

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """The problem with A by its singular value decomposition."""
        name = type(self).__name__
        if not isinstance(physics.noise, GaussianNoise):
            raise ParameterError(
                f"{name} is for Gaussian noise; this physics has {type(physics.noise).__name__}: use "
                "diffusion.smc"
            )
        return super().problem(y, decomposed(physics, y, name), x0)

    def enter(
        self, problem: Problem, like: Tensor, sigma: float, following: float, generator: torch.Generator
    ) -> tuple[Tensor, Any, Any, Tensor]:
        """See `ParticleSampler.enter`."""
        A: Any = problem.A
        zero = torch.zeros_like(like)
        path = self.advance(problem, (), math.inf, sigma, generator)
        hop = Hop(zero, math.inf, (), zero, sigma, sigma, path)
        x, clean, ahead, gain = self._hop(problem, hop, following, generator)
        outside = problem.fidelity.value(A.U((A.s > 0) * A.U.H(problem.y)), problem.y, A.range)
        return x, clean, ahead, gain + self._weight(problem, hop) - outside

    def move(
        self, problem: Problem, state: Swarm, sigma: float, following: float, generator: torch.Generator
    ) -> tuple[Tensor, Any, Any, Tensor]:
        """See `ParticleSampler.move`."""
        mean, deviation = transition(state.memory, state.particles, sigma, following, self.variance)
        if following == 0:
            return mean, state.memory, state.shared, torch.zeros_like(state.log_weights)
        hop = Hop(state.particles, sigma, (), mean, deviation, following, state.shared)
        return self._hop(problem, hop, self.levels(state.k + 1)[1], generator)

    def _hop(
        self, problem: Problem, hop: Hop, beyond: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Any, Tensor]:
        """Arrive, denoise, and look at the hop after this one, to the level ``beyond``."""
        x, level = self._arrive(problem, hop, generator), hop.following
        clean = self.denoiser(x, level)
        ahead = self.advance(problem, hop.ahead, level, beyond, generator)
        moved = transition(clean, x, level, beyond, self.variance)
        after = Hop(x, level, hop.ahead, *moved, beyond, ahead)
        return x, clean, ahead, self._weight(problem, after)

    def _arrive(self, problem: Problem, hop: Hop, generator: torch.Generator) -> Tensor:
        """Draw from N(mean, deviation²) given what is seen: perturb the mean and the data, then solve."""
        A: Any = problem.A
        seen = self.seen(problem, hop)
        x = hop.mean + hop.deviation * self.noise(hop.mean, generator)
        guess = A.s * A.V.H(x)
        residual = seen.data - guess - seen.variance.sqrt() * self.noise(guess, generator)
        gain = hop.deviation**2 * A.s / (seen.variance + (hop.deviation * A.s) ** 2)
        return x + A.V(torch.where(seen.known, gain * residual, 0))

    def _weight(self, problem: Problem, hop: Hop) -> Tensor:
        """What the logarithm of the weight gains by the hop."""
        A: Any = problem.A
        seen = self.seen(problem, hop)
        gain = torch.where(seen.known, self.gain(problem, hop, seen), 0)
        gain = gain.expand(broadcast_shapes(gain.shape, A.U.domain.shape))
        return gain.sum(tuple(range(-len(A.U.domain.shape), 0)))


class MCGdiff(LinearFilter):
    """A particle filter whose data get more certain level by level: MCGdiff [1]_; exact as particles grow.

    At the level σ the data are seen with the variance v = σ_y² + s² σ² for a singular value s, ψ(x) = N(y; A
    x, v), as if nothing else were known of the image. Weights are multiplied by ∫ p(x' | x) ψ'(x') dx' /
    ψ(x): in the end the likelihood is left. It is the potential of [1]_ with their κ = σ_y²/s².

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.

    References
    ----------
    .. [1] G. Cardoso, Y. Janati El Idrissi, S. Le Corff, E. Moulines, "Monte Carlo guided denoising diffusion
       models for Bayesian linear inverse problems", ICLR 2024.

    Examples
    --------
    >>> import invcore
    >>> from invcore.operators import Mask
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 2), covariance=torch.eye(2))
    >>> physics = Physics(Mask(torch.tensor([1.0, 0.0]), (1, 2)), GaussianNoise(sigma=1.0))
    >>> y, g = torch.tensor([[1.0, 0.0]]), torch.Generator().manual_seed(0)
    >>> end = MCGdiff(D, particles=256, steps=60).chain(y, physics, draws=1, generator=g).state
    >>> mean = (end.log_weights.exp()[:, None, None] * end.particles).sum(0)  # 0.5 and 0
    >>> bool((mean - torch.tensor([[0.5, 0.0]])).abs().max() < 0.2)
    True
    """

    denoiser: Denoiser

    def advance(
        self, problem: Problem, path: Any, sigma: float, following: float, generator: torch.Generator
    ) -> Any:
        """See `LinearFilter.advance`: nothing."""
        return ()

    def seen(self, problem: Problem, hop: Hop) -> Seen:
        """See `LinearFilter.seen`: the data, with the noise of the image in them."""
        A: Any = problem.A
        return Seen(A.U.H(problem.y), _noise_variance(problem) + (A.s * hop.following) ** 2, A.s > 0)

    def gain(self, problem: Problem, hop: Hop, seen: Seen) -> Tensor:
        """See `LinearFilter.gain`; ψ is 1 where A x = y."""
        A: Any = problem.A
        wider = seen.variance + (hop.deviation * A.s) ** 2
        gain = _log_normal(seen.data - A.s * A.V.H(hop.mean), wider)
        gain = gain - _log_normal(torch.zeros_like(seen.data), seen.variance)
        if hop.sigma < math.inf:
            away = seen.data - A.s * A.V.H(hop.x)
            gain = gain + away.abs() ** 2 / (2 * (_noise_variance(problem) + (A.s * hop.sigma) ** 2))
        return gain


class FPS(LinearFilter):
    """Filtering posterior sampling [1]_: particles that share a path of noisy data; exact in the limit.

    The noise of a datum y = s Vᴴx + n is taken for the noise of the image at the level σ_y/s. From there a
    path of noisy data is drawn up the levels, which all particles of an item share: the image of a higher
    level must agree with the path, that of the first level at or below σ_y/s with y, and then nothing is left
    to see. Weights are multiplied by the probability of what is seen next. For data without noise that is
    [1]_. With noise they have new one in the data of every level, which counts them once a level; here they
    are counted once, as in [2]_, and draws tend to the posterior as particles and steps grow.

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.

    References
    ----------
    .. [1] Z. Dou, Y. Song, "Diffusion posterior sampling for linear inverse problem solving: a filtering
       perspective", ICLR 2024.
    .. [2] B. Kawar, M. Elad, S. Ermon, J. Song, "Denoising diffusion restoration models", NeurIPS 2022.

    Examples
    --------
    >>> import invcore
    >>> from invcore.operators import Mask
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 2), covariance=torch.eye(2))
    >>> physics = Physics(Mask(torch.tensor([1.0, 0.0]), (1, 2)), GaussianNoise(sigma=1.0))
    >>> y, g = torch.tensor([[1.0, 0.0]]), torch.Generator().manual_seed(0)
    >>> end = FPS(D, particles=256, steps=60).chain(y, physics, draws=1, generator=g).state
    >>> mean = (end.log_weights.exp()[:, None, None] * end.particles).sum(0)  # 0.5 and 0
    >>> bool((mean - torch.tensor([[0.5, 0.0]])).abs().max() < 0.2)
    True
    """

    denoiser: Denoiser

    def advance(
        self, problem: Problem, path: Any, sigma: float, following: float, generator: torch.Generator
    ) -> Any:
        """See `LinearFilter.advance`: the data at the next level, by a Brownian bridge that ends at y."""
        A: Any = problem.A
        y, after = A.U.H(problem.y), self._above(problem, following)
        if sigma == math.inf:
            y = y.expand(A.V.H(problem.start()).shape)
            return y + after.sqrt() * self.noise(y, generator)
        before = self._above(problem, sigma)
        ratio = torch.where(before > 0, after / before, 0)
        return y + ratio * (path - y) + (after * (1 - ratio)).sqrt() * self.noise(path, generator)

    def seen(self, problem: Problem, hop: Hop) -> Seen:
        """See `LinearFilter.seen`: the path, for data that have not been used up."""
        A: Any = problem.A
        variance = (_noise_variance(problem) - (A.s * hop.following) ** 2).clamp(min=0)
        return Seen(hop.ahead, variance, (A.s > 0) & (self._above(problem, hop.sigma) > 0))

    def gain(self, problem: Problem, hop: Hop, seen: Seen) -> Tensor:
        """See `LinearFilter.gain`: p(path at the next level | x), over what the path has it for."""
        A: Any = problem.A
        gain = _log_normal(seen.data - A.s * A.V.H(hop.mean), seen.variance + (hop.deviation * A.s) ** 2)
        after = self._above(problem, hop.following)
        noise = _log_normal(torch.zeros_like(seen.data), _noise_variance(problem))
        gain = torch.where(after > 0, gain, gain - noise)  # used up: f is 0 where A x = y
        if hop.sigma < math.inf:
            gain = gain - _log_normal(hop.path - hop.ahead, self._above(problem, hop.sigma) - after)
        return gain

    def _above(self, problem: Problem, sigma: float) -> Tensor:
        """The variance of the path at a level, s² σ² - σ_y², and 0 where that is negative."""
        A: Any = problem.A
        return ((A.s * sigma) ** 2 - _noise_variance(problem)).clamp(min=0)


def _log_normal(residual: Tensor, variance: Tensor) -> Tensor:
    """log N(residual; 0, variance) of each number, without the factor 2π."""
    parts = 2 if residual.is_complex() else 1
    return -(parts * variance.log() + residual.abs() ** 2 / variance) / 2


def _noise_variance(problem: Problem) -> Tensor:
    """σ_y², to broadcast against singular values."""
    A: Any = problem.A
    noise: Any = problem.physics.noise
    sigma = per_sample(noise.sigma, A.U.domain)
    return torch.as_tensor(sigma, dtype=A.s.dtype, device=A.s.device) ** 2
