"""`Solution`, what a solve returns, and the `Status` that it ended with."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .._physics import Physics
from .._problem import Problem


class Status(enum.Enum):
    """Outcome of a solve; the value is the message."""

    CONVERGED = "The tolerance was reached."
    MAX_STEPS = (
        "The step limit was reached before the tolerance: raise max_steps, or rtol if this accuracy "
        "is enough."
    )
    STOPPED = "A callback asked to stop."
    NONFINITE = "The iterates became infinite or NaN."


@dataclass(frozen=True)
class Solution:
    """Result of `Solver.solve`.

    Attributes
    ----------
    value : Tensor, shape (batch..., *domain.shape)
        The reconstruction.
    status : Status
    stats : dict of str to Tensor
        ``change``: relative change of the iterate in each step (steps, batch...); ``objective`` likewise if
        it was recorded; ``steps``: the number of steps of each sample.
    state : object
        The final state of the solver; where the problem was solved in another unit (`Problem.unit`), in that.
    problem : Problem
        What was solved, with the weight that was used and, of a blind solver, the parameters that it found.
    choice : str
        Which solver 'auto' took, and why; empty for any other.
    """

    value: Any
    status: Status
    stats: dict[str, Tensor]
    state: Any
    problem: Problem
    choice: str = ""

    @property
    def physics(self) -> Physics:
        """The physics of the problem, with the parameters that a blind solver found."""
        return self.problem.physics

    def __repr__(self) -> str:
        return f"Solution({self.status.name}, steps={int(self.stats['steps'].max())})"
