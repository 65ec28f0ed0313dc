"""Square linear systems, differentiable implicitly in the right-hand side and ξ.

For x = A⁻¹ b and an incoming gradient v, let w = A⁻ᴴ v. Then the gradient to b is w and the one to ξ is that
of -⟨w, A_ξ x⟩. Along directions db and dξ it changes by A⁻¹ (db - dA_ξ x).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .._errors import ParameterError, ShapeError
from .._krylov.base import warn_unless_converged
from .._krylov.bicgstab import bicgstab
from .._krylov.cg import cg
from .._krylov.gmres import gmres
from .._krylov.minres import minres
from .._value import full_precision
from ..spaces import Vector, check, flatten, real_size_of, unflatten
from ._autograd import broadcast_to_sum, under_transform

if TYPE_CHECKING:
    from ._base import LinearOperator

_SOLVERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "cg": ("Conjugate gradient", cg),
    "minres": ("MINRES", minres),
    "bicgstab": ("BiCGStab", bicgstab),
    "gmres": ("GMRES", gmres),
}


def flat(op: LinearOperator) -> Callable[[Tensor], Tensor]:
    """A in real coordinates."""
    return lambda v: flatten(op._apply(unflatten(v, op.domain)), op.range)


def _run(
    op: LinearOperator, b: Tensor, solver: str, preconditioner: LinearOperator | None, options: dict[str, Any]
) -> Tensor:
    name, run = _SOLVERS[solver]
    with torch.no_grad():
        solved = run(
            flat(op), b, preconditioner=None if preconditioner is None else flat(preconditioner), **options
        )
    warn_unless_converged(solved, name, options["max_steps"])
    return solved.x


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(
        op: LinearOperator,
        names: tuple[str, ...],
        how: tuple[str, LinearOperator | None, dict[str, Any]],
        b: Tensor,
        *params: Tensor,
    ) -> Tensor:
        return _run(op, b, *how)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.op, ctx.names, ctx.how, b, *params = inputs
        ctx.b_shape = b.shape
        ctx.save_for_backward(output, *params)
        ctx.save_for_forward(output, *params)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        x, *params = ctx.saved_tensors
        db, *changes = tangents[3:]
        op = ctx.op.bind(**dict(zip(ctx.names, params)))
        right = torch.zeros_like(x) if db is None else db.expand(x.shape)
        if any(d is not None for d in changes):
            directions = tuple(torch.zeros_like(p) if d is None else d for p, d in zip(params, changes))
            pull = torch.func.vjp(_applied(op, ctx.names, x), *params)[1]
            change = torch.func.vjp(pull, torch.zeros_like(x))[1](directions)[0]  # dA x; jvp does not nest
            right = right - change
        return _attach(op, ctx.how, right)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        x, *params = ctx.saved_tensors
        op = ctx.op.bind(**dict(zip(ctx.names, params)))
        solver, preconditioner, options = ctx.how
        how = (
            solver,
            None if preconditioner is None else preconditioner.H,
            {"rtol": options["rtol"], "max_steps": options["max_steps"]},
        )
        dual = op if solver in _SYMMETRIC else op.H
        w = _attach(dual, how, v)
        grads: tuple[Tensor | None, ...] = (None,) * len(params)
        if any(ctx.needs_input_grad[4:]):
            grads = tuple(torch.func.vjp(_applied(op, ctx.names, x), *params)[1](-w))
        return (None, None, None, broadcast_to_sum(w, ctx.b_shape), *grads)


def _applied(op: LinearOperator, names: tuple[str, ...], x: Tensor) -> Callable[..., Tensor]:
    """A_ξ x as a function of ξ, in real coordinates."""
    return lambda *values: flat(op.bind(**dict(zip(names, values))))(x)


def _attach(op: LinearOperator, how: tuple[str, LinearOperator | None, dict[str, Any]], b: Tensor) -> Tensor:
    traced = under_transform() or forward_ad._current_level >= 0  # a tangent is not seen from outside
    learned = {n: p for n, p in op.parameters().items() if traced or p.requires_grad}
    return _Solve.apply(op, tuple(learned), how, b, *learned.values())


_SYMMETRIC = ("cg", "minres")


@full_precision
def solve(
    op: LinearOperator,
    b: Vector,
    *,
    solver: Literal["cg", "minres", "bicgstab", "gmres"] = "gmres",
    preconditioner: LinearOperator | None = None,
    x0: Vector | None = None,
    rtol: float | None = None,
    max_steps: int | None = None,
) -> Vector:
    """Solve Ax = b for an operator whose domain is its range.

    Differentiable implicitly (memory independent of the number of steps), any number of times, with respect
    to ``b`` and the parameters ξ of ``op``. For a rectangular or singular operator use `least_squares` or
    `LinearOperator.pinv`.

    Parameters
    ----------
    op : LinearOperator
    b : Tensor, shape (batch..., *range.shape)
    solver : {"cg", "minres", "bicgstab", "gmres"}
        Which is right depends on the operator: conjugate gradient for a self-adjoint positive definite one,
        MINRES for a self-adjoint one that may be indefinite, GMRES for any other (robust; stores 30 vectors),
        BiCGStab for one whose eigenvalues lie in a half-plane (stores few).
    preconditioner : LinearOperator, optional
        An approximation of A⁻¹; self-adjoint and positive definite for conjugate gradient and MINRES.
    x0 : Tensor, shape (batch..., *domain.shape), optional
        Starting point.
    rtol : float, optional
        Stop, per sample, at ‖b - Ax‖ ≤ rtol ‖b‖; default a few ulps of the precision.
    max_steps : int, optional

    Returns
    -------
    Tensor, shape (batch..., *domain.shape)

    Raises
    ------
    ParameterError
        If the solver is unknown, or is for self-adjoint operators and the operator is not, by a random probe.
    ShapeError, DtypeError
        If the operator is not square, or ``b``, ``x0`` or the preconditioner does not fit it.

    Warns
    -----
    ConvergenceWarning
        If the tolerance is not reached.

    Examples
    --------
    >>> from invcore.operators import Matrix
    >>> A = Matrix(torch.tensor([[1.0, 2.0], [0.0, 4.0]]))
    >>> solve(A, torch.tensor([5.0, 8.0])).round(decimals=3)
    tensor([1., 2.])
    """
    name = type(op).__name__
    if solver not in _SOLVERS:
        raise ParameterError(f"solve: solver must be one of {sorted(_SOLVERS)}, got {solver!r}")
    if op.domain != op.range:
        raise ShapeError(
            f"solve needs an operator whose domain is its range; {name} maps {op.domain} to {op.range}. Use "
            "least_squares."
        )
    check(b, op.range, "solve: right-hand side b")
    if x0 is not None:
        check(x0, op.domain, "solve: starting point x0")
    check_preconditioner(preconditioner, op)
    right = flatten(b, op.range)
    if solver in _SYMMETRIC:
        _require_symmetric(op, right, solver)
    options = {
        "x0": None if x0 is None else flatten(x0, op.domain).detach(),
        "rtol": rtol,
        "max_steps": min(20 + 5 * real_size_of(op.domain), 5000) if max_steps is None else max_steps,
    }
    return unflatten(_attach(op, (solver, preconditioner, options), right), op.domain)


def check_preconditioner(preconditioner: LinearOperator | None, op: LinearOperator) -> None:
    """Raise a `ShapeError` unless the preconditioner maps the domain of ``op`` to itself."""
    if preconditioner is not None and not preconditioner.domain == preconditioner.range == op.domain:
        raise ShapeError(
            f"a preconditioner of {type(op).__name__} maps {op.domain} to itself; "
            f"{type(preconditioner).__name__} maps {preconditioner.domain} to {preconditioner.range}"
        )


@torch.no_grad()
def _require_symmetric(op: LinearOperator, like: Tensor, solver: str) -> None:
    """Compare ⟨u, Av⟩ and ⟨v, Au⟩ for one random pair."""
    n = real_size_of(op.domain)
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn((2, n), generator=generator, dtype=torch.float64).to(like.device, like.dtype)
    apply = flat(op)
    au, av = apply(u), apply(v)
    gap = (torch.linalg.vecdot(v, au) - torch.linalg.vecdot(u, av)).abs()
    size = torch.linalg.vector_norm(v) * torch.linalg.vector_norm(au, dim=-1)
    if bool((gap > 100 * torch.finfo(like.dtype).eps ** 0.75 * size).any()):
        raise ParameterError(
            f"solver {solver!r} is for self-adjoint operators, and {type(op).__name__} is not: "
            "use solver='gmres' or 'bicgstab', or least_squares"
        )
