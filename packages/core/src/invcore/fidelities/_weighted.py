"""Least squares with one weight per entry."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import SpaceLike
from ._separable import Separable, check_positive, inner, square


class WeightedLeastSquares(Separable):
    """f(u; y) = ½ Σᵢ wᵢ |uᵢ - yᵢ|²: the likelihood of Gaussian noise of variance 1/wᵢ in each entry.

    Parameters
    ----------
    weight : Tensor, shape (batch..., *space.shape)
        wᵢ = 1/σᵢ² >= 0, or whatever broadcasts against the data; zero where nothing was measured.

    Raises
    ------
    ParameterError
        If a weight is negative, or on the data of a stacked operator (several blocks).

    Examples
    --------
    >>> f = WeightedLeastSquares(weight=torch.tensor([4.0, 0.0]))
    >>> f.value(torch.tensor([1.0, 9.0]), torch.zeros(2)), f.grad(torch.tensor([1.0, 9.0]), torch.zeros(2))
    (tensor(2.), tensor([4., 0.]))
    """

    units = {"weight": -2}
    factor = ("weight", 1)
    chi_square = True
    weight: Tensor
    params = ("weight",)
    maps = ("weight",)

    def __post_init__(self) -> None:
        check_positive(self, "weight", zero=True)

    def _shaped(self, space: SpaceLike) -> list[Any]:
        return [self.weight]

    def _entries(self, function: Any, space: Any, u: Any, y: Any, *, step: tuple[Any, ...] = ()) -> Any:
        if isinstance(u, tuple):
            raise ParameterError("WeightedLeastSquares has one map of weights; the data has several blocks")
        return super()._entries(function, space, u, y, step=step)

    def _value(self, u: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return 0.5 * weight * square(u - y)

    def _grad(self, u: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return weight * (u - y)

    def _prox(self, u: Tensor, y: Tensor, step: Any, weight: Tensor) -> Tensor:
        t = step * weight
        return u + t / (1 + t) * (y - u)

    def _conjugate(self, p: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Re⟨p, y⟩ + |p|²/(2w); where w = 0 infinite unless p = 0."""
        known = torch.where(weight > 0, weight, 1.0)
        outside = torch.where(p == 0, 0.0, torch.inf)
        return torch.where(weight > 0, inner(p, y) + square(p) / (2 * known), outside)

    def lipschitz(self) -> Tensor:
        """The largest weight (of all samples)."""
        return self.weight.max() if self.weight.numel() else torch.zeros(())
