"""Methods of second order of one step: Heun's and the midpoint, and noise put back between steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, Sampler
from invcore.samplers import Integrator


class Heun(Integrator):
    """Heun's method for the probability flow dx/dσ = (x - D(x, σ)) / σ, of second order [1]_.

    It takes two estimates a step. The last step, to σ = 0, is one of Euler.

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022, algorithm 1.

    Examples
    --------
    >>> D = lambda x, sigma: x / (1 + sigma**2)
    >>> x, _ = Heun().step(D, torch.ones(1), 2.0, 1.0, None, torch.Generator())
    >>> x, 0.4**0.5
    (tensor([0.6500]), 0.6324555320336759)
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
        clean = estimate(x, sigma)
        ahead = torch.lerp(clean, x, following / sigma)
        if following == 0:
            return ahead, None
        slope, slope_ahead = (x - clean) / sigma, (ahead - estimate(ahead, following)) / following
        return x + (following - sigma) * (slope + slope_ahead) / 2, None


class Midpoint(Integrator):
    """A step of Euler with the estimate at the geometric mean of both levels: second order, two a step [1]_.

    This is DPM-Solver++(2S) with the intermediate point in the middle of log σ. The last step, to σ = 0, is
    one of Euler.

    References
    ----------
    .. [1] C. Lu et al., DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models,
       2022, arXiv:2211.01095, algorithm 1.

    Examples
    --------
    >>> D = lambda x, sigma: x / (1 + sigma**2)
    >>> x, _ = Midpoint().step(D, torch.ones(1), 2.0, 1.0, None, torch.Generator())
    >>> x, 0.4**0.5
    (tensor([0.6276]), 0.6324555320336759)
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
        clean = estimate(x, sigma)
        if following == 0:
            return clean, None
        middle = math.sqrt(sigma * following)
        clean = estimate(torch.lerp(clean, x, middle / sigma), middle)
        return torch.lerp(clean, x, following / sigma), None


class Churn(Integrator):
    """Put noise back before each step of an integrator: the stochastic sampler of EDM [1]_.

    The image goes from σ up to σ̂ = (1 + γ) σ by new noise, and from there down. This corrects errors of
    earlier steps, and adds those of a longer step: with more steps take a smaller γ.

    Parameters
    ----------
    integrator : Integrator
        One without memory, as `Heun`, `Euler`, `Midpoint`.
    gamma : float
        γ from 0 to √2 - 1; S_churn / steps of the paper.
    low, high : float
        S_tmin and S_tmax: levels outside of them are left as they are.
    noise : float
        S_noise, the standard deviation of the new noise in units of what it should be. The paper takes up to
        1.007, against networks that remove too much; only 1 leaves the distribution as it is.

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022, algorithm 2.

    Examples
    --------
    >>> D = lambda x, sigma: 0 * x
    >>> x, g = torch.ones(1000), torch.Generator().manual_seed(0)
    >>> x, _ = Churn(Heun()).step(D, x, 2.0, 1.0, None, g)
    >>> round(float(x.std()), 1)  # 1 / 2.2 of the new noise 0.9
    0.4
    """

    integrator: Integrator
    gamma: float = 0.1
    low: float = 0.0
    high: float = math.inf
    noise: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= math.sqrt(2) - 1 or self.noise < 0 or not 0 <= self.low <= self.high:
            raise ParameterError(
                f"Churn: expected gamma in [0, 0.4142], noise >= 0 and 0 <= low <= high, got {self.gamma!r}, "
                f"{self.noise!r}, {self.low!r} and {self.high!r}"
            )

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
        if self.gamma > 0 and self.low <= sigma <= self.high:
            raised = (1 + self.gamma) * sigma
            new = math.sqrt(raised**2 - sigma**2)
            x, sigma = x + self.noise * new * Sampler.noise(x, generator), raised
        x, memory = self.integrator.step(estimate, x, sigma, following, None, generator)
        if memory is not None:
            raise ParameterError(
                f"Churn: {type(self.integrator).__name__} extrapolates from earlier steps, which the noise "
                "put back makes wrong: take an integrator without memory, as Heun()"
            )
        return x, None
