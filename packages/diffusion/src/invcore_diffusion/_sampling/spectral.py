"""DDRM and DDNM+: a transition for each singular value of the operator, by its signal-to-noise ratio."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, ParameterError, Physics
from invcore.solvers import Problem
from invcore.spaces import per_sample

from .._guidance.likelihood import noise_levels
from .decomposed import decomposed
from .levels import LevelSampler
from .start import begins_late, direct_estimate


class Coordinates(NamedTuple):
    """Data in the coordinates c = Vᴴ x of an operator U diag(s) Vᴴ."""

    seen: Tensor
    """Where s is not zero."""
    data: Tensor
    """ȳ = s⁻¹ Uᴴ y, and 0 where s is zero."""
    level: Tensor
    """Standard deviation of the noise of ȳ, σ_y/s, and 0 where s is zero."""


class Position(NamedTuple):
    """An image at the level number ``k``, and the data."""

    x: Tensor
    k: int
    data: Coordinates


class Spectral(LevelSampler, abstract=True):
    """A diffusion whose transitions know the data, in the coordinates of a singular value decomposition.

    The operator is linear with a decomposition in closed form (see `invcore.operators.SVD.of`) or small, and
    the noise Gaussian or none.
    """

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """See `Sampler.problem`; the operator is replaced by its singular value decomposition."""
        return super().problem(y, decomposed(physics, y, type(self).__name__), x0)

    def init(self, problem: Problem, generator: torch.Generator) -> Position:
        """See `Sampler.init`."""
        (sigma, _), data = self.levels(0), self.coordinates(problem)
        x = self.first(problem, data, sigma * self.noise(problem.start(), generator), sigma)
        if begins_late(self.schedule, self.denoiser, self.steps):
            V: Any = problem.A.V  # type: ignore[attr-defined]
            known = data.seen & (data.level <= sigma)
            direct = direct_estimate(problem, self.denoiser)
            x = x + direct - V(torch.where(known, V.H(direct), 0))
        return Position(x, 0, data)

    def step(self, problem: Problem, state: Position, generator: torch.Generator) -> Position:
        """See `Sampler.step`."""
        x, k, data = state
        sigma, following = self.levels(k)
        clean, noise = self.denoiser(x, sigma), self.noise(x, generator)
        return Position(self.transition(problem, data, x, clean, noise, sigma, following), k + 1, data)

    @abstractmethod
    def transition(
        self,
        problem: Problem,
        data: Coordinates,
        x: Tensor,
        clean: Tensor,
        noise: Tensor,
        sigma: float,
        following: float,
    ) -> Tensor:
        """The image at the next level, from the denoised one and white noise."""

    def first(self, problem: Problem, data: Coordinates, noise: Tensor, sigma: float) -> Tensor:
        """The image at the first level; by default noise."""
        return noise

    def coordinates(self, problem: Problem) -> Coordinates:
        """The data in the coordinates of the operator."""
        A: Any = problem.A
        space = A.U.domain
        size, own = A.s.abs(), tuple(range(-len(space.shape), 0))
        seen = size > 32 * torch.finfo(size.dtype).eps * size.amax(own, keepdim=True)
        s = torch.where(seen, A.s, 1)
        level = torch.as_tensor(noise_levels(problem, type(self).__name__), dtype=s.dtype, device=s.device)
        return Coordinates(
            seen=seen,
            data=torch.where(seen, A.U.H(problem.y) / s, 0),
            level=torch.where(seen, per_sample(level, space) / s.abs(), 0),
        )


class DDRM(Spectral):
    r"""Denoising diffusion restoration models: the data enter each singular direction at its own noise [1]_.

    With ȳ = s⁻¹ Uᴴ y of the noise σ_y/s, the denoised x̂ and the levels σ > σ', in coordinates c = Vᴴ x

    .. math::
        c' \sim \begin{cases}
        N(\hat c + \sqrt{1 - η^2}\, σ' (c - \hat c)/σ,\; η^2 σ'^2) & s = 0 \\
        N(\hat c + \sqrt{1 - η^2}\, σ' (\bar y - \hat c)/(σ_y/s),\; η^2 σ'^2) & σ' < σ_y/s \\
        N((1 - η_b) \hat c + η_b \bar y,\; σ'^2 - η_b^2 σ_y^2/s^2) & σ' \ge σ_y/s
        \end{cases}

    The authors work in x as well. Where σ' ≥ σ_y/s the image is the data with noise added, whatever the prior
    says: the posterior is not reached in the limit of many steps.

    Parameters
    ----------
    denoiser : Denoiser
    schedule : Schedule
    steps : int
    eta : float
        η, the share of new noise below the level of the data and where there are none.
    eta_b : float
        η_b, how much the data count above it.

    References
    ----------
    .. [1] B. Kawar, M. Elad, S. Ermon, J. Song, Denoising diffusion restoration models, NeurIPS 2022.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 8, 8), spectrum=torch.ones(1, 1, 1))
    >>> physics = Physics(operators.Identity((1, 8, 8)), noises.GaussianNoise(sigma=0.1))
    >>> x = DDRM(D)(torch.ones(1, 8, 8), physics, generator=torch.Generator().manual_seed(0))
    >>> round(float(x.mean()), 1)
    1.0
    """

    denoiser: Denoiser
    eta: float = 0.85
    eta_b: float = 1.0
    own_bias: ClassVar[str] = "DDRM takes the data for the clean image at noise levels above theirs"

    def __post_init__(self) -> None:
        for name in ("eta", "eta_b"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"DDRM: {name} must lie in [0, 1], got {getattr(self, name)!r}")

    def first(self, problem: Problem, data: Coordinates, noise: Tensor, sigma: float) -> Tensor:
        """N(ȳ, σ² - σ_y²/s²) where the data are cleaner than the first level, else noise."""
        V: Any = problem.A.V  # type: ignore[attr-defined]
        less = (1 - (data.level / sigma) ** 2).clamp(min=0).sqrt() - 1
        known = data.seen & (data.level <= sigma)
        return noise + V(torch.where(known, data.data + less * V.H(noise), 0))

    def transition(
        self,
        problem: Problem,
        data: Coordinates,
        x: Tensor,
        clean: Tensor,
        noise: Tensor,
        sigma: float,
        following: float,
    ) -> Tensor:
        """See `Spectral.transition`."""
        V: Any = problem.A.V  # type: ignore[attr-defined]
        kept = (1 - self.eta**2) ** 0.5 * following
        unseen = clean + kept / sigma * (x - clean) + self.eta * following * noise
        c, white = V.H(clean), V.H(noise)
        level = torch.where(data.level > 0, data.level, 1)
        below = c + kept / level * (data.data - c) + self.eta * following * white
        spread = (following**2 - (self.eta_b * data.level) ** 2).clamp(min=0).sqrt()
        above = torch.lerp(c, data.data, self.eta_b) + spread * white
        chosen = torch.where(data.level > following, below, above)
        return unseen + V(torch.where(data.seen, chosen - V.H(unseen), 0))


class DDNMPlus(Spectral):
    r"""DDNM+: the range of the operator from noisy data, the null space from the denoiser [1]_.

    The transition of DDPM from the corrected estimate, with the noise that the data have not brought along:

    .. math::
        c' \sim N\left((1 - a)\, c + a\, [\hat c + λ (\bar y - \hat c)],\;
        τ^2 - a^2 λ^2 σ_y^2/s^2\right), \quad λ = \min(1, τ s/(a σ_y))

    in coordinates c = Vᴴ x of A = U diag(s) Vᴴ, with ȳ = s⁻¹ Uᴴ y, a = 1 - σ'²/σ², τ² = σ'² a, and λ = 0
    where s = 0. In the authors' coordinates, a multiple of x, this is their eq. 17 to 19. λ does not weigh
    data against prior, so that the posterior is not reached in the limit of many steps.

    Parameters
    ----------
    denoiser : Denoiser
    schedule : Schedule
    steps : int

    References
    ----------
    .. [1] Y. Wang, J. Yu, J. Zhang, Zero-shot image restoration using denoising diffusion null-space model,
       ICLR 2023.

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 8, 8), spectrum=torch.ones(1, 1, 1))
    >>> physics = Physics(operators.Identity((1, 8, 8)), noises.GaussianNoise(sigma=0.1))
    >>> x = DDNMPlus(D)(torch.ones(1, 8, 8), physics, generator=torch.Generator().manual_seed(0))
    >>> round(float(x.mean()), 1)
    1.0
    """

    denoiser: Denoiser
    own_bias: ClassVar[str] = "DDNM+ takes the data for the clean image as soon as the level's noise allows"

    def transition(
        self,
        problem: Problem,
        data: Coordinates,
        x: Tensor,
        clean: Tensor,
        noise: Tensor,
        sigma: float,
        following: float,
    ) -> Tensor:
        """See `Spectral.transition`."""
        V: Any = problem.A.V  # type: ignore[attr-defined]
        a = 1 - (following / sigma) ** 2
        tau = following * a**0.5
        part = torch.where(data.level > 0, tau / (a * torch.where(data.level > 0, data.level, 1)), 1).clamp(
            max=1
        )
        less = (tau**2 - (a * part * data.level) ** 2).clamp(min=0).sqrt() - tau
        moved = a * part * (data.data - V.H(clean)) + less * V.H(noise)
        return torch.lerp(x, clean, a) + tau * noise + V(torch.where(data.seen, moved, 0))
