"""Priors made of restoration networks: DRP, ShaRP and SNORE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from ..denoisers import Denoiser
from ..noises import GaussianNoise
from ..operators import LinearOperator, Space, SpaceLike
from ..spaces import per_sample, randn, scaled, tree_map
from ._degradations import Draw, Restorer, StochasticPrior, check_degradation, degraded, drawn, several
from ._from_denoiser import _denoise


class Restoration(StochasticPrior):
    r"""The likelihood of degraded images, through what restores them: DRP and ShaRP.

    .. math::
        \texttt{"sharp"} \; [1]: \quad g(x) = \mathbb{E}\,[-\log p(s \mid H)], \quad s = H x + σ e, \qquad
        ∇g(x) = \mathbb{E}\,[H^{\mathsf H}(s - H R(s))]/σ^2

    over random operators H, noise and, as the one of Gaussian noise, its level. For the conditional mean
    R(s) = E[x | s] that is exact, since H R(s) - s is σ² times the score of degraded images (Tweedie); a
    network trained for the squared error comes close. ``"drp"`` [2]_ is without noise, and in another unit,

    .. math::
        g(x) = -σ^2 \log p(H x), \qquad ∇g(x) = H^{\mathsf H} H (x - R(H x)).

    There is a value for restorers that know the density of their data (``log_evidence``, as
    `invcore.models.GaussianRestorer`). The solver 'scaled_pgd' takes no value. It weighs steps by HᴴH where
    H is fixed, as DRP does, and averages the iterates where they are random.

    Parameters
    ----------
    restorer : callable
        R: ``restorer(s, physics)``, any model. One that was trained for another problem than the one to be
        solved is what these priors are for.
    physics : Physics or tuple of Physics
        Linear operators H, with Gaussian noise; one of a tuple is drawn each time.
    varying : generator, optional
        Draws parameters of the physics by name (`invcore.generators.Joint`): kernels, masks, noise levels.
    form : {"sharp", "drp"}

    References
    ----------
    .. [1] Y. Hu, A. Peng, W. Gan, P. Milanfar, M. Delbracio, U. Kamilov, "Stochastic deep restoration priors
       for imaging inverse problems", arXiv:2410.02057 (2024).
    .. [2] Y. Hu, M. Delbracio, P. Milanfar, U. Kamilov, "A restoration network as an implicit prior", ICLR
       (2024).

    Examples
    --------
    >>> from invcore.models import GaussianRestorer
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask(torch.tensor([[1.0, 0.0]]), (1, 2)), GaussianNoise(sigma=1.0))
    >>> R = GaussianRestorer(mean=torch.zeros(1, 2), covariance=3 * torch.eye(2))
    >>> Restoration(R, physics, draws="all").grad(torch.tensor([[2.0, 5.0]]))  # x/(3 + 1) where it is seen
    tensor([[0.5000, 0.0000]])
    """

    restorer: Restorer
    physics: Physics | tuple[Physics, ...]
    varying: Draw | None = None
    form: Literal["sharp", "drp"] = "sharp"
    draws: int | Literal["all"] = 1
    seed: int = 0
    draw: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in ("sharp", "drp"):
            raise ParameterError(f"Restoration: form must be 'sharp' or 'drp', got {self.form!r}")
        check_degradation("Restoration", self.physics, self.varying)
        if self.varying is not None and self.draws == "all":
            raise ParameterError(
                "Restoration: draws='all' goes through every physics; with parameters that are drawn there "
                "is no last one. Give a number of draws, or a tuple of physics."
            )
        for physics in several(self.physics):
            self._checked(physics)

    def _checked(self, physics: Physics) -> Physics:
        if not isinstance(physics.operator, LinearOperator):
            raise ParameterError(
                f"Restoration: H must be linear, got {type(physics.operator).__name__}; 'fire' takes others"
            )
        noise = physics.noise
        white = isinstance(noise, GaussianNoise) and bool((torch.as_tensor(noise.sigma) > 0).all())
        if self.form == "sharp" and not white:
            raise ParameterError(
                "Restoration: form='sharp' needs Gaussian noise with sigma > 0, got "
                f"{noise!r:.60}; 'drp' and 'fire' do without"
            )
        return physics

    @property
    def _random(self) -> bool:
        several_operators = isinstance(self.physics, tuple) and len(self.physics) > 1
        varied = self.form == "sharp" or self.varying is not None or several_operators
        return self.draws != "all" and varied

    def _degraded(self, x: Tensor) -> Iterator[tuple[Physics, Any]]:
        """The physics of this iteration, and the images degraded by them."""
        if self.draws == "all":
            for physics in several(self.physics):
                yield physics, degraded(x, physics, None)
            return
        generator = self._generator()
        for _ in range(self.draws):
            physics = self._checked(drawn(self.physics, self.varying, generator, x.device))
            yield physics, degraded(x, physics, generator if self.form == "sharp" else None)

    def _value(self, x: Tensor, space: Space) -> Tensor:
        log_density: Callable[..., Tensor] | None = getattr(self.restorer, "log_evidence", None)
        if log_density is None:
            raise ParameterError(
                f"Restoration has a value for restorers with log_evidence(s, physics), the density of "
                f"degraded images, which {type(self.restorer).__name__} has not: choose 'scaled_pgd', which "
                "needs its gradient only"
            )
        found = []
        for physics, s in self._degraded(x):
            found.append(-self._unit(physics) * _level(physics) ** 2 * log_density(s, physics))
        return sum(found[1:], found[0]) / len(found)

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        found = []
        for physics, s in self._degraded(x):
            H: Any = physics.operator
            left = H.H(tree_map(torch.sub, s, H(self.restorer(s, physics))))
            found.append(left if self.form == "drp" else left / per_sample(_level(physics) ** 2, space))
        return sum(found[1:], found[0]) / len(found)

    def majorizer(self, space: SpaceLike) -> LinearOperator | float | Tensor | None:
        """HᴴH (over σ²) for one H, also on average over all; else its largest norm. Of conditional means."""
        if self.varying is not None:
            return None
        parts = several(self.physics)
        if len(parts) == 1 or self.draws == "all":
            operators: list[Any] = [p.operator for p in parts]
            grams = [H.gram * (self._unit(p) / len(parts)) for p, H in zip(parts, operators)]
            return sum(grams[1:], grams[0])
        return self._largest

    @cached_property
    def _largest(self) -> Tensor:
        """The largest ‖H‖² (over σ²)."""
        operators: list[Any] = [p.operator for p in several(self.physics)]
        norms = [H.norm() ** 2 * self._unit(p) for p, H in zip(several(self.physics), operators)]
        return torch.stack(torch.broadcast_tensors(*norms)).amax(0)

    def _unit(self, physics: Physics) -> Any:
        return 1.0 if self.form == "drp" else 1 / _level(physics) ** 2

    def at(self, k: int) -> Self:
        new = super().at(k)
        if new is not self and self.varying is None and len(several(self.physics)) > 1:
            new.__dict__["_largest"] = self._largest  # found once, not in each iteration
        return new


class SNORE(StochasticPrior):
    r"""Stochastic denoising regularization [1]_: the score of noisy images, averaged over the noise.

    .. math::
        g(x) = \mathbb{E}\,[-\log p_σ(x + σ e)], \qquad
        ∇g(x) = \mathbb{E}\,[x + σ e - D(x + σ e, σ)]/σ^2

    The denoiser sees images with the noise that it is made for, unlike in `RED` (which is the same without
    the noise: ``scale="score"``). There is a value for denoisers that know the density
    (`invcore.denoisers.GaussianDenoiser` and its like). The solver 'scaled_pgd' takes no value.

    Parameters
    ----------
    denoiser : Denoiser
    sigma : float, Tensor of shape (batch...), or tuple of them
        Noise level, of each real component. A tuple has one for each iteration, the last of which stays:
        annealing, from 50/255 to 5/255 in [1]_, images having values from 0 to 1.

    References
    ----------
    .. [1] M. Renaud, J. Prost, A. Leclaire, N. Papadakis, "Plug-and-play image restoration with stochastic
       denoising regularization", ICML (2024).

    Examples
    --------
    >>> from invcore.denoisers import GaussianDenoiser
    >>> D = GaussianDenoiser(mean=torch.zeros(1, 1), covariance=3 * torch.eye(1))
    >>> g = SNORE(D, sigma=1.0, draws=10_000)
    >>> bool((g.grad(torch.tensor([[2.0]])) - 0.5).abs() < 0.01)  # x/(3 + 1), up to the draws
    True
    """

    denoiser: Denoiser
    sigma: float | Tensor | tuple[float | Tensor, ...]
    draws: int = 1
    seed: int = 0
    draw: int | None = None
    params = ("sigma",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.draws, int):
            raise ParameterError("SNORE: without noise it is RED(denoiser, sigma=..., scale='score')")
        levels = self.sigma if isinstance(self.sigma, tuple) else (self.sigma,)
        if not levels or not all(bool((torch.as_tensor(s) > 0).all()) for s in levels):
            raise ParameterError(f"SNORE: sigma must be positive, got {self.sigma!r}")

    @property
    def _random(self) -> bool:
        return True

    @property
    def _sigma(self) -> float | Tensor:
        """The noise level of this iteration."""
        levels = self.sigma
        return levels[min(self.draw or 0, len(levels) - 1)] if isinstance(levels, tuple) else levels

    def _noisy(self, x: Tensor, space: Space) -> Iterator[Tensor]:
        generator, sigma = self._generator(), self._sigma
        for _ in range(self.draws):
            e = randn(space, generator=generator, dtype=torch.float64, device=x.device).to(x.dtype)
            yield x + scaled(sigma, e, space)

    def _value(self, x: Tensor, space: Space) -> Tensor:
        log_density: Callable[..., Tensor] | None = getattr(self.denoiser, "log_density", None)
        if log_density is None:
            raise ParameterError(
                f"SNORE has a value for denoisers with log_density(x, sigma), which "
                f"{type(self.denoiser).__name__} has not: choose 'scaled_pgd', which needs its gradient only"
            )
        found = [-log_density(s, self._sigma) for s in self._noisy(x, space)]
        return sum(found[1:], found[0]) / len(found)

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        found = [s - _denoise(self.denoiser, s, self._sigma, space) for s in self._noisy(x, space)]
        mean = sum(found[1:], found[0]) / len(found)
        return mean / per_sample(self._sigma**2, space)

    def majorizer(self, space: SpaceLike) -> float | Tensor:
        """1/σ², for conditional means."""
        return 1 / self._sigma**2


def _level(physics: Physics) -> Any:
    """σ of the Gaussian noise of a physics."""
    if not isinstance(physics.noise, GaussianNoise):
        raise ParameterError(
            f"Restoration: the density of degraded images takes Gaussian noise, got {physics.noise!r:.60}"
        )
    return physics.noise.sigma
