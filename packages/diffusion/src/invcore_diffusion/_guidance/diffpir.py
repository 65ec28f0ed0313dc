"""DiffPIR: a proximal step on the denoised image."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from invcore import Denoiser
from invcore.samplers import Guidance
from invcore.solvers import Problem

from .likelihood import fitted
from .pigdm import require_positive


class DiffPIR(Guidance):
    r"""A proximal step on the data from the denoised image, of half-quadratic splitting [1]_.

    .. math:: \hat x = \arg\min_z \|A z - y\|^2 + ρ \|z - D(x, σ)\|^2, \qquad ρ = λ σ_y^2 / σ^2

    σ is the authors' \bar σ_t. It is the mean of N(D, σ²/λ) given the data, exact for N(m, v) images with
    λ = 1 + σ²/v and biased for a constant λ. No derivative of the denoiser is taken. Noise is Gaussian or
    none, for which ẑ = D + A⁺(y - A D).

    Parameters
    ----------
    weight : float
        λ. 1 is what the formula for N(m, v) images says at small levels; the authors use 1 to 25, which draws
        smoother images with a larger misfit.

    References
    ----------
    .. [1] Y. Zhu et al., Denoising diffusion models for plug-and-play image restoration, CVPR workshops 2023.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> from invcore.solvers import Problem
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), spectrum=torch.ones(1, 1))
    >>> physics = Physics(operators.Identity((1, 1)), noises.GaussianNoise(sigma=1.0))
    >>> problem = Problem(physics=physics, y=torch.ones(1, 1), fidelity=physics.likelihood())
    >>> DiffPIR(weight=2.0).estimate(problem, D, torch.ones(1, 1), 1.0, torch.Generator())
    tensor([[0.6667]])
    """

    weight: float = 1.0
    bias: ClassVar[str] = "DiffPIR takes the error of the denoised image for white noise of variance σ²/λ"

    def __post_init__(self) -> None:
        require_positive(self, "weight")

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        return fitted(problem, denoiser(x, sigma), sigma**2 / self.weight, "DiffPIR")
