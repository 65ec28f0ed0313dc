"""Tikhonov: the squared norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import SpaceLike
from ..spaces import real_vector, scaled
from ._base import Prior

if TYPE_CHECKING:
    from ..solvers import Problem


_RULES = ("auto", "sure", "gcv", "discrepancy", "lcurve")


class Tikhonov(Prior):
    """g(x) = ‖x‖² / 2.

    With ``weight="auto"`` a solver finds the weight by ``rule``, of `invcore.solvers.ridge_weight`. `Quadratic` is the same
    behind a linear operator, or around an image.

    Parameters
    ----------
    rule : {"auto", "sure", "gcv", "discrepancy", "lcurve"}
        ``"auto"`` minimizes Stein's unbiased estimate of the prediction risk, or generalized cross-validation where the noise
        level is unknown.

    Examples
    --------
    >>> Tikhonov().value(torch.tensor([3.0, 4.0])), Tikhonov().prox(torch.tensor([3.0, 4.0]), 1.0)
    (tensor(12.5000), tensor([1.5000, 2.0000]))
    """

    rule: Literal["auto", "sure", "gcv", "discrepancy", "lcurve"] = "auto"

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise ParameterError(f"Tikhonov: rule must be one of {', '.join(_RULES)}, got {self.rule!r}")

    def value(self, x: Any, space: SpaceLike | None = None) -> Tensor:
        flat = real_vector(x, space)
        return 0.5 * torch.linalg.vecdot(flat, flat)

    def prox(self, x: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        return scaled(1 / (1 + step), x, space)

    def grad(self, x: Any, space: SpaceLike | None = None) -> Any:
        return x

    def calibrated(self, problem: Problem) -> Problem:
        from ..solvers import ridge_weight

        return problem.replace(weight=ridge_weight(problem, self.rule).weight)
