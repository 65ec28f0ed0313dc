"""What every guidance asks of a problem: the noise of the data, and the image that fits them best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import least_squares
from invcore.solvers import Problem
from invcore.spaces import per_sample


def noise_level(problem: Problem, name: str) -> Any:
    """The standard deviation σ_y of the data of each sample, to broadcast against images; 0 without noise."""
    return per_sample(noise_levels(problem, name), problem.space)


def noise_levels(problem: Problem, name: str) -> float | Tensor:
    """The standard deviation σ_y of the data, one number or one for each sample (batch...)."""
    noise = problem.physics.noise
    if isinstance(noise, NoNoise):
        return 0.0
    if not isinstance(noise, GaussianNoise):
        raise ParameterError(f"{name} is for Gaussian noise; this physics has {type(noise).__name__}")
    return noise.sigma


def fitted(problem: Problem, center: Tensor, variance: float, name: str) -> Tensor:
    """The mean of z | y for z ~ N(center, variance): argmin ‖A z - y‖²/σ_y² + ‖z - center‖²/variance.

    It is center + variance Aᴴ (variance A Aᴴ + σ_y²)⁻¹ (y - A center), and without noise
    center + A⁺ (y - A center).
    """
    A, levels = problem.linear, noise_levels(problem, name)
    rest: Any = problem.y - A(center)
    if not isinstance(levels, Tensor) and levels == 0:
        moved: Any = A.pinv(rest)
    else:
        moved = least_squares(A, rest, shift=levels**2 / variance)
    return center + moved


def uncertainty(sigma: float, variance: float) -> float:
    """The variance of x₀ | x for x₀ ~ N(m, variance) and x = x₀ + σ n: σ² variance/(σ² + variance)."""
    return sigma**2 * variance / (sigma**2 + variance)


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
