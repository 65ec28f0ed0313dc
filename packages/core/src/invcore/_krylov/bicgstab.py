"""BiCGStab, for square maps that need not be symmetric."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Map, Solved, dot, quotient, relative_residual, square


@square
def bicgstab(
    apply: Map, b: Tensor, precondition: Map, x0: Tensor | None, rtol: float, max_steps: int
) -> Solved:
    """Solve ``apply(x) = b`` for a square map, stopping at ‖r‖ ≤ rtol ‖b‖ per sample [1]_.

    Needs no adjoint; the preconditioner is applied on the right. A sample whose recurrence breaks down starts
    again from its residual; the residual that ends the iteration is recomputed from x, and the iteration goes
    on if rounding had made it look too small.

    References
    ----------
    .. [1] H. van der Vorst, "Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of
       nonsymmetric linear systems", SIAM J. Sci. Stat. Comput. 13 (1992).
    """
    tiny = torch.finfo(b.dtype).eps
    x = torch.zeros_like(b) if x0 is None else x0
    r = b - apply(x)
    x = x.expand(r.shape)
    floor = rtol * torch.linalg.vector_norm(b, dim=-1).expand(r.shape[:-1])
    size = torch.linalg.vector_norm(r, dim=-1)
    best_x, best, checked = x, size, torch.full_like(size, torch.inf)
    shadow, p, v = r, r, torch.zeros_like(r)
    rho = dot(r, r)
    done = size <= floor
    steps = 0
    while steps < max_steps and not bool(done.all()):
        p_hat = precondition(p)
        v = apply(p_hat)
        alpha = torch.where(done, 0, quotient(rho, dot(shadow, v)))
        half = torch.addcmul(r, alpha.unsqueeze(-1), v, value=-1)
        half_hat = precondition(half)
        t = apply(half_hat)
        omega = torch.where(done, 0, quotient(dot(t, half), dot(t, t)))
        x = x + alpha.unsqueeze(-1) * p_hat + omega.unsqueeze(-1) * half_hat
        r = torch.addcmul(half, omega.unsqueeze(-1), t, value=-1)
        size = torch.linalg.vector_norm(r, dim=-1)
        steps += 1
        finite = torch.isfinite(size)
        small = (size <= floor) & ~done
        if bool(small.any() | ~finite.all()):  # what looks converged, or has overflowed, is computed anew
            x = torch.where(finite.unsqueeze(-1), x, best_x)
            true = b - apply(x)
            again = small | ~finite
            r = torch.where(again.unsqueeze(-1), true, r)
            size = torch.linalg.vector_norm(r, dim=-1)
            stalled = small & (size > 0.5 * checked)  # no progress since the last such look: rounding
            checked = torch.where(again, size, checked)
            done = done | (size <= floor) | stalled
        else:
            again = small
        better = size < best
        best, best_x = torch.where(better, size, best), torch.where(better.unsqueeze(-1), x, best_x)
        new = dot(shadow, r)
        length = torch.linalg.vector_norm(shadow, dim=-1)
        restart = again | (new.abs() <= tiny * length * size) | (omega == 0) | (alpha == 0)
        beta = torch.where(restart, 0, quotient(new, rho) * quotient(alpha, omega)).unsqueeze(-1)
        p = torch.where(restart.unsqueeze(-1), r, r + beta * (p - omega.unsqueeze(-1) * v))
        shadow = torch.where(restart.unsqueeze(-1), r, shadow)
        rho = torch.where(restart, size**2, new)
    residual = relative_residual(apply, best_x, b)
    return Solved(best_x, residual <= rtol, residual, steps)
