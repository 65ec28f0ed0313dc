"""The No-U-Turn sampler."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.operators import Space
from invcore.solvers import Problem
from invcore.spaces import per_sample, vdot

from .adaptation import Adaptation, adapted_until, begun, resized, variance_of, windows, with_image
from .langevin import gradient
from .metropolis import WithDensity, scale

_DIVERGED = 1000.0
"""A rise of the energy that says that the steps are too long for the curvature."""


class Turning(NamedTuple):
    """Where the chain is.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
    energy, gradient : Tensor
        U(x), and its gradient.
    size : Tensor, shape (batch...)
        The length of a leapfrog step of each item; fixed in the last fifth of the burn-in and after it.
    variance : Tensor, shape (batch..., *domain.shape)
        The inverse mass of each pixel; fixed in the last fifth of the burn-in and after it.
    adaptation : Adaptation
        What the burn-in has seen.
    acceptance : Tensor, shape (batch...)
        Sum over the steps since the burn-in of the mean acceptance along the trajectory.
    gradients, divergent : Tensor, shape (batch...)
        How many gradients all steps took, and how many trajectories since the burn-in diverged.
    k : int
        Number of steps so far.
    """

    x: Tensor
    energy: Tensor
    gradient: Tensor
    size: Tensor
    variance: Tensor
    adaptation: Adaptation
    acceptance: Tensor
    gradients: Tensor
    divergent: Tensor
    k: int


class NUTS(WithDensity):
    r"""The No-U-Turn sampler [1]_, multinomial [2]_: Hamiltonian trajectories as long as needed.

    .. math:: dx = V p\, dt, \quad dp = -∇U(x)\, dt, \quad p \sim N(0, V^{-1})

    A trajectory doubles, forwards or backwards in time, until its ends approach each other; a point of it is
    drawn with probability ∝ exp(-U - pᴴVp/2), later halves preferred. Nothing is to be tuned: during the
    burn-in, but for its last fifth, the leapfrog step adapts to an acceptance of 0.8 by dual averaging, and
    V, diagonal, to the variance of each pixel, item by item (from 62 steps of burn-in on); `chain.state`
    holds both. Its law is exactly the posterior.

    The items of a batch go side by side, each with a trajectory of its own length, so that a step takes as
    long as the longest. Where trajectories are alike, `HMC` with a fixed number of steps is faster.

    Parameters
    ----------
    max_depth : int
        A trajectory has at most 2^max_depth - 1 leapfrog steps.

    References
    ----------
    .. [1] M. Hoffman and A. Gelman, "The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian
       Monte Carlo", J. Mach. Learn. Res. 15 (2014).
    .. [2] M. Betancourt, "A conceptual introduction to Hamiltonian Monte Carlo", 2017, arXiv:1701.02434,
       appendix A.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> from invcore.priors import Tikhonov
    >>> physics = Physics(Identity((1, 2, 2)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> nuts = NUTS(prior=Tikhonov(), burn_in=100)
    >>> chain = nuts.chain(torch.ones(1, 2, 2), physics, draws=300, generator=g)
    >>> round(float(chain.mean.mean()), 1), round(float(chain.variance.mean()), 1)
    (0.5, 0.5)
    """

    share: ClassVar[float] = 0.8
    max_depth: int = 8
    burn_in: int = 300
    thin: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.max_depth, bool) or not isinstance(self.max_depth, int) or self.max_depth < 1:
            raise ParameterError(f"NUTS: max_depth must be a whole number from 1 on, got {self.max_depth!r}")

    def init(self, problem: Problem, generator: torch.Generator) -> Turning:
        """See `Sampler.init`."""
        x = problem.start()
        energy = problem.objective(x)
        zero, size = torch.zeros_like(energy), torch.ones_like(energy)
        bound = torch.as_tensor(scale(problem), dtype=energy.dtype, device=energy.device)
        variance = torch.zeros_like(x.real) + per_sample(1 / bound, problem.image_space)
        seen = begun(size, x)
        return Turning(x, energy, gradient(problem, x, 0), size, variance, seen, zero, zero, zero, 0)

    def step(self, problem: Problem, state: Turning, generator: torch.Generator) -> Turning:
        """See `Sampler.step`."""
        momentum = self.noise(state.x, generator) / state.variance.sqrt()
        # the longest of the batch decides how many numbers are drawn: not from the generator of the chain
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        own = torch.Generator(generator.device).manual_seed(seed)
        drawn, acceptance, taken, diverged = _Trajectory(problem, state, momentum, own).drawn(self.max_depth)
        size, variance, seen = self._adapted(problem.image_space, state, drawn.x, acceptance)
        mixing = state.k >= self.burn_in
        return Turning(
            drawn.x,
            drawn.energy,
            drawn.slope,
            size,
            variance,
            seen,
            state.acceptance + acceptance if mixing else state.acceptance,
            state.gradients + taken,
            state.divergent + diverged if mixing else state.divergent,
            state.k + 1,
        )

    def _adapted(
        self, space: Space, state: Turning, x: Tensor, acceptance: Tensor
    ) -> tuple[Tensor, Tensor, Adaptation]:
        """Size, variance and what they are from, after a step."""
        k, seen, variance = state.k + 1, state.adaptation, state.variance
        until = adapted_until(self.burn_in)
        if k > until:
            return state.size, variance, seen
        size, seen = resized(seen, acceptance, self.share)
        first, ends = windows(until)
        if first < k:
            seen = with_image(seen, x)
        if k in ends:
            variance, size = variance_of(seen, variance, space), seen.average.exp()
            seen = begun(size, x)
        return (seen.average.exp() if k == until and seen.steps else size), variance, seen


class _Point(NamedTuple):
    """A point of a trajectory."""

    x: Tensor
    p: Tensor
    slope: Tensor


class _Drawn(NamedTuple):
    """The point that stands for a trajectory, or for a part of it."""

    x: Tensor
    energy: Tensor
    slope: Tensor


class _Part(NamedTuple):
    """A stretch of leapfrog steps: its end, the sum of its momenta, its weight, the point drawn from it."""

    end: _Point
    momenta: Tensor
    log_weight: Tensor
    drawn: _Drawn
    whole: Tensor
    """Whether it neither turned nor diverged."""


class _Trajectory:
    """One trajectory for each item of the batch, grown in step."""

    def __init__(
        self, problem: Problem, state: Turning, momentum: Tensor, generator: torch.Generator
    ) -> None:
        self._problem, self._space, self._k = problem, problem.image_space, state.k
        self._variance, self._size, self._generator = state.variance, state.size, generator
        self._start = _Point(state.x, momentum, state.gradient)
        self._first = _Drawn(state.x, state.energy, state.gradient)
        self._energy = state.energy + self._kinetic(momentum)
        self._acceptance = torch.zeros_like(self._energy)
        self._taken = torch.zeros_like(self._energy)
        self._diverged = torch.zeros_like(self._energy, dtype=torch.bool)

    def drawn(self, max_depth: int) -> tuple[_Drawn, Tensor, Tensor, Tensor]:
        """A point of the trajectory, its mean acceptance, the number of its steps, whether it diverged."""
        left = right = self._start
        drawn, momenta = self._first, self._start.p
        log_weight = torch.zeros_like(self._energy)
        growing = torch.ones_like(self._diverged)
        for depth in range(max_depth):
            forwards = self._uniform() < 0.5
            size = torch.where(forwards, self._size, -self._size)
            part = self._part(self._where(forwards, right, left), size, depth, growing)
            taken = part.whole & (self._uniform() < (part.log_weight - log_weight).exp())
            drawn = self._drawn_where(taken, part.drawn, drawn)
            log_weight = torch.where(part.whole, torch.logaddexp(log_weight, part.log_weight), log_weight)
            momenta = torch.where(self._each(part.whole), momenta + part.momenta, momenta)
            right = self._where(part.whole & forwards, part.end, right)
            left = self._where(part.whole & ~forwards, part.end, left)
            growing = part.whole & ~self._turned(left.p, right.p, momenta)
            if not bool(growing.any()):
                break
        return drawn, self._acceptance / self._taken, self._taken, self._diverged

    def _part(self, start: _Point, size: Tensor, depth: int, growing: Tensor) -> _Part:
        """2^depth steps; no further where it turns, also within halves, quarters … of it, or diverges.

        Of all points whose stretches begin at a multiple of their length only those are kept that a later one
        is compared with: one for each one in the binary number of the present.
        """
        end, alive = start, growing
        momenta, drawn = torch.zeros_like(start.p), self._first
        log_weight = torch.full_like(self._energy, -torch.inf)
        kept: list[tuple[Tensor, Tensor]] = [(momenta, momenta)] * (depth + 1)
        for n in range(2**depth):
            new = self._leapfrog(end, size)
            energy = self._problem.objective(new.x)
            risen = (energy + self._kinetic(new.p) - self._energy).nan_to_num(torch.inf)
            chance = torch.exp(-risen.clamp_min(0))
            self._acceptance = self._acceptance + torch.where(alive, chance, 0)
            self._taken = self._taken + alive
            total = torch.logaddexp(log_weight, -risen)
            taken = alive & (self._uniform() < (-risen - total).exp())
            drawn = self._drawn_where(taken, _Drawn(new.x, energy, new.slope), drawn)
            log_weight = torch.where(alive, total, log_weight)
            end = self._where(alive, new, end)
            momenta = torch.where(self._each(alive), momenta + new.p, momenta)
            ones = (n >> 1).bit_count()
            if n % 2 == 0:
                kept[ones] = (end.p, momenta)
            turned = torch.zeros_like(alive)
            for j in range(_trailing_ones(n)):  # stretches of 2, 4, 8 … points that end here
                p, before = kept[ones - j]
                turned = turned | self._turned(p, end.p, momenta - before + p)
            diverged = alive & (risen > _DIVERGED)
            self._diverged = self._diverged | diverged
            alive = alive & ~turned & ~diverged
            if not bool(alive.any()):
                break
        return _Part(end, momenta, log_weight, drawn, alive)

    def _leapfrog(self, at: _Point, size: Tensor) -> _Point:
        t = self._each(size)
        p = at.p - t / 2 * at.slope
        x = at.x + t * (self._variance * p)
        slope = gradient(self._problem, x, self._k)
        return _Point(x, p - t / 2 * slope, slope)

    def _turned(self, first: Tensor, last: Tensor, momenta: Tensor) -> Tensor:
        """Whether the ends of a stretch approach each other, from momenta there and the sum of all."""
        way = self._variance * (momenta - (first + last) / 2)
        return (vdot(first, way, self._space) <= 0) | (vdot(last, way, self._space) <= 0)

    def _kinetic(self, p: Tensor) -> Tensor:
        return vdot(p, self._variance * p, self._space) / 2

    def _uniform(self) -> Tensor:
        like, own = self._energy, self._generator
        return torch.rand(like.shape, generator=own, dtype=like.dtype, device=own.device).to(like.device)

    def _each(self, value: Tensor) -> Tensor:
        return per_sample(value, self._space)

    def _where(self, on: Tensor, new: _Point, old: _Point) -> _Point:
        mask = self._each(on)
        return _Point(*(torch.where(mask, a, b) for a, b in zip(new, old)))

    def _drawn_where(self, on: Tensor, new: _Drawn, old: _Drawn) -> _Drawn:
        mask = self._each(on)
        return _Drawn(
            torch.where(mask, new.x, old.x),
            torch.where(on, new.energy, old.energy),
            torch.where(mask, new.slope, old.slope),
        )


def _trailing_ones(n: int) -> int:
    """How many of the last binary digits are one."""
    return (~n & (n + 1)).bit_length() - 1
