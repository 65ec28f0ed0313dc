"""The likelihood of the noisy image itself."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError
from invcore.samplers import Guidance
from invcore.solvers import Problem

from .likelihood import noise_level


class ALD(Guidance):
    r"""Annealed Langevin dynamics: the noisy image for the clean one, and more noise of the data [1]_.

    .. math:: \hat x = D(x, σ) + \frac{σ^2}{σ_y^2 + γ^2 σ^2} A^H (y - A x)

    With γ = 1 it is exact where A Aᴴ = 1 and the images vary so much that the denoiser has nothing to say; it
    is biased for any other. γ must be at least of the size of ‖A‖, or the image diverges. No derivative of
    the denoiser is taken. Noise is Gaussian or none.

    Parameters
    ----------
    gamma : float
        γ: the authors' γ_t is γ σ.

    References
    ----------
    .. [1] A. Jalal et al., Robust compressed sensing MRI with deep generative priors, NeurIPS 2021.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), spectrum=torch.ones(1, 1))
    >>> physics = Physics(operators.Identity((1, 1)), noises.GaussianNoise(sigma=1.0))
    >>> problem = Problem(physics=physics, y=2 * torch.ones(1, 1), fidelity=physics.likelihood())
    >>> ALD().estimate(problem, D, torch.ones(1, 1), 1.0, torch.Generator())  # 1/2 + (2 - 1)/(1 + 1)
    tensor([[1.]])
    """

    gamma: float = 1.0
    bias: ClassVar[str] = "ALD takes the noisy image for the clean one"

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ParameterError(f"ALD: gamma must be a number >= 0, got {self.gamma!r}")

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        A, level = problem.linear, noise_level(problem, "ALD")
        rest: Any = problem.y - A(x)
        return denoiser(x, sigma) + sigma**2 / (level**2 + (self.gamma * sigma) ** 2) * A.H(rest)
