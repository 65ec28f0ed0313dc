"""Metrics of the image while a solver runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from ..spaces import tree_map
from ._base import Solver


class Trace:
    """A callback that records metrics of the image against a reference after each step.

    Parameters
    ----------
    solver : Solver
        The one that it is given to.
    metrics : mapping of str to callable
        ``metric(x_hat, reference)``, one value per sample.
    reference : Tensor, shape (batch..., *domain.shape)
    every : int
        Steps between records.

    Attributes
    ----------
    values : dict of str to list of Tensor
        The records, in order.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.metrics import NMSE
    >>> from invcore.operators import Identity
    >>> from invcore.solvers import ProximalGradient
    >>> solver, x = ProximalGradient(step_size=0.5), torch.ones(1, 4, 4)
    >>> trace = Trace(solver, {"nmse": NMSE()}, x)
    >>> _ = solver.solve(x, Physics(Identity((1, 4, 4))), callback=trace)
    >>> [round(float(v), 4) for v in trace.values["nmse"][:3]]
    [0.25, 0.0625, 0.0156]
    """

    def __init__(
        self,
        solver: Solver,
        metrics: Mapping[str, Callable[[Any, Any], Tensor]],
        reference: Any,
        *,
        every: int = 1,
    ) -> None:
        if every < 1 or not all(map(callable, metrics.values())):
            raise ParameterError(
                f"Trace: metrics must be callables by name, and every at least 1; got {metrics!r:.80} and "
                f"every={every!r}"
            )
        self.solver, self.metrics, self.reference, self.every = solver, dict(metrics), reference, every
        self.values: dict[str, list[Tensor]] = {name: [] for name in self.metrics}

    def __call__(self, k: int, problem: Problem, state: Any) -> None:
        """Record; what solvers call after each step."""
        if k % self.every:
            return
        with torch.no_grad():
            x = tree_map(lambda t: problem.unit * t, self.solver.value(problem, state))
            for name, metric in self.metrics.items():
                self.values[name].append(metric(x, self.reference))
