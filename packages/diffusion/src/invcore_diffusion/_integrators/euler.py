"""Euler's method, and transitions of Gaussians: ancestral sampling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, Sampler
from invcore.samplers import Integrator


class Euler(Integrator):
    """Euler's method for the probability flow dx/dσ = (x - D(x, σ)) / σ, which is DDIM [1]_ without noise.

    References
    ----------
    .. [1] J. Song, C. Meng, S. Ermon, Denoising diffusion implicit models, ICLR 2021.

    Examples
    --------
    >>> x, _ = Euler().step(lambda x, sigma: 0 * x, torch.ones(1), 2.0, 1.0, None, torch.Generator())
    >>> x
    tensor([0.5000])
    """

    def step(
        self,
        estimate: Any,
        x: Tensor,
        sigma: float,
        following: float,
        memory: Any,
        generator: torch.Generator,
    ) -> tuple[Tensor, Any]:
        """See `Integrator.step`."""
        return torch.lerp(estimate(x, sigma), x, following / sigma), None


class Ancestral(Integrator):
    """Draw from the transition to the next level, given the estimate of the clean image: DDPM, DDIM(η).

    q(x' | x, x̂) has the mean x̂ + √(σ'² - τ²) (x - x̂)/σ and the standard deviation τ = η σ' √(1 - σ'²/σ²):
    DDPM [1]_ for η = 1, DDIM [2]_ for η < 1. The levels of a variance-preserving process make it what these
    papers write down in their own coordinates.

    Parameters
    ----------
    eta : float
        η, from 0 to 1.

    References
    ----------
    .. [1] J. Ho, A. Jain, P. Abbeel, Denoising diffusion probabilistic models, NeurIPS 2020.
    .. [2] J. Song, C. Meng, S. Ermon, Denoising diffusion implicit models, ICLR 2021, eq. 16.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> x, _ = Ancestral(eta=0.0).step(lambda x, sigma: 0 * x, torch.ones(1), 2.0, 1.0, None, g)
    >>> x
    tensor([0.5000])
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ParameterError(f"Ancestral: eta must lie in [0, 1], got {self.eta!r}")

    def step(
        self,
        estimate: Any,
        x: Tensor,
        sigma: float,
        following: float,
        memory: Any,
        generator: torch.Generator,
    ) -> tuple[Tensor, Any]:
        """See `Integrator.step`."""
        clean = estimate(x, sigma)
        new = self.eta * following * (1 - (following / sigma) ** 2) ** 0.5
        kept = (following**2 - new**2) ** 0.5
        mean = torch.lerp(clean, x, kept / sigma)
        return (mean + new * Sampler.noise(x, generator) if new else mean), None
