"""The part of the image that the data know is replaced by them: score-based SDE, ILVR, RePaint."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Sampler
from invcore.samplers import Guidance
from invcore.solvers import Problem


class Replacement(Guidance):
    """After each step the part of the image that the data know is replaced by them, noised to its level.

    x ← x + w A⁺ (y + σ A n - A x) with new noise n. The denoised image is not led; the data reach the rest of
    the image through the following levels only. With a mask and w = 1 this is inpainting by score-based
    models [1]_ and RePaint [2]_; with a low-pass filter and its downsampling, ILVR [3]_; w < 1 softens it for
    data with noise, which it takes for exact. It leads to no posterior: the unknown part never sees how well
    it fits.

    Parameters
    ----------
    weight : float
        w, from 0 to 1.

    References
    ----------
    .. [1] Y. Song et al., Score-based generative modeling through stochastic differential equations, ICLR
       2021, appendix I; with w, Solving inverse problems in medical imaging with score-based generative
       models, ICLR 2022.
    .. [2] A. Lugmayr et al., RePaint: inpainting using denoising diffusion probabilistic models, CVPR 2022.
    .. [3] J. Choi et al., ILVR: conditioning method for denoising diffusion probabilistic models, ICCV 2021.

    Examples
    --------
    >>> from invcore import Physics, operators
    >>> A = operators.Mask(torch.tensor([[1.0, 0.0]]), domain=(1, 2))
    >>> physics = Physics(A)
    >>> problem = Problem(physics=physics, y=torch.tensor([[3.0, 0.0]]), fidelity=physics.likelihood())
    >>> Replacement().after(problem, torch.ones(1, 2), 0.0, torch.Generator())
    tensor([[3., 1.]])
    """

    weight: float = 1.0
    bias: ClassVar[str] = "replaced data do not lead the rest of the image, and count as exact"
    ignores_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ParameterError(f"Replacement: weight must lie in (0, 1], got {self.weight!r}")

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`: the denoised image."""
        return denoiser(x, sigma)

    def after(self, problem: Problem, x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
        """See `Guidance.after`."""
        A: Any = problem.linear
        clean = x - sigma * Sampler.noise(x, generator) if sigma else x
        return x + self.weight * A.pinv(problem.y - A(clean))
