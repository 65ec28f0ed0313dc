"""MINRES, for symmetric maps that may be indefinite."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Map, Solved, dot, quotient, relative_residual, square


@square
def minres(
    apply: Map, b: Tensor, precondition: Map, x0: Tensor | None, rtol: float, max_steps: int
) -> Solved:
    """Solve ``apply(x) = b`` for a symmetric map, definite or not [1]_.

    Each step minimizes the residual over the Krylov space, in the norm of the preconditioner (symmetric and
    positive definite) if there is one. Stops, per sample, at ‖r‖ ≤ rtol ‖b‖, or, where a singular system has
    no solution, at ‖Ar‖ ≤ rtol ‖A‖‖r‖.

    References
    ----------
    .. [1] C. Paige and M. Saunders, "Solution of sparse indefinite systems of linear equations", SIAM J.
       Numer. Anal. 12 (1975).
    """
    x = torch.zeros_like(b) if x0 is None else x0
    r = b if x0 is None else b - apply(x)
    z = precondition(r)
    beta = dot(r, z).clamp_min(0).sqrt()
    b_norm = dot(b, precondition(b)).clamp_min(0).sqrt()
    batch = beta.shape
    x, r_old, b_norm = x.expand(z.shape), torch.zeros_like(z), b_norm.expand(batch)
    zero = torch.zeros_like(beta)
    w, w_old = torch.zeros_like(z), torch.zeros_like(z)
    beta_old, d_bar, eps, phi_bar, c, s, a_norm2 = zero, zero, zero, beta, zero - 1, zero, zero
    done = phi_bar <= rtol * b_norm
    steps = 0
    while steps < max_steps and not bool(done.all()):
        active = ~done
        v = quotient(z, beta)
        z = apply(v) - _times(quotient(beta, beta_old), r_old)
        alpha = dot(v, z)
        z = z - _times(quotient(alpha, beta), r)
        r_old, r = r, z
        z = precondition(r)
        beta_old, beta = beta, dot(r, z).clamp_min(0).sqrt()
        a_norm2 = a_norm2 + alpha**2 + beta**2 + (beta_old**2 if steps else 0)
        eps_old, delta, g_bar = eps, c * d_bar + s * alpha, s * d_bar - c * alpha
        eps, d_bar = s * beta, -c * beta
        gamma = torch.hypot(g_bar, beta)
        normal = torch.hypot(g_bar, d_bar)  # ‖Ar‖ / ‖r‖ before this step
        singular = normal <= rtol * a_norm2.sqrt()
        active = active & ~singular & (gamma > 0)
        c, s = quotient(g_bar, gamma), quotient(beta, gamma)
        phi = torch.where(active, c * phi_bar, 0)
        w_old, w = w, quotient(v - _times(eps_old, w_old) - _times(delta, w), gamma)
        x = torch.addcmul(x, phi.unsqueeze(-1), w)
        phi_bar = torch.where(active, s * phi_bar, phi_bar)
        done = done | ~active | (phi_bar <= rtol * b_norm)
        steps += 1
    return Solved(x, done, relative_residual(apply, x, b), steps)


def _times(a: Tensor, v: Tensor) -> Tensor:
    return a.unsqueeze(-1) * v
