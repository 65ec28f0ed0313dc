"""Split Gibbs sampling: the data and the prior, each with an image of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Physics
from invcore.noises import GaussianNoise
from invcore.solvers import Problem
from invcore.spaces import per_sample

from .._sampling.given_data import given_data
from .chain import MarkovChain


class Split(NamedTuple):
    """The image x that meets the data, and the image z that meets the prior."""

    x: Tensor
    z: Tensor
    k: int


class Gibbs(MarkovChain):
    r"""The split Gibbs sampler [1]_: draws of x given the data, and of z given the prior, in turn.

    .. math:: p(x, z | y) \propto \exp\left(-f(Ax; y) - λ g(z) - \frac{‖x - z‖^2}{2ρ^2}\right)

    x given z is Gaussian, with precision AᴴA/σ² + 1/ρ², and drawn exactly by a least-squares problem with
    perturbed data [2]_: in closed form where the operator has one, otherwise by conjugate gradient. z given x
    takes ``inner`` steps

    .. math:: z \leftarrow \operatorname{prox}_{s ρ^2 λ g}\left(x + (1 - s) (z - x)
        + ρ \sqrt{s (2 - s)} ε\right)

    which leave N(x, ρ²) as it is where g is constant (those of `PSGLA`, with noise 2sρ², make it wider by
    s/2) and need the proximal operator of g only; a denoiser takes its place as in `invcore.priors.PnP`. The
    draws are those of x: their prior is that of g with noise of variance ρ², an error of first order in ρ².

    Parameters
    ----------
    coupling : float
        ρ²L, where L = ‖A‖²/σ² is the curvature of the data's term. Smaller is more exact and mixes slower.
    inner : int
        Steps for z in a sweep.
    step_size : float
        s, their length over ρ², at most 1.

    References
    ----------
    .. [1] M. Vono, N. Dobigeon, P. Chainais, "Split-and-augmented Gibbs sampler: application to large-scale
       inference problems", IEEE Trans. Signal Process. 67 (2019).
    .. [2] F. Orieux, O. Féron, J.-F. Giovannelli, "Sampling high-dimensional Gaussian distributions for
       general linear inverse problems", IEEE Signal Process. Lett. 19 (2012).

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> from invcore.priors import Tikhonov
    >>> physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = Gibbs(prior=Tikhonov(), burn_in=100)(torch.ones(1, 32, 32), physics, generator=g)
    >>> round(float(x.mean()), 1), round(float(x.var()), 1)
    (0.5, 0.5)
    """

    prior_by = "prox"
    coupling: float = 0.1
    inner: int = 5
    step_size: float = 0.1
    burn_in: int = 500
    thin: int = 5

    def __post_init__(self) -> None:
        if not self.coupling > 0:
            raise ParameterError(f"Gibbs: coupling must be positive, got {self.coupling!r}")
        if isinstance(self.inner, bool) or not isinstance(self.inner, int) or self.inner < 1:
            raise ParameterError(f"Gibbs: inner must be a whole number from 1 on, got {self.inner!r}")
        if not 0 < self.step_size <= 1:
            raise ParameterError(
                f"Gibbs: step_size is over ρ², and the inner steps are stable up to 1; got {self.step_size!r}"
            )

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """See `Sampler.problem`."""
        if not isinstance(physics.noise, GaussianNoise):
            raise ParameterError(
                f"Gibbs draws x given z exactly for Gaussian noise; this physics has "
                f"{type(physics.noise).__name__}: use 'diffusion.psgla' or 'diffusion.hmc'"
            )
        return super().problem(y, physics, x0)

    def init(self, problem: Problem, generator: torch.Generator) -> Split:
        """See `Sampler.init`."""
        x = problem.start()
        return Split(x, x, 0)

    def step(self, problem: Problem, state: Split, generator: torch.Generator) -> Split:
        """See `Sampler.step`."""
        variance = self.coupling / problem.lipschitz
        x = given_data(problem, state.z, variance, generator, name="Gibbs")
        prior, space = problem.prior, problem.image_space
        assert prior is not None
        z, s = state.z, self.step_size
        deviation = per_sample(s * (2 - s) * variance, space) ** 0.5
        for j in range(self.inner):
            moved = x + (1 - s) * (z - x) + deviation * self.noise(z, generator)
            z = prior.at(self.inner * state.k + j).prox(moved, s * variance * problem.weight, space)
        return Split(x, z, state.k + 1)
