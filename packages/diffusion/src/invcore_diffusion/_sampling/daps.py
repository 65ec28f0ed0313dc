"""Decoupled annealing posterior sampling."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError
from invcore.solvers import Problem

from .._guidance.likelihood import uncertainty
from .._guidance.pigdm import require_positive
from .given_data import given_data
from .levels import LevelSampler, descend, require_noise


class Annealed(NamedTuple):
    """An image at one of the noise levels, number ``k``."""

    x: Tensor
    k: int


class DAPS(LevelSampler):
    r"""Decoupled annealing posterior sampling [1]_: a clean image given the data, then new noise.

    The probability flow takes the image x of the level σ to a clean one ψ(x), and then

    .. math:: z \sim \exp\left(-f(A z; y) - \frac{‖z - ψ(x)‖^2}{2 r^2}\right), \qquad x' = z + σ' ε.

    z is drawn exactly where the operator is linear and the noise Gaussian, and by Langevin steps with a
    Metropolis test elsewhere. As the images of successive levels are coupled by z only, errors of one level
    are forgotten in the next.

    What is wrong with it is that N(ψ(x), r²) stands for p(x₀ | x). With r = σ as in [1]_ the images of the
    prior are drawn with up to twice their variance where the data say nothing, since ψ(x) is a draw already.
    With ``flow_steps=1`` ψ is the denoiser, the mean; together with ``variance`` it is then exact for white
    Gaussian images.

    Parameters
    ----------
    denoiser : Denoiser
        Says what images look like.
    flow_steps : int
        Number of steps of ψ.
    variance : float, optional
        v of a pixel of the images: r² = σ² v/(σ² + v). By default r = σ.
    langevin : int
        Number of Langevin steps a level.
    curvature : float or Tensor, shape (batch...), optional
        Curvature of f(A ·; y), which Langevin steps need: by default ‖A‖² times the Lipschitz constant of ∇f.

    References
    ----------
    .. [1] B. Zhang, W. Chu, J. Berner, C. Meng, A. Anandkumar, Y. Song, "Improving diffusion inverse problem
       solving with decoupled noise annealing", CVPR 2025, algorithm 1.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 32, 32), spectrum=torch.ones(1, 1, 1))
    >>> physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=1.0))
    >>> g, daps = torch.Generator().manual_seed(0), DAPS(D, flow_steps=1, variance=1.0)
    >>> x = daps(torch.ones(1, 32, 32), physics, generator=g)
    >>> round(float(x.mean()), 1), round(float(x.var()), 1)
    (0.5, 0.5)
    """

    denoiser: Denoiser
    flow_steps: int = 5
    variance: float | None = None
    langevin: int = 50
    curvature: float | Tensor | None = None
    own_bias: ClassVar[str] = "DAPS takes clean images for Gaussian about the end of the flow"

    def __post_init__(self) -> None:
        for name in ("flow_steps", "langevin"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ParameterError(f"DAPS: {name} must be a whole number from 1 on, got {value!r}")
        if self.variance is not None:
            require_positive(self, "variance")

    def init(self, problem: Problem, generator: torch.Generator) -> Annealed:
        """See `Sampler.init`."""
        require_noise(problem, "DAPS")
        return Annealed(self.entered(problem, problem.start(), generator), 0)

    def step(self, problem: Problem, state: Annealed, generator: torch.Generator) -> Annealed:
        """See `Sampler.step`."""
        sigma, following = self.levels(state.k)
        clean = descend(self.denoiser, state.x, sigma, self.flow_steps, generator)
        z = given_data(
            problem,
            clean,
            sigma**2 if self.variance is None else uncertainty(sigma, self.variance),
            generator,
            start=clean,
            steps=self.langevin,
            curvature=self.curvature,
            name="DAPS",
        )
        return Annealed(z + following * self.noise(z, generator), state.k + 1)
