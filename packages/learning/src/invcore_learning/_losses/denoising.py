"""Losses for denoising from noisy images alone: Neighbor2Neighbor and Noise2Score."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor

import invcore
from invcore import Physics, Space
from invcore.noises import GammaNoise, GaussianNoise, PoissonNoise
from invcore.operators import Identity
from invcore.spaces import batch_shape, check, per_sample

from .._data.sample import sample_by_sample
from .base import Schedule, StochasticLoss, mean_square, noise_variance
from .wrapped import WrappingLoss

_PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))
"""Ordered neighbors in a cell of 2 x 2 pixels, numbered row by row."""


class Neighbor2Neighbor(StochasticLoss):
    r"""Predict one of two neighboring pixels from the other, in cells of 2 x 2 [1]_.

    .. math:: L = \|R(g_1 y) - g_2 y\|^2/m + γ \|R(g_1 y) - g_2 y - (g_1 \hat x - g_2 \hat x)\|^2/m,

    where g₁ and g₂ take from each cell a random pixel and a neighbor of it, and no gradient goes through x̂.
    The noise must be independent between pixels. The model is evaluated at half the size.

    Parameters
    ----------
    gamma : float or Schedule
        γ, of the term that corrects for the difference between neighbors. The authors let it rise over the
        training from 0 to 2: ``Ramp(start=0.0, stop=2.0, steps=n)``; the default is its mean.

    Raises
    ------
    ParameterError
        If the operator is not the identity.

    References
    ----------
    .. [1] T. Huang, S. Li, X. Jia, H. Lu, J. Liu, Neighbor2Neighbor: self-supervised denoising from single
       noisy images, CVPR 2021.

    Examples
    --------
    >>> physics, y = Physics(Identity((1, 6, 6))), torch.ones(2, 1, 6, 6)
    >>> keep = lambda y, physics: 0.9 * y
    >>> Neighbor2Neighbor()(keep(y, physics), None, y, physics, keep)
    tensor([0.0200, 0.0200])
    """

    gamma: float | Schedule = 1.0
    stops_gradients: ClassVar[bool] = True

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        space = need_denoising(type(self).__name__, physics)
        check(y, space, "y")
        check(x_hat, space, "x_hat")
        c, h, w = space.shape if len(space.shape) == 3 else (0, 0, 0)
        if min(h, w) < 2:
            raise invcore.ShapeError(
                f"Neighbor2Neighbor: expected images (channel, y, x) of 2 x 2 pixels or more, got {space}"
            )
        half = Space((c, h // 2, w // 2), space.kind)
        table = torch.tensor(_PAIRS)
        draw = lambda t, i, g: table[torch.randint(0, 8, half.shape[1:], generator=g)]
        generators = self.generators("neighbors", batch_shape(y, space))
        pairs = sample_by_sample(draw, y, space, generators).to(y.device)
        first, second = (_taken(y, pairs[..., i]) for i in (0, 1))
        out = model(first, Physics(Identity(half), physics.noise))
        rough = x_hat.detach()
        gap = _taken(rough, pairs[..., 0]) - _taken(rough, pairs[..., 1])
        error = out - second
        gamma = self.gamma.at(self.k) if isinstance(self.gamma, Schedule) else self.gamma
        return mean_square(error, half) + gamma * mean_square(error - gap, half)


def _taken(x: Tensor, index: Tensor) -> Tensor:
    """The pixel of this number of every 2 x 2 cell."""
    h, w = 2 * index.shape[-2], 2 * index.shape[-1]
    x = x[..., :h, :w]
    cells = x.reshape(*x.shape[:-2], h // 2, 2, w // 2, 2).movedim(-3, -2).flatten(-2)
    where = index.unsqueeze(-3).unsqueeze(-1).expand(*cells.shape[:-1], 1)
    return cells.gather(-1, where).squeeze(-1)


class Noise2Score(WrappingLoss):
    r"""Learn the score of the noisy data, and denoise by Tweedie's formula [1]_.

    .. math:: L = \tfrac1m \|δ\, S(y + δ ω) + ω\|^2

    makes the model S the gradient of log p(y) as δ → 0 [2]_. After training the wrapped model gives

    * y + σ² S for Gaussian noise: the posterior mean E[x|y];
    * (y + γ) exp(γ S(y + γ/2)) for Poisson noise: the posterior mean to second order in γ;
    * ℓ y/((ℓ - 1) - y S) for Gamma noise of ℓ looks: the harmonic mean 1/E[1/x|y].

    In training mode it gives S.

    Parameters
    ----------
    delta : tuple of float
        δ at the first step and from step `steps` on, relative to the standard deviation of the noise; between
        them it falls geometrically. The score is that of data with the noise δω besides, whose variance is
        then δ² times larger; the smaller δ, the more steps it takes.
    steps : int

    Raises
    ------
    ParameterError
        If the operator is not the identity, or the noise another one.

    References
    ----------
    .. [1] K. Kim, J. C. Ye, Noise2Score: Tweedie's approach to self-supervised image denoising without clean
       images, NeurIPS 2021.
    .. [2] J. H. Lim, A. Courville, C. Pal, C.-W. Huang, AR-DAE: towards unbiased neural entropy gradient
       estimation, ICML 2020.

    Examples
    --------
    >>> class Score(torch.nn.Module):  # of y ~ N(0, 1 + 0.5²)
    ...     def forward(self, y, physics): return -y / 1.25
    >>> model = Noise2Score().wrap(Score()).eval()
    >>> model(torch.ones(1, 1, 1), Physics(Identity((1, 1, 1)), GaussianNoise(sigma=0.5)))
    tensor([[[0.8000]]])
    """

    delta: tuple[float, float] = (0.5, 0.25)
    steps: int = 10000

    def __post_init__(self) -> None:
        if len(self.delta) != 2 or not all(d > 0 for d in self.delta) or self.steps < 1:
            raise invcore.ParameterError(
                f"Noise2Score: expected two delta > 0 and steps >= 1, got {self.delta} and {self.steps}"
            )

    def reconstruct(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """The score at the perturbed data."""
        space = need_denoising(type(self).__name__, physics)
        return cast(Tensor, model(y + self._delta(y, physics) * self._direction(y, space), physics))

    def compare(self, x_hat: Tensor, y: Any, physics: Physics, model: Any) -> Tensor:
        """See `WrappingLoss.compare`."""
        space = need_denoising(type(self).__name__, physics)
        return mean_square(self._delta(y, physics) * x_hat + self._direction(y, space), space)

    def restore(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """Tweedie's formula."""
        space = need_denoising(type(self).__name__, physics)
        _need_level(physics)
        noise: Any = physics.noise.per_sample(space, batch_shape(y, space))
        if isinstance(noise, GaussianNoise):
            return cast(Tensor, y + per_sample(noise.sigma, space) ** 2 * model(y, physics))
        if isinstance(noise, PoissonNoise):
            gain = per_sample(noise.gain, space)
            ratio = torch.exp(gain * model(y + gain / 2, physics))
            return cast(Tensor, (y + gain) * ratio - noise.background)
        looks = per_sample(noise.looks, space)
        return cast(Tensor, looks * y / (looks - 1 - y * model(y, physics)))

    def _delta(self, y: Tensor, physics: Physics) -> Tensor:
        _need_level(physics)
        first, last = self.delta
        relative = first * (last / first) ** min(self.k / self.steps, 1.0)
        level = noise_variance(y.detach(), physics).expand(y.shape).mean((-3, -2, -1), keepdim=True).sqrt()
        return relative * level

    def _direction(self, y: Tensor, space: Space) -> Tensor:
        generators = self.generators("direction", batch_shape(y, space))
        return cast(Tensor, sample_by_sample(lambda t, i, g: _normal(t, g), y, space, generators))


def _need_level(physics: Physics) -> None:
    noise = physics.noise
    if not isinstance(noise, GaussianNoise | PoissonNoise | GammaNoise):
        raise invcore.ParameterError(
            f"Noise2Score needs Gaussian, Poisson or Gamma noise; this physics has {type(noise).__name__}"
        )


def _normal(t: Tensor, g: torch.Generator) -> Tensor:
    return invcore.spaces.randn(invcore.spaces.space_of(t), generator=g, dtype=t.dtype, device=t.device)


def need_denoising(name: str, physics: Any) -> Space:
    """Refuse an operator other than the identity; return the space of the images."""
    if not isinstance(physics.operator, Identity) or not isinstance(physics.domain, Space):
        raise invcore.ParameterError(
            f"{name} is for denoising, where the operator is the identity of one block; got "
            f"{type(physics.operator).__name__}"
        )
    return physics.domain
