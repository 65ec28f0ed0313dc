"""Checks, starting point and weights of solvers that require a nonnegative operator, data and image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from ..operators import Space
from ..spaces import norm, per_sample, spaces_of, vdot
from ._base import Solver

_LOBES = 0.05  # of the largest sum


def require_nonnegative(name: str, problem: Problem, *, data: bool = False) -> None:
    """Raise unless image and data are real and A (optionally y) is nonnegative, judged from A1 and Aᴴ1.

    Slightly negative sums, as from an interpolation with negative lobes at a sharp border, are accepted.
    """
    space = problem.space
    if not isinstance(space, Space) or any(s.kind == "complex" for s in (space, *spaces_of(problem.A.range))):
        raise ParameterError(
            f"{name} reconstructs a single real image from real data; the image space is {space}"
        )
    if data and _negative(problem.y):
        raise ParameterError(
            f"{name} takes counts, and these data have negative entries: do not subtract a background (state "
            "it, as in PoissonKL(background=...)), or choose a solver for Gaussian noise"
        )
    rows = problem.linear._apply(torch.ones_like(problem.backprojection))
    if _negative(rows, _LOBES) or _negative(problem.sensitivity, _LOBES):
        raise ParameterError(
            f"{name} needs a nonnegative operator; A1 or Aᴴ1 has negative entries: choose 'cgls' or 'fista'"
        )


def positive_start(solver: Solver, problem: Problem) -> Tensor:
    """``x0``, or the flat image that fits the data best."""
    name, space, b = type(solver).__name__, problem.space, problem.backprojection
    require_nonnegative(name, problem, data=True)
    assert isinstance(space, Space)
    if problem.x0 is not None:
        if _negative(problem.x0):
            raise ParameterError(f"{name}: the starting point x0 has negative entries")
        return problem.start()
    size = norm(problem.linear._apply(torch.ones_like(b)), problem.A.range) ** 2
    level = vdot(torch.ones_like(b), b, space) / torch.where(size > 0, size, 1)  # ⟨A1, y⟩ / ‖A1‖²
    return per_sample(level, space) * torch.ones_like(b)


def _negative(x: Any, share: float = 0.0) -> bool:
    """True if an entry is below zero, by more than a share of the largest."""
    if isinstance(x, tuple):
        return any(_negative(part, share) for part in x)
    return bool((x < -share * x.amax().clamp_min(0)).any()) if x.numel() else False
