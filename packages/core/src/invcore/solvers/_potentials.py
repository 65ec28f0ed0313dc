"""Bregman potentials: the geometries of mirror descent."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import Value


class Potential(Value, abstract=True):
    """A strictly convex function φ(x) = Σ φ(xᵢ).

    Its divergence D(x, z) = φ(x) - φ(z) - ⟨∇φ(z), x - z⟩ measures distance.

    Attributes
    ----------
    positive : bool
        Whether φ is for x > 0 only; its steps then stay there.
    """

    positive: ClassVar[bool] = True
    units: ClassVar[dict[str, int] | None] = {}

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """φ of each entry."""

    @abstractmethod
    def grad(self, x: Tensor) -> Tensor:
        """∇φ(x)."""

    @abstractmethod
    def grad_conjugate(self, u: Tensor) -> Tensor:
        """∇φ*(u), the inverse of `grad`."""

    @abstractmethod
    def inverse_hessian(self, x: Tensor) -> Tensor:
        """1/φ''(x) of each entry."""

    @abstractmethod
    def step(self, x: Tensor, move: Tensor) -> Tensor:
        """∇φ*(∇φ(x) - move), in a form exact at x = 0; infinite or NaN where it does not exist."""

    @abstractmethod
    def slope_change(self, x: Tensor, z: Tensor) -> Tensor:
        """(∇φ(x) - ∇φ(z)) (x - z) = D(x, z) + D(z, x) of each entry, without cancellation."""

    def divergence(self, x: Tensor, z: Tensor) -> Tensor:
        """D(x, z) of each entry."""
        return self.value(x) - self.value(z) - self.grad(z) * (x - z)


class Energy(Potential):
    """φ(x) = |x|²/2, the Euclidean geometry, for real x (complex images in real coordinates).

    Examples
    --------
    >>> Energy().divergence(torch.tensor(3.0), torch.tensor(1.0))
    tensor(2.)
    """

    positive = False

    def value(self, x: Tensor) -> Tensor:
        return x**2 / 2

    def grad(self, x: Tensor) -> Tensor:
        return x

    def grad_conjugate(self, u: Tensor) -> Tensor:
        return u

    def inverse_hessian(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    def step(self, x: Tensor, move: Tensor) -> Tensor:
        return x - move

    def slope_change(self, x: Tensor, z: Tensor) -> Tensor:
        return (x - z) ** 2


class BurgEntropy(Potential):
    """φ(x) = -log x, whose divergence is that of Itakura and Saito; the geometry of Poisson data.

    The Poisson likelihood of y is smooth relative to it, with constant Σ y [1]_.

    References
    ----------
    .. [1] H. Bauschke, J. Bolte, M. Teboulle, "A descent lemma beyond Lipschitz gradient continuity:
       first-order methods revisited and applications", Math. Oper. Res. 42 (2017).

    Examples
    --------
    >>> BurgEntropy().step(torch.tensor(2.0), torch.tensor(0.5))  # 1/(1/2 + 1/2)
    tensor(1.)
    """

    def value(self, x: Tensor) -> Tensor:
        return -x.log()

    def grad(self, x: Tensor) -> Tensor:
        return -1 / x

    def grad_conjugate(self, u: Tensor) -> Tensor:
        return -1 / u

    def inverse_hessian(self, x: Tensor) -> Tensor:
        return x**2

    def step(self, x: Tensor, move: Tensor) -> Tensor:
        below = 1 + x * move
        return torch.where(below > 0, x / torch.where(below > 0, below, 1), torch.nan)

    def slope_change(self, x: Tensor, z: Tensor) -> Tensor:
        below = x * z
        return torch.where(below > 0, (x - z) ** 2 / torch.where(below > 0, below, 1), 0)


class BoltzmannShannon(Potential):
    """φ(x) = x log x - x, whose divergence is that of Kullback and Leibler; steps are multiplicative.

    Examples
    --------
    >>> BoltzmannShannon().step(torch.tensor(2.0), torch.tensor(1.0).log())
    tensor(2.)
    """

    def value(self, x: Tensor) -> Tensor:
        return torch.special.xlogy(x, x) - x

    def grad(self, x: Tensor) -> Tensor:
        return x.log()

    def grad_conjugate(self, u: Tensor) -> Tensor:
        return u.exp()

    def inverse_hessian(self, x: Tensor) -> Tensor:
        return x

    def step(self, x: Tensor, move: Tensor) -> Tensor:
        return x * torch.exp(-move)

    def slope_change(self, x: Tensor, z: Tensor) -> Tensor:
        there = (x > 0) & (z > 0)
        ratio = torch.where(there, x - z, 0) / torch.where(there, z, 1)
        return torch.where(there, torch.log1p(ratio) * (x - z), 0)


class Hyperbolic(Potential):
    """φ(x) = ¼(2x arcsinh(2x/δ) - √(4x² + δ²) + δ), φ'' = 1/√(4x² + δ²): the geometry of x = u ⊙ v.

    Gradient flow on two factors keeps u² - v² = δ, so that x = u ⊙ v follows the mirror flow of φ [1]_:
    `MirrorDescent` runs it without the factors. Started at zero with fewer data than unknowns it ends at the
    solution of Ax = y with the least φ. For δ large that is the one of least ‖x‖, for δ small one of nearly
    the least ‖x‖₁: sparse without a penalty (slowly, ‖x‖₁ falls with 1/log(1/δ)).

    Parameters
    ----------
    delta : float
        δ > 0, in the units of x: 2α² for factors u = α√2, v = 0 at the start.

    References
    ----------
    .. [1] B. Woodworth et al., "Kernel and rich regimes in overparametrized models", COLT (2020);
       H. Labarrière et al., "Optimization insights into deep diagonal linear networks", arXiv:2412.16765
       (2024).

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
    positive = False
    units: ClassVar[dict[str, int] | None] = {"delta": 1}

    def __post_init__(self) -> None:
        if not 0 < self.delta < math.inf:
            raise ParameterError(f"Hyperbolic: delta must be positive and finite, got {self.delta!r}")

    def value(self, x: Tensor) -> Tensor:
        return (2 * x * torch.asinh(2 * x / self.delta) - self.inverse_hessian(x) + self.delta) / 4

    def grad(self, x: Tensor) -> Tensor:
        return torch.asinh(2 * x / self.delta) / 2

    def grad_conjugate(self, u: Tensor) -> Tensor:
        return self.delta / 2 * torch.sinh(2 * u)

    def inverse_hessian(self, x: Tensor) -> Tensor:
        return (4 * x**2 + self.delta**2).sqrt()

    def step(self, x: Tensor, move: Tensor) -> Tensor:
        return x * torch.cosh(2 * move) - self.inverse_hessian(x) / 2 * torch.sinh(2 * move)

    def slope_change(self, x: Tensor, z: Tensor) -> Tensor:
        a, b = 2 * x / self.delta, 2 * z / self.delta  # arcsinh a - arcsinh b = arcsinh of:
        p, q = a * (1 + b**2).sqrt(), b * (1 + a**2).sqrt()
        same = a * b > 0
        apart = torch.where(same, (a - b) * (a + b) / torch.where(same, p + q, 1), p - q)
        return torch.asinh(apart) / 2 * (x - z)
