"""`ParticleSampler`: sequential Monte Carlo down the noise levels."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.solvers import Problem

from .._guidance.pigdm import require_positive
from .._sampling.levels import LevelSampler, require_noise
from .._sampling.start import begins_late
from .resampling import one_of, resampled


class Swarm(NamedTuple):
    """The particles of each item at one of the noise levels.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
        One of the particles, drawn by weight.
    k : int
        The number of the level.
    particles : Tensor, shape (particle, batch..., *domain.shape)
    log_weights : Tensor, shape (particle, batch...)
        Logarithms of weights that sum to one.
    log_evidence : Tensor, shape (batch...)
        At the end an estimate of log ∫ p(x) exp(-f(A x; y)) dx; its exponential is unbiased.
    memory : object
        What is known of each particle, tensors (particle, batch..., *shape).
    shared : object
        What all particles of an item share, tensors (batch..., *shape).
    """

    x: Tensor
    k: int
    particles: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    memory: Any
    shared: Any


class ParticleSampler(LevelSampler, abstract=True, fields=True):
    """Base class of samplers that move, weigh and resample particles.

    Their weights make up for what the moves do wrong, so that draws tend to the posterior as the number of
    particles grows (and the number of steps, with which the diffusion tends to the images of the denoiser).

    Parameters
    ----------
    schedule : Schedule
        The noise levels, all of which the denoiser must be for.
    steps : int
        Number of levels.
    particles : int
        Number of particles for each of the data.
    threshold : float
        Resample when fewer than this share of the particles are effective: 0 never, 1 always.
    variance : float, optional
        v, of a pixel of clean images. With it transitions allow for the uncertainty of the denoised image, as
        is right for white images of this variance, and far fewer steps are needed; without it they have the
        smaller variance of DDPM, and draws are too narrow by an error of first order in the steps.
    """

    particles: int = 64
    threshold: float = 0.5
    variance: float | None = None

    def _check(self) -> None:
        super()._check()
        name = type(self).__name__
        if begins_late(self.schedule, self.denoiser, self.steps):
            raise ParameterError(
                f"{name}: weights are right for particles that begin as noise, and the denoiser is for noise "
                f"up to {self.denoiser.sigma_range[1]:.4g}, less than that of {self.schedule!r}: take "
                "diffusion.daps or diffusion.tmpd, which can start from a direct estimate, or a schedule "
                "that begins there, if images are lost in such noise"
            )
        if isinstance(self.particles, bool) or not isinstance(self.particles, int) or self.particles < 1:
            raise ParameterError(
                f"{name}: particles must be a whole number from 1 on, got {self.particles!r}"
            )
        if not 0 <= self.threshold <= 1:
            raise ParameterError(f"{name}: threshold must lie in [0, 1], got {self.threshold!r}")
        if self.variance is not None:
            require_positive(self, "variance")

    @abstractmethod
    def enter(
        self, problem: Problem, like: Tensor, sigma: float, following: float, generator: torch.Generator
    ) -> tuple[Tensor, Any, Any, Tensor]:
        """Particles at the largest level: themselves, memory, what they share, and their log-weights.

        Parameters
        ----------
        problem : Problem
        like : Tensor, shape (particle, batch..., *domain.shape)
        sigma, following : float
            The largest level and the next.
        generator : torch.Generator
        """

    @abstractmethod
    def move(
        self, problem: Problem, state: Swarm, sigma: float, following: float, generator: torch.Generator
    ) -> tuple[Tensor, Any, Any, Tensor]:
        """The same at the next level; the last entry is what log-weights gain."""

    def init(self, problem: Problem, generator: torch.Generator) -> Swarm:
        """See `Sampler.init`."""
        require_noise(problem, type(self).__name__)
        sigma, following = self.levels(0)
        start = problem.start()
        like = start.expand(self.particles, *start.shape)
        particles, memory, shared, gain = self.enter(problem, like, sigma, following, generator)
        even = torch.full_like(gain, -math.log(self.particles))
        swarm = Swarm(start, 0, particles, even, torch.zeros_like(even[0]), memory, shared)
        return self._weighed(swarm, gain, generator)

    def step(self, problem: Problem, state: Swarm, generator: torch.Generator) -> Swarm:
        """See `Sampler.step`."""
        sigma, following = self.levels(state.k)
        particles, memory, shared, gain = self.move(problem, state, sigma, following, generator)
        moved = state._replace(k=state.k + 1, particles=particles, memory=memory, shared=shared)
        return self._weighed(moved, gain, generator)

    def _weighed(self, swarm: Swarm, gain: Tensor, generator: torch.Generator) -> Swarm:
        """With the weights updated; resampled unless this is the last level."""
        log_weights = swarm.log_weights + gain
        total = log_weights.logsumexp(0)
        log_weights = log_weights - total
        held = (swarm.particles, swarm.memory)
        if swarm.k < self.steps:
            held, log_weights = resampled(held, log_weights, self.threshold, generator)
        return swarm._replace(
            x=one_of(held[0], log_weights, generator),
            particles=held[0],
            memory=held[1],
            log_weights=log_weights,
            log_evidence=swarm.log_evidence + total,
        )
