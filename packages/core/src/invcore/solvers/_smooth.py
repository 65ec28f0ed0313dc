"""Tools of solvers for smooth objectives: gradient, line search, derivatives of stationary points.

All vectors are in real coordinates, ``(batch..., n)``, so that one code serves real, complex and block
unknowns.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import ConvergenceWarning, ParameterError
from .._krylov.base import dot
from .._problem import Problem
from ..operators import LinearOperator
from ..spaces import (
    flatten,
    scaled,
    tree_map,
    unflatten,
    vdot,
)
from ._base import Solver
from ._implicit import attach_fixed_point
from ._solution import Status

_ARMIJO = 1e-4
_TRIALS = 60

Line = Callable[[Tensor], tuple[Tensor, Tensor]]
"""t ↦ (F(x + t d), its derivative in t), per sample."""


def gradient(problem: Problem, x: Tensor) -> Tensor:
    """∇F of F(x) = f(Ax; y) + λ g(x)."""
    image, space = unflatten(x, problem.space), problem.space
    total = problem.gradient(image)
    if problem.prior is not None:
        own = scaled(problem.weight, problem.prior.grad(image, space), space)
        total = tree_map(torch.add, total, own)
    return flatten(total, space)


def finite_start(solver: Solver, problem: Problem, x: Tensor, g: Tensor) -> Tensor:
    """F at the starting point; raises where it, or its gradient, is not finite."""
    value = problem.objective(unflatten(x, problem.space))
    if not bool(torch.isfinite(value).all() and torch.isfinite(g).all()):
        raise ParameterError(
            f"{type(solver).__name__}: the objective ({type(problem.fidelity).__name__}) is not finite and "
            "smooth at the starting point: pass an x0 where it is (a positive image for counts), or choose "
            "'mirror_descent' or 'richardson_lucy'"
        )
    return value


def reference_gradient(problem: Problem, x: Tensor, g: Tensor) -> Tensor:
    """Reference for gradient norms: the larger of ‖∇F‖ at the start and, where finite, at zero."""
    size = torch.linalg.vector_norm(g, dim=-1)
    if problem.x0 is None:
        return size
    at_zero = torch.linalg.vector_norm(gradient(problem, torch.zeros_like(x)), dim=-1)
    return torch.maximum(size, torch.where(torch.isfinite(at_zero), at_zero, 0))


def curvature(problem: Problem, x: Tensor, d: Tensor) -> Tensor:
    """⟨d, ∇²F(x) d⟩, by forward differentiation of the gradient."""
    slope: Any = torch.func.jvp(lambda v: gradient(problem, v), (x,), (d,))
    return dot(d, slope[1])


def first_step(problem: Problem, x: Tensor, g: Tensor, d: Tensor) -> Tensor:
    """Minimizer along -d of the quadratic model of F at x: a first step in the right units."""
    bend = curvature(problem, x, d).abs()
    return torch.where(bend > 0, dot(g, d) / torch.where(bend > 0, bend, 1), 1)


def along(problem: Problem, x: Tensor, d: Tensor) -> Line:
    """F on the line x + t d. With a linear operator it costs one application, however many t are tried."""
    space, A = problem.space, problem.A
    if not isinstance(A, LinearOperator):

        def general(t: Tensor) -> tuple[Tensor, Tensor]:
            v = x + t.unsqueeze(-1) * d
            return problem.objective(unflatten(v, space)), dot(gradient(problem, v), d)

        return general
    u, w = (flatten(A._apply(unflatten(v, space)), A.range) for v in (x, d))

    def linear(t: Tensor) -> tuple[Tensor, Tensor]:
        at = unflatten(u + t.unsqueeze(-1) * w, A.range)
        value = problem.fidelity.value(at, problem.y, A.range)
        slope = dot(flatten(problem.fidelity.grad(at, problem.y, A.range), A.range), w)
        if problem.prior is not None:
            image = unflatten(x + t.unsqueeze(-1) * d, space)
            value = value + problem.weight * problem.prior.value(image, space)
            slope = slope + problem.weight * vdot(
                problem.prior.grad(image, space), unflatten(d.expand_as(x), space), space
            )
        return value, slope

    return linear


def line_search(
    line: Line,
    t: Tensor,
    value: Tensor,
    slope: Tensor,
    *,
    reference: Tensor | None = None,
    flattening: float | None = 0.9,
) -> Tensor:
    """Find a step with sufficient decrease (Armijo) and, given ``flattening``, a flatter slope (weak Wolfe).

    Its derivative is that of the last trial, which of them it is being a matter of choice.

    Bracketing as in Lewis and Overton [1]_, with the secant of the slopes inside the bracket. Where
    differences of F drown in rounding, the slope takes over: the approximate Wolfe condition of Hager and
    Zhang [2]_. Samples for which nothing is found get the longest step that decreases F enough, or zero.

    Parameters
    ----------
    line : callable
    t : Tensor, shape (batch...)
        First trial.
    value, slope : Tensor, shape (batch...)
        F and its derivative at t = 0.
    reference : Tensor, optional
        What F has to fall below; ``value`` by default.

    References
    ----------
    .. [1] A. Lewis and M. Overton, "Nonsmooth optimization via quasi-Newton methods", Math. Program. 141
       (2013).
    .. [2] W. Hager and H. Zhang, "A new conjugate gradient method with guaranteed descent and an efficient
       line search", SIAM J. Optim. 16 (2005).
    """
    reference = value if reference is None else reference
    slack = 100 * torch.finfo(value.dtype).eps * value.detach().abs()
    low, low_slope = torch.zeros_like(value), slope
    high, high_slope = torch.full_like(value, torch.inf), torch.zeros_like(value)
    done = ~(slope < 0)
    t = torch.where(done, 0, t.expand_as(value))
    for _ in range(_TRIALS):
        if bool(done.all()):
            break
        f, s = line(t)
        enough = f <= reference + _ARMIJO * t * slope
        enough |= (f <= value + slack) & (s <= (2 * _ARMIJO - 1) * slope)
        steep = s < flattening * slope if flattening is not None else torch.zeros_like(enough)
        short, long = enough & steep & ~done, ~enough & ~done
        done = done | (enough & ~steep)
        low, low_slope = torch.where(short, t, low), torch.where(short, s, low_slope)
        high, high_slope = torch.where(long, t, high), torch.where(long, s, high_slope)
        open_ended = high.isinf()
        width = torch.where(open_ended, 0, high - low)
        bend = high_slope - low_slope
        usable = torch.isfinite(bend) & (bend != 0)
        secant = (torch.where(usable, -low_slope, 0) / torch.where(usable, bend, 1)).clamp(0.1, 0.9)
        secant = torch.where(usable, secant, torch.where(bend.isnan(), 0.5, torch.where(bend == 0, 0.9, 0.1)))
        t = torch.where(done, t, torch.where(open_ended, 4 * t, low + secant * width))
    return torch.where(done, t, low)


def warn_unless_solved(solver: Solver, solved: bool) -> None:
    """Warn that implicit differentiation was requested at a point that is not a solution."""
    if not solved:
        warnings.warn(
            f"{type(solver).__name__} did not converge, so the implicit derivative is not that of its result."
            + " "
            + Status.MAX_STEPS.value,
            ConvergenceWarning,
            stacklevel=5,
        )


def attach_stationary(solver: Solver, problem: Problem, x: Any) -> Any:
    """Give ``x``, where ∇F(x) = 0, its derivatives by the implicit function theorem."""
    v = flatten(x, problem.space).detach()
    with torch.no_grad():
        first = flatten(problem.start(), problem.space)
        size = reference_gradient(problem, first, gradient(problem, first))
        left = torch.linalg.vector_norm(gradient(problem, v), dim=-1)
    rtol: float = getattr(solver, "rtol", 0.0)
    warn_unless_solved(solver, bool((left <= 1.01 * rtol * size).all()))
    d = torch.randn(v.shape[-1], generator=torch.Generator().manual_seed(0)).to(v).expand_as(v)
    with torch.no_grad():
        bend = curvature(problem, v, d)
    tau = torch.where(bend > 0, dot(d, d) / torch.where(bend > 0, bend, 1), 1)
    tau = tau.detach().unsqueeze(-1)

    def gradient_step(problem: Problem, x: Any) -> Any:  # its fixed points are the stationary points
        v = flatten(x, problem.space)
        return unflatten(v - tau * gradient(problem, v), problem.space)

    return attach_fixed_point(gradient_step, problem, x)
