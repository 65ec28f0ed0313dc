"""Joint draws of an image and of parameters of the physics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Physics
from invcore.noises import GaussianNoise
from invcore.solvers import Problem
from invcore.spaces import batch_shape, flatten, one_per_sample, space_of, unflatten

from .levels import require_noise
from .pnp_dm import Coupled, DenoisingGibbs


class Joint(NamedTuple):
    """An image, parameters, and what the sampler needs besides.

    Attributes
    ----------
    x : Tensor, shape (batch..., *domain.shape)
        The image that meets the prior.
    z : Tensor
        An image near it that meets the data.
    xi : Tensor, shape (batch..., *mean.shape)
        ξ.
    accepted : Tensor, shape (batch...)
        How many proposals for ξ have been accepted.
    k : int
        Number of sweeps.
    """

    x: Tensor
    z: Tensor
    xi: Tensor
    accepted: Tensor
    k: int


class Blind(DenoisingGibbs):
    r"""Draw image and parameters ξ of the operator from p(x, ξ | y): a blur and what it blurred, a gain.

    Gibbs sampling, in turn z given x, ξ and the data, x given z as in `PnPDM`, and ξ given z and the data:

    .. math::
        p(ξ | z, y) \propto
        \exp\left(-\frac{‖A_ξ z - y‖^2}{2 σ_y^2} - \sum_i \frac{(ξ_i - m_i)^2}{2 s_i^2}\right).

    A_ξ z is linearized in ξ by differences, which gives a Gaussian; what is drawn from it passes a
    Metropolis-Hastings test [1]_. Where A_ξ z is linear in ξ, as for a kernel, the Gaussian is exact and
    every draw accepted. Parallel diffusions of image and kernel are due to [2]_, who guide both by the
    likelihood of their denoised versions; here the draws tend to the joint posterior as ρ → 0.

    Image and parameters often have a scale in common that the data do not tell apart: the prior of ξ must,
    and images start from it, ξ = m. The draws of a chain are images; a callback collects ξ, as below.

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.
    parameter : str
        The name of ξ, as `bind` of the physics takes it.
    mean : Tensor
        m, in the shape of ξ without batch.
    deviation : float or Tensor
        s > 0, one for all or in the shape of ``mean``.

    References
    ----------
    .. [1] W. Hastings, "Monte Carlo sampling methods using Markov chains and their applications", Biometrika
       57 (1970).
    .. [2] H. Chung, J. Kim, S. Kim, J. C. Ye, "Parallel diffusion models of operator and image for blind
       inverse problems", CVPR 2023.

    Examples
    --------
    >>> import invcore
    >>> from invcore.operators import Convolution
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 64), spectrum=torch.ones(1, 1))
    >>> physics = Physics(Convolution(torch.tensor([[0.7, 0.3]]), (1, 64)), GaussianNoise(sigma=0.1))
    >>> g = torch.Generator().manual_seed(0)
    >>> y = physics(D.sample(generator=g), generator=g)
    >>> blind = Blind(D, "kernel", mean=torch.tensor([[0.5, 0.5]]), deviation=0.2, rho=0.1, inner=10)
    >>> kernels = []
    >>> chain = blind.chain(y, physics, draws=20, generator=g, callback=lambda k, p, s: kernels.append(s.xi))
    >>> chain.last.shape, kernels[-1].shape, int(chain.state.accepted)
    (torch.Size([1, 64]), torch.Size([1, 2]), 290)
    """

    denoiser: Denoiser
    parameter: str  # type: ignore[misc]
    mean: Tensor  # type: ignore[misc]
    deviation: float | Tensor  # type: ignore[misc]
    positional = 2

    def __post_init__(self) -> None:
        s = torch.as_tensor(self.deviation)
        if not bool((s > 0).all()) or s.is_complex() or (s.ndim and s.shape != self.mean.shape):
            raise ParameterError(
                "Blind: deviation must be positive, a number or in the shape of the mean "
                f"{tuple(self.mean.shape)}, got {self.deviation!r:.80}"
            )

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """See `Sampler.problem`: with the mean of the parameters."""
        if not isinstance(physics.noise, GaussianNoise):
            raise ParameterError(f"Blind is for Gaussian noise, got {type(physics.noise).__name__}")
        return super().problem(y, physics.bind(**{self.parameter: self.mean}), x0)

    def init(self, problem: Problem, generator: torch.Generator) -> Joint:
        """See `Sampler.init`."""
        require_noise(problem, "Blind")
        x = problem.start()
        batch = batch_shape(x, problem.space)
        accepted = x.real.new_zeros(batch)
        return Joint(x, x, self.mean.expand(*batch, *self.mean.shape).clone(), accepted, 0)

    def step(self, problem: Problem, state: Joint, generator: torch.Generator) -> Joint:
        """See `Sampler.step`."""
        given = problem.replace(physics=problem.physics.bind(**{self.parameter: state.xi}))
        x, z, k = self.swept(given, self.denoiser, Coupled(state.x, state.z, state.k), generator)
        xi, taken = self._drawn(problem, z, state.xi, generator)
        return Joint(x, z, xi, state.accepted + taken, k)

    def _drawn(
        self, problem: Problem, z: Tensor, xi: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw ξ given the image; the second entry is whether it has moved.

        θ = (ξ - m)/s in real coordinates is white before the data are known.
        """
        space, data_space = space_of(self.mean), problem.A.range
        spread = torch.as_tensor(self.deviation, device=xi.device).expand(self.mean.shape)
        scale = flatten(torch.complex(spread, spread), space) if xi.is_complex() else flatten(spread, space)
        sigma: Any = problem.physics.noise
        batch = batch_shape(z, problem.space)
        sigma = torch.as_tensor(one_per_sample(sigma.sigma, data_space, batch), dtype=z.real.dtype)
        y = flatten(problem.y, data_space)

        def residual(theta: Tensor) -> Tensor:
            """(y - A_ξ z)/σ_y, shape (batch..., m)."""
            moved = unflatten(flatten(self.mean, space) + scale * theta, space)
            bound = problem.physics.bind(**{self.parameter: moved})
            return (y - flatten(bound.operator(z), data_space)) / sigma.to(z.device).unsqueeze(-1)

        theta = (flatten(xi, space) - flatten(self.mean, space)) / scale
        here = _Linearized.at(residual, theta)
        white = torch.randn(theta.shape, generator=generator, dtype=theta.dtype, device=generator.device)
        proposal = here.draw(white.to(theta.device))
        there = _Linearized.at(residual, proposal)
        gain = there.log_density + there.log_proposal(theta) - here.log_density - here.log_proposal(proposal)
        draw = torch.rand(gain.shape, generator=generator, dtype=gain.dtype, device=generator.device)
        taken = draw.to(gain.device).log() < gain
        theta = torch.where(taken.unsqueeze(-1), proposal, theta)
        return unflatten(flatten(self.mean, space) + scale * theta, space), taken


class _Linearized(NamedTuple):
    """The posterior of white θ with the residual linearized: N(mean, (R Rᵀ)⁻¹), R = ``factor``."""

    mean: Tensor
    factor: Tensor
    log_density: Tensor

    @classmethod
    def at(cls, residual: Callable[[Tensor], Tensor], theta: Tensor) -> _Linearized:
        """Of r(θ) ≈ r - G (θ - θ₀) for differences G over one deviation of the prior."""
        r = residual(theta)
        units = torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)
        G = torch.stack([r - residual(theta + unit) for unit in units], -1)
        factor = torch.linalg.cholesky(G.mT @ G + units)
        right = G.mT @ (r.unsqueeze(-1) + G @ theta.unsqueeze(-1))
        mean = torch.cholesky_solve(right, factor).squeeze(-1)
        return cls(mean, factor, -(r.square().sum(-1) + theta.square().sum(-1)) / 2)

    def draw(self, white: Tensor) -> Tensor:
        """A draw, made of white noise."""
        moved = torch.linalg.solve_triangular(self.factor.mT, white.unsqueeze(-1), upper=True)
        return self.mean + moved.squeeze(-1)

    def log_proposal(self, theta: Tensor) -> Tensor:
        """Logarithm of the density, up to a constant that is the same for all."""
        away = (self.factor.mT @ (theta - self.mean).unsqueeze(-1)).squeeze(-1)
        return self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - away.square().sum(-1) / 2
