"""DDNM: the range of the operator from the data, its null space from the denoiser."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import Denoiser
from invcore.samplers import Guidance
from invcore.solvers import Problem


class DDNM(Guidance):
    r"""DDNM: the denoised image, with what the data know replaced [1]_.

    .. math:: \hat x = D(x, σ) + A^+ (y - A D(x, σ))

    This is exact for white Gaussian images and data without noise. Noise of the data goes into the image as
    it is: for noisy data there is `DDNMPlus`, or `DiffPIR`, whose limit this is.

    References
    ----------
    .. [1] Y. Wang, J. Yu, J. Zhang, Zero-shot image restoration using denoising diffusion null-space model,
       ICLR 2023.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 2), spectrum=torch.ones(1, 1))
    >>> physics = Physics(operators.Mask(torch.tensor([[1.0, 0.0]]), domain=(1, 2)))
    >>> problem = Problem(physics=physics, y=torch.tensor([[3.0, 0.0]]), fidelity=physics.likelihood())
    >>> DDNM().estimate(problem, D, torch.ones(1, 2), 1.0, torch.Generator())
    tensor([[3.0000, 0.5000]])
    """

    bias: ClassVar[str] = "DDNM takes data for exact, and the error of the denoised image for white"
    ignores_noise: ClassVar[bool] = True

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        A: Any = problem.linear
        clean = denoiser(x, sigma)
        return clean + A.pinv(problem.y - A(clean))
