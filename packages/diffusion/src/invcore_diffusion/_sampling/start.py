"""Where a diffusion starts whose denoiser is for less noise than the schedule has: from a direct estimate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import Denoiser, LinearOperator, ParameterError, least_squares
from invcore.samplers import Schedule
from invcore.solvers import Problem


def check_levels(name: str, schedule: Schedule, denoiser: Denoiser, steps: int) -> None:
    """Refuse levels below those of the denoiser, and above if it has a schedule of its own to take."""
    levels, (low, high) = schedule.levels(steps), denoiser.sigma_range
    own_schedule = hasattr(denoiser, "schedule")
    if levels[-2] < low or (own_schedule and levels[0] > high):
        own = "schedule=denoiser.schedule" if own_schedule else "another schedule"
        raise ParameterError(
            f"{name}: the levels of {schedule!r} are from {float(levels[0]):.4g} down to "
            f"{float(levels[-2]):.4g}; the denoiser takes those from {low:.4g} to {high:.4g}: take {own}"
        )


def begins_late(schedule: Schedule, denoiser: Denoiser, steps: int) -> bool:
    """Whether the first level is above what the denoiser is for."""
    return float(schedule.levels(steps)[0]) > denoiser.sigma_range[1]


def late_bias(schedule: Schedule, denoiser: Denoiser, steps: int) -> str:
    """What a sampler says of a late start; empty if there is none."""
    if not begins_late(schedule, denoiser, steps):
        return ""
    largest = denoiser.sigma_range[1]
    return f"it starts from a direct estimate, as the denoiser is for noise up to {largest:.3g}"


def known_levels(schedule: Schedule, denoiser: Denoiser, steps: int) -> Tensor:
    """The last ``steps`` levels of a longer schedule, and 0, that the denoiser is for: shape (steps + 1,)."""
    largest, n = denoiser.sigma_range[1], steps
    while n < 100 * steps:
        levels = schedule.levels(n)
        levels = levels[levels <= largest]
        if len(levels) > steps:
            return levels[-steps - 1 :]
        n = max(n + 1, n * steps // len(levels))  # fewer could not do, as the share of known levels goes
    raise ParameterError(
        f"{type(denoiser).__name__} is for noise levels up to {largest:g}, below those of {schedule!r}"
    )


def direct_estimate(problem: Problem, denoiser: Denoiser) -> Tensor:
    """``x0`` if there is one, else the mean of x | y for independent pixels over the range of the images."""
    if problem.x0 is not None:
        return problem.start()
    if not isinstance(problem.A, LinearOperator):
        raise ParameterError(
            f"{type(denoiser).__name__} is for less noise than a diffusion begins with, and this operator "
            f"({type(problem.A).__name__}) has no direct estimate: start from an image, chain(x0=...)"
        )
    low, high = denoiser.value_range or (-1.0, 1.0)
    noise = torch.as_tensor(getattr(problem.physics.noise, "sigma", 0.0))
    shift = (noise / (high - low)).square().clamp_min(1e-4 * float(problem.A.norm()) ** 2)
    center = torch.full_like(problem.backprojection, (low + high) / 2)
    x: Any = least_squares(problem.A, problem.y, shift=shift, center=center, rtol=1e-3)
    return x
