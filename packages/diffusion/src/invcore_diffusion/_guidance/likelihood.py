"""What every guidance asks of a problem: the residual of the data, and its noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError
from invcore.noises import GaussianNoise, NoNoise
from invcore.solvers import Problem
from invcore.spaces import per_sample


def noise_level(problem: Problem, name: str) -> Any:
    """The standard deviation σ_y of the data of each sample, to broadcast against images; 0 without noise."""
    noise = problem.physics.noise
    if isinstance(noise, NoNoise):
        return 0.0
    if not isinstance(noise, GaussianNoise):
        raise ParameterError(f"{name} is for Gaussian noise; this physics has {type(noise).__name__}")
    return per_sample(noise.sigma, problem.space)


def denoised_with_pullback(
    denoiser: Denoiser, x: Tensor, sigma: float
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """D(x, σ), and v ↦ J_Dᴴ v for its Jacobian at x."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        clean = denoiser(x, sigma)

    def pullback(v: Tensor) -> Tensor:
        return torch.autograd.grad(clean, x, v, retain_graph=True)[0]

    return clean.detach(), pullback
