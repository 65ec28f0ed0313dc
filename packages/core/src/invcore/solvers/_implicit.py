"""Derivatives of a fixed point x = T(x, θ) without its iterations, of first and second order.

For an incoming gradient v, w = (I - J_Tᴴ)⁻¹ v, with J_T the Jacobian of T in x; the gradient to θ is that of
⟨w, T(x, θ)⟩. θ is whatever T depends on: the data, the parameters ξ of the physics, the weight, the network
in a prior. The Jacobian-free variant takes w = v (S. Fung et al., "JFB: Jacobian-free backpropagation for
implicit networks", AAAI 2022).

For second derivatives x is a Newton step, x + (I - J_T)⁻¹ (T(x, θ) - x), from an x that has its first ones:
the step is exact one order further. And w is itself a fixed point, of u ↦ v + J_Tᴴ u.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import SolverError
from .._krylov.base import default_rtol, warn_unless_converged
from .._krylov.gmres import gmres
from .._krylov.lsqr import lsqr
from .._problem import Problem
from ..operators._autograd import differentiable_once, under_transform
from ..spaces import flatten, unflatten

_STEPS = 500
_THIRD = "the implicit derivative of a solver (differentiate='implicit') has orders one and two, not three"
_FREE = "differentiate='jacobian_free' has no second derivative: use 'implicit' or 'unroll'"

Map = Callable[[Problem, Any], Any]
"""(problem, x) ↦ T(x, θ), where θ is in the problem."""


def attach_fixed_point(T: Map, problem: Problem, x: Tensor, *, jacobian_free: bool = False) -> Tensor:
    """Give ``x``, a fixed point of ``T``, its derivatives."""
    x = x.detach()
    if not torch.is_grad_enabled():
        return x
    if under_transform():
        raise SolverError(
            "differentiate='implicit' and 'jacobian_free' of a fixed point work with torch.autograd.grad, "
            "backward() and torch.autograd.functional, not inside the transforms of torch.func: use one of "
            "those, or 'unroll'"
        )
    space = problem.space
    fresh = problem.replace()  # without what was cached while no graph was recorded
    if "lipschitz" in problem.__dict__:  # the fixed point is one for all lengths of the step
        fresh.__dict__["lipschitz"] = problem.lipschitz.detach()

    def flat(v: Tensor) -> Tensor:
        return flatten(T(fresh, unflatten(v, space)), space)

    v = flatten(x, space)
    if jacobian_free:
        z = flat(v)
        return unflatten(_JacobianFree.apply(v, z), space) if z.requires_grad else x
    return unflatten(_attach(flat, v), space)


def _attach(T: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    z = T(x)
    if not z.requires_grad:
        return x
    solve = _AdjointSolve(T)
    first = _First.apply(solve, x.expand(z.shape), z)
    return _Newton.apply(solve, first, T(first))


class _AdjointSolve:
    """w = (I - J_Tᴴ)⁻¹ v at a fixed point of T, and the rounding that the last solve left behind."""

    def __init__(self, T: Callable[[Tensor], Tensor]) -> None:
        self.T = T
        self.rounding: Tensor | None = None

    def __call__(self, x: Tensor, v: Tensor) -> Tensor:
        """With derivatives of its own while a graph is recorded."""
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            point = x.view_as(x) if again and x.requires_grad else x.detach().requires_grad_()
            image = self.T(point)

        def pull(u: Tensor, create_graph: bool = False) -> Tensor:  # J_Tᴴ
            options = {"retain_graph": True, "create_graph": create_graph, "materialize_grads": True}
            return torch.autograd.grad(image, point, u, **options)[0]

        w = _solved(pull, v.detach())
        self.rounding = 100 * default_rtol(v.dtype) * (_length(v) + _length(w))
        if not again:
            return w
        dual = _AdjointSolve(lambda u: v + pull(u, create_graph=True))
        return _First.apply(dual, w, dual.T(w))


class _First(torch.autograd.Function):
    """x, with the gradients of the fixed point at z = T(x, θ)."""

    @staticmethod
    def forward(solve: _AdjointSolve, x: Tensor, z: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.solve, x, z = inputs
        ctx.save_for_backward(x, z)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Any, ...]:
        rounding, ctx.solve.rounding = ctx.solve.rounding, None
        if rounding is not None and bool((_length(v) <= rounding).all()):
            return None, None, None  # what a Newton step leaves to the point that it starts from: zero
        x, z = ctx.saved_tensors
        with torch.no_grad():
            w = ctx.solve(x, v)
            ctx.solve.rounding = None
        return None, None, differentiable_once(w, _THIRD, v, z)


class _Newton(torch.autograd.Function):
    """x + (I - J_T)⁻¹ (T(x, θ) - x) at a fixed point, where it is x."""

    @staticmethod
    def forward(solve: _AdjointSolve, x: Tensor, z: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.solve, x, _ = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Any, ...]:
        (x,) = ctx.saved_tensors
        w = ctx.solve(x, v)
        return None, v - w, w


class _JacobianFree(torch.autograd.Function):
    """x, with gradients that pass into z = T(x, θ) as they are."""

    @staticmethod
    def forward(x: Tensor, z: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Any, ...]:
        return None, differentiable_once(v, _FREE, v, *ctx.saved_tensors)


def _length(v: Tensor) -> Tensor:
    return torch.linalg.vector_norm(v.detach(), dim=-1)


def _solved(pull: Callable[..., Tensor], v: Tensor) -> Tensor:
    """(I - J_Tᴴ)⁻¹ v by GMRES; for a singular matrix the solution of smallest norm, by LSQR."""
    with torch.no_grad():
        solved = gmres(lambda u: u - pull(u), v, max_steps=_STEPS)
        if bool(solved.converged.all()):
            return solved.x
        with torch.enable_grad():
            dummy = torch.zeros_like(v).requires_grad_()
            transposed = pull(dummy, create_graph=True)

        def push(u: Tensor) -> Tensor:  # J_T, the adjoint of u ↦ J_Tᴴ u
            if not transposed.requires_grad:
                return torch.zeros_like(u)
            return torch.autograd.grad(transposed, dummy, u, retain_graph=True, materialize_grads=True)[0]

        solved = lsqr(lambda u: u - pull(u), lambda u: u - push(u), v, max_steps=_STEPS)
        warn_unless_converged(solved, "The implicit derivative (LSQR)", _STEPS)
    return solved.x
