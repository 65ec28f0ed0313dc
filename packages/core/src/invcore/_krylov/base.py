"""Common parts of Krylov methods: the result, tolerances, options for square systems.

All work in real coordinates: a vector is a real tensor ``(batch..., n)`` (complex entries are pairs), so one
code serves real, complex and block operators. They stop per sample, at tolerances that do not depend on
scale; a sample that has converged takes steps of length zero, so its result does not depend on its
batch-mates.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ConvergenceWarning
from .._value import power_of_two

dot = torch.linalg.vecdot
Map = Callable[[Tensor], Tensor]
"""A map of vectors ``(batch..., n)``."""


def default_rtol(dtype: torch.dtype) -> float:
    """A relative tolerance that is reachable in this precision: 6e-6 for float32, 2e-12 for float64."""
    return torch.finfo(dtype).eps ** 0.75


class Solved(NamedTuple):
    """Result of a linear solver: the solution and how it ended, per sample."""

    x: Tensor
    converged: Tensor
    residual: Tensor
    steps: int


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0; one ``b`` for each vector if ``a`` holds vectors."""
    if a.ndim > b.ndim:
        b = b.unsqueeze(-1)
    return torch.where(b != 0, a, 0) / torch.where(b != 0, b, 1)


def normalized(v: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of length one (zero stays zero), and the lengths they had, in any units."""
    unit = power_of_two(v.abs().amax(-1, keepdim=True)) if v.shape[-1] else v.new_ones(*v.shape[:-1], 1)
    v = v / unit  # whose squares neither overflow nor underflow
    n = torch.linalg.vector_norm(v, dim=-1)
    return torch.where(n > 0, n, 1).reciprocal().unsqueeze(-1) * v, unit.squeeze(-1) * n


def relative_residual(apply: Map, x: Tensor, b: Tensor) -> Tensor:
    """‖b - Ax‖ / ‖b‖, computed and not estimated; 0 where both vanish."""
    size = torch.linalg.vector_norm(b, dim=-1)
    return torch.linalg.vector_norm(b - apply(x), dim=-1) / torch.where(size > 0, size, 1)


def unit(b: Tensor) -> Tensor:
    """The largest entry of each vector, (batch..., 1), and 1 for zero.

    A vector divided by it has squares that neither overflow nor underflow in float32, in any units.
    """
    largest = b.detach().abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, largest, 1)


def identity(v: Tensor) -> Tensor:
    """The vectors as they are: no preconditioner."""
    return v


def square(method: Callable[..., Solved]) -> Callable[..., Solved]:
    """Give a method for ``apply(x) = b`` the options that those for square maps share.

    Vectors come to the ``method`` in a `unit` for each sample.

    Parameters
    ----------
    apply : callable
        Maps ``(batch..., n)`` to the same shape.
    b : Tensor, shape (batch..., n), real
    preconditioner : callable, optional
        An approximation of the inverse.
    x0 : Tensor, shape (batch..., n), optional
    rtol : float, optional
        By default `default_rtol`.
    max_steps : int
    """

    @functools.wraps(method)
    def solve(
        apply: Map,
        b: Tensor,
        *,
        preconditioner: Map | None = None,
        x0: Tensor | None = None,
        rtol: float | None = None,
        **options: Any,
    ) -> Solved:
        scale = unit(b)
        zero = ~b.any(-1, keepdim=True)  # solved by zero, which no relative residual would tell
        start = None if x0 is None else torch.where(zero, 0, x0 / scale)
        rtol = default_rtol(b.dtype) if rtol is None else rtol
        solved = method(apply, b / scale, preconditioner or identity, start, rtol, **options)
        return solved._replace(x=scale * solved.x)

    return solve


def warn_unless_converged(solved: Solved, name: str, max_steps: int) -> None:
    """Say what did not converge, how far it got and what to change."""
    if not bool(solved.converged.all()):
        missing = int((~solved.converged).sum())
        warnings.warn(
            f"{name} stopped after {solved.steps} steps with relative residual "
            f"{float(solved.residual.max()):.2g} ({missing} of {solved.converged.numel()} samples not "
            "converged). The operator is ill-conditioned for this tolerance: raise max_steps (now "
            f"{max_steps}), raise rtol, add a shift, or use float64.",
            ConvergenceWarning,
            stacklevel=4,
        )
