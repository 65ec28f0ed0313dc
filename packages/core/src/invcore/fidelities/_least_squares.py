"""Least squares: the likelihood of Gaussian noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import SpaceLike
from ..spaces import batch_shape, flatten, one_per_sample, scaled, tree_map
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

    units = {"sigma": 1}
    factor = ("sigma", -2)
    chi_square = True
    sigma: float | Tensor = 1.0
    params = ("sigma",)

    def __post_init__(self) -> None:
        check_sigma(self)

    def precision(self) -> float | Tensor:
        """1/σ², and 1 where σ = 0."""
        if isinstance(self.sigma, Tensor):
            return torch.where(self.sigma > 0, self.sigma, 1.0) ** -2
        return (self.sigma or 1.0) ** -2

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        residual = tree_map(torch.sub, u, y)
        flat = flatten(residual, space)
        return 0.5 * self._precision_of(u, space) * torch.linalg.vecdot(flat, flat)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        return scaled(self.precision(), tree_map(torch.sub, u, y), space)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """(u + t y) / (1 + t) with t = step/σ²."""
        t = step * self.precision()
        return tree_map(torch.add, u, scaled(t / (1 + t), tree_map(torch.sub, y, u), space))

    def conjugate(self, p: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        """Re⟨p, y⟩ + σ²‖p‖²/2."""
        a, b = flatten(p, space), flatten(y, space)
        return torch.linalg.vecdot(a, b) + torch.linalg.vecdot(a, a) / (2 * self._precision_of(p, space))

    def _precision_of(self, u: Any, space: SpaceLike | None) -> float | Tensor:
        """1/σ² with the batch dimensions of u."""
        precision = self.precision()
        return precision if space is None else one_per_sample(precision, space, batch_shape(u, space))

    def lipschitz(self) -> float | Tensor:
        return self.precision()


def check_sigma(holder: Any) -> None:
    """Raise a `ParameterError` unless the standard deviation of a noise or fidelity is a number >= 0."""
    sigma = holder.sigma
    if isinstance(sigma, Tensor):
        wrong = sigma.detach()[~(sigma.detach() >= 0)]
        sigma = float(wrong[0]) if wrong.numel() else 0.0
    if not sigma >= 0:
        raise ParameterError(f"{type(holder).__name__}: sigma must be a number >= 0, got {sigma:.4g}")
