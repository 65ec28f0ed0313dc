"""A prior for each step."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from torch import Tensor

import invcore
from invcore import Physics, Prior


class Sequence(Prior):
    """A prior for each step of a solver; the last one stays.

    Solvers that ask for the prior of step k (`Prior.at`) take it; the others are refused.

    Parameters
    ----------
    priors : tuple of Prior
    """

    units: ClassVar[dict[str, int] | None] = {"priors": 1}
    priors: tuple[Prior, ...]

    def at(self, k: int) -> Any:
        """The prior of step ``k``."""
        return self.priors[min(k, len(self.priors) - 1)].at(k)

    @property
    def degree(self) -> int | None:  # type: ignore[override]
        """That of the priors."""
        return self.priors[0].degree

    @property
    def power(self) -> float | None:  # type: ignore[override]
        """That of the priors."""
        return self.priors[0].power

    @property
    def stochastic(self) -> bool:
        """As the priors."""
        return self.priors[0].stochastic

    @property
    def settles(self) -> bool:
        """As the priors."""
        return self.priors[0].settles

    def memory(self, x: Any, space: Any = None) -> tuple[Tensor, ...]:
        """As the first."""
        return self.priors[0].memory(x, space)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Any = None) -> Any:
        """As the first."""
        return self.priors[0].suggested_weight(y, physics, fidelity)

    def _value(self, x: Any, space: Any) -> Tensor:
        self._refuse()

    def _grad(self, x: Any, space: Any) -> Any:
        self._refuse()

    def _prox(self, x: Any, step: Any, space: Any) -> Any:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise invcore.ParameterError(
            "this solver has one prior for all steps, so what is inside it cannot have a value for each "
            "step: learn one (learn=...), or take 'pgd', 'fista', 'hqs' or 'admm'"
        )
