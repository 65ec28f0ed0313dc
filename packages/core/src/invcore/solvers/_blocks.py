"""The blocks of a stacked operator, for solvers that take one at a time."""

from __future__ import annotations

from typing import Any

from .._problem import Problem
from ..operators import LinearOperator
from ..operators._algebra import LinearStack


def blocks(problem: Problem) -> list[tuple[LinearOperator, Any]]:
    """The pairs (A_i, y_i) of a stacked operator, nested stacks included; (A, y) itself for any other."""
    return _blocks(problem.linear, problem.y)


def _blocks(A: LinearOperator, y: Any) -> list[tuple[LinearOperator, Any]]:
    if not isinstance(A, LinearStack):
        return [(A, y)]
    return [pair for op, part in zip(A.operators, y) for pair in _blocks(op, part)]
