"""Where a diffusion starts whose denoiser is for less noise than the schedule has: from a direct estimate."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import Denoiser, LinearOperator, ParameterError, least_squares
from invcore.samplers import Schedule
from invcore.solvers import Problem


def begins_late(schedule: Schedule, denoiser: Denoiser, steps: int) -> bool:
    """Whether the first level is above what the denoiser is for."""
    return float(schedule.levels(steps)[0]) > denoiser.sigma_range[1]


def known_levels(schedule: Schedule, denoiser: Denoiser, steps: int) -> Tensor:
    """The last ``steps`` levels of a longer schedule, and 0, that the denoiser is for: shape (steps + 1,)."""
    largest = denoiser.sigma_range[1]
    for n in range(steps, 100 * steps):
        levels = schedule.levels(n)
        levels = levels[levels <= largest]
        if len(levels) > steps:
            return levels[-steps - 1 :]
    raise ParameterError(
        f"{type(denoiser).__name__} is for noise levels up to {largest:g}, below those of {schedule!r}"
    )


def direct_estimate(problem: Problem, denoiser: Denoiser) -> Tensor:
    """The mean of x | y if pixels were independent, spread over the range of values of the images."""
    if not isinstance(problem.A, LinearOperator):
        raise ParameterError(
            f"{type(denoiser).__name__} is for less noise than a diffusion begins with, and this operator "
            f"({type(problem.A).__name__}) has no direct estimate: start from an image, chain(x0=...)"
        )
    low, high = denoiser.value_range or (-1.0, 1.0)
    noise = torch.as_tensor(getattr(problem.physics.noise, "sigma", 0.0))
    shift = (noise / (high - low)).square().clamp_min(1e-4 * float(problem.A.norm()) ** 2)
    center = torch.full_like(problem.backprojection, (low + high) / 2)
    x: Tensor = least_squares(problem.A, problem.y, shift=shift, center=center, rtol=1e-3)
    return x
