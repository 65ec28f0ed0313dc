"""Draws of an image given the data, and that it is close to another one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, Sampler
from invcore.noises import GaussianNoise
from invcore.operators import LinearOperator, least_squares
from invcore.solvers import Problem
from invcore.spaces import batch_shape, expand_batch, per_sample, vdot


def given_data(
    problem: Problem,
    center: Tensor,
    variance: float | Tensor,
    generator: torch.Generator,
    *,
    name: str,
    start: Tensor | None = None,
    steps: int = 1,
    curvature: float | Tensor | None = None,
) -> Tensor:
    """Draw z with the density ∝ exp(-f(A z; y) - ‖z - center‖²/(2 variance)).

    For linear operators and Gaussian noise it is what least squares make of y + σ ε and center + √variance ε'
    [1]_. For others it is where ``steps`` of the Metropolis-adjusted Langevin algorithm lead from ``start``.

    Parameters
    ----------
    problem : Problem
    center : Tensor, shape (batch..., *domain.shape)
    variance : float or Tensor, shape (batch...)
    generator : torch.Generator
    name : str
        Of the sampler, for errors.
    start : Tensor, optional
        By default ``center``.
    steps : int
    curvature : float or Tensor, shape (batch...), optional
        See `curvature_of`.

    References
    ----------
    .. [1] F. Orieux, O. Féron, J.-F. Giovannelli, "Sampling high-dimensional Gaussian distributions for
       general linear inverse problems", IEEE Signal Process. Lett. 19 (2012).
    """
    space, noise = problem.space, problem.physics.noise
    if isinstance(problem.A, LinearOperator) and isinstance(noise, GaussianNoise):
        near = center + per_sample(variance, space) ** 0.5 * Sampler.noise(center, generator)
        y: Any = expand_batch(problem.y, problem.A.range, batch_shape(center, space))
        y = y + per_sample(noise.sigma, problem.A.range) * Sampler.noise(y, generator)
        z: Any = least_squares(problem.A, y, shift=noise.sigma**2 / variance, center=near, x0=near)
        return z
    step = 1 / (curvature_of(problem, curvature, name) + 1 / variance)
    z = center if start is None else start
    return _adjusted_langevin(problem, center, variance, z, step, steps, generator)


def curvature_of(problem: Problem, given: float | Tensor | None, name: str) -> float | Tensor:
    """The curvature of f(A ·; y): ‖A‖² times the Lipschitz constant of ∇f, unless it is given."""
    if given is not None:
        return given
    if not isinstance(problem.A, LinearOperator) or problem.fidelity.lipschitz() is None:
        raise ParameterError(
            f"{name} needs the curvature of f(A ·; y), not known for {type(problem.A).__name__} with "
            f"{type(problem.fidelity).__name__}: state it as curvature=, roughly ‖∂A/∂x‖² over the variance "
            "of the noise"
        )
    return problem.lipschitz


def _adjusted_langevin(
    problem: Problem,
    center: Tensor,
    variance: float | Tensor,
    z: Tensor,
    step: float | Tensor,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Langevin steps, each accepted or refused [1]_, of lengths from ``step`` down to 1/64 of it in turn.

    Where the curvature is larger than was said, as far from the data, the short ones are accepted.

    References
    ----------
    .. [1] G. Roberts, R. Tweedie, "Exponential convergence of Langevin distributions and their discrete
       approximations", Bernoulli 2 (1996).
    """
    space, v = problem.space, per_sample(variance, problem.space)

    def slope_and_energy(z: Tensor) -> tuple[Tensor, Tensor]:
        away = (z - center) / v
        return problem.gradient(z) + away, problem.objective(z) + vdot(z - center, away, space) / 2

    slope, energy = slope_and_energy(z)
    for j in range(steps):
        h = per_sample(step, space) / 4 ** (j % 4)
        noise = Sampler.noise(z, generator)
        proposal = z - h * slope + (2 * h) ** 0.5 * noise
        proposed = slope_and_energy(proposal)
        back = (z - proposal + h * proposed[0]) / (2 * h) ** 0.5  # the noise that would lead back
        chance = energy - proposed[1] + (vdot(noise, noise, space) - vdot(back, back, space)) / 2
        draw = torch.rand(chance.shape, generator=generator, dtype=chance.dtype, device=generator.device)
        taken = draw.to(chance.device).log() < chance
        on = per_sample(taken, space)
        z, slope = torch.where(on, proposal, z), torch.where(on, proposed[0], slope)
        energy = torch.where(taken, proposed[1], energy)
    return z
