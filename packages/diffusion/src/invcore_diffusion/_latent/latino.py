"""LATINO: noise, a map back to clean images, and a proximal step on the data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Sampler
from invcore.samplers import Schedule
from invcore.solvers import Problem

from .._guidance.likelihood import fitted, noise_levels
from .._sampling.start import check_levels, known_levels, late_bias
from .._schedules.variance_exploding import VarianceExploding
from .probability_flow import ProbabilityFlow


class Codec(Protocol):
    """Takes images to latents and back."""

    def encode(self, x: Tensor) -> Tensor:
        """The latent of an image."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """The image of a latent."""
        ...


class _State(NamedTuple):
    x: Tensor
    k: int


class Latino(Sampler):
    r"""Add noise, map back to clean images, and step towards the data, at falling levels of noise [1]_.

    .. math::
        u = G(x + σ_k ε, σ_k), \qquad
        x = \operatorname{argmin}_x \tfrac{1}{2 σ_y^2} \|A x - y\|^2 + \tfrac{1}{2 δ_k} \|x - u\|^2, \qquad
        δ_k = δ \frac{σ_k^2}{1 + σ_k^2}

    with a map G that turns images with noise into images of the prior: noise and G together leave the prior
    as it is, and are a step of Langevin's diffusion of length σ²/2, as the second one is with δ = 1/2. No
    derivative of a network is taken. At a constant small level σ the law of the draws differs from the
    posterior by O(σ²); with falling levels by what the last ones leave, so that it vanishes as ``steps``
    grow and the last level goes to zero. The noise of the data is Gaussian, or none.

    Parameters
    ----------
    denoiser : Denoiser, optional
        Gives G as `ProbabilityFlow` in one step, unless ``generator`` does.
    generator : callable, optional
        ``G(x, sigma)``: a consistency model, or any other map in few steps.
    schedule : Schedule
        The levels σ_k; the default is for images whose standard deviation is about 1. The published method
        takes few: ``Discrete`` and 8 steps. Where the denoiser is for smaller ones only, those are taken, as
        many.
    steps : int
    delta : float
        δ, in the units of the images, squared, over those of G: 1/2 without a codec.
    codec : object, optional
        ``encode(x)`` and ``decode(z)`` of a latent space in which G and the noise work.

    References
    ----------
    .. [1] A. Spagnoletti, J. Prost, A. Almansa, N. Papadakis, M. Pereyra, LATINO-PRO: latent consistency
       inverse solver with prompt optimization, ICCV 2025.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), covariance=torch.ones(1, 1))
    >>> physics = Physics(operators.Identity((1, 1)), noises.GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = Latino(D)(torch.full((4000, 1, 1), 2.0), physics, generator=g)  # N(1, 1/2)
    >>> round(float(x.mean()), 1), round(float(x.var()), 1)
    (1.0, 0.5)
    """

    denoiser: Denoiser | None = None
    generator: Callable[[Tensor, float], Tensor] | None = None
    schedule: Schedule = VarianceExploding(sigma_min=0.1, sigma_max=5.0)
    steps: int = 200
    delta: float = 0.5
    codec: Any = None
    positional: ClassVar[int] = 1
    independent: ClassVar[bool] = True
    thin: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self.schedule.levels(self.steps)
        if self.generator is None:
            if self.denoiser is None:
                raise ParameterError("Latino: give a denoiser, or a generator G(x, sigma)")
            check_levels("Latino", self.schedule, self.denoiser, self.steps)
        if not self.delta > 0:
            raise ParameterError(f"Latino: delta must be positive, got {self.delta!r}")

    @property
    def burn_in(self) -> int:
        """One run, of all levels."""
        return self.steps

    @property
    def bias(self) -> str:  # type: ignore[override]
        """See `Sampler`."""
        if self.generator is not None or self.denoiser is None:
            return ""
        return late_bias(self.schedule, self.denoiser, self.steps)

    @cached_property
    def _levels(self) -> list[float]:
        if self.generator is not None or self.denoiser is None:
            levels = self.schedule.levels(self.steps)
        else:
            levels = known_levels(self.schedule, self.denoiser, self.steps)
        return [float(level) for level in levels]

    @property
    def restore(self) -> Callable[[Tensor, float], Tensor]:
        """G."""
        if self.generator is not None:
            return self.generator
        assert self.denoiser is not None
        return ProbabilityFlow(self.denoiser, steps=1)

    def init(self, problem: Problem, generator: torch.Generator) -> _State:
        """See `Sampler.init`: the data's adjoint, or ``x0``."""
        noise_levels(problem, "Latino")
        x = problem.start()
        return _State(x if problem.x0 is not None else x + problem.linear.H(problem.y), 0)

    def step(self, problem: Problem, state: _State, generator: torch.Generator) -> _State:
        """See `Sampler.step`."""
        sigma = self._levels[state.k]
        z = state.x if self.codec is None else self.codec.encode(state.x)
        u = self.restore(z + sigma * self.noise(z, generator), sigma)
        u = u if self.codec is None else self.codec.decode(u)
        step = self.delta * sigma**2 / (1 + sigma**2)
        return _State(fitted(problem, u, step, "Latino"), state.k + 1)
