"""Diffusion posterior sampling."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, LinearOperator
from invcore.fidelities import LeastSquares
from invcore.samplers import Guidance
from invcore.solvers import Problem
from invcore.spaces import norm, scaled, tree_map

from .likelihood import denoised_with_pullback


class DPS(Guidance):
    r"""Diffusion posterior sampling: the likelihood of the denoised image, p(y | x) ≈ p(y | D(x, σ)) [1]_.

    .. math:: \hat x = D(x, σ) - w σ^2 J_D^H ∇_u f(A u; y)|_{u = D(x, σ)}

    with minus the log-likelihood f of the noise, for any differentiable operator and noise. It ignores how
    uncertain the denoised image is: f counts too much, by ‖A‖² r²/σ_y² where the denoised image has the
    variance r². Draws are then too narrow, and steps must be short, or the image diverges.

    ``normalized=True`` is the step of the authors' experiments: ‖y - A D‖ in place of f. In their process
    s = 1/√(1 + σ²), x_t = s x, the step ζ ∇_{x_t} ‖y - A D‖ after a transition with β_t shifts D by
    (ζ/β_t) σ² ∇_x ‖y - A D‖, so that ``weight`` is ζ/β_t.

    Parameters
    ----------
    weight : float
        w, the factor of the guidance; 1 is what the approximation says, for the likelihood.
    normalized : bool
        Guide by ‖y - A D‖, which does not depend on the noise level, in place of the likelihood.

    References
    ----------
    .. [1] H. Chung, J. Kim, M. T. McCann, M. L. Klasky, J. C. Ye, Diffusion posterior sampling for general
       noisy inverse problems, ICLR 2023.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> from invcore.solvers import Problem
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), spectrum=torch.ones(1, 1))
    >>> physics = Physics(operators.Identity((1, 1)), noises.GaussianNoise(sigma=0.5))
    >>> problem = Problem(physics=physics, y=torch.ones(1, 1), fidelity=physics.likelihood())
    >>> DPS().estimate(problem, D, torch.ones(1, 1), 1.0, torch.Generator())  # 1/2 - (1/2) (1/2 - 1) / 0.5²
    tensor([[1.5000]])
    """

    weight: float = 1.0
    normalized: bool = False
    bias: ClassVar[str] = "DPS ignores the uncertainty of the denoised image"

    @property
    def ignores_noise(self) -> bool:  # type: ignore[override]
        """See `Guidance`: the norm of the residual counts the same whatever the noise."""
        return self.normalized

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        clean, pullback = denoised_with_pullback(denoiser, x, sigma)
        gradient = _of_norm(problem, clean) if self.normalized else problem.gradient(clean)
        return clean - self.weight * sigma**2 * pullback(gradient)


def _of_norm(problem: Problem, clean: Tensor) -> Tensor:
    """∇ ‖A u - y‖ at u = clean, and 0 where it is not differentiable."""
    rest = tree_map(torch.sub, problem.A(clean), problem.y)
    size = norm(rest, problem.A.range)
    if isinstance(problem.A, LinearOperator):
        squares = problem.A.H(rest)
    else:
        squares = problem.replace(fidelity=LeastSquares()).gradient(clean)
    return scaled(1 / torch.where(size > 0, size, 1), squares, problem.space)
