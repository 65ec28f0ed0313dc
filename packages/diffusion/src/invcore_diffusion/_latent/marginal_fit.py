"""Parameters of a prior from data alone: stochastic approximation of the marginal likelihood."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Physics, Sampler


class MarginalFit(NamedTuple):
    """What `marginal_fit` found.

    Attributes
    ----------
    value : Tensor
        Average of θ over the last half of the steps.
    path : Tensor, shape (step + 1, *θ.shape)
        θ in each step, from the first one on.
    """

    value: Tensor
    path: Tensor


def marginal_fit(
    sampler: Callable[[Tensor], Sampler],
    log_density: Callable[[Tensor, Any], Tensor],
    y: Any,
    physics: Physics,
    *,
    start: Tensor,
    generator: torch.Generator,
    steps: int = 200,
    step_size: float = 1.0,
    power: float = 0.8,
    normalized: bool = False,
    radius: float | None = None,
) -> MarginalFit:
    r"""Maximize log p(y | θ), θ a parameter of the prior, by draws from the posterior [1]_.

    .. math:: ∇ \log p(y | θ) = E[∇_θ \log p(x | θ) \mid y, θ], \qquad
       θ_{k+1} = Π(θ_k + γ (k + 1)^{-a} ∇_θ \log p(x_k | θ_k)), \quad x_k \sim p(x | y, θ_k)

    by Fisher's identity: each step takes one draw for each of the data, and their mean gradient. It serves
    to choose the condition of a generator, such as the embedding of a text [2]_, with an objective that
    stands for log p(x | θ): see `consistency_evidence`.

    Parameters
    ----------
    sampler : callable
        ``sampler(θ)``: draws from the posterior with this prior, or nearly.
    log_density : callable
        ``log_density(θ, x)``, one value per image, differentiable in θ.
    y, physics
        Data of one image or of several with the same θ.
    start : Tensor
        The first θ.
    generator : torch.Generator
    steps : int
    step_size, power : float
        γ and a.
    normalized : bool
        Divide each gradient by its norm: γ is then the length of the first step.
    radius : float, optional
        Π keeps θ in the ball of this radius around ``start``.

    Returns
    -------
    MarginalFit

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] A. F. Vidal, V. De Bortoli, M. Pereyra, A. Durmus, Maximum likelihood estimation of regularization
       parameters in high-dimensional inverse problems: an empirical Bayesian approach, SIAM J. Imaging Sci.
       13 (2020).
    .. [2] A. Spagnoletti, J. Prost, A. Almansa, N. Papadakis, M. Pereyra, LATINO-PRO: latent consistency
       inverse solver with prompt optimization, ICCV 2025.

    Examples
    --------
    >>> from invcore.denoisers import GaussianDenoiser
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> from invcore_diffusion import ot_ode
    >>> one = torch.ones(1, 1)
    >>> images = lambda mean: GaussianDenoiser(mean=mean * one, covariance=one)  # x ~ N(θ, 1), θ unknown
    >>> fit = marginal_fit(
    ...     lambda mean: ot_ode(images(mean), steps=10),
    ...     lambda mean, x: -(x - mean).square().sum((-2, -1)) / 2,
    ...     torch.tensor([1.5, 2.5]).view(2, 1, 1),
    ...     Physics(Identity((1, 1)), GaussianNoise(sigma=1.0)),
    ...     start=torch.zeros(()), steps=50, generator=torch.Generator().manual_seed(0))
    >>> bool((fit.value - 2).abs() < 0.5)  # the mean of the data
    True
    """
    if not (isinstance(steps, int) and steps >= 1 and step_size > 0 and 0.5 < power <= 1):
        raise ParameterError(
            "marginal_fit: expected steps >= 1, step_size > 0 and power in (0.5, 1], got "
            f"{steps!r}, {step_size!r} and {power!r}"
        )
    theta, path = start.detach(), [start.detach()]
    for k in range(steps):
        x = sampler(theta)(y, physics, generator=generator)
        with torch.enable_grad():
            leaf = theta.clone().requires_grad_()
            (slope,) = torch.autograd.grad(log_density(leaf, x).mean(), leaf)
        if normalized:
            slope = slope / slope.norm().clamp_min(torch.finfo(slope.dtype).tiny)
        away = theta + step_size * (k + 1) ** -power * slope - start
        if radius is not None:
            away = away * (radius / away.norm().clamp_min(radius))
        theta = start + away
        path.append(theta)
    return MarginalFit(torch.stack(path[1 + steps // 2 :]).mean(0), torch.stack(path))


def consistency_evidence(
    restore: Callable[[Tensor, Tensor, float], Tensor], levels: tuple[float, ...], generator: torch.Generator
) -> Callable[[Tensor, Tensor], Tensor]:
    r"""How well a conditioned generator foretells an image from what noise leaves of it: for `marginal_fit`.

    .. math:: \sum_k -\frac{\|z_{k+1} - G(z_k, θ, σ_k)\|^2}{2 σ_{k+1}^2}, \qquad z_k = x + σ_k ε_k,

    with independent noises: LATINO-PRO's substitute for log p(x | θ).

    Parameters
    ----------
    restore : callable
        ``G(z, θ, sigma)``.
    levels : tuple of float
        At least two, falling and positive.
    generator : torch.Generator
        Of the noises.

    Returns
    -------
    callable
        ``(θ, x)`` to one value per image; all dimensions of x but the first are one image.
    """
    if len(levels) < 2 or any(not a > b > 0 for a, b in pairwise(levels)):
        raise ParameterError(
            f"consistency_evidence: expected at least two falling, positive levels, got {levels}"
        )

    def objective(theta: Tensor, x: Tensor) -> Tensor:
        noisy = [x + sigma * Sampler.noise(x, generator) for sigma in levels]
        total = torch.zeros(len(x), dtype=x.real.dtype, device=x.device)
        for z, following, sigma, lower in zip(noisy, noisy[1:], levels, levels[1:]):
            away = following - restore(z, theta, sigma)
            total = total - away.abs().square().flatten(1).sum(1) / (2 * lower**2)
        return total

    return objective
