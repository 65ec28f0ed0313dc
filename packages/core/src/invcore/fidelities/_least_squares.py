"""Least squares: the likelihood of Gaussian noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import SpaceLike
from ..operators._space import flatten, per_sample
from ._base import Fidelity


class LeastSquares(Fidelity):
    """f(u; y) = ‖u - y‖² / (2σ²), the negative log-likelihood of Gaussian noise.

    Parameters
    ----------
    sigma : float or Tensor, shape (batch...)
        Standard deviation of each real component of the noise. Where it is zero (noiseless data) the weight
        is one, as for σ = 1.

    Examples
    --------
    >>> f = LeastSquares(sigma=0.5)
    >>> f.value(torch.tensor([1.0, 0.0]), torch.zeros(2)), f.grad(torch.tensor([1.0, 0.0]), torch.zeros(2))
    (tensor(2.), tensor([4., 0.]))
    """

    sigma: float | Tensor = 1.0
    params = ("sigma",)

    def __post_init__(self) -> None:
        smallest = self.sigma.detach().min() if isinstance(self.sigma, Tensor) else self.sigma
        if not smallest >= 0:
            raise ParameterError(f"LeastSquares: sigma must be a number >= 0, got {float(smallest):.4g}")

    def precision(self) -> float | Tensor:
        """1/σ², and 1 where σ = 0."""
        if isinstance(self.sigma, Tensor):
            return torch.where(self.sigma > 0, self.sigma, 1.0) ** -2
        return (self.sigma or 1.0) ** -2

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        residual = _difference(u, y)
        flat = _flat(residual, space)
        return 0.5 * self.precision() * torch.linalg.vecdot(flat, flat)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        return _times(self.precision(), _difference(u, y), space)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """(u + t y) / (1 + t) with t = step/σ²."""
        t = step * self.precision()
        return _sum(u, _times(t / (1 + t), _difference(y, u), space))

    def lipschitz(self) -> float | Tensor:
        return self.precision()


def _difference(u: Any, y: Any) -> Any:
    return tuple(_difference(a, b) for a, b in zip(u, y)) if isinstance(u, tuple) else u - y


def _sum(u: Any, y: Any) -> Any:
    return tuple(_sum(a, b) for a, b in zip(u, y)) if isinstance(u, tuple) else u + y


def _times(weight: float | Tensor, u: Any, space: SpaceLike | None) -> Any:
    if isinstance(u, tuple):
        return tuple(
            _times(weight, part, s)
            for part, s in zip(u, space if isinstance(space, tuple) else (None,) * len(u))
        )
    return (weight if space is None else per_sample(weight, space)) * u


def _flat(u: Any, space: SpaceLike | None) -> Tensor:
    if space is not None:
        return flatten(u, space)
    if isinstance(u, tuple):
        return torch.cat([_flat(part, None) for part in u])
    return (torch.view_as_real(u.resolve_conj()) if u.is_complex() else u).reshape(-1)
