"""Fidelities that large residuals hurt less: ℓ1, Huber, Student's t."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ..operators._wavelet import soft_threshold
from ._roots import cubic_minimizer
from ._separable import Separable, check_positive, inner, phase, square


class L1(Separable):
    """f(u; y) = (1/b) Σᵢ |uᵢ - yᵢ|, the negative log-likelihood of Laplace noise.

    Its proximal operator is soft thresholding of the residual by step/b; `grad` is a subgradient (zero where
    u = y). Complex residuals count with their modulus. The conjugate is Re⟨p, y⟩ for max |pᵢ| <= 1/b, else
    infinite.

    Parameters
    ----------
    scale : float or Tensor, shape (batch...)
        b > 0 of the density exp(-\\|n\\|/b) of the noise.

    References
    ----------
    N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in Optimization 1 (2014), Sec. 6.5.

    Examples
    --------
    >>> L1().prox(torch.tensor([3.0, 0.5]), torch.tensor([0.0, 0.0]), 1.0)
    tensor([2., 0.])
    """

    units = {"scale": 1}
    factor = ("scale", -1)
    scale: float | Tensor = 1.0
    params = ("scale",)
    smooth: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "scale")

    def _value(self, u: Tensor, y: Tensor, scale: Any) -> Tensor:
        return (u - y).abs() / scale

    def _grad(self, u: Tensor, y: Tensor, scale: Any) -> Tensor:
        return torch.sgn(u - y) / scale

    def _prox(self, u: Tensor, y: Tensor, step: Any, scale: Any) -> Tensor:
        return y + soft_threshold(u - y, step / scale)

    def _conjugate(self, p: Tensor, y: Tensor, scale: Any) -> Tensor:
        inside = p.abs() * scale <= 1 + 8 * torch.finfo(p.dtype).eps
        return torch.where(inside, inner(p, y), torch.inf)


class Huber(Separable):
    """f(u; y) = (1/σ²) Σᵢ h(|uᵢ - yᵢ|) with h(r) = r²/2 for r <= δ and δr - δ²/2 beyond.

    Least squares for small residuals, ℓ1 for outliers. The gradient is the residual clipped at δ, over σ².
    The conjugate is Re⟨p, y⟩ + σ²|p|²/2 for max |pᵢ| <= δ/σ², else infinite.

    Parameters
    ----------
    delta : float or Tensor, shape (batch...)
        Residual δ > 0 at which the quadratic turns linear, in the units of the data.
    sigma : float or Tensor, shape (batch...)
        σ > 0.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964).

    Examples
    --------
    >>> f = Huber(delta=1.0)
    >>> f.grad(torch.tensor([0.5, -9.0]), torch.zeros(2)), f.value(torch.tensor([0.0, -9.0]), torch.zeros(2))
    (tensor([ 0.5000, -1.0000]), tensor(8.5000))
    """

    units = {"delta": 1, "sigma": 1}
    delta: float | Tensor
    sigma: float | Tensor = 1.0
    params = ("delta", "sigma")

    def __post_init__(self) -> None:
        check_positive(self, "delta", "sigma")

    def _value(self, u: Tensor, y: Tensor, delta: Any, sigma: Any) -> Tensor:
        r = (u - y).abs()
        return torch.where(r <= delta, square(u - y) / 2, delta * (r - delta / 2)) / sigma**2

    def _grad(self, u: Tensor, y: Tensor, delta: Any, sigma: Any) -> Tensor:
        return _clipped(u - y, delta) / sigma**2

    def _prox(self, u: Tensor, y: Tensor, step: Any, delta: Any, sigma: Any) -> Tensor:
        t = step / sigma**2
        return u - t * _clipped((u - y) / (1 + t), delta)

    def _conjugate(self, p: Tensor, y: Tensor, delta: Any, sigma: Any) -> Tensor:
        inside = p.abs() * sigma**2 <= delta * (1 + 8 * torch.finfo(p.dtype).eps)
        return torch.where(inside, inner(p, y) + square(p) * sigma**2 / 2, torch.inf)

    def lipschitz(self) -> float | Tensor:
        return self.sigma**-2


def _clipped(r: Tensor, delta: Any) -> Tensor:
    """r with its modulus clipped at δ."""
    return r - soft_threshold(r, delta)


class StudentT(Separable):
    """f(u; y) = (ν + k)/2 Σᵢ log(1 + |uᵢ - yᵢ|²/(νσ²)), k = 1 for real and 2 for complex data. Not convex.

    The negative log-likelihood of Student's t noise: outliers lose their influence altogether (the gradient
    goes to zero for large residuals). `prox` is the global minimizer, from the roots of a cubic; where two
    minima are equally good, that nearer to u.

    Parameters
    ----------
    dof : float or Tensor, shape (batch...)
        Degrees of freedom ν > 0; small is heavy-tailed.
    sigma : float or Tensor, shape (batch...)
        Scale σ > 0, in the units of the data.

    References
    ----------
    K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust statistical modeling using the t distribution", J.
    Am. Statist. Assoc. 84 (1989).

    Examples
    --------
    >>> f = StudentT(dof=1.0)
    >>> f.grad(torch.tensor([1.0, 100.0]), torch.zeros(2))
    tensor([1.0000, 0.0200])
    """

    units = {"sigma": 1}
    dof: float | Tensor = 1.0
    sigma: float | Tensor = 1.0
    params = ("dof", "sigma")
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "dof", "sigma")

    def _value(self, u: Tensor, y: Tensor, dof: Any, sigma: Any) -> Tensor:
        return (dof + _parts(u)) / 2 * torch.log1p(square(u - y) / (dof * sigma**2))

    def _grad(self, u: Tensor, y: Tensor, dof: Any, sigma: Any) -> Tensor:
        r = u - y
        return (dof + _parts(u)) * r / (dof * sigma**2 + square(r))

    def _prox(self, u: Tensor, y: Tensor, step: Any, dof: Any, sigma: Any) -> Tensor:
        r, n, width = u - y, dof + _parts(u), dof * sigma**2
        kept = r != 0
        d = torch.where(
            kept, r, torch.ones_like(r)
        ).abs()  # an entry without residual stays, without a bad derivative

        def objective(z: Tensor) -> Tensor:
            return n / 2 * torch.log1p(z.square() / width) + (z - d).square() / (2 * step)

        z = cubic_minimizer(d, width + n * step + 0 * d, d * width, d, objective)
        return y + torch.where(kept, z * phase(r), torch.zeros_like(r))

    def lipschitz(self) -> float | Tensor:
        """(ν + 2)/(νσ²), which holds for real and complex data."""
        return (self.dof + 2) / (self.dof * self.sigma**2)


def _parts(u: Tensor) -> int:
    return 2 if u.is_complex() else 1
