"""Pseudoinverse-guided diffusion: the denoised image as uncertain as white noise."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError
from invcore.samplers import Guidance
from invcore.solvers import Problem

from .likelihood import denoised_with_pullback, fitted, uncertainty


class PiGDM(Guidance):
    r"""ΠGDM: the likelihood of the clean image N(D(x, σ), r²), integrated over it [1]_.

    .. math::
        \hat x = D(x, σ) + σ^2 J_D^H A^H (r^2 A A^H + σ_y^2)^{-1} (y - A D(x, σ)), \qquad
        r^2 = σ^2 v / (σ^2 + v)

    In the authors' process x_t = s x this is their score times σ²/s. For images N(m, v) it is exact. For
    others r² is wrong in directions whose variance is not v, and draws are biased however many steps are
    taken. Noise is Gaussian, or none: then A⁺ takes the place of Aᴴ (A Aᴴ)⁻¹.

    Parameters
    ----------
    variance : float
        v, of a pixel of the images. The literature takes 1, for images in [-1, 1]; it is 1/4 in [0, 1].

    References
    ----------
    .. [1] J. Song, A. Vahdat, M. Mardani, J. Kautz, Pseudoinverse-guided diffusion models for inverse
       problems, ICLR 2023.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> from invcore.solvers import Problem
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), spectrum=torch.ones(1, 1))
    >>> physics = Physics(operators.Identity((1, 1)), noises.GaussianNoise(sigma=1.0))
    >>> problem = Problem(physics=physics, y=torch.ones(1, 1), fidelity=physics.likelihood())
    >>> PiGDM().estimate(problem, D, torch.ones(1, 1), 1.0, torch.Generator())  # the mean of three
    tensor([[0.6667]])
    """

    variance: float = 1.0
    bias: ClassVar[str] = "PiGDM takes the error of the denoised image for white noise of a given variance"

    def __post_init__(self) -> None:
        require_positive(self, "variance")

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        clean, pullback = denoised_with_pullback(denoiser, x, sigma)
        r2 = uncertainty(sigma, self.variance)
        return clean + sigma**2 / r2 * pullback(fitted(problem, clean, r2, "PiGDM") - clean)


def require_positive(holder: object, *names: str) -> None:
    """Raise unless these fields are positive numbers."""
    for name in names:
        value = getattr(holder, name)
        if not value > 0:
            raise ParameterError(f"{type(holder).__name__}: {name} must be positive, got {value!r}")
