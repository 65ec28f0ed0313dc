"""LSMR, for least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Map, Solved, default_rtol, normalized, quotient, unit


def lsmr(
    apply: Map,
    adjoint: Map,
    y: Tensor,
    *,
    shift: Tensor | float = 0.0,
    rtol: float | None = None,
    max_steps: int,
) -> Solved:
    """The minimizer of ‖Ax - y‖² + shift ‖x‖² of smallest norm [1]_.

    MINRES on the normal equations, as LSQR is conjugate gradient on them: ‖Aᴴr‖ decreases in every step, so
    it may be stopped early. Stops, per sample, as `lsqr` does.

    References
    ----------
    .. [1] D. Fong and M. Saunders, "LSMR: an iterative algorithm for sparse least-squares problems", SIAM J.
       Sci. Comput. 33 (2011).
    """
    rtol = default_rtol(y.dtype) if rtol is None else rtol
    damp = torch.as_tensor(shift, dtype=y.dtype, device=y.device).sqrt()
    size = unit(y)
    u, beta = normalized(y / size)
    v, alpha = normalized(adjoint(u))
    alpha, beta, damp = torch.broadcast_tensors(alpha, beta, damp)
    u, v = (t.expand(*alpha.shape, t.shape[-1]) for t in (u, v))
    zero, one = torch.zeros_like(alpha), torch.ones_like(alpha)
    x, h, h_bar = torch.zeros_like(v), v, torch.zeros_like(v)
    alpha_bar, zeta_bar, zeta, rho, rho_bar, c_bar, s_bar = alpha, alpha * beta, zero, one, one, one, zero
    # of the norm of the residual, by a third QR factorization
    beta_dd, beta_d, rho_d, tau_old, theta_tilde, damped2 = beta, zero, one, zero, zero, zero
    b_norm, r_norm, a_norm2 = beta, beta, alpha.double() ** 2
    done = (beta == 0) | (alpha == 0)
    steps = 0
    while steps < max_steps and not bool(done.all()):
        u, beta = normalized(apply(v) - alpha.unsqueeze(-1) * u)
        v, alpha = normalized(adjoint(u) - beta.unsqueeze(-1) * v)
        alpha_hat = torch.hypot(alpha_bar, damp)  # eliminate the damping
        c_hat, s_hat = quotient(alpha_bar, alpha_hat), quotient(damp, alpha_hat)
        rho_old, rho = rho, torch.hypot(alpha_hat, beta)  # eliminate the subdiagonal
        c, s = quotient(alpha_hat, rho), quotient(beta, rho)
        theta, alpha_bar = s * alpha, c * alpha
        rho_bar_old, zeta_old = rho_bar, zeta
        theta_bar, shrunk = s_bar * rho, c_bar * rho
        rho_bar = torch.hypot(shrunk, theta)
        c_bar, s_bar = quotient(shrunk, rho_bar), quotient(theta, rho_bar)
        zeta, zeta_bar = c_bar * zeta_bar, -s_bar * zeta_bar
        back = quotient(theta_bar, rho_old) * quotient(rho, rho_bar_old)
        h_bar = torch.addcmul(h, back.unsqueeze(-1), h_bar, value=-1)
        length = torch.where(done, 0, quotient(quotient(zeta, rho), rho_bar))
        x = torch.addcmul(x, length.unsqueeze(-1), h_bar)
        h = torch.addcmul(v, quotient(theta, rho).unsqueeze(-1), h, value=-1)
        steps += 1

        beta_acute, beta_check = c_hat * beta_dd, -s_hat * beta_dd
        beta_hat, beta_dd = c * beta_acute, -s * beta_acute
        rho_tilde = torch.hypot(rho_d, theta_bar)
        c_tilde, s_tilde = quotient(rho_d, rho_tilde), quotient(theta_bar, rho_tilde)
        theta_old, theta_tilde = theta_tilde, s_tilde * rho_bar
        rho_d, beta_d = c_tilde * rho_bar, c_tilde * beta_hat - s_tilde * beta_d
        tau_old = quotient(zeta_old - theta_old * tau_old, rho_tilde)
        tau_d = quotient(zeta - theta_tilde * tau_old, rho_d)
        damped2 = damped2 + beta_check**2
        new_r = (damped2 + (beta_d - tau_d) ** 2 + beta_dd**2).sqrt()
        r_norm = torch.where(done, r_norm, new_r)
        a_norm2 = a_norm2 + beta.double() ** 2 + damp.double() ** 2
        a_norm = a_norm2.sqrt().to(y.dtype)
        a_norm2 = a_norm2 + alpha.double() ** 2
        x_norm = normalized(x)[1]
        solved = new_r <= rtol * (b_norm + a_norm * x_norm)
        done = done | solved | (zeta_bar.abs() <= rtol * a_norm * new_r)
    return Solved(size * x, done, r_norm / torch.where(b_norm > 0, b_norm, 1), steps)
