"""Split Gibbs sampling with a diffusion that draws given the prior."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Sampler
from invcore.samplers import Integrator
from invcore.solvers import Problem

from .._guidance.pigdm import require_positive
from .._integrators.multistep import DPMSolver
from .given_data import given_data
from .levels import descend, require_noise


class Coupled(NamedTuple):
    """The image x that meets the prior, and z near it that meets the data; ``k`` counts the sweeps."""

    x: Tensor
    z: Tensor
    k: int


class DenoisingGibbs(Sampler, abstract=True, fields=True):
    """Base class of Gibbs samplers whose draw given the prior is a run of a diffusion.

    Parameters
    ----------
    rho : float
        ρ, at the end.
    start : float
        ρ of the first sweep; at most the largest level that the denoiser knows.
    decay : float
        Its factor from sweep to sweep.
    inner : int
        Number of steps of the diffusion from the level ρ to clean images.
    integrator : Integrator
        Of the diffusion, one that follows it: `DPMSolver` with ``eta=1`` or `Ancestral`. The probability flow
        would move z, not draw x.
    langevin : int
        Number of Langevin steps given the data, where these are not drawn exactly.
    curvature : float or Tensor, shape (batch...), optional
        Curvature of f(A ·; y), which Langevin steps need: by default ‖A‖² times the Lipschitz constant of ∇f.
    burn_in, thin : int
        See `Sampler`; decay ends within the burn-in, if it is long enough.
    """

    denoiser: Denoiser
    rho: float = 0.05
    start: float = 10.0
    decay: float = 0.9
    inner: int = 20
    integrator: Integrator = DPMSolver(order=2, eta=1.0)
    langevin: int = 10
    curvature: float | Tensor | None = None
    burn_in: int = 100
    thin: int = 10

    def _check(self) -> None:
        super()._check()
        name = type(self).__name__
        require_positive(self, "rho", "start", "decay")
        if self.start < self.rho or self.decay >= 1:
            raise ParameterError(
                f"{name}: rho falls from start to rho, expected start >= rho and decay < 1; got start="
                f"{self.start:g}, rho={self.rho:g}, decay={self.decay:g}"
            )
        for what in ("inner", "langevin"):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ParameterError(f"{name}: {what} must be a whole number from 1 on, got {value!r}")

    @property
    def bias(self) -> str:  # type: ignore[override]
        """See `Sampler`."""
        return f"{type(self).__name__} takes the data for those of an image with noise of the level rho"

    def width(self, k: int) -> float:
        """ρ of the sweep number ``k``."""
        return max(self.rho, self.start * self.decay**k)

    def swept(
        self, problem: Problem, denoiser: Denoiser, state: Coupled, generator: torch.Generator
    ) -> Coupled:
        """Draw z given x and the data, then x given z."""
        rho = min(self.width(state.k), denoiser.sigma_range[1])
        z = given_data(
            problem,
            state.x,
            rho**2,
            generator,
            start=state.z,
            steps=self.langevin,
            curvature=self.curvature,
            name=type(self).__name__,
        )
        x = descend(denoiser, z, rho, self.inner, generator, self.integrator)
        return Coupled(x, z, state.k + 1)


class PnPDM(DenoisingGibbs):
    r"""Plug-and-play diffusion models [1]_: draws given the data and draws given the prior, in turn.

    .. math:: p(x, z | y) \propto p(x) \exp\left(-f(A z; y) - \frac{‖x - z‖^2}{2 ρ^2}\right)

    z given x is drawn exactly where the operator is linear and the noise Gaussian, and by Langevin steps with
    a Metropolis test elsewhere. x given z is an image given its noisy version at the level ρ: what the
    reverse diffusion draws that begins with z at ρ. ρ falls from sweep to sweep until it is small. The draws
    are those of x; they are from the posterior of data A(x + ρ ε), which tends to that of A x with the order
    ρ².

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.

    References
    ----------
    .. [1] Z. Wu, Y. Sun, Y. Chen, B. Zhang, Y. Yue, K. L. Bouman, "Principled probabilistic imaging using
       diffusion models as plug-and-play priors", NeurIPS 2024, algorithm 1.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 32, 32), spectrum=torch.ones(1, 1, 1))
    >>> physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = PnPDM(D, rho=0.2)(torch.ones(1, 32, 32), physics, generator=g)
    >>> round(float(x.mean()), 1), round(float(x.var()), 1)
    (0.5, 0.5)
    """

    denoiser: Denoiser

    def init(self, problem: Problem, generator: torch.Generator) -> Coupled:
        """See `Sampler.init`."""
        require_noise(problem, "PnPDM")
        x = problem.start()
        return Coupled(x, x, 0)

    def step(self, problem: Problem, state: Coupled, generator: torch.Generator) -> Coupled:
        """See `Sampler.step`."""
        return self.swept(problem, self.denoiser, state, generator)
