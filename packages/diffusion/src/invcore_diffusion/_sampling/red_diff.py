"""RED-diff: an image that fits the data and that the denoiser leaves as it is."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, Fidelity, ParameterError
from invcore.fidelities import LeastSquares
from invcore.operators import LinearOperator
from invcore.samplers import Schedule
from invcore.solvers import Problem
from invcore.spaces import scaled

from .._schedules.variance_preserving import VariancePreserving
from .levels import LevelSampler


class Optimized(NamedTuple):
    """An image and the moments of its gradients, after ``k`` steps of Adam."""

    x: Tensor
    mean: Tensor
    square: Tensor
    k: int


class REDDiff(LevelSampler):
    r"""RED-diff: variational inference by stochastic gradients, from large noise levels to small ones [1]_.

    Steps of Adam along

    .. math:: ∇_x f(A x; y) + λ (x - D(x + σ ε, σ))

    with new noise ε in each. In the authors' coordinates the second term is λ σ (ε_θ - ε), their weight by
    the inverse signal-to-noise ratio. f is ½‖A x - y‖² as theirs, without the variance of the noise: λ is
    relative to it. What is found is one image, near the largest density; draws differ by the noise of the
    gradients, not as the posterior does.

    Parameters
    ----------
    denoiser : Denoiser
    weight : float
        λ.
    step_size : float
        Of Adam; about the change of a pixel in a step.
    fidelity : Fidelity
        f, of any differentiable operator.
    schedule : Schedule
    steps : int
        Number of levels, a step each.

    References
    ----------
    .. [1] M. Mardani, J. Song, J. Kautz, A. Vahdat, A variational perspective on solving inverse problems
       with diffusion models, ICLR 2024.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 8, 8), spectrum=torch.ones(1, 1, 1))
    >>> physics = Physics(operators.Identity((1, 8, 8)), noises.GaussianNoise(sigma=0.1))
    >>> x = REDDiff(D, steps=200)(torch.ones(1, 8, 8), physics, generator=torch.Generator().manual_seed(0))
    >>> round(float(x.mean()), 1)
    1.0
    """

    denoiser: Denoiser
    weight: float = 0.25
    step_size: float = 0.1
    fidelity: Fidelity = LeastSquares()
    schedule: Schedule = VariancePreserving()
    steps: int = 1000
    own_bias: ClassVar[str] = "RED-diff finds an image near the largest density"

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and self.step_size > 0):
            raise ParameterError(
                "REDDiff: weight must be a number >= 0 and step_size one > 0, got "
                f"{self.weight!r} and {self.step_size!r}"
            )

    def init(self, problem: Problem, generator: torch.Generator) -> Optimized:
        """See `Sampler.init`: ``x0``, else Aᴴy/‖A‖² of a linear operator and 0 of another."""
        x = problem.start()
        if problem.x0 is None and isinstance(problem.A, LinearOperator):
            x = x + scaled(problem.linear.norm() ** -2, problem.backprojection, problem.space)
        return Optimized(x, torch.zeros_like(x), torch.zeros_like(x.real), 0)

    def step(self, problem: Problem, state: Optimized, generator: torch.Generator) -> Optimized:
        """See `Sampler.step`."""
        x, mean, square, k = state
        sigma, _ = self.levels(k)
        noisy = x + sigma * self.noise(x, generator)
        gradient = problem.gradient(x) + self.weight * (x - self.denoiser(noisy, sigma))
        mean, square, k = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient.abs() ** 2, k + 1
        size = (square / (1 - 0.99**k)).sqrt() + 1e-8
        return Optimized(x - self.step_size / (1 - 0.9**k) * mean / size, mean, square, k)
