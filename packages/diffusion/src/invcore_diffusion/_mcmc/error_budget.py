"""What each approximation costs a sampler of Gaussian images, before it is run."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError

_GRID = 31


class ErrorBudget(NamedTuple):
    """Squared Wasserstein distances W₂² from the images to the draws.

    Attributes
    ----------
    noise, step, data, training : float
        With one error only: the smallest noise level, the step and the number of steps, the finite number of
        training images, the unfinished training.
    total : float
        With all of them.
    sigma, step_size : float
        The smallest noise level and the step they are for.
    variances : Tensor, shape (n,)
        Of the draws along each eigenvector, without the error of finite data.
    """

    noise: float
    step: float
    data: float
    training: float
    total: float
    sigma: float
    step_size: float
    variances: Tensor


def gaussian_error_budget(
    spectrum: Tensor,
    *,
    sigma: float | None = None,
    step_size: float | None = None,
    steps: int | None = None,
    horizon: float | None = None,
    samples: int | None = None,
    training: tuple[float, int] | None = None,
) -> ErrorBudget:
    r"""The errors of a sampler with a learned score, on Gaussian images N(0, C) [1]_.

    The score of images with noise of variance σ² is linear along each eigenvector of C, -x/p with p = λ + σ².
    Unadjusted Langevin steps of length γ (`ULA`), K of them from zero, end with the variance

    .. math:: v = \frac{1 - a^{2K}}{s - γ s^2/2}, \qquad a = 1 - γ s, \quad s = 1/p

    With a ``horizon`` T, the reverse of the diffusion dx = -x dt + √2 dw from N(0, 1), by Euler-Maruyama
    steps of length T/K. Gradient descent on the score matching loss, from zero, k steps of length τ, has
    learned s = (1 - (1 - τ p)^k)/p. N training images move the covariance by an expected W₂² of
    Σ λᵢλⱼ(1 + δᵢⱼ)/(λᵢ + λⱼ)/(2N), to second order.

    Parameters
    ----------
    spectrum : Tensor
        λ, the eigenvalues of C, of any shape: the power spectrum of stationary images.
    sigma : float, optional
        σ; by default the one with the smallest total, on a logarithmic grid.
    step_size : float, optional
        γ of Langevin steps; by default the best one, together with σ.
    steps : int, optional
        K; by default infinitely many Langevin steps.
    horizon : float, optional
        T: reverse diffusion in place of Langevin steps.
    samples : int, optional
        N; by default the covariance is known.
    training : (float, int), optional
        τ and k; by default the score is exact.

    Returns
    -------
    ErrorBudget

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] S. Hurault, M. Terris, T. Moreau, G. Peyré, "From score matching to diffusion: a fine-grained error
       analysis in the Gaussian setting", 2025, arXiv:2503.11615.

    Examples
    --------
    >>> budget = gaussian_error_budget(torch.tensor([4.0, 1.0, 0.25]), sigma=0.1, step_size=0.05)
    >>> budget.variances
    tensor([4.0352, 1.0356, 0.2877], dtype=torch.float64)
    >>> best = gaussian_error_budget(torch.tensor([4.0, 1.0, 0.25]), steps=200, training=(0.1, 100))
    >>> best.total <= gaussian_error_budget(
    ...     torch.tensor([4.0, 1.0, 0.25]), sigma=0.1, step_size=0.05, steps=200, training=(0.1, 100)).total
    True
    """
    powers = _checked(spectrum, sigma, step_size, steps, horizon, training)
    if sigma is not None and (horizon is not None or step_size is not None):
        return _budget(powers, sigma, step_size, steps, horizon, samples, training)
    if horizon is None and steps is None:
        raise ParameterError(
            "gaussian_error_budget: infinitely many steps make the shortest the best: give steps=, or "
            "sigma= and step_size="
        )
    ends = math.log10(float(powers[powers > 0].min())) - 4, math.log10(float(powers.max()))
    noises = [sigma] if sigma is not None else (torch.logspace(*ends, _GRID) ** 0.5).tolist()
    tried: list[tuple[float, float, float | None]] = []
    for noise in noises:
        lengths: list[float | None] = [step_size]
        if horizon is None and step_size is None:
            limit = 2 * float(powers.min() + noise**2)
            lengths = (limit * torch.logspace(-4, -0.01, _GRID)).tolist()
        for length in lengths:
            v = _variances(powers + noise**2, length, steps, horizon, training)
            tried.append((_squared_distance(powers, v), noise, length))
    _, noise, length = min(tried, key=lambda found: found[0])
    return _budget(powers, noise, length, steps, horizon, samples, training)


def _budget(
    powers: Tensor,
    sigma: float,
    step_size: float | None,
    steps: int | None,
    horizon: float | None,
    samples: int | None,
    training: tuple[float, int] | None,
) -> ErrorBudget:
    """The budget for given settings."""
    data = _of_data(powers) / samples if samples else 0.0
    together = _variances(powers + sigma**2, step_size, steps, horizon, training)
    return ErrorBudget(
        noise=_squared_distance(powers, powers + sigma**2),
        step=_squared_distance(powers, _variances(powers, step_size, steps, horizon, None)),
        data=data,
        training=_squared_distance(powers, 1 / _slope(powers, training)),
        total=_squared_distance(powers, together) + data,
        sigma=float(sigma),
        step_size=horizon / steps if horizon is not None and steps else float(step_size or 0.0),
        variances=together,
    )


def _of_data(powers: Tensor) -> float:
    """Σ λᵢλⱼ(1 + δᵢⱼ)/(λᵢ + λⱼ)/2, over those that are positive."""
    some = powers[powers > 0]
    pairs = sum(float((rows[:, None] * some / (rows[:, None] + some)).sum()) for rows in some.split(256))
    return (pairs + float(some.sum()) / 2) / 2


def _squared_distance(powers: Tensor, v: Tensor) -> float:
    return float((powers.sqrt() - v.sqrt()).square().sum())


def _variances(
    p: Tensor,
    step_size: float | None,
    steps: int | None,
    horizon: float | None,
    training: tuple[float, int] | None,
) -> Tensor:
    """The variance of the draws along each eigenvector, where noisy images have the variance p."""
    if horizon is not None and steps is not None:
        return _reversed(p, horizon, steps, training)
    assert step_size is not None
    return _langevin(_slope(p, training), step_size, steps)


def _slope(p: Tensor, training: tuple[float, int] | None) -> Tensor:
    """s of the score -s x: 1/p, or what gradient descent has made of it."""
    if training is None:
        return 1 / p
    length, k = training
    return (1 - (1 - length * p) ** k) / p


def _langevin(slope: Tensor, step: float, steps: int | None) -> Tensor:
    """The variance of x ← x - γ s x + √(2γ) ε after so many steps from zero; infinite where it grows."""
    decay = (1 - step * slope).square()
    v = 2 * step / (1 - decay)
    v = torch.where(decay < 1, v, torch.inf)
    if steps is None:
        return v
    grown = torch.where(decay == 1, 2.0 * step * steps, 2 * step * (decay**steps - 1) / (decay - 1))
    return torch.where(decay < 1, v * (1 - decay**steps), grown)


def _reversed(p: Tensor, horizon: float, steps: int, training: tuple[float, int] | None) -> Tensor:
    """The variance after x ← (1 + γ) x + 2γ score(x, t) + √(2γ) ε for t = T, T - γ, …, γ, from 1."""
    step, v = horizon / steps, torch.ones_like(p)
    for k in range(steps):
        left = math.exp(-2 * (horizon - k * step))
        slope = _slope(p * left + 1 - left, training)
        v = (1 + step - 2 * step * slope).square() * v + 2 * step
    return v


def _checked(
    spectrum: Tensor,
    sigma: float | None,
    step_size: float | None,
    steps: int | None,
    horizon: float | None,
    training: tuple[float, int] | None,
) -> Tensor:
    """The eigenvalues in double precision; raises if something does not fit."""
    powers = torch.as_tensor(spectrum).detach().double().flatten()
    name = "gaussian_error_budget"
    if not (
        len(powers) and bool(torch.isfinite(powers).all() and (powers >= 0).all() and (powers > 0).any())
    ):
        raise ParameterError(f"{name}: a spectrum holds variances: finite, >= 0, not all zero")
    if sigma is not None and not sigma >= 0:
        raise ParameterError(f"{name}: sigma must be >= 0, got {sigma!r}")
    if horizon is not None and (step_size is not None or steps is None):
        raise ParameterError(f"{name}: reverse diffusion takes horizon= and steps=, and no step_size=")
    if training is not None:
        limit = 2 / float(powers.max() + (sigma or 0.0) ** 2)
        if not 0 < training[0] < limit:
            raise ParameterError(
                f"{name}: gradient descent is stable for lengths below {limit:.4g}, got {training[0]!r}"
            )
    if horizon is None and step_size is not None:
        limit = 2 * float(powers.min() + (sigma or 0.0) ** 2)
        if not 0 < step_size < limit:
            raise ParameterError(
                f"{name}: Langevin steps are stable below 2 min(λ + σ²) = {limit:.4g}, got {step_size!r}"
            )
    return powers
