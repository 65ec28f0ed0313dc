"""Options with a value for each step: what the driver makes of a solver that has some."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from .._value import real_dtype
from ..operators import LinearOperator
from ..spaces import dtype_of

if TYPE_CHECKING:
    from ._base import Solver


def listed(solver: Solver) -> dict[str, tuple[Any, ...]]:
    """The options of which each step has its own value."""
    return {n: v for n in solver.per_step if isinstance(v := getattr(solver, n), tuple)}


def check_lists(solver: Solver) -> None:
    """Raise a `ParameterError` unless all lists are as long as each other, and no longer than the solve."""
    name, lists = type(solver).__name__, listed(solver)
    weight, max_steps = getattr(solver, "weight", None), getattr(solver, "max_steps", None)
    own = "weight" in {f.name for f in dataclasses.fields(solver)}
    if own and isinstance(weight, tuple) and "weight" not in lists:
        raise ParameterError(
            f"{name}: its steps build on those before with the same weight, so weight must be one value; "
            "'pgd', 'fista', 'hqs' and 'admm' take one for each step"
        )
    lengths = {n: len(v) for n, v in lists.items()}
    if len(set(lengths.values())) > 1:
        raise ParameterError(
            f"{name}: what has a value for each step must have equally many, got "
            + ", ".join(f"{count} of {n}" for n, count in lengths.items())
        )
    for n, count in lengths.items():
        if count == 0 or (isinstance(max_steps, int) and count > max_steps):
            raise ParameterError(
                f"{name}: {n} must have from 1 to max_steps={max_steps} values, one for each step, got "
                f"{count}"
            )


def one_value(option: float | Tensor | tuple[float | Tensor, ...]) -> float | Tensor:
    """An option as `step` sees it: the driver has taken the value of the step out of a list."""
    if isinstance(option, tuple):
        raise ParameterError("a list of values is for solve(), which gives each step its own")
    return option


def at_step(solver: Solver, k: int) -> Any:
    """The solver with the values of step ``k``: the last ones for steps beyond the lists."""
    own = {n: v[min(k, len(v) - 1)] for n, v in listed(solver).items()}
    return dataclasses.replace(solver, **own) if own else solver


def stages(
    solver: Solver, problem: Problem, weight: Any, factor: float, *, graph: bool
) -> list[tuple[Solver, Problem]]:
    """The solver and the problem of each step; one pair unless options are listed.

    ``weight`` is the one given, in other units: times ``factor`` it is that of the problem. With ``graph``
    what the problem finds once for all is recorded.
    """
    lists = listed(solver)
    if not lists:
        return [(solver, problem)]
    solvers = [at_step(solver, k) for k in range(len(next(iter(lists.values()))))]
    if not isinstance(weight, tuple):
        return [(one, problem) for one in solvers]
    weights: list[Any] = [w.double() * factor if isinstance(w, Tensor) else w * factor for w in weight]
    if any(isinstance(w, Tensor) for w in weights):
        dtype = real_dtype(dtype_of(problem.y))
        device = next(w.device for w in weights if isinstance(w, Tensor))
        rows = [torch.as_tensor(w, dtype=dtype, device=device) for w in weights]
        weights = list(torch.broadcast_tensors(*rows))
    with torch.set_grad_enabled(graph):
        if isinstance(problem.A, LinearOperator):
            _ = problem._quadratic, problem.backprojection
            if problem.fidelity.lipschitz() is not None:
                _ = problem.lipschitz
    return [(one, problem.weighted(w)) for one, w in zip(solvers, weights)]
