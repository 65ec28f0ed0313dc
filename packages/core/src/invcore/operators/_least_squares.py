"""Least squares with a Tikhonov shift, differentiable implicitly in the data, the shift and ξ.

For x = (AᴴA + λ)⁻¹ b and an incoming gradient v, let w = (AᴴA + λ)⁻¹ v. Then the gradient to b is w, the one
to λ is -⟨w, x⟩, and the one to ξ is that of -⟨w, A_ξᴴA_ξ x⟩. Nothing but x is stored, however many steps the
solve took; and since w comes from the same function, it differentiates again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import Solved, warn_unless_converged
from .._krylov.cg import cg
from .._krylov.lsmr import lsmr
from .._krylov.lsqr import lsqr
from .._value import full_precision
from ..spaces import Vector, broadcast_shapes, check, flatten, real_size_of, unflatten
from ._autograd import broadcast_to_sum, under_transform
from ._solve import check_preconditioner, flat

if TYPE_CHECKING:
    from ._base import LinearOperator


class _NormalSolve(torch.autograd.Function):
    """x = (A_ξᴴA_ξ + shift)⁻¹ b for a computed x; vectors in real coordinates ``(batch..., n)``."""

    @staticmethod
    def forward(
        op: LinearOperator,
        names: tuple[str, ...],
        options: dict[str, Any],
        x: Tensor,
        b: Tensor,
        shift: Tensor,
        *params: Tensor,
    ) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        op, names, options, _, b, shift, *params = inputs
        ctx.op, ctx.names, ctx.options, ctx.b_shape = op, names, options, b.shape
        ctx.save_for_backward(output, shift, *params)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        x, shift, *params = ctx.saved_tensors
        op = ctx.op.bind(**dict(zip(ctx.names, params)))
        w = normal_solve(op, v, shift, **ctx.options)
        grad_shift = None
        if ctx.needs_input_grad[5]:
            grad_shift = broadcast_to_sum(-torch.linalg.vecdot(w, x), shift.shape)
        grads: tuple[Tensor | None, ...] = (None,) * len(params)
        if any(ctx.needs_input_grad[6:]):

            def gram(*values: Tensor) -> Tensor:
                bound = op.bind(**dict(zip(ctx.names, values)))
                return flatten(bound._gram(unflatten(x, bound.domain)), bound.domain)

            grads = tuple(torch.func.vjp(gram, *params)[1](-w))
        return (None, None, None, None, broadcast_to_sum(w, ctx.b_shape), grad_shift, *grads)


def _shifted_gram(op: LinearOperator, shift: Tensor) -> Any:
    space = op.domain
    if shift.ndim == 0 and not bool(shift):
        return lambda v: flatten(op._gram(unflatten(v, space)), space)
    lam = shift.unsqueeze(-1)
    return lambda v: torch.addcmul(flatten(op._gram(unflatten(v, space)), space), lam, v)


def attach(op: LinearOperator, x: Tensor, b: Tensor, shift: Tensor, options: dict[str, Any]) -> Tensor:
    """Give the solution ``x`` of (AᴴA + shift) x = b its derivatives."""
    if not torch.is_grad_enabled() and not under_transform():
        return x
    learned = {n: p for n, p in op.parameters().items() if p.requires_grad}
    return _NormalSolve.apply(op, tuple(learned), options, x, b, shift, *learned.values())


def closed_form(op: LinearOperator, b: Tensor, shift: Tensor) -> Tensor | None:
    """(AᴴA + shift)⁻¹ b in real coordinates where the operator has a closed form, else None.

    About as exact as ``b`` determines it: where to start conjugate gradient, which looks at the residual
    first and ends there if it is small enough.
    """
    if not bool((shift > 0).all()):
        return None
    found = op._ridge(None, unflatten(b.detach() / shift.detach().unsqueeze(-1), op.domain), shift.detach())
    return None if found is None else flatten(found, op.domain)


def normal_solve(
    op: LinearOperator,
    b: Tensor,
    shift: Tensor,
    *,
    rtol: float | None,
    max_steps: int,
    x0: Tensor | None = None,
    preconditioner: LinearOperator | None = None,
) -> Tensor:
    """Solve (AᴴA + shift) x = b by conjugate gradient, in real coordinates, with implicit derivatives."""
    precondition = None if preconditioner is None else flat(preconditioner)
    with torch.no_grad():
        x0 = closed_form(op, b, shift) if x0 is None else x0
        solved = cg(
            _shifted_gram(op, shift),
            b,
            preconditioner=precondition,
            x0=x0,
            rtol=rtol,
            max_steps=max_steps,
        )
    warn_unless_converged(solved, "Conjugate gradient", max_steps)
    options = {"rtol": rtol, "max_steps": max_steps, "preconditioner": preconditioner}
    return attach(op, solved.x, b, shift, options)


_GOLUB_KAHAN: dict[str, Any] = {"lsqr": lsqr, "lsmr": lsmr}


def _run_golub_kahan(
    op: LinearOperator,
    y: Tensor,
    shift: Tensor,
    rtol: float | None,
    max_steps: int,
    *,
    solver: str = "lsqr",
    x0: Tensor | None = None,
) -> Solved:
    """min ‖Ax - y‖² + shift ‖x‖² by LSQR or LSMR, started at ``x0`` by solving for the rest."""
    apply = flat(op)

    def adjoint(u: Tensor) -> Tensor:
        return flatten(op._apply_adjoint(unflatten(u, op.range)), op.domain)

    with torch.no_grad():
        if x0 is None:
            solved = _GOLUB_KAHAN[solver](apply, adjoint, y, shift=shift, rtol=rtol, max_steps=max_steps)
        else:  # the shift as further rows √λ, so that it weighs x and not x - x0
            root = shift.sqrt().unsqueeze(-1)
            m = y.shape[-1]

            def tall(v: Tensor) -> Tensor:
                above = apply(v)
                return torch.cat([above, (root * v).expand(*above.shape[:-1], v.shape[-1])], -1)

            def back(u: Tensor) -> Tensor:
                return adjoint(u[..., :m]) + root * u[..., m:]

            rest = y - apply(x0)
            below = (-root * x0).expand(*rest.shape[:-1], x0.shape[-1])
            batch = broadcast_shapes(rest.shape[:-1], shift.shape)
            rest, below = (t.expand(*batch, t.shape[-1]) for t in (rest, below))
            data = torch.cat([rest, below], -1)
            solved = _GOLUB_KAHAN[solver](tall, back, data, rtol=rtol, max_steps=max_steps)
            solved = solved._replace(x=x0 + solved.x)
    warn_unless_converged(solved, solver.upper(), max_steps)
    return solved


def default_steps(op: LinearOperator) -> int:
    """Steps after which a Krylov solver gives up: a few times the dimension, at most 5000."""
    return min(20 + 4 * min(real_size_of(op.domain), real_size_of(op.range)), 5000)


@full_precision
def least_squares(
    op: LinearOperator,
    y: Vector,
    *,
    shift: Tensor | float = 0.0,
    center: Vector | None = None,
    solver: Literal["cg", "lsqr", "lsmr"] = "cg",
    preconditioner: LinearOperator | None = None,
    x0: Vector | None = None,
    rtol: float | None = None,
    max_steps: int | None = None,
) -> Vector:
    """Minimize ‖Ax - y‖² + shift ‖x - center‖².

    Differentiable implicitly (memory independent of the number of steps), any number of times, with respect
    to ``y``, ``shift``, ``center`` and the parameters ξ of ``op``. With ``shift=0`` the derivative assumes
    full column rank; for a wide operator use `LinearOperator.pinv`.

    Parameters
    ----------
    op : LinearOperator
    y : Tensor, shape (batch..., *range.shape)
    shift : float or Tensor, shape (batch...)
        Tikhonov weight λ ≥ 0, one for all samples or one each.
    center : Tensor, shape (batch..., *domain.shape), optional
        Zero by default.
    solver : {"cg", "lsqr", "lsmr"}
        Conjugate gradient on the normal equations (fast where the operator has a fast gram), LSQR (more
        accurate for ill-conditioned operators), or LSMR (as accurate, and safe to stop early).
    preconditioner : LinearOperator, optional
        A self-adjoint, positive definite approximation of (AᴴA + shift)⁻¹, for conjugate gradient.
    x0 : Tensor, shape (batch..., *domain.shape), optional
        Warm start.
    rtol : float, optional
        Relative tolerance, scale-invariant.
    max_steps : int, optional

    Returns
    -------
    Tensor, shape (batch..., *domain.shape)

    Examples
    --------
    >>> from invcore.operators import Matrix
    >>> A = Matrix(torch.diag(torch.tensor([1.0, 2.0])))
    >>> least_squares(A, torch.tensor([2.0, 5.0]), shift=1.0).round(decimals=3)
    tensor([1., 2.])
    """
    check(y, op.range, "least_squares: data y")
    if solver not in ("cg", "lsqr", "lsmr"):
        raise ParameterError(f"least_squares: solver must be 'cg', 'lsqr' or 'lsmr', got {solver!r}")
    if preconditioner is not None and solver != "cg":
        raise ParameterError(f"least_squares: a preconditioner is for solver='cg', not for {solver!r}")
    check_preconditioner(preconditioner, op)
    if x0 is not None:
        check(x0, op.domain, "least_squares: starting point x0")
    start = None if x0 is None else flatten(x0, op.domain).detach()
    max_steps = default_steps(op) if max_steps is None else max_steps
    b = flatten(op._apply_adjoint(y), op.domain)
    lam = torch.as_tensor(shift, dtype=b.dtype, device=b.device)
    if bool((lam < 0).any()):
        raise ParameterError(f"least_squares: shift must not be negative, got {float(lam.min()):.3g}")
    if center is not None:
        check(center, op.domain, "least_squares: center")
        b = b + lam.unsqueeze(-1) * flatten(center, op.domain)
    b = b.expand(*broadcast_shapes(b.shape[:-1], lam.shape), b.shape[-1])
    if solver == "cg":
        if bool((lam > 0).all()):  # closer than from b alone where the shift is tiny
            with torch.no_grad():
                found = op._ridge(y, center, lam.detach())
            start = start if found is None else flatten(found, op.domain)
        x = normal_solve(op, b, lam, rtol=rtol, max_steps=max_steps, x0=start, preconditioner=preconditioner)
    else:
        data = flatten(y, op.range)
        data = data.expand(*broadcast_shapes(data.shape[:-1], lam.shape), data.shape[-1])
        if center is not None:
            data = data - flatten(op._apply(center), op.range).detach()
            start = None if start is None else start - flatten(center, op.domain).detach()
        x = _run_golub_kahan(op, data.detach(), lam.detach(), rtol, max_steps, solver=solver, x0=start).x
        if center is not None:
            x = x + flatten(center, op.domain).detach()
        x = attach(op, x, b, lam, {"rtol": rtol, "max_steps": max_steps})
    return unflatten(x, op.domain)


def pinv(op: LinearOperator, y: Vector, *, rtol: float | None, max_steps: int | None) -> Vector:
    """See `LinearOperator.pinv`."""
    check(y, op.range, f"pinv of {type(op).__name__}")
    steps = default_steps(op) if max_steps is None else max_steps
    data = flatten(y, op.range)
    zero = torch.zeros((), dtype=data.dtype, device=data.device)
    x = _run_golub_kahan(op, data.detach(), zero, rtol, steps).x
    needs_grad = data.requires_grad or any(p.requires_grad for p in op.parameters().values())
    if not (torch.is_grad_enabled() and needs_grad):
        return unflatten(x, op.domain)
    options = {"rtol": rtol, "max_steps": steps}
    if real_size_of(op.range) >= real_size_of(op.domain):
        b = flatten(op._apply_adjoint(y), op.domain)
        return unflatten(attach(op, x, b, zero, options), op.domain)
    dual = op.H  # wide: x = Aᴴ u with A Aᴴ u = y
    u = attach(dual, _run_golub_kahan(dual, x, zero, rtol, steps).x, data, zero, options)
    return op._apply_adjoint(unflatten(u, op.range))
