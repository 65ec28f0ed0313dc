"""PnP-ULA: Langevin steps with the score of a denoiser, pulled towards a box."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Prior
from invcore.priors import RED
from invcore.solvers import Problem
from invcore.spaces import per_sample

from .chain import small_level
from .langevin import Langevin, Position, gradient, langevin


class PnPULA(Langevin):
    r"""Plug-and-play ULA [1]_: the score of a denoiser, and a pull towards a box that holds the images.

    .. math:: x_{k+1} = x_k - γ ∇f(x_k) + \frac{γα}{σ^2} (D(x_k, σ) - x_k) + \frac{γ}{μ} (Π(x_k) - x_k)
        + \sqrt{2γ} ε_k

    with 1/μ = 2 (2L + α/σ²), L the curvature of f, and γ = ``step_size``/(L + α/σ² + 1/μ). The pull keeps the
    chain stable where the denoiser has not learned what images are; the draws tend to the posterior with the
    density of images with noise of the level σ as prior, restricted softly to the box. The error is of
    first order in γ.

    Parameters
    ----------
    denoiser : Denoiser
    sigma : float, optional
        σ; by default 2 % of the range of values that the denoiser is meant for (5/255 of images in [0, 1]).
    weight : float or Tensor, shape (batch...)
        α.
    box : tuple of float, optional
        Smallest and largest value of each real component; by default the range of values of the denoiser and
        its span on either side, [-1, 2] for [0, 1].
    projected : bool
        Project on the box after each step in place of the pull.

    References
    ----------
    .. [1] R. Laumont, V. De Bortoli, A. Almansa, J. Delon, A. Durmus, M. Pereyra, "Bayesian imaging using
       plug & play priors: when Langevin meets Tweedie", SIAM J. Imaging Sci. 15 (2022).

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 16, 16), spectrum=torch.ones(1, 1, 1))
    >>> physics = Physics(Identity((1, 16, 16)), GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = PnPULA(denoiser=D, sigma=0.2)(torch.ones(1, 16, 16), physics, generator=g)
    >>> round(float(x.mean()), 1), round(float(x.var()), 1)
    (0.5, 0.5)
    """

    denoiser: Denoiser  # type: ignore[misc]
    prior: ClassVar[None] = None  # type: ignore[misc]
    longest: ClassVar[float] = 2.0
    sigma: float | None = None
    step_size: float = 1 / 3
    box: tuple[float, float] | None = None
    projected: bool = False
    burn_in: int = 2000
    thin: int = 20

    def __post_init__(self) -> None:
        if self.box is not None and not (len(self.box) == 2 and self.box[0] < self.box[1]):
            raise ParameterError(f"PnPULA: box must be (smallest, largest) value, got {self.box!r}")
        if self.box is None and self.denoiser.value_range is None:
            raise ParameterError(
                f"PnPULA: {type(self.denoiser).__name__} adapts to images of any range of values: give box=, "
                "(-1, 2) for images in [0, 1]"
            )

    def from_denoiser(self) -> Prior:
        """See `MarkovChain`."""
        return RED(self.denoiser, sigma=small_level(self.denoiser, self.sigma, "PnPULA"), scale="score")

    def _pull(self, problem: Problem) -> Any:
        """1/μ."""
        return 0.0 if self.projected else 2 * (2 * problem.lipschitz + self._score(problem))

    def _score(self, problem: Problem) -> Any:
        assert problem.prior is not None
        return problem.weight * problem.prior.curvature(problem.space)  # type: ignore[operator]

    def bound(self, problem: Problem) -> float | Tensor:
        """See `Langevin`."""
        return problem.lipschitz + self._score(problem) + self._pull(problem)

    def step(self, problem: Problem, state: Position, generator: torch.Generator) -> Position:
        """See `Sampler.step`."""
        x, step, k = state
        drift = gradient(problem, x, k)
        if not self.projected:
            drift = drift + per_sample(self._pull(problem), problem.space) * (x - self._inside(x))
        x = langevin(x, drift, step, generator)
        return Position(self._inside(x) if self.projected else x, step, k + 1)

    def _inside(self, x: Tensor) -> Tensor:
        if x.is_complex():
            return torch.view_as_complex(self._inside(torch.view_as_real(x)))
        if self.box is not None:
            return x.clamp(*self.box)
        low, high = self.denoiser.value_range  # type: ignore[misc]
        return x.clamp(2 * low - high, 2 * high - low)
