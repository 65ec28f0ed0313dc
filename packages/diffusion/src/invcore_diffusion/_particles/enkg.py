"""Ensemble Kalman diffusion guidance."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError
from invcore.solvers import Problem
from invcore.spaces import batch_shape, flatten, one_per_sample, unflatten

from .._integrators.euler import Euler
from .._sampling.levels import LevelSampler, descend
from .resampling import one_of


class Ensemble(NamedTuple):
    """The particles of each item at one of the noise levels.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
        One of them.
    k : int
        The number of the level.
    particles : Tensor, shape (particle, batch..., *domain.shape)
    """

    x: Tensor
    k: int
    particles: Tensor


class EnKG(LevelSampler):
    r"""Ensemble Kalman diffusion guidance [1]_: covariances of an ensemble in place of derivatives of A.

    At each level every particle x_i is taken to a clean image ψ(x_i) by the probability flow, and moves by

    .. math:: x_i \leftarrow x_i - h \sum_j c_{ij} (x_j - \bar x), \qquad
        c_{ij} = \frac{1}{J} ⟨∇f(u_i; y), u_j - \bar u⟩, \qquad u = A ψ(x),

    a gradient step of f(A ψ(x); y), preconditioned by the covariance of the particles, in which no derivative
    of A and D occurs. Then the flow takes it to the next level.

    The step is h = w/‖c‖ as in [1]_, but no longer than that of an implicit scheme for the guided flow, t/(1
    + t λ): t = (1 - σ'/σ) σ²/v with the variance v of the particles' pixels, and λ the largest eigenvalue of
    the covariance of u times the Lipschitz constant of ∇f. So steps end where the data fit, and where data
    say nothing draws are from the prior.

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.
    particles : int
        J, for each of the data. A draw is one of them; it moves in the span of the others only.
    weight : float
        w.
    flow_steps : int
        Number of steps of ψ; 1 is the denoiser.

    References
    ----------
    .. [1] H. Zheng, W. Chu, A. Wang, N. Kovachki, R. Baptista, Y. Yue, "Ensemble Kalman diffusion guidance: a
       derivative-free method for inverse problems", TMLR 2025, algorithm 1.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Operator
    >>> rounded = Operator.from_function(torch.round, (1, 2))
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 2), covariance=torch.eye(2))
    >>> g, y = torch.Generator().manual_seed(0), torch.tensor([[1.0, -1.0]])
    >>> rounded(EnKG(D, steps=40)(y, Physics(rounded, GaussianNoise(sigma=0.1)), generator=g))
    tensor([[ 1., -1.]])
    """

    denoiser: Denoiser
    particles: int = 64
    weight: float = 1.0
    flow_steps: int = 5
    own_bias: ClassVar[str] = "EnKG descends on the misfit of each particle: they contract to good fits"

    def __post_init__(self) -> None:
        for name, least in (("particles", 2), ("flow_steps", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(f"EnKG: {name} must be a whole number from {least} on, got {value!r}")

    def init(self, problem: Problem, generator: torch.Generator) -> Ensemble:
        """See `Sampler.init`."""
        start = problem.start()
        x = self.entered(problem, start.expand(self.particles, *start.shape), generator)
        return Ensemble(x[0], 0, x)

    def step(self, problem: Problem, state: Ensemble, generator: torch.Generator) -> Ensemble:
        """See `Sampler.step`."""
        sigma, following = self.levels(state.k)
        x = self._updated(problem, state.particles, sigma, following, generator)
        x, _ = Euler().step(self.denoiser, x, sigma, following, None, generator)
        even = x.real.new_zeros(batch_shape(x, problem.space))
        return Ensemble(one_of(x, even, generator), state.k + 1, x)

    def _updated(
        self, problem: Problem, x: Tensor, sigma: float, following: float, generator: torch.Generator
    ) -> Tensor:
        u = problem.A(descend(self.denoiser, x, sigma, self.flow_steps, generator))
        slope = flatten(problem.fidelity.grad(u, problem.y, problem.A.range), problem.A.range)
        du, flat = flatten(u, problem.A.range), flatten(x, problem.space)
        du, dx = du - du.mean(0), flat - flat.mean(0)
        c = torch.einsum("i...m,j...m->...ij", slope, du) / self.particles
        spread = torch.linalg.eigvalsh(torch.einsum("i...m,j...m->...ij", du, du) / self.particles)[..., -1]
        variance = dx.square().mean((0, -1))
        t = (1 - following / sigma) * sigma**2 / torch.where(variance > 0, variance, 1)
        steep = problem.fidelity.lipschitz()
        steep = 0.0 if steep is None else one_per_sample(steep, problem.space, t.shape)
        step = t / (1 + t * spread * steep)
        size = torch.linalg.matrix_norm(c)
        step = step.minimum(self.weight / torch.where(size > 0, size, 1))
        moved = torch.einsum("...ij,j...n->i...n", step[..., None, None] * c, dx)
        return x - unflatten(moved, problem.space)
