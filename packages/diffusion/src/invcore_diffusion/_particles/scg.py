"""Stochastic control guidance: one of several candidates a level."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError
from invcore.solvers import Problem

from .._sampling.levels import LevelSampler, transition
from .resampling import chosen, systematic


class Chosen(NamedTuple):
    """An image at one of the noise levels.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
    k : int
        The number of the level.
    clean : Tensor
        The denoised image.
    """

    x: Tensor
    k: int
    clean: Tensor


class SCG(LevelSampler):
    """Stochastic control guidance [1]_: draw candidates of the next level and keep one that fits the data.

    Of ``candidates`` draws x' from the transition of the diffusion one is kept with the probability ∝
    exp(-f(A D(x', σ'); y)/T): with many of them and T = 1 the next level is drawn from p(x' | x) p(y | D(x',
    σ')). Neither the operator nor the noise needs a derivative.

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.
    candidates : int
        For each of the data and levels.
    temperature : float
        T; 0 keeps the candidate that fits best, as in [1]_, whether or not the noise tells them apart.

    References
    ----------
    .. [1] Y. Huang, A. Ghatare, Y. Liu, Z. Hu, Q. Zhang, C. S. Sastry, S. Gururani, S. Oore, Y. Yue,
       "Symbolic music generation with non-differentiable rule guided diffusion", ICML 2024, algorithm 1.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Operator
    >>> rounded = Operator.from_function(torch.round, (1, 2))
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 2), covariance=torch.eye(2))
    >>> g, y = torch.Generator().manual_seed(0), torch.tensor([[1.0, -1.0]])
    >>> rounded(SCG(D, candidates=32)(y, Physics(rounded, GaussianNoise(sigma=0.1)), generator=g))
    tensor([[ 1., -1.]])
    """

    denoiser: Denoiser
    candidates: int = 8
    temperature: float = 1.0
    own_bias: ClassVar[str] = (
        "SCG ignores the uncertainty of denoised candidates, and has few of them to choose from"
    )

    def __post_init__(self) -> None:
        if isinstance(self.candidates, bool) or not isinstance(self.candidates, int) or self.candidates < 1:
            raise ParameterError(f"SCG: candidates must be a whole number from 1 on, got {self.candidates!r}")
        if not self.temperature >= 0:
            raise ParameterError(f"SCG: temperature must not be negative, got {self.temperature!r}")

    def init(self, problem: Problem, generator: torch.Generator) -> Chosen:
        """See `Sampler.init`."""
        x = self.entered(problem, problem.start(), generator)
        return Chosen(x, 0, self.denoiser(x, self.levels(0)[0]))

    def step(self, problem: Problem, state: Chosen, generator: torch.Generator) -> Chosen:
        """See `Sampler.step`."""
        sigma, following = self.levels(state.k)
        mean, deviation = transition(state.clean, state.x, sigma, following)
        if following == 0:
            return Chosen(mean, state.k + 1, mean)
        x = mean + deviation * self.noise(mean.expand(self.candidates, *mean.shape), generator)
        clean = self.denoiser(x, following)
        misfit = problem.objective(clean)
        if self.temperature:
            kept = systematic(-misfit / self.temperature, 1, generator)
        else:
            kept = misfit.argmin(0, keepdim=True)
        return Chosen(chosen(x, kept)[0], state.k + 1, chosen(clean, kept)[0])
