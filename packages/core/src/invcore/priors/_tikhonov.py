"""Tikhonov: the squared norm."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._weights import Rule, Weight, ridge_weight
from ..fidelities import Fidelity
from ..operators import SpaceLike
from ..spaces import flatten, scaled
from ._base import Prior


class Tikhonov(Prior):
    """g(x) = ‖x‖² / 2.

    `Quadratic` is the same behind a linear operator, or around an image.

    Parameters
    ----------
    rule : {"auto", "sure", "gcv", "discrepancy", "lcurve"}
        The rule of `ridge_weight` that gives the automatic weight. ``"auto"`` minimizes Stein's unbiased
        estimate of the prediction risk, or generalized cross-validation where the noise level is unknown.

    Examples
    --------
    >>> Tikhonov().value(torch.tensor([3.0, 4.0])), Tikhonov().prox(torch.tensor([3.0, 4.0]), 1.0)
    (tensor(12.5000), tensor([1.5000, 2.0000]))
    """

    degree = 2
    blocks: ClassVar[bool] = True

    rule: Rule = "auto"

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise ParameterError(
                f"Tikhonov: rule must be one of {', '.join(get_args(Rule))}, got {self.rule!r}"
            )

    def _value(self, x: Any, space: SpaceLike) -> Tensor:
        flat = flatten(x, space)
        return 0.5 * torch.linalg.vecdot(flat, flat)

    def _prox(self, x: Any, step: float | Tensor, space: SpaceLike) -> Any:
        return scaled(1 / (1 + step), x, space)

    def _grad(self, x: Any, space: SpaceLike) -> Any:
        return x

    def majorizer(self, space: SpaceLike) -> float:
        """1."""
        return 1.0

    def _conjugate(self, u: Any, space: SpaceLike, weight: float | Tensor) -> Tensor:
        """‖u‖² / (2 weight)."""
        return self._value(u, space) / weight

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        """The weight that `ridge_weight` finds by ``rule``."""
        return Weight(ridge_weight(y, physics, self.rule, fidelity=fidelity).weight)
