"""FlowDPS: from the denoised image some gradient steps to the data, by a share that falls with the noise."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError
from invcore.samplers import Guidance
from invcore.solvers import Problem
from invcore.spaces import scaled


class FlowDPS(Guidance):
    r"""The denoised image, moved to the data by a share that falls with the noise level [1]_.

    .. math:: \hat x = D(x, σ) + \frac{σ}{1 + σ} (z - D(x, σ))

    where z is reached from D by some gradient steps on the data. σ/(1 + σ) is the authors' σ_t, the time of
    a rectified flow to noise. They step by a constant along the gradient of a norm, in a latent space; here
    the steps are 1/(‖A‖² L) for the gradient of the likelihood, with its Lipschitz constant L, so that none
    overshoots. The operator is linear.

    Parameters
    ----------
    gradient_steps : int

    References
    ----------
    .. [1] J. Kim, B. S. Kim, J. C. Ye, FlowDPS: flow-driven posterior sampling for inverse problems, ICCV
       2025.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), spectrum=torch.ones(1, 1))
    >>> physics = Physics(operators.Identity((1, 1)))
    >>> problem = Problem(physics=physics, y=torch.ones(1, 1), fidelity=physics.likelihood())
    >>> FlowDPS().estimate(problem, D, torch.ones(1, 1), 1.0, torch.Generator())  # 1/2 + (1 - 1/2)/2
    tensor([[0.7500]])
    """

    gradient_steps: int = 3
    bias: ClassVar[str] = "FlowDPS weighs data against the denoised image by the noise level alone"
    ignores_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        steps = self.gradient_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ParameterError(f"FlowDPS: gradient_steps must be a whole number from 1 on, got {steps!r}")

    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """See `Guidance.estimate`."""
        clean = z = denoiser(x, sigma)
        size = 1 / torch.where(problem.lipschitz > 0, problem.lipschitz, 1)
        for _ in range(self.gradient_steps):
            z = z - scaled(size, problem.gradient(z), problem.space)
        return torch.lerp(clean, z, sigma / (1 + sigma))
