"""Diffusion posterior sampling."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from invcore import Denoiser
from invcore.samplers import Guidance
from invcore.solvers import Problem

from .likelihood import denoised_with_pullback


class DPS(Guidance):
    """Diffusion posterior sampling: the likelihood of the denoised image, p(y | x) ≈ p(y | D(x, σ)) [1]_.

    D + σ² ∇ log p(y | D(x, σ)), with the negative log-likelihood f of the noise. It ignores how uncertain the
    denoised image is, and draws too narrowly where that matters.

    Parameters
    ----------
    weight : float
        Factor of the guidance; 1 is what the approximation says.

    References
    ----------
    .. [1] H. Chung, J. Kim, M. T. McCann, M. L. Klasky, J. C. Ye, Diffusion posterior sampling for general
       noisy inverse problems, ICLR 2023.
    """

    weight: float = 1.0
    bias: ClassVar[str] = "DPS ignores the uncertainty of the denoised image"

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        clean, pullback = denoised_with_pullback(denoiser, x, sigma)
        return clean - self.weight * sigma**2 * pullback(problem.gradient(clean))
