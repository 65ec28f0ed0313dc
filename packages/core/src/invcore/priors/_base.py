"""`Prior`: a penalty on images."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from .._errors import ParameterError
from .._value import Value
from ..operators import SpaceLike

if TYPE_CHECKING:
    from ..solvers import Problem


class Prior(Value, abstract=True):
    """A penalty g(x). Provide `value` and, as available, `prox` and `grad`.

    Dimensions before those of ``space`` are batch; without ``space`` the whole of ``x`` is one item.
    """

    @abstractmethod
    def value(self, x: Any, space: SpaceLike | None = None) -> Tensor:
        """g(x) of each batch item, shape (batch...)."""

    def prox(self, x: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """argmin over z of g(z) + ‖z - x‖² / (2 step); ``step`` is one value or one per sample."""
        raise ParameterError(
            f"{type(self).__name__} has no proximal operator: choose a solver that uses its gradient"
        )

    def grad(self, x: Any, space: SpaceLike | None = None) -> Any:
        """∇g(x)."""
        raise ParameterError(
            f"{type(self).__name__} has no gradient: choose a proximal solver, such as 'fista'"
        )

    def at(self, k: int) -> Self:
        """The prior that iteration ``k`` of a solver uses. A stochastic prior draws here, from its own seed."""
        return self

    @property
    def stochastic(self) -> bool:
        """Whether `at` gives another prior in each iteration."""
        return False

    def calibrated(self, problem: Problem) -> Problem:
        """Fill in the regularisation weight of ``problem`` from its noise level (and a starting point, if one falls out).

        Called by solvers with ``weight="auto"``.
        """
        raise ParameterError(
            f"{type(self).__name__} has no rule for its weight: pass weight=<number> to the solver"
        )
