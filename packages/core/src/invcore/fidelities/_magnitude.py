"""Likelihoods of magnitudes: amplitudes of intensities (phase retrieval), and Rician data."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.special import i0e, i1e

from ._roots import newton
from ._separable import Separable, check_positive, need_real, phase, square


class Amplitude(Separable):
    """f(u; y) = 1/(2σ²) Σᵢ (|uᵢ| - √yᵢ)² for intensities y >= 0 and real or complex u. Not convex.

    The amplitude loss of phase retrieval. The proximal operator keeps the phase: ((|u| + t√y)/(1 + t)) u/|u|
    with t = step/σ²; where u = 0 the phase is free and taken as zero. The gradient jumps at u = 0 and is set
    to zero there. The conjugate (that of the convex envelope) is Σᵢ √yᵢ|pᵢ| + σ²|pᵢ|²/2.

    Parameters
    ----------
    sigma : float or Tensor, shape (batch...)
        Standard deviation σ > 0 of the amplitude.

    References
    ----------
    J. R. Fienup, "Phase retrieval algorithms: a comparison", Appl. Opt. 21 (1982); H. H. Bauschke, P. L.
    Combettes, D. R. Luke, J. Opt. Soc. Am. A 19 (2002).

    Examples
    --------
    >>> Amplitude().prox(torch.tensor([3j, -1 + 0j]), torch.tensor([1.0, 9.0]), 1.0)
    tensor([ 0.+2.j, -2.+0.j])
    """

    units = {"sigma": 1}
    sigma: float | Tensor = 1.0
    params = ("sigma",)
    convex: ClassVar[bool] = False
    smooth: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "sigma")

    def _value(self, u: Tensor, y: Tensor, sigma: Any) -> Tensor:
        need_real(self, y)
        return (u.abs() - y.sqrt()).square() / (2 * sigma**2)

    def _grad(self, u: Tensor, y: Tensor, sigma: Any) -> Tensor:
        need_real(self, y)
        return (u - y.sqrt() * torch.sgn(u)) / sigma**2

    def _prox(self, u: Tensor, y: Tensor, step: Any, sigma: Any) -> Tensor:
        need_real(self, y)
        t = step / sigma**2
        return (u + t * y.sqrt() * phase(u)) / (1 + t)

    def _conjugate(self, p: Tensor, y: Tensor, sigma: Any) -> Tensor:
        need_real(self, y)
        return y.sqrt() * p.abs() + sigma**2 * square(p) / 2


class RicianLikelihood(Separable):
    """Magnitudes in complex Gaussian noise: f(u; y) = Σᵢ [(uᵢ² + yᵢ²)/(2σ²) - log I₀(uᵢyᵢ/σ²)].

    Not convex, and even in u. `prox` is the global minimizer, the largest root of a concave-linear equation
    found by Newton's method from above, with the sign of u (+ for u = 0).

    Parameters
    ----------
    sigma : float or Tensor, shape (batch...)
        Standard deviation σ > 0 of the real and of the imaginary part of the noise.

    References
    ----------
    H. Gudbjartsson, S. Patz, "The Rician distribution of noisy MRI data", Magn. Reson. Med. 34 (1995).

    Examples
    --------
    >>> RicianLikelihood(sigma=1.0).grad(torch.tensor([0.0, 50.0]), torch.tensor([1.0, 50.0]))
    tensor([0.0000, 0.0100])
    """

    units = {"sigma": 1}
    sigma: float | Tensor
    params = ("sigma",)
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "sigma")

    def _value(self, u: Tensor, y: Tensor, sigma: Any) -> Tensor:
        need_real(self, u, y)
        t = u * y / sigma**2
        return (u.abs() - y.abs()).square() / (2 * sigma**2) - i0e(t).log()

    def _grad(self, u: Tensor, y: Tensor, sigma: Any) -> Tensor:
        need_real(self, u, y)
        return (u - y * _ratio(u * y / sigma**2)) / sigma**2

    def _prox(self, u: Tensor, y: Tensor, step: Any, sigma: Any) -> Tensor:
        need_real(self, u, y)
        t, a, v = step / sigma**2, y.abs(), u.abs()

        def stationary(z: Tensor) -> tuple[Tensor, Tensor]:
            arg = z * a / sigma**2
            ratio = _ratio(arg)
            safe = torch.where(arg > 1e-3, arg, 1.0)
            slope = torch.where(arg > 1e-3, 1 - ratio / safe - ratio.square(), 0.5).clamp(0, 0.5)
            return z * (1 + t) - v - t * a * ratio, 1 + t - t * a.square() / sigma**2 * slope

        low, high = v / (1 + t), (v + t * a) / (1 + t)
        z = newton(stationary, high, low.detach(), high.detach())
        return z * torch.where(u < 0, -1.0, 1.0).to(u.dtype)

    def lipschitz(self) -> None:
        """None: the curvature lies between 1/σ² and -y²/(2σ⁴), which depends on the data."""
        return None


def _ratio(t: Tensor) -> Tensor:
    """I₁(t)/I₀(t)."""
    return i1e(t) / i0e(t)
