"""Denoise, and put noise back."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import ParameterError, Sampler
from invcore.samplers import Integrator


class Consistency(Integrator):
    """Sampling with a consistency function, which goes to the clean image in one call: denoise, renoise [1]_.

    x' = D(x, σ) + √(σ'² - σ_min²) ε. Exact if D follows the probability flow to its end, as consistency
    models learn to, and maps noisy images to images with the noise σ_min. With a denoiser, whose estimate
    is a mean, the images are too smooth.

    Parameters
    ----------
    sigma_min : float
        The noise that the function leaves.

    References
    ----------
    .. [1] Y. Song, P. Dhariwal, M. Chen, I. Sutskever, Consistency models, ICML 2023, algorithm 1.

    Examples
    --------
    >>> x, _ = Consistency().step(lambda x, sigma: 0 * x, torch.ones(2), 2.0, 0.0, None, torch.Generator())
    >>> x
    tensor([0., 0.])
    """

    sigma_min: float = 0.0
    bias: ClassVar[str] = "consistency steps take the denoised image, a mean, for a draw"

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_min < math.inf:
            raise ParameterError(f"Consistency: sigma_min must not be negative, got {self.sigma_min!r}")

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
        if following <= self.sigma_min:
            return clean, None
        new = math.sqrt(following**2 - self.sigma_min**2)
        return clean + new * Sampler.noise(x, generator), None
