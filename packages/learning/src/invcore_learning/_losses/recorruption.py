"""Recorrupted to recorrupted: two independent measurements made of one."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch
from torch import Tensor

import invcore
from invcore import Physics
from invcore.noises import GammaNoise, GaussianMapNoise, GaussianNoise, PoissonNoise
from invcore.spaces import add, batch_shape, dtype_of, scaled, spaces_of, tree_map, vdot

from .._data.sample import sample_by_sample
from .base import expected, size_of, support
from .wrapped import WrappingLoss, averaged


class R2R(WrappingLoss):
    r"""Recorrupted to recorrupted: y is split by more noise into independent y₁ and y₂ with the mean of y.

    .. math:: L = \tfrac1m \bigl(\|A \hat x(y_1) - y_2\|^2 - \textstyle\sum_i \mathrm{var}\, y_{2,i}\bigr)

    estimates ‖A(x̂(y₁) - x)‖²/m without bias [1]_ [2]_. y₂ has the share α of the information, y₁ the rest:

    * Gaussian noise: y₁ = y + τω, y₂ = y - σ²ω/τ with ω normal and τ = σ (α/(1-α))^½;
    * Poisson noise: binomial thinning, γ → γ/(1-α) and γ/α;
    * Gamma noise of ℓ looks: Beta thinning, ℓ → (1-α)ℓ and αℓ.

    The model reconstructs from y₁ and a physics with the noise of y₁. After training it averages over several
    draws of y₁.

    Parameters
    ----------
    alpha : float
        α, above 0 and below 1.
    samples : int
        Draws that are averaged after training.

    Raises
    ------
    ParameterError
        If the noise of the physics is another one.
    DataError
        If Poisson data are not multiples of the gain.

    References
    ----------
    .. [1] T. Pang, H. Zheng, Y. Quan, H. Ji, Recorrupted-to-recorrupted: unsupervised deep learning for image
       denoising, CVPR 2021.
    .. [2] B. Monroy, J. Bacca, J. Tachella, Generalized recorrupted-to-recorrupted: self-supervised learning
       beyond Gaussian noise, CVPR 2025.

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 200, 200)), GaussianNoise(sigma=0.1))
    >>> y = physics(torch.ones(1, 200, 200), generator=torch.Generator().manual_seed(0))
    >>> class Shrink(torch.nn.Module):
    ...     def forward(self, y, physics): return 0.9 * y
    >>> loss = R2R(alpha=0.5)
    >>> model = loss.wrap(Shrink())
    >>> x_hat = model(y, physics)
    >>> error = (x_hat - 1).square().mean()
    >>> round(float(error), 3), round(float(loss(x_hat, None, y, physics, model)), 3)
    (0.027, 0.027)
    """

    alpha: float = 0.15
    samples: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise invcore.ParameterError(f"R2R: alpha must lie between 0 and 1, got {self.alpha!r}")
        if self.samples < 1:
            raise invcore.ParameterError(f"R2R: samples must be >= 1, got {self.samples!r}")

    def reconstruct(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """See `WrappingLoss.reconstruct`."""
        y1, _, physics1 = recorrupted(self.alpha, y, physics, self._generators(y, physics))
        return cast(Tensor, model(y1, physics1))

    def restore(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """See `WrappingLoss.restore`."""

        def once(generators: list[torch.Generator]) -> Tensor:
            y1, _, physics1 = recorrupted(self.alpha, y, physics, generators)
            return cast(Tensor, model(y1, physics1))

        return averaged(self, self.samples, batch_shape(y, physics.range), once)

    def compare(self, x_hat: Tensor, y: Any, physics: Physics, model: Any) -> Tensor:
        """See `WrappingLoss.compare`."""
        _, y2, _ = recorrupted(self.alpha, y, physics, self._generators(y, physics))
        space = physics.range
        u = expected(physics.operator(x_hat), physics)
        residual = tree_map(torch.mul, support(physics, y), add(u, y2, -1.0))
        value = vdot(residual, residual, space) - variance_of_target(self.alpha, y, physics)
        return value / size_of(space)

    def _generators(self, y: Any, physics: Physics) -> list[torch.Generator]:
        return self.generators("noise", batch_shape(y, physics.range))


def recorrupted(
    alpha: float, y: Any, physics: Physics, generators: list[torch.Generator]
) -> tuple[Any, Any, Physics]:
    """y₁, y₂ and the physics of y₁, drawn with the generator of each sample."""
    space, noise = physics.range, physics.noise
    batch = batch_shape(y, space)

    if isinstance(noise, GaussianNoise | GaussianMapNoise):
        noise = noise.per_sample(space, batch)
        ratio = (alpha / (1 - alpha)) ** 0.5
        omega = sample_by_sample(lambda t, i, g: tree_map(lambda s: _normal(s, g), t), y, space, generators)
        omega = scaled(noise.sigma, omega, space) if isinstance(noise, GaussianNoise) else noise.sigma * omega
        wider = dataclasses.replace(noise, sigma=noise.sigma * (1 - alpha) ** -0.5)
        return add(y, omega, ratio), add(y, omega, -1 / ratio), _with_noise(physics, wider)
    if isinstance(noise, PoissonNoise):
        noise = noise.per_sample(space, batch)
        gain = noise.gain
        counts = tree_map(_whole, scaled(1 / gain, y, space))
        kept = sample_by_sample(
            lambda t, i, g: tree_map(lambda n: torch.binomial(n, torch.full_like(n, alpha), generator=g), t),
            tree_map(lambda t: t.detach().cpu(), counts),
            space,
            generators,
        )
        kept = tree_map(lambda n, t: n.to(t), kept, counts)
        rest = scaled(gain / (1 - alpha), add(counts, kept, -1.0), space)
        thinner = dataclasses.replace(noise, gain=gain / (1 - alpha))
        return rest, scaled(gain / alpha, kept, space), _with_noise(physics, thinner)
    if isinstance(noise, GammaNoise):
        noise = noise.per_sample(space, batch)
        looks = torch.as_tensor(noise.looks, dtype=torch.float64).cpu().expand(batch).reshape(-1)
        share = sample_by_sample(
            lambda t, i, g: tree_map(lambda s: _beta(float(looks[i]), alpha, s, g), t),
            y,
            space,
            generators,
        )
        first = tree_map(lambda t, b: t * (1 - b) / (1 - alpha), y, share)
        second = tree_map(lambda t, b: t * b / alpha, y, share)
        fewer = dataclasses.replace(noise, looks=noise.looks * (1 - alpha))
        return first, second, _with_noise(physics, fewer)
    raise invcore.ParameterError(
        f"R2R needs Gaussian, Poisson or Gamma noise of known level; this physics has {type(noise).__name__}"
    )


def variance_of_target(alpha: float, y: Any, physics: Physics) -> Tensor:
    """Σᵢ of an unbiased estimate of the variance of y₂, one value per sample."""
    space = physics.range
    noise: Any = physics.noise.per_sample(space, batch_shape(y, space))
    real = tree_map(lambda t, there: there.expand(t.shape), y, support(physics, y))
    plain = _real(space)
    if isinstance(noise, PoissonNoise):
        return vdot(real, scaled(noise.gain / alpha, y, space), space)
    if isinstance(noise, GammaNoise):
        square = scaled(1 / (alpha * (noise.looks + 1)), tree_map(torch.square, y), space)
        return vdot(real, square, space)
    components = 2 if spaces_of(space)[0].kind == "complex" else 1
    sigma = torch.as_tensor(noise.sigma, dtype=dtype_of(real))
    v = scaled(sigma**2, real, plain) if isinstance(noise, GaussianNoise) else sigma**2 * real
    return components / alpha * vdot(real, v, plain)


def _real(space: Any) -> Any:
    if isinstance(space, tuple):
        return tuple(_real(s) for s in space)
    return invcore.Space(space.shape)


def _with_noise(physics: Physics, noise: Any) -> Physics:
    return Physics(physics.operator, noise)


def _normal(t: Tensor, g: torch.Generator) -> Tensor:
    shape = (*t.shape, 2) if t.is_complex() else t.shape
    drawn = torch.randn(shape, dtype=t.real.dtype, generator=g).to(t.device)
    return torch.view_as_complex(drawn) if t.is_complex() else drawn


def _beta(looks: float, alpha: float, like: Tensor, g: torch.Generator) -> Tensor:
    """Beta(αℓ, (1-α)ℓ) numbers."""
    a, b = (
        torch._standard_gamma(torch.full(like.shape, looks * part, dtype=torch.float64), generator=g)
        for part in (alpha, 1 - alpha)
    )
    return (a / (a + b)).to(like)


def _whole(counts: Tensor) -> Tensor:
    """Numbers of photons."""
    near = counts.round()
    if bool(((counts - near).abs() > 1e-3 + 1e-6 * near.abs()).any()) or bool((near < 0).any()):
        worst = float(counts.flatten()[(counts - near).abs().argmax()])
        raise invcore.DataError(
            f"R2R: Poisson data are whole multiples of the gain, got {worst:.6g} counts: check the gain"
        )
    return near
