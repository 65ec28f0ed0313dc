"""The geometry of products of factors: diagonal linear networks as mirror flows."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .._errors import ParameterError
from ._potentials import Potential

_NEWTON = 40
_ALMOST = 1e-8
"""Relative size of a Newton step after which one more is exact."""
_CLOSE = 0.02
_NODES, _WEIGHTS = (torch.as_tensor(v) for v in np.polynomial.legendre.leggauss(5))


class Hyperbolic(Potential):
    r"""The geometry of x = u¹ ⊙ … ⊙ uᴸ, on which gradient descent finds sparse solutions without a penalty.

    Gradient flow on L factors keeps all differences of their squares. From uᴸ = 0 and the others α,
    :math:`(u^i)^2 - (u^L)^2 = α^2 = δ^{2/L}` for ever, so that x says what its factors u = uᴸ and w = √(u² +
    α²) are, x = u w^(L-1), and follows the mirror flow of

    .. math::
        φ(x) = x \, φ'(x) - \tfrac12 u^2, \quad φ'(x) = \int_0^u \frac{ds}{(s^2 + α^2)^{(L-1)/2}}, \quad
        \frac{1}{φ''(x)} = \sum_j \prod_{i \ne j} (u^i)^2.

    For depth 2 that is ¼(2x arcsinh(2x/δ) - √(4x² + δ²) + δ) [1]_; beyond, φ' is bounded [2]_.
    `MirrorDescent` runs it without the factors, keeping the invariants to rounding. Started at zero with
    fewer data than unknowns it ends at the solution of Ax = y with the least φ: for δ large that of least
    ‖x‖, for δ small one of nearly the least ‖x‖₁. For depth 2 it comes near with 1/log(1/δ), and for deeper
    products with a power of δ, as φ is proportional to |x| less a term with δ^(1-2/L)|x|^(2/L).

    Parameters
    ----------
    delta : float
        δ > 0, in the units of x: αᴸ.
    depth : int
        L, at least 2.

    References
    ----------
    .. [1] B. Woodworth et al., "Kernel and rich regimes in overparametrized models", COLT (2020).
    .. [2] H. Labarrière, C. Molinari, L. Rosasco, C. Vega, S. Villa, "Optimization insights into deep
       diagonal linear networks", arXiv:2412.16765 (2024).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> from invcore.solvers import Hyperbolic, MirrorDescent
    >>> physics = Physics(Matrix(torch.tensor([[1.0, 2.0]])))
    >>> MirrorDescent(potential=Hyperbolic(1e-6), rtol=1e-7)(torch.tensor([2.0]), physics).round(decimals=2)
    tensor([0., 1.])
    """

    delta: float
    depth: int = 2
    positive = False
    units: ClassVar[dict[str, int] | None] = {"delta": 1}

    def __post_init__(self) -> None:
        if not 0 < self.delta < math.inf:
            raise ParameterError(f"Hyperbolic: delta must be positive and finite, got {self.delta!r}")
        if not (isinstance(self.depth, int) and self.depth >= 2):
            raise ParameterError(f"Hyperbolic: depth must be a whole number >= 2, got {self.depth!r}")

    @property
    def _steepness(self) -> float:
        """α^(2 - L), what φ' is of ∫ (1 + s²)^(-(L-1)/2) ds."""
        return self.delta ** (2 / self.depth - 1)

    def factor(self, x: Tensor) -> Tensor:
        """u/α of each entry: p with p (1 + p²)^((L-1)/2) = x/δ."""
        return self._factor(x.double()).to(x)

    def _factor(self, x: Tensor) -> Tensor:
        """By Newton steps from above on a convex function, the last one with derivatives."""
        v, power = x / self.delta, (self.depth - 1) / 2
        if self.depth == 2:
            return (torch.sqrt(1 + 4 * v**2) + 1).rsqrt() * v * math.sqrt(2)

        def newton(p: Tensor, v: Tensor) -> Tensor:
            w2 = 1 + p**2
            return p - (p * w2**power - v) / (w2 ** (power - 1) * (1 + self.depth * p**2))

        with torch.no_grad():
            size = v.abs()
            p = torch.minimum(size, size ** (1 / self.depth))
            for _ in range(_NEWTON):
                before, p = p, newton(p, size)
                if bool(((p - before).abs() <= _ALMOST * p).all()):
                    break
            p = v.sign() * p
        return newton(p, v)

    def value(self, x: Tensor) -> Tensor:
        wide = x.double()
        p = self._factor(wide)
        return (wide * self._steepness * self._integral(p) - self.delta ** (2 / self.depth) * p**2 / 2).to(x)

    def grad(self, x: Tensor) -> Tensor:
        return (self._steepness * self._integral(self._factor(x.double()))).to(x)

    def _integral(self, p: Tensor) -> Tensor:
        """∫₀ᵖ (1 + s²)^(-(L-1)/2) ds = ∫ cos^(L-3) dθ with p = tan θ, by its recursion."""
        n = self.depth - 3
        if n < 0:
            return torch.asinh(p)
        theta, cos = torch.atan(p), (1 + p**2).rsqrt()
        sin = p * cos
        total, k = (sin, 1) if n % 2 else (theta, 0)
        while k < n:
            k += 2
            total = cos ** (k - 1) * sin / k + (k - 1) / k * total
        return total

    def grad_conjugate(self, u: Tensor) -> Tensor:
        p = self._inverse(u.double() / self._steepness)
        return (self.delta * p * (1 + p**2) ** ((self.depth - 1) / 2)).to(u)

    def _inverse(self, v: Tensor) -> Tensor:
        """The inverse of `_integral`, NaN beyond its bound: by Newton from below in arcsinh p.

        As √(s² + 1) is between s and s + 1, p is between ((L-2) q)^(-1/(L-2)) and that less 1, with q what is
        left to the bound.
        """
        n = self.depth - 2
        if n == 0:
            return torch.sinh(v)

        def newton(s: Tensor, v: Tensor) -> Tensor:
            return s + (v - self._integral(torch.sinh(s))) * torch.cosh(s) ** n

        with torch.no_grad():
            size = v.abs()
            left = self._integral(torch.full_like(v, 1e150)) - size
            inside = left > 0
            size, left = torch.where(inside, size, 0), torch.where(inside, left, 1)
            s = torch.asinh(torch.maximum(size, (n * left) ** (-1 / n) - 1))
            for _ in range(_NEWTON):
                before, s = s, newton(s, size)
                if bool(((s - before).abs() <= _ALMOST * (1 + s)).all()):
                    break
            s = v.sign() * s
        return torch.where(inside, torch.sinh(newton(s, torch.where(inside, v, 0))), torch.nan)

    def inverse_hessian(self, x: Tensor) -> Tensor:
        if self.depth == 2:
            return (4 * x**2 + self.delta**2).sqrt()
        p = self._factor(x.double())
        w2, scale = 1 + p**2, self.delta ** (2 - 2 / self.depth)
        return (scale * w2 ** (self.depth - 2) * (1 + self.depth * p**2)).to(x)

    def step(self, x: Tensor, move: Tensor) -> Tensor:
        if self.depth == 2:
            return x * torch.cosh(2 * move) - self.inverse_hessian(x) / 2 * torch.sinh(2 * move)
        wide = x.double()
        return self.grad_conjugate(self.grad(wide) - move.double()).to(x)

    def slope_change(self, x: Tensor, z: Tensor) -> Tensor:
        if self.depth == 2:
            a, b = 2 * x / self.delta, 2 * z / self.delta  # arcsinh a - arcsinh b = arcsinh of:
            p, q = a * (1 + b**2).sqrt(), b * (1 + a**2).sqrt()
            same = a * b > 0
            apart = torch.where(same, (a - b) * (a + b) / torch.where(same, p + q, 1), p - q)
            return torch.asinh(apart) / 2 * (x - z)
        a, b = x.double(), z.double()
        d = a - b
        near = d.abs() <= _CLOSE * (self.delta + torch.minimum(a.abs(), b.abs()))
        nodes = (1 + _NODES.to(a.device)).reshape(-1, *(1,) * a.ndim) / 2
        bend = 1 / self.inverse_hessian(
            b + nodes * d
        )  # φ'' between two slopes that are too close to subtract
        mean = torch.tensordot(_WEIGHTS.to(a.device), bend, 1) / 2
        first, second = self.grad(torch.stack([a, b]))
        return torch.where(near, mean * d**2, (first - second) * d).to(x)
