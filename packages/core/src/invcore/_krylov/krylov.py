"""Conjugate gradient and LSQR, batched, with per-sample stopping and scale-invariant tolerances.

Both work in real coordinates: a vector is a real tensor ``(batch..., n)`` (complex entries are pairs), so one
code serves real, complex and block operators. A sample that has converged takes steps of length zero, so its
result does not depend on its batch-mates.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ConvergenceWarning
from .scalars import Scalar, anywhere, are_numbers, inner, plus, ratio, sqrt, where

dot = torch.linalg.vecdot


def default_rtol(dtype: torch.dtype) -> float:
    """A relative tolerance that is reachable in this precision: 6e-6 for float32, 2e-12 for float64."""
    return torch.finfo(dtype).eps ** 0.75


class Solved(NamedTuple):
    """Result of a linear solver: the solution and how it ended, per sample."""

    x: Tensor
    converged: Tensor
    residual: Tensor
    steps: int


CGState = tuple[Tensor, Tensor, Tensor, Any]
"""The vectors of conjugate gradient, iterate x, residual r and direction p, and ‖r‖²."""


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0; one ``b`` for each vector if ``a`` holds vectors."""
    if a.ndim > b.ndim:
        b = b.unsqueeze(-1)
    return torch.where(b != 0, a, 0) / torch.where(b != 0, b, 1)


def normalized(v: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of length one (zero stays zero), and the lengths they had."""
    n = torch.linalg.vector_norm(v, dim=-1)
    return torch.where(n > 0, n, 1).reciprocal().unsqueeze(-1) * v, n


def relative_residual(apply: Callable[[Tensor], Tensor], x: Tensor, b: Tensor) -> Tensor:
    """‖b - Ax‖ / ‖b‖, computed and not estimated; 0 where both vanish."""
    size = torch.linalg.vector_norm(b, dim=-1)
    return torch.linalg.vector_norm(b - apply(x), dim=-1) / torch.where(size > 0, size, 1)


def unit(b: Tensor) -> Tensor:
    """The largest entry of each vector, (batch..., 1), and 1 for zero.

    A vector divided by it has squares that neither overflow nor underflow in float32, in any units.
    """
    largest = b.detach().abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, largest, 1)


def of_one(apply: Callable[[Tensor], Tensor], shape: torch.Size) -> Callable[[Tensor], Tensor]:
    """A map of vectors of this ``shape`` (1..., n) as one of plain vectors (n,)."""
    return lambda v: apply(v.view(shape)).reshape(-1)


def cg_init(apply: Callable[[Tensor], Tensor], b: Tensor, x0: Tensor | None, like: Scalar) -> CGState:
    """Start conjugate gradient for ``apply(x) = b`` at ``x0`` (default: zero), scalars ``like`` this one."""
    if x0 is None:
        x, r = torch.zeros_like(b), b
    else:
        r = b - apply(x0)
        x = x0.expand(r.shape)
    return x, r, r, inner(r, r, like)


def cg_step(
    apply: Callable[[Tensor], Tensor], state: CGState, floor: Any, *, in_place: bool = False
) -> CGState:
    """One step of Hestenes and Stiefel (1952), equations (3:1b) to (3:1f).

    Samples whose squared residual is at most ``floor`` rest. If ``rr`` is a number, ``in_place`` overwrites
    the vectors of the state.
    """
    x, r, p, rr = state
    to_x, to_r, to_p = (x, r, p) if in_place else (None, None, None)
    q = apply(p)
    curvature = inner(p, q, rr)
    active = (rr > floor) & (curvature > 0)
    alpha = ratio(rr, curvature, active)
    x = plus(x, alpha, p, to_x)
    r = plus(r, -alpha, q, to_r)
    rr_new = inner(r, r, rr)
    p = plus(r, ratio(rr_new, rr, active), p, to_p)
    return x, r, p, rr_new


def cg(
    apply: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    preconditioner: Callable[[Tensor], Tensor] | None = None,
    x0: Tensor | None = None,
    rtol: float | None = None,
    max_steps: int,
) -> Solved:
    """Solve ``apply(x) = b`` for a positive semidefinite map, stopping at ‖r‖ ≤ rtol ‖b‖ per sample.

    Parameters
    ----------
    apply : callable
        Maps ``(batch..., n)`` to the same shape.
    b : Tensor, shape (batch..., n), real
    preconditioner : callable, optional
        A symmetric positive definite approximation of the inverse.
    """
    rtol = default_rtol(b.dtype) if rtol is None else rtol
    scale = unit(b)
    b = b / scale
    x0 = None if x0 is None else x0 / scale
    if preconditioner is not None:
        solved = _pcg(apply, preconditioner, b, x0, rtol, max_steps)
        return solved._replace(x=scale * solved.x)
    bb: Any = dot(b, b)
    batch, shape, numbers = bb.shape, b.shape, are_numbers(bb)
    if numbers:
        apply, b, bb = of_one(apply, shape), b.reshape(-1), bb.item()
        x0 = None if x0 is None else x0.reshape(-1)
    floor = rtol**2 * bb
    x, r, p, rr = cg_init(apply, b, x0, bb)
    if numbers:  # six operations a step, in place
        x, r, p = x.clone(), r.clone(), p.clone()
    steps = 0
    while steps < max_steps and anywhere(rr > floor):
        previous = rr
        x, r, p, rr = cg_step(apply, (x, r, p, rr), floor, in_place=numbers)
        steps += 1
        if not anywhere(rr != previous):  # nothing moves any more: a singular direction or rounding
            break
    converged, residual = rr <= floor, sqrt(rr / where(bb > 0, bb, 1.0))
    if numbers:
        x = x.view(shape)
        converged, residual = torch.full(batch, converged), b.new_full(batch, residual)
    return Solved(scale * x, converged, residual, steps)


def _pcg(
    apply: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    b: Tensor,
    x0: Tensor | None,
    rtol: float,
    max_steps: int,
) -> Solved:
    """`cg` with a preconditioner; the residual that stops it is the plain one."""
    x, r = cg_init(apply, b, x0, b)[:2]
    z = precondition(r)
    x, p, rz = x.expand(z.shape), z, dot(r, z)
    floor = rtol**2 * dot(b, b)
    active = (dot(r, r) > floor) & (rz > 0)
    steps = 0
    while steps < max_steps and bool(active.any()):
        q = apply(p)
        curvature = dot(p, q)
        active = active & (curvature > 0)
        alpha = ratio(rz, curvature, active).unsqueeze(-1)
        x = torch.addcmul(x, alpha, p)
        r = torch.addcmul(r, alpha, q, value=-1)
        z = precondition(r)
        rz_new = dot(r, z)
        p = torch.addcmul(z, ratio(rz_new, rz, active).unsqueeze(-1), p)
        active = active & (dot(r, r) > floor) & (rz_new > 0)
        rz = rz_new
        steps += 1
    residual = relative_residual(apply, x, b)
    return Solved(x, dot(r, r) <= floor, residual, steps)


def lsqr(
    apply: Callable[[Tensor], Tensor],
    adjoint: Callable[[Tensor], Tensor],
    y: Tensor,
    *,
    shift: Tensor | float = 0.0,
    rtol: float | None = None,
    max_steps: int,
) -> Solved:
    """The minimizer of ‖Ax - y‖² + shift ‖x‖² of smallest norm [1]_.

    Stops, per sample, when the system is solved (‖r‖ ≤ rtol (‖y‖ + ‖A‖‖x‖)) or the least-squares problem is
    (‖Aᴴr‖ ≤ rtol ‖A‖‖r‖).

    References
    ----------
    .. [1] C. Paige and M. Saunders, "LSQR: an algorithm for sparse linear equations and sparse least
       squares", ACM Trans. Math. Softw. 8 (1982).
    """
    rtol = default_rtol(y.dtype) if rtol is None else rtol
    damp = torch.as_tensor(shift, dtype=y.dtype, device=y.device).sqrt()
    u, beta = normalized(y)
    v, alpha = normalized(adjoint(u))
    if alpha.shape != beta.shape:  # the parameters have batch dimensions that y lacks
        beta = beta.expand(alpha.shape)
        u = u.expand(*alpha.shape, u.shape[-1])
    x, w = torch.zeros_like(v), v
    b_norm, phi_bar, rho_bar = beta, beta, alpha
    a_norm2, x_norm, damped2 = torch.zeros_like(alpha), torch.zeros_like(alpha), torch.zeros_like(alpha)
    done = (beta == 0) | (alpha == 0)
    r_norm = beta
    steps = 0
    while steps < max_steps and not bool(done.all()):
        active = ~done
        u, beta = normalized(apply(v) - alpha.unsqueeze(-1) * u)
        a_norm2 = a_norm2 + torch.where(active, alpha**2 + beta**2 + damp**2, 0)
        v, alpha = normalized(adjoint(u) - beta.unsqueeze(-1) * v)
        rho_damped = torch.hypot(rho_bar, damp)  # eliminate the damping
        c1, s1 = ratio(rho_bar, rho_damped, active), ratio(damp.expand_as(rho_damped), rho_damped, active)
        damped2 = damped2 + (s1 * phi_bar) ** 2
        phi_bar = c1 * phi_bar
        rho = torch.hypot(rho_damped, beta)  # eliminate the subdiagonal
        c, s = ratio(rho_damped, rho, active), ratio(beta, rho, active)
        theta, rho_bar = s * alpha, -c * alpha
        phi, phi_bar = c * phi_bar, s * phi_bar
        x = torch.addcmul(x, ratio(phi, rho, active).unsqueeze(-1), w)
        w = torch.addcmul(v, ratio(theta, rho, active).unsqueeze(-1), w, value=-1)
        steps += 1
        a_norm = a_norm2.sqrt()
        x_norm = torch.linalg.vector_norm(x, dim=-1)
        new_r = torch.hypot(phi_bar, damped2.sqrt())
        r_norm = torch.where(active, new_r, r_norm)
        normal = alpha * (s * phi).abs()  # ‖Aᴴr‖ of the damped system
        done = done | (new_r <= rtol * (b_norm + a_norm * x_norm)) | (normal <= rtol * a_norm * new_r)
    return Solved(x, done, r_norm / torch.where(b_norm > 0, b_norm, 1), steps)


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
