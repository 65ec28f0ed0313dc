"""`DiffusionSampler`: schedule, denoiser, integrator and guidance."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Sampler, SolverError
from invcore.samplers import Guidance, Integrator, Schedule
from invcore.solvers import Problem

from .._integrators.euler import Ancestral
from .._schedules.karras import Karras
from .start import begins_late, check_levels, direct_estimate, known_levels, late_bias


class Diffused(NamedTuple):
    """An image at one of the noise levels.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
    k : int
        The number of steps that led to it.
    memory : object
        What the integrator keeps.
    """

    x: Tensor
    k: int
    memory: Any


class DiffusionSampler(Sampler):
    """Draw images by a diffusion: from noise, level by level, to an image that fits the data.

    The four parts are chosen independently [1]_. Each draw is a run of its own.

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.
    guidance : Guidance, optional
        Says what the data ask for; without it draws are from the prior.
    schedule : Schedule
        The noise levels. Where the denoiser is for smaller ones only, those are taken, as many, and the draw
        starts from a direct estimate with noise of the largest.
    integrator : Integrator
        Goes from level to level.
    steps : int
        Number of levels.
    jump, repeats : int
        Each ``jump`` levels are gone down ``repeats`` times, with noise added to go back up in between, so
        that what the guidance has changed and what not become alike [2]_.

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022.
    .. [2] A. Lugmayr et al., RePaint: inpainting using denoising diffusion probabilistic models, CVPR 2022.

    Examples
    --------
    >>> import invcore
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 8, 8), spectrum=torch.ones(1, 1, 1))
    >>> g = torch.Generator().manual_seed(0)
    >>> draw = DiffusionSampler(D).unconditional((1, 8, 8), batch=(50,), generator=g)
    >>> round(float(draw.std()), 1)
    1.0
    """

    denoiser: Denoiser
    guidance: Guidance | None = None
    schedule: Schedule = Karras()
    integrator: Integrator = Ancestral()
    steps: int = 100
    jump: int = 1
    repeats: int = 1
    independent: ClassVar[bool] = True
    thin: ClassVar[int] = 1

    @property
    def burn_in(self) -> int:
        """One run, of all levels."""
        return len(self._walk) - 1

    @cached_property
    def _walk(self) -> list[int]:
        """The numbers of the levels in the order in which they are visited."""
        walk = [0]
        for first in range(0, self.steps, self.jump):
            down = list(range(first + 1, min(first + self.jump, self.steps) + 1))
            walk += down + (self.repeats - 1) * [first, *down]
        return walk

    @property
    def bias(self) -> str:  # type: ignore[override]
        """See `Sampler`: what guidance and integrator say."""
        said = [part.bias for part in (self.guidance, self.integrator) if part is not None]
        said.append(late_bias(self.schedule, self.denoiser, self.steps))
        return "; ".join(filter(None, said))

    @property
    def _begins_late(self) -> bool:
        return begins_late(self.schedule, self.denoiser, self.steps)

    @cached_property
    def levels(self) -> Tensor:
        """The noise levels, shape (steps + 1,): those of the schedule that the denoiser is for."""
        return known_levels(self.schedule, self.denoiser, self.steps)

    @property
    def ignores_noise(self) -> bool:  # type: ignore[override]
        """See `Sampler`: what the guidance says."""
        return self.guidance is not None and self.guidance.ignores_noise

    def __post_init__(self) -> None:
        check_levels("DiffusionSampler", self.schedule, self.denoiser, self.steps)
        for name in ("jump", "repeats"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ParameterError(
                    f"DiffusionSampler: {name} must be a whole number from 1 on, got {value!r}"
                )

    def init(self, problem: Problem, generator: torch.Generator) -> Diffused:
        """See `Sampler.init`."""
        start = problem.start()
        x0 = direct_estimate(problem, self.denoiser) if self._begins_late else start
        return Diffused(x0 + float(self.levels[0]) * self.noise(start, generator), 0, None)

    def step(self, problem: Problem, state: Diffused, generator: torch.Generator) -> Diffused:
        """See `Sampler.step`."""
        sigma, following = self.levels[self._walk[state.k : state.k + 2]].tolist()
        if following > sigma:
            noise = (following**2 - sigma**2) ** 0.5 * self.noise(state.x, generator)
            return Diffused(state.x + noise, state.k + 1, None)

        def estimate(x: Tensor, sigma: float) -> Tensor:
            if self.guidance is None:
                return self.denoiser(x, sigma)
            return self.guidance.estimate(problem, self.denoiser, x, sigma, generator)

        x, memory = self.integrator.step(estimate, state.x, sigma, following, state.memory, generator)
        if self.guidance is not None:
            x = self.guidance.after(problem, x, following, generator)
            if following == 0:
                self._require_led(x)
        return Diffused(x, state.k + 1, memory)

    def _require_led(self, x: Tensor) -> None:
        """Raise if the image has grown beyond the noise that it began as, by steps that are too long."""
        largest = float(self.schedule.levels(self.steps)[0])
        if bool((x.abs() > 10 * largest).any()):
            raise SolverError(
                f"DiffusionSampler: the image has grown beyond 10 x the noise it began as ({largest:g}): "
                f"{type(self.guidance).__name__} diverges with steps of this length. Take more steps, a "
                "smaller weight, or for precise data diffusion.tmpd, diffusion.pigdm or diffusion.diffpir"
            )

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
        if self._begins_late:
            raise ParameterError(
                f"unconditional() starts from noise alone, and {type(self.denoiser).__name__} is for noise "
                f"up to {self.denoiser.sigma_range[1]:g} only"
            )
        levels = self.levels.tolist()
        x = torch.zeros((*batch, *shape), dtype=dtype, device=generator.device)
        x, memory = levels[0] * self.noise(x, generator), None
        with torch.no_grad():
            for sigma, following in pairwise(levels):
                x, memory = self.integrator.step(self.denoiser, x, sigma, following, memory, generator)
        return x
