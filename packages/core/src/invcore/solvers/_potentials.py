"""Bregman potentials: the geometries of mirror descent."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

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
