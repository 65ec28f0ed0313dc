"""Diffusion policy gradient: guidance without a derivative of the operator."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Sampler
from invcore.samplers import Guidance
from invcore.solvers import Problem
from invcore.spaces import per_sample

from .likelihood import denoised_with_pullback, uncertainty
from .pigdm import require_positive


class DPG(Guidance):
    r"""Diffusion policy gradient [1]_: the likelihood of a noisy image from that of clean ones drawn about D.

    Clean images are taken to be x_i ~ N(D(x, σ), r²), and the gradient of log E exp(-f(A x_i; y)) in their
    mean is estimated from values of f alone,

    .. math::
        g = \frac{n}{n-1} \sum_i (w_i - \tfrac1n) \frac{x_i - D}{r^2}, \qquad w_i \propto e^{-f(A x_i; y)},

    where 1/n is the baseline that leaves x_i out. The guided estimate is D + σ² Jᴴg with the Jacobian of D.
    As n grows and for a linear operator and Gaussian noise this is ΠGDM; for few n the weights single out one
    x_i where the likelihood is narrower than r, and g is too noisy for images of many pixels.

    Parameters
    ----------
    number : int
        n, for each of the data and levels.
    variance : float
        v, of a pixel of the images; r² = σ² v/(σ² + v).
    weight : float
        Factor of the guidance; 1 is what the approximation says.

    References
    ----------
    .. [1] H. Tang, T. Xie, A. Feng, H. Wang, C. Zhang, Y. Bai, "Solving general noisy inverse problem via
       posterior sampling: a policy gradient viewpoint", AISTATS 2024.

    Examples
    --------
    >>> DPG(number=1000)
    DPG(number=1000, variance=1.0, weight=1.0)
    """

    number: int = 256
    variance: float = 1.0
    weight: float = 1.0
    bias: ClassVar[str] = (
        "DPG takes clean images for Gaussian about the denoised one, and few of them are drawn"
    )

    def __post_init__(self) -> None:
        if isinstance(self.number, bool) or not isinstance(self.number, int) or self.number < 2:
            raise ParameterError(f"DPG: number must be a whole number from 2 on, got {self.number!r}")
        require_positive(self, "variance")

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        clean, pullback = denoised_with_pullback(denoiser, x, sigma)
        deviation = uncertainty(sigma, self.variance) ** 0.5
        noise = Sampler.noise(clean.expand(self.number, *clean.shape), generator)
        weights = (-problem.objective(clean + deviation * noise)).softmax(0) - 1 / self.number
        gradient = (per_sample(weights, problem.space) * noise).sum(0) / deviation
        factor = self.weight * sigma**2 * self.number / (self.number - 1)
        return clean + factor * pullback(gradient)
