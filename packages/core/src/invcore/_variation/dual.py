"""Differentiable proximal operators of g(x) = Σ hᵢ(Kᵢx) through the dual problem, for any Kᵢ and hᵢ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..spaces import Space, broadcast_shapes, norm, scaled, tree_map, vdot


class Function(Protocol):
    """Interface of hᵢ and c."""

    def value(self, x: Any, space: Any = None) -> Tensor:
        """h(x)."""

    def prox(self, x: Any, step: Any, space: Any = None) -> Any:
        """prox of step · h."""

    def prox_conjugate(self, u: Any, step: Any, space: Any = None, *, weight: Any = 1.0) -> Any:
        """prox of step · (weight h)*."""


class Term(Protocol):
    """w h(Kx)."""

    @property
    def operator(self) -> Any:
        """K, a linear operator."""

    @property
    def prior(self) -> Function:
        """h."""

    @property
    def weight(self) -> Any:
        """w."""


def dual_prox(
    v: Tensor,
    step: float | Tensor,
    parts: Sequence[Term],
    *,
    inner: Function | None = None,
    rtol: float,
    max_steps: int,
    every: int = 10,
    start: tuple[Any, ...] | None = None,
) -> tuple[Tensor, Tensor, tuple[Any, ...]]:
    """argmin over x of t Σ wᵢ hᵢ(Kᵢx) + t c(x) + ‖x - v‖²/2 by FISTA on the dual [1]_, with restarts.

    With x(p) = prox_{tc}(v - Σ Kᵢᴴpᵢ) the gap between primal and dual value is Σ (t wᵢ hᵢ)(Kᵢx) + (t wᵢ
    hᵢ)*(pᵢ) - ⟨Kᵢx, pᵢ⟩. After p = prox_{τφ*}(q) the conjugate is φ*(p) = ⟨z, p⟩ - φ(z) with z = (q - p)/τ,
    by Moreau and Fenchel, whatever φ. Each sample stops where the gap is below ``rtol`` times the primal
    value. Each of n terms has the step 1/(n ‖Kᵢ‖²).

    Parameters
    ----------
    v : Tensor, shape (batch..., *domain.shape)
    step : float or Tensor, shape (batch...)
        t.
    parts : sequence of Term
        Kᵢ, hᵢ and wᵢ; convex, and finite everywhere.
    inner : Function, optional
        c, with an exact proximal operator; zero by default.
    start : tuple, optional
        Where to start: the ``dual`` of a similar problem.

    Returns
    -------
    x : Tensor
    gap : Tensor, shape (batch...)
        Relative duality gap.
    dual : tuple
        The pᵢ of each sample.

    References
    ----------
    .. [1] A. Beck and M. Teboulle, "Fast gradient-based algorithms for constrained total variation image
       denoising and deblurring problems", IEEE Trans. Image Process. 18 (2009).
    """
    space, outer = parts[0].operator.domain, tuple(part.operator.range for part in parts)
    assert isinstance(space, Space)
    batch = v.shape[: v.ndim - len(space.shape)]
    real = v.real if v.is_complex() else v
    t = torch.as_tensor(step, dtype=real.dtype, device=v.device)
    batch = broadcast_shapes(batch, t.shape)
    v, t = v.expand(*batch, *space.shape), t.expand(batch)
    weights = [part.weight * t for part in parts]
    sizes = [float(part.operator.norm().max()) ** 2 for part in parts]
    taus = [1 / (len(parts) * size) if size else 1.0 for size in sizes]
    rtol = max(rtol, torch.finfo(real.dtype).eps)

    def apply(x: Tensor) -> tuple[Any, ...]:
        return tuple(part.operator._apply(x) for part in parts)

    def image(dual: tuple[Any, ...]) -> Tensor:
        x = v
        for part, u in zip(parts, dual):
            x = x - part.operator._apply_adjoint(u)
        return x if inner is None else inner.prox(x, t, space)

    def total(values: tuple[Any, ...]) -> Tensor:
        each = zip(parts, values, outer, weights)
        return sum((w * part.prior.value(u, s) for part, u, s, w in each), torch.zeros_like(t))

    p = tree_map(lambda u: u * 0, apply(v))
    p = q = dual = p if start is None else tree_map(torch.add, p, start)
    momentum = torch.zeros(batch, dtype=real.dtype, device=v.device)
    done = torch.zeros(batch, dtype=torch.bool, device=v.device)
    best = torch.full_like(momentum, torch.inf)
    result, gap = v, momentum + torch.inf
    for k in range(1, max_steps + 1):
        ahead = tree_map(torch.add, q, tuple(scaled(tau, u, None) for tau, u in zip(taus, apply(image(q)))))
        new = tuple(
            part.prior.prox_conjugate(u, tau, s, weight=weight)
            for part, u, tau, s, weight in zip(parts, ahead, taus, outer, weights)
        )
        if k % every == 0 or k == max_steps:
            x = image(new)
            Kx = apply(x)
            values = total(Kx)
            with torch.no_grad():
                moved = tree_map(torch.sub, ahead, new)
                z = tuple(scaled(1 / tau, u, None) for tau, u in zip(taus, moved))
                cost, cross = vdot(z, new, outer) - total(z), vdot(Kx, new, outer)
                own = norm(x - v, space) ** 2 / 2
                own = own if inner is None else own + t * inner.value(x, space)
                absolute = values + cost - cross
                gap = torch.where(done, gap, torch.where(absolute > 0, absolute / (values + own), 0))
                objective = cost - cross - own
                rounding = 64 * torch.finfo(real.dtype).eps * (values + own)
                momentum = torch.where(objective > best + rounding, 0.0, momentum)
                best = objective
            result = torch.where(_over(done, space), result, x)
            kept = done
            dual = tree_map(lambda u, w, s, kept=kept: torch.where(_over(kept, s), u, w), dual, new, outer)
            done = done | (gap <= rtol)
            if bool(done.all()):
                break
        momentum = momentum + 1
        moved = scaled(momentum / (momentum + 3), tree_map(torch.sub, new, p), outer)
        q = tree_map(torch.add, new, moved)
        p = new
    still = v if inner is None else inner.prox(v, t, space)
    return torch.where(_over(t > 0, space), result, still), gap, dual


def _over(flags: Tensor, space: Space) -> Tensor:
    """One flag per sample, to broadcast against images."""
    return flags.reshape(*flags.shape, *(1,) * len(space.shape))
