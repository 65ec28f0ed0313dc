"""Likelihoods of counts: Poisson, Poisson with read noise, and the logarithm of transmitted counts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.special import xlogy

from .._errors import ShapeError
from ..operators import SpaceLike
from ..spaces import per_sample
from ._roots import newton
from ._separable import Separable, check_positive, need_real


class PoissonKL(Separable):
    """Poisson likelihood, y = γ Poisson(t/γ) with t = u + β: f(u; y) = (1/γ) Σᵢ [yᵢ log(yᵢ/tᵢ) + tᵢ - yᵢ].

    The (generalized) Kullback-Leibler divergence, zero for t = y, infinite where t < 0 or where t = 0 < y.
    The proximal operator is the positive root of a quadratic; the conjugate is Σᵢ -(yᵢ/γ) log(1 - γpᵢ) - βpᵢ
    for p < 1/γ. The gradient has no Lipschitz constant. Data must be real and >= 0: negative data gives NaN.

    Parameters
    ----------
    gain : float or Tensor, shape (batch...)
        γ > 0, data units per count.
    background : float, Tensor or tuple of Tensor
        β >= 0 in data units (dark counts, randoms, scatter): a number, or a tensor that broadcasts against
        the data of shape (batch..., *space.shape). For stacked data also a tuple, one for each block.

    References
    ----------
    L. A. Shepp, Y. Vardi, "Maximum likelihood reconstruction for emission tomography", IEEE Trans. Med.
    Imaging 1 (1982).

    Examples
    --------
    >>> f = PoissonKL()
    >>> u, y = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])
    >>> f.grad(u, y), f.prox(u[:1], u[1:], 1.0)
    (tensor([ 0., -1.]), tensor([1.4142]))
    """

    units = {"gain": 1, "background": 1}
    factor = ("gain", -1)
    gain: float | Tensor = 1.0
    background: float | Tensor | tuple[Tensor, ...] = 0.0
    params = ("gain", "background")
    maps = ("background",)

    def __post_init__(self) -> None:
        check_positive(self, "gain")
        check_positive(self, "background", zero=True)

    def of_blocks(self, count: int) -> tuple[PoissonKL, ...]:
        if not isinstance(self.background, tuple):
            return (self,) * count
        if len(self.background) != count:
            raise ShapeError(
                f"PoissonKL: the background has {len(self.background)} blocks, and the data {count}"
            )
        return tuple(PoissonKL(gain=self.gain, background=part) for part in self.background)

    def _shaped(self, space: SpaceLike) -> list[Any]:
        return [per_sample(self.gain, space), self.background]

    def _value(self, u: Tensor, y: Tensor, gain: Any, background: Any) -> Tensor:
        need_real(self, u, y)
        return divergence(u + background, y) / gain

    def _grad(self, u: Tensor, y: Tensor, gain: Any, background: Any) -> Tensor:
        need_real(self, u, y)
        return divergence_slope(u + background, y) / gain

    def _prox(self, u: Tensor, y: Tensor, step: Any, gain: Any, background: Any) -> Tensor:
        need_real(self, u, y)
        return _unshifted(divergence_prox(u + background, y, step / gain), background)

    def _conjugate(self, p: Tensor, y: Tensor, gain: Any, background: Any) -> Tensor:
        need_real(self, p, y)
        left = 1 - gain * p
        inside = torch.where(y > 0, left > 0, left >= 0)
        log = torch.where(left > 0, left, 1.0).log()
        return torch.where(inside, -y / gain * log - background * p, torch.inf)


class ShiftedPoisson(Separable):
    """f(u; y) = (1/γ) KL(y + σ²/γ ; u + σ²/γ): the likelihood of Poisson-Gaussian noise, approximated.

    y = γ Poisson(u/γ) + σ n has mean u and variance γu + σ²; y + σ²/γ has the same mean and variance as γ
    times a Poisson variable of mean (u + σ²/γ)/γ, which is what is fitted. Exact in the limits σ → 0 and γ →
    0, in closed form, and convex. Data below -σ²/γ counts as -σ²/γ.

    Parameters
    ----------
    gain, sigma : float or Tensor, shape (batch...)
        γ > 0, data units per count; σ >= 0, standard deviation of the read noise in data units.

    References
    ----------
    D. L. Snyder, C. W. Helstrom, A. D. Lanterman, M. Faisal, R. L. White, "Compensation for readout noise in
    CCD images", J. Opt. Soc. Am. A 12 (1995).

    Examples
    --------
    >>> f = ShiftedPoisson(gain=0.5, sigma=1.0)
    >>> f.grad(torch.tensor([2.0, 4.0]), torch.tensor([2.0, -9.0]))
    tensor([0., 2.])
    """

    units = {"gain": 1, "sigma": 1}
    gain: float | Tensor
    sigma: float | Tensor
    params = ("gain", "sigma")

    def __post_init__(self) -> None:
        check_positive(self, "gain")
        check_positive(self, "sigma", zero=True)

    def _value(self, u: Tensor, y: Tensor, gain: Any, sigma: Any) -> Tensor:
        need_real(self, u, y)
        return divergence(u + sigma**2 / gain, (y + sigma**2 / gain).clamp_min(0)) / gain

    def _grad(self, u: Tensor, y: Tensor, gain: Any, sigma: Any) -> Tensor:
        need_real(self, u, y)
        return divergence_slope(u + sigma**2 / gain, (y + sigma**2 / gain).clamp_min(0)) / gain

    def _prox(self, u: Tensor, y: Tensor, step: Any, gain: Any, sigma: Any) -> Tensor:
        need_real(self, u, y)
        shift = sigma**2 / gain
        return _unshifted(divergence_prox(u + shift, (y + shift).clamp_min(0), step / gain), shift)

    def _conjugate(self, p: Tensor, y: Tensor, gain: Any, sigma: Any) -> Tensor:
        shift = sigma**2 / gain
        return PoissonKL()._conjugate(p, (y + shift).clamp_min(0), gain, shift)


def divergence(t: Tensor, y: Tensor) -> Tensor:
    """y log(y/t) + t - y, accurate for t near y; infinite where t < 0 or t = 0 < y."""
    inside = torch.where(y > 0, t > 0, t >= 0)
    value = xlogy(y, y) - xlogy(y, torch.where(t > 0, t, 1.0)) + t - y
    near = (t - y).abs() < 1e-2 * y
    d = torch.where(near, (t - y) / torch.where(near, y, 1.0), 0.0)
    series = d * d * (1 / 2 - d * (1 / 3 - d * (1 / 4 - d * (1 / 5 - d * (1 / 6 - d / 7)))))
    return torch.where(inside | y.isnan(), torch.where(near, y * series, value), torch.inf)


def divergence_slope(t: Tensor, y: Tensor) -> Tensor:
    """1 - y/t, with 0/0 = 0."""
    return 1 - torch.where(y == 0, 0.0, y / torch.where(y == 0, 1.0, t))


def divergence_prox(v: Tensor, y: Tensor, step: Any) -> Tensor:
    """The root t >= 0 of t² - (v - s)t - sy = 0, without cancellation."""
    q, product = v - step, step * y
    square = q.square() + 4 * product
    root = torch.where(square > 0, torch.where(square > 0, square, 1).sqrt(), 0)  # of finite slope at 0
    below = torch.where(q < 0, root - q, 1.0)
    return torch.where(q < 0, 2 * product / below, (q + root) / 2)


def _unshifted(t: Tensor, background: Any) -> Tensor:
    """t - β, kept inside the domain where round-off would leave it: u + β > 0."""
    edge = torch.as_tensor(background, dtype=t.dtype, device=t.device) * (1 - torch.finfo(t.dtype).eps)
    return torch.maximum(t - background, -edge)


class LogPoisson(Separable):
    """Likelihood of log transmission data: f(u; y) = N₀ Σᵢ [e^(-μuᵢ) - e^(-μyᵢ) + μe^(-μyᵢ)(uᵢ - yᵢ)].

    With N = N₀e^(-μy) counts, of mean N₀e^(-μu): the Poisson likelihood as a function of the line integrals
    u. Convex, zero for u = y. The proximal operator (a Lambert W function) is found by Newton's method. The
    gradient has no Lipschitz constant on all of ℝ.

    Parameters
    ----------
    photons : float or Tensor, shape (batch...)
        N₀ > 0, mean counts without an object.
    mu : float or Tensor, shape (batch...)
        Attenuation μ > 0 per unit of u.

    References
    ----------
    J. Leuschner, M. Schmidt, D. O. Baguer, P. Maass, "LoDoPaB-CT, a benchmark dataset for low-dose computed
    tomography reconstruction", Scientific Data 8 (2021).

    Examples
    --------
    >>> f = LogPoisson(photons=100.0)
    >>> one = torch.ones(1)
    >>> f.grad(0 * one, one), f.prox(one, one, 0.1)
    (tensor([-63.2121]), tensor([1.]))
    """

    photons: float | Tensor
    mu: float | Tensor = 1.0
    params = ("photons", "mu")

    def __post_init__(self) -> None:
        check_positive(self, "photons", "mu")

    def _value(self, u: Tensor, y: Tensor, photons: Any, mu: Any) -> Tensor:
        need_real(self, u, y)
        return photons * torch.exp(-mu * y) * exp_divergence(mu * (y - u))

    def _grad(self, u: Tensor, y: Tensor, photons: Any, mu: Any) -> Tensor:
        need_real(self, u, y)
        return -mu * photons * torch.exp(-mu * y) * torch.expm1(mu * (y - u))

    def _prox(self, u: Tensor, y: Tensor, step: Any, photons: Any, mu: Any) -> Tensor:
        need_real(self, u, y)
        return y + exp_prox(u - y, log_of(step, u) + log_of(photons, u) - mu * y, mu)

    def _conjugate(self, p: Tensor, y: Tensor, photons: Any, mu: Any) -> Tensor:
        need_real(self, p, y)
        counts = photons * torch.exp(-mu * y)
        return p * y + counts * exp_conjugate(p / (mu * counts))


def exp_divergence(r: Tensor) -> Tensor:
    """eʳ - 1 - r, accurate for small r."""
    small = r.abs() < 1e-2
    s = torch.where(small, r, 0.0)
    series = s * s * (0.5 + s * (1 / 6 + s * (1 / 24 + s * (1 / 120 + s / 720))))
    return torch.where(small, series, torch.expm1(r) - r)


def exp_prox(v: Tensor, log_weight: Any, rate: Any) -> Tensor:
    """argmin over d of w [e^(-κd) - 1 + κd] + (d - v)²/2.

    With x = κd, a = κ²w and b = κv the root of x - b + a(1 - e^(-x)): a concave rising function, so that
    Newton's method from below rises to it. (It is b - a + W(a e^(a-b)), which cancels for large a.)
    """
    log_a = log_weight + 2 * log_of(rate, v)
    log_a, b = torch.broadcast_tensors(log_a, rate * v)
    a = log_a.exp()

    def stationary(x: Tensor) -> tuple[Tensor, Tensor]:
        deep = x < -1  # a may underflow where a e^(-x) does not
        near, far = torch.where(deep, 0.0, x), torch.where(deep, x, 0.0)
        rise = torch.where(deep, a - torch.exp(log_a - far), -a * torch.expm1(-near))
        return x - b + rise, 1 + torch.exp(log_a - x)

    with torch.no_grad():
        bound = log_a - torch.log(a - b.clamp_max(0) + torch.finfo(v.dtype).tiny)
        below = torch.maximum(b, bound).clamp_max(0)
    return newton(stationary, below, below, b.detach().clamp_min(0), steps=200) / rate


def log_of(x: Any, like: Tensor) -> Tensor:
    """log x of a number or tensor, as a tensor of the type of ``like``."""
    return torch.log(torch.as_tensor(x, dtype=like.dtype, device=like.device))


def exp_conjugate(p: Tensor) -> Tensor:
    """sup over x of px - (e^(-x) - 1 + x) = (1 - p) log(1 - p) + p for p <= 1, else infinite."""
    left = 1 - p
    return torch.where(left >= 0, xlogy(left, left.clamp_min(torch.finfo(p.dtype).tiny)) + p, torch.inf)
