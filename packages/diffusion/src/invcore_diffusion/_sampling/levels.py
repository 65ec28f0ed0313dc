"""What samplers have in common that go down the noise levels of a schedule."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Sampler
from invcore.noises import NoNoise
from invcore.samplers import Integrator, Schedule
from invcore.solvers import Problem

from .._guidance.likelihood import uncertainty
from .._integrators.euler import Euler
from .._schedules.karras import Karras
from .start import begins_late, check_levels, direct_estimate, known_levels, late_bias


class LevelSampler(Sampler, abstract=True, fields=True):
    """Base class of samplers whose draws each are a run down the levels of a schedule.

    A subclass declares the field ``denoiser`` again, which may then be given by position.

    Parameters
    ----------
    schedule : Schedule
        The noise levels. Where the denoiser is for smaller ones only, those are taken, as many, and the run
        starts from a direct estimate with noise of the largest.
    steps : int
        Number of levels.
    """

    denoiser: Denoiser
    schedule: Schedule = Karras()
    steps: int = 100
    own_bias: ClassVar[str] = ""
    """The `bias` of the method, for a denoiser that is for all levels."""
    independent: ClassVar[bool] = True
    thin: ClassVar[int] = 1

    @property
    def burn_in(self) -> int:
        """One run, of all levels."""
        return self.steps

    @property
    def bias(self) -> str:  # type: ignore[override]
        """See `Sampler`."""
        late = late_bias(self.schedule, self.denoiser, self.steps)
        return "; ".join(filter(None, (self.own_bias, late)))

    def _check(self) -> None:
        check_levels(type(self).__name__, self.schedule, self.denoiser, self.steps)

    @cached_property
    def _levels(self) -> list[float]:
        return [*known_levels(self.schedule, self.denoiser, self.steps).tolist(), 0.0]

    def levels(self, k: int) -> tuple[float, float]:
        """The ``k``-th level and the one that follows; 0 after the last."""
        return self._levels[k], self._levels[k + 1]

    def entered(self, problem: Problem, like: Tensor, generator: torch.Generator) -> Tensor:
        """Images at the first level, in the shape of ``like``: noise, if late about a direct estimate."""
        noise = self.levels(0)[0] * self.noise(like, generator)
        if begins_late(self.schedule, self.denoiser, self.steps):
            return noise + direct_estimate(problem, self.denoiser)
        return noise


def transition(
    clean: Tensor, x: Tensor, sigma: float, following: float, variance: float | None = None
) -> tuple[Tensor, float]:
    """Mean and standard deviation of the image at the next level, given this one and the denoised one.

    The mean is x̂ + σ'²/σ² (x - x̂) and the variance σ'² (1 - σ'²/σ²), a Brownian bridge; for white images of
    this ``variance`` v that of x̂, σ² v/(σ² + v), is added to it, times (1 - σ'²/σ²)². At σ' = 0 it is 0.
    """
    ratio = (following / sigma) ** 2
    spread = following**2 * (1 - ratio)
    if variance is not None and following:
        spread += (1 - ratio) ** 2 * uncertainty(sigma, variance)
    return torch.lerp(clean, x, ratio), spread**0.5


def descend(
    denoiser: Denoiser,
    x: Tensor,
    sigma: float,
    steps: int,
    generator: torch.Generator,
    integrator: Integrator = Euler(),
) -> Tensor:
    """Go from the level ``sigma`` to a clean image, by levels down to 1 % of it and then 0.

    One step of Euler's method is the denoiser, and so is the way down from the smallest level it is for.
    """
    least = max(0.01 * sigma, denoiser.sigma_range[0])
    if least >= sigma:
        return denoiser(x, sigma)
    memory = None
    for level, following in pairwise(Karras(sigma_min=least, sigma_max=sigma).levels(steps).tolist()):
        x, memory = integrator.step(denoiser, x, level, following, memory, generator)
    return x


def require_noise(problem: Problem, name: str) -> None:
    """Raise a `ParameterError` for physics without noise, whose likelihood is no function of the image."""
    noise = problem.physics.noise
    sigma = getattr(noise, "sigma", 1.0)
    if isinstance(noise, NoNoise) or not bool((torch.as_tensor(sigma) > 0).all()):
        raise ParameterError(
            f"{name} weighs images by their likelihood and needs noise; for data without it state a small "
            "one, such as GaussianNoise(sigma=0.01)"
        )
