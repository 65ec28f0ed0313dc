"""`Prior`: a penalty on images."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import Value
from ..operators import Identity, LinearOperator, SpaceLike
from ..spaces import scaled, tree_map

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

    def prox_conjugate(
        self, u: Any, step: float | Tensor, space: SpaceLike | None = None, *, weight: float | Tensor = 1.0
    ) -> Any:
        """prox of step · (weight g)*, from `prox` by Moreau's identity: u - s prox_{λg/s}(u/s)."""
        inner = self.prox(scaled(1 / step, u, space), weight / step, space)
        return tree_map(torch.sub, u, scaled(step, inner, space))

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """(K, h) with g(x) = h(Kx) and h proximable: what primal-dual solvers and ADMM work with.

        The identity and the prior itself unless a prior says otherwise (total variation: differences, and the sum of their
        magnitudes).
        """
        return Identity(domain=space), self

    def at(self, k: int) -> Self:
        """The prior that iteration ``k`` of a solver uses. A stochastic prior draws here, from its own seed."""
        return self

    @property
    def tolerance(self) -> float:
        """Relative duality gap to which `prox` is solved: 0 where it is exact."""
        return 0.0

    @property
    def stochastic(self) -> bool:
        """Whether `at` gives another prior in each iteration."""
        return False

    @property
    def settles(self) -> bool:
        """Whether the iterates of a solver settle to any accuracy. Not so with random draws, or with a denoiser for `prox`; solvers
        then stop at 100 times their ``rtol``, at most at 1e-3 (unless ``rtol`` is more)."""
        return not self.stochastic

    def calibrated(self, problem: Problem) -> Problem:
        """Fill in the regularization weight of ``problem`` from its noise level (and a starting point, if one falls out).

        Called by solvers with ``weight="auto"``.
        """
        raise ParameterError(
            f"{type(self).__name__} has no rule for its weight: pass weight=<number> to the solver"
        )
