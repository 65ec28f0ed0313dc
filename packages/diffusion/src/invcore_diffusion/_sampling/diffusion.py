"""`DiffusionSampler`: schedule, denoiser, integrator and guidance."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Sampler
from invcore.samplers import Guidance, Integrator, Schedule
from invcore.solvers import Problem

from .._integrators.euler import Ancestral
from .._schedules.karras import Karras


class Diffused(NamedTuple):
    """An image at one of the noise levels.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
    k : int
        The number of the level.
    memory : object
        What the integrator keeps.
    """

    x: Tensor
    k: int
    memory: Any


class DiffusionSampler(Sampler):
    """Draw images by a diffusion: from noise, level by level, to an image that fits the data.

    The four parts are chosen independently. Each draw is a run of its own.

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.
    guidance : Guidance, optional
        Says what the data ask for; without it draws are from the prior.
    schedule : Schedule
        The noise levels.
    integrator : Integrator
        Goes from level to level.
    steps : int
        Number of levels.

    References
    ----------
    T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based generative
    models, NeurIPS 2022.

    Examples
    --------
    >>> import invcore
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 8, 8), spectrum=torch.ones(1, 1, 1))
    >>> g = torch.Generator().manual_seed(0)
    >>> draw = DiffusionSampler(D).unconditional((1, 8, 8), batch=(50,), generator=g)
    >>> round(float(draw.std()), 1)
    1.0
    """

    denoiser: Denoiser  # type: ignore[misc]
    guidance: Guidance | None = None
    schedule: Schedule = Karras()
    integrator: Integrator = Ancestral()
    steps: int = 100
    independent: ClassVar[bool] = True
    thin: ClassVar[int] = 1  # type: ignore[misc]

    @property  # type: ignore[misc]
    def burn_in(self) -> int:
        """One run, of all levels."""
        return self.steps

    @property
    def bias(self) -> str:  # type: ignore[override]
        """See `Sampler`: what guidance and integrator say."""
        said = [part.bias for part in (self.guidance, self.integrator) if part is not None]
        return "; ".join(filter(None, said))

    @property
    def ignores_noise(self) -> bool:  # type: ignore[override]
        """See `Sampler`: what the guidance says."""
        return self.guidance is not None and self.guidance.ignores_noise

    def __post_init__(self) -> None:
        self.schedule.levels(self.steps)

    def init(self, problem: Problem, generator: torch.Generator) -> Diffused:
        """See `Sampler.init`."""
        largest = float(self.schedule.levels(self.steps)[0])
        return Diffused(largest * self.noise(problem.start(), generator), 0, None)

    def step(self, problem: Problem, state: Diffused, generator: torch.Generator) -> Diffused:
        """See `Sampler.step`."""
        sigma, following = self.schedule.levels(self.steps)[state.k : state.k + 2].tolist()

        def estimate(x: Tensor, sigma: float) -> Tensor:
            if self.guidance is None:
                return self.denoiser(x, sigma)
            return self.guidance.estimate(problem, self.denoiser, x, sigma, generator)

        x, memory = self.integrator.step(estimate, state.x, sigma, following, state.memory, generator)
        if self.guidance is not None:
            x = self.guidance.after(problem, x, following, generator)
        return Diffused(x, state.k + 1, memory)

    def unconditional(
        self,
        shape: tuple[int, ...],
        *,
        batch: tuple[int, ...] = (),
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw images without data.

        Parameters
        ----------
        shape : tuple of int
            (channel, *spatial)
        batch : tuple of int
        generator : torch.Generator
            On the device of the denoiser.
        dtype : torch.dtype

        Returns
        -------
        Tensor, shape (batch..., channel, *spatial)
        """
        if self.guidance is not None:
            raise ParameterError("unconditional() draws without data: make the sampler without guidance")
        levels = self.schedule.levels(self.steps).tolist()
        x = torch.zeros((*batch, *shape), dtype=dtype, device=generator.device)
        x, memory = levels[0] * self.noise(x, generator), None
        with torch.no_grad():
            for sigma, following in pairwise(levels):
                x, memory = self.integrator.step(self.denoiser, x, sigma, following, memory, generator)
        return x
