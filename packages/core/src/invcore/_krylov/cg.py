"""Conjugate gradient, for positive semidefinite maps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .base import Map, Solved, dot, identity, relative_residual, square
from .scalars import Scalar, anywhere, are_numbers, inner, plus, ratio, sqrt, where

CGState = tuple[Tensor, Tensor, Tensor, Any]
"""The vectors of conjugate gradient, iterate x, residual r and direction p, and ‖r‖²."""


def of_one(apply: Map, shape: torch.Size) -> Map:
    """A map of vectors of this ``shape`` (1..., n) as one of plain vectors (n,)."""
    return lambda v: apply(v.view(shape)).reshape(-1)


def cg_init(apply: Map, b: Tensor, x0: Tensor | None, like: Scalar) -> CGState:
    """Start conjugate gradient for ``apply(x) = b`` at ``x0`` (default: zero), scalars ``like`` this one."""
    if x0 is None:
        x, r = torch.zeros_like(b), b
    else:
        r = b - apply(x0)
        x = x0.expand(r.shape)
    return x, r, r, inner(r, r, like)


def cg_step(apply: Map, state: CGState, floor: Any, *, in_place: bool = False) -> CGState:
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


@square
def cg(apply: Map, b: Tensor, precondition: Map, x0: Tensor | None, rtol: float, max_steps: int) -> Solved:
    """Solve ``apply(x) = b`` for a positive semidefinite map, stopping at ‖r‖ ≤ rtol ‖b‖ per sample.

    The preconditioner is symmetric and positive definite.
    """
    if precondition is not identity:
        return _preconditioned(apply, b, precondition, x0, rtol, max_steps)
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
    return Solved(x, converged, residual, steps)


def _preconditioned(
    apply: Map, b: Tensor, precondition: Map, x0: Tensor | None, rtol: float, max_steps: int
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
