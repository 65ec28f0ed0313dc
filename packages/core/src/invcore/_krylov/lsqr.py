"""LSQR, for least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Map, Solved, default_rtol, normalized, unit
from .scalars import ratio


def lsqr(
    apply: Map,
    adjoint: Map,
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
    size = unit(y)
    u, beta = normalized(y / size)
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
        a_norm2 = a_norm2 + torch.where(
            active, alpha.double() ** 2 + beta.double() ** 2 + damp.double() ** 2, 0
        )
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
        a_norm = a_norm2.sqrt().to(y.dtype)
        x_norm = normalized(x)[1]
        new_r = torch.hypot(phi_bar, damped2.sqrt())
        r_norm = torch.where(active, new_r, r_norm)
        normal = alpha * (s * phi).abs()  # ‖Aᴴr‖ of the damped system
        done = done | (new_r <= rtol * (b_norm + a_norm * x_norm)) | (normal <= rtol * a_norm * new_r)
    return Solved(size * x, done, r_norm / torch.where(b_norm > 0, b_norm, 1), steps)
