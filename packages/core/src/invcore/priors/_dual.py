"""Differentiable proximal operators of g(x) = h(Kx) through the dual problem, for any K and h."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ..operators import LinearOperator, Space
from ..spaces import norm, per_sample, vdot


class Outer(Protocol):
    """Interface of h."""

    def value(self, x: Tensor, space: Any = None) -> Tensor:
        """h(x)."""

    def prox_conjugate(self, u: Tensor, step: Any, space: Any = None, *, weight: Any = 1.0) -> Tensor:
        """prox of step · (weight h)*."""

    def conjugate(self, u: Tensor, space: Any = None, *, weight: Any = 1.0) -> Tensor:
        """(weight h)*(u)."""


def dual_prox(
    v: Tensor,
    step: float | Tensor,
    K: LinearOperator,
    h: Outer,
    *,
    rtol: float,
    max_steps: int,
    every: int = 10,
) -> tuple[Tensor, Tensor]:
    """argmin over x of t h(Kx) + ‖x - v‖²/2 by FISTA on the dual [1]_, with a stop and restarts per sample.

    With x(p) = v - Kᴴp the dual maximizes ‖v‖²/2 - ‖x(p)‖²/2 - (t h)*(p); the gap between primal and dual
    value is t h(Kx) + (t h)*(p) - ⟨Kx, p⟩. Stops where it is below ``rtol`` times the primal value.

    Returns
    -------
    x : Tensor
    gap : Tensor, shape (batch...)
        Relative duality gap.

    References
    ----------
    .. [1] A. Beck and M. Teboulle, "Fast gradient-based algorithms for constrained total variation image
       denoising and deblurring problems", IEEE Trans. Image Process. 18 (2009).
    """
    space, outer = K.domain, K.range
    assert isinstance(space, Space)
    batch = v.shape[: v.ndim - len(space.shape)]
    real = v.real if v.is_complex() else v
    t = torch.as_tensor(step, dtype=real.dtype, device=v.device)
    batch = torch.broadcast_shapes(batch, t.shape)
    v, t = v.expand(*batch, *space.shape), t.expand(batch)
    size = float(K.norm()) ** 2
    tau = 1 / size if size else 0.0
    rtol = max(rtol, torch.finfo(real.dtype).eps)
    p = q = K._apply(v) * 0
    momentum = torch.zeros(batch, dtype=real.dtype, device=v.device)
    done = torch.zeros(batch, dtype=torch.bool, device=v.device)
    best = torch.full_like(momentum, torch.inf)
    result, gap = v, momentum + torch.inf
    for k in range(1, max_steps + 1):
        new = h.prox_conjugate(q + tau * K._apply(v - K._apply_adjoint(q)), tau, outer, weight=t)
        if k % every == 0 or k == max_steps:
            x = v - K._apply_adjoint(new)
            Kx = K._apply(x)
            primal = t * h.value(Kx, outer)
            with torch.no_grad():
                cost = h.conjugate(new, outer, weight=t)
                absolute = primal + cost - vdot(Kx, new, outer)
                primal = primal + norm(x - v, space) ** 2 / 2
                gap = torch.where(done, gap, torch.where(absolute > 0, absolute / primal, 0))
                objective = norm(x, space) ** 2 / 2 + cost
                momentum = torch.where(objective > best, 0.0, momentum)
                best = objective
            result = torch.where(per_sample(done, space), result, x)
            done = done | (gap <= rtol)
            if bool(done.all()):
                break
        momentum = momentum + 1
        q = new + per_sample(momentum / (momentum + 3), outer) * (new - p)
        p = new
    return torch.where(per_sample(t > 0, space), result, v), gap


def onto_ball(u: Tensor, norms: Tensor, limit: float | Tensor) -> Tensor:
    """Shorten ``u`` where its norms, which broadcast against it, exceed ``limit``."""
    outside = norms > limit
    return torch.where(outside, u * (limit / torch.where(outside, norms, 1)), u)
