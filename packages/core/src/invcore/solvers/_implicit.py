"""Derivatives of a fixed point x = T(x, θ) without its iterations.

For an incoming gradient v, w = (I - J_Tᴴ)⁻¹ v, with J_T the Jacobian of T in x; the gradient to θ is that of
⟨w, T(x, θ)⟩. θ is whatever T depends on: the data, the parameters ξ of the physics, the weight, the network
in a prior. The Jacobian-free variant takes w = v (S. Fung et al., "JFB: Jacobian-free backpropagation for
implicit networks", AAAI 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._krylov.base import warn_unless_converged
from .._krylov.gmres import gmres
from .._krylov.lsqr import lsqr
from .._problem import Problem
from ..spaces import flatten, unflatten

_STEPS = 500

Map = Callable[[Problem, Any], Any]
"""(problem, x) ↦ T(x, θ), where θ is in the problem."""


class _FixedPoint(torch.autograd.Function):
    """x, with gradients that pass through ``backward`` into z = T(x, θ)."""

    @staticmethod
    def forward(ctx: Any, through: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> Tensor:
        ctx.through = through
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Any, ...]:
        return None, None, ctx.through(v)


def attach_fixed_point(T: Map, problem: Problem, x: Tensor, *, jacobian_free: bool = False) -> Tensor:
    """Give ``x``, a fixed point of ``T``, its derivatives."""
    x = x.detach()
    if not torch.is_grad_enabled():
        return x
    fresh = problem.replace()  # without what was cached while no graph was recorded
    z = T(fresh, x)
    if not z.requires_grad:
        return x
    if jacobian_free:
        return _FixedPoint.apply(lambda v: v, x, z)
    return _FixedPoint.apply(lambda v: _adjoint_solve(T, fresh, x, v), x, z)


def _adjoint_solve(T: Map, problem: Problem, x: Tensor, v: Tensor) -> Tensor:
    """(I - J_Tᴴ)⁻¹ v by GMRES; for a singular matrix the solution of smallest norm, by LSQR."""
    space = problem.space
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        image = T(problem, leaf)

    def pull(u: Tensor, create_graph: bool = False) -> Tensor:  # J_Tᴴ
        if not image.requires_grad:
            return torch.zeros_like(u)
        options = {"retain_graph": True, "create_graph": create_graph, "materialize_grads": True}
        return flatten(torch.autograd.grad(image, leaf, unflatten(u, space), **options)[0], space)

    right = flatten(v, space)
    with torch.no_grad():
        solved = gmres(lambda u: u - pull(u), right, max_steps=_STEPS)
        if not bool(solved.converged.all()):
            with torch.enable_grad():
                dummy = torch.zeros_like(right).requires_grad_()
                transposed = pull(dummy, create_graph=True)

            def push(u: Tensor) -> Tensor:  # J_T, the adjoint of u ↦ J_Tᴴ u
                if not transposed.requires_grad:
                    return torch.zeros_like(u)
                return torch.autograd.grad(transposed, dummy, u, retain_graph=True, materialize_grads=True)[0]

            solved = lsqr(lambda u: u - pull(u), lambda u: u - push(u), right, max_steps=_STEPS)
            warn_unless_converged(solved, "The implicit derivative (LSQR)", _STEPS)
    return unflatten(solved.x, space)
