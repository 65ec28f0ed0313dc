"""Loss-guided diffusion: the likelihood averaged over draws of the clean image."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Sampler
from invcore.samplers import Guidance
from invcore.solvers import Problem

from .likelihood import denoised_with_pullback, uncertainty
from .pigdm import require_positive


class LossGuided(Guidance):
    r"""LGD-MC: the likelihood averaged over draws of the clean image N(D(x, σ), r²) [1]_.

    .. math::
        \hat x = D(x, σ) + σ^2 ∇_x \log \frac{1}{n} \sum_{i=1}^n e^{-f(A z_i; y)}, \quad
        z_i = D(x, σ) + r ε_i, \quad r^2 = σ^2 v / (σ^2 + v)

    with minus the log-likelihood f of the noise, for any differentiable operator and noise. r is the
    authors' for v = 1. For infinitely many draws and Gaussian noise it is `PiGDM`; with few, or where the
    likelihood is narrow, one draw has all the weight, and the average is biased.

    Parameters
    ----------
    draws : int
        n.
    variance : float
        v, of a pixel of the images; see `PiGDM`.

    References
    ----------
    .. [1] J. Song et al., Loss-guided diffusion models for plug-and-play controllable generation, ICML 2023.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), spectrum=torch.ones(1, 1))
    >>> physics = Physics(operators.Identity((1, 1)), noises.GaussianNoise(sigma=1.0))
    >>> problem = Problem(physics=physics, y=torch.ones(1, 1), fidelity=physics.likelihood())
    >>> g = torch.Generator().manual_seed(0)
    >>> x = LossGuided(draws=20000).estimate(problem, D, torch.ones(1, 1), 1.0, g)  # 2/3 for infinitely many
    >>> round(float(x), 2)
    0.67
    """

    draws: int = 10
    variance: float = 1.0
    bias: ClassVar[str] = "LGD takes the error of the denoised image for white, and averages over few draws"

    def __post_init__(self) -> None:
        require_positive(self, "variance")
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 1:
            raise ParameterError(f"LossGuided: draws must be a whole number from 1 on, got {self.draws!r}")

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        clean, pullback = denoised_with_pullback(denoiser, x, sigma)
        several = clean.expand(self.draws, *clean.shape)
        several = several + uncertainty(sigma, self.variance) ** 0.5 * Sampler.noise(several, generator)
        values = problem.fidelity.value(problem.A(several), problem.y, problem.A.range)
        weights = (-values).softmax(0).reshape(*values.shape, *(1,) * (several.ndim - values.ndim))
        return clean - sigma**2 * pullback((weights * problem.gradient(several)).sum(0))
