"""Derivatives of a fixed point x = T(x, θ) without its iterations.

For an incoming gradient v, w = (I - J_Tᴴ)⁻¹ v, with J_T the Jacobian of T in x; the gradient to θ is that of ⟨w, T(x, θ)⟩. The
parameters θ are the data y, the parameters ξ of the physics, and the weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..operators._krylov import lsqr, warn_unless_converged
from ..operators._space import flatten, unflatten, vjp

if TYPE_CHECKING:
    from ._base import Solver
    from ._problem import Problem


class _FixedPoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, solver: Solver, problem: Problem, names: tuple[str, ...], x: Tensor, *theta: Tensor
    ) -> Tensor:
        ctx.solver, ctx.problem, ctx.names = solver, problem, names
        ctx.save_for_backward(x, *theta)
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Any, ...]:
        x, *theta = ctx.saved_tensors
        space = ctx.problem.space

        def advance(x: Tensor, *theta: Tensor) -> Tensor:
            return ctx.solver.fixed_point(_with(ctx.problem, ctx.names, theta), x)

        pull: Any = vjp(lambda x: advance(x, *theta), x)[1]
        push: Any = vjp(lambda v: pull(v)[0], torch.zeros_like(v))[1]  # the adjoint of u ↦ Jᴴu

        def transposed(u: Tensor) -> Tensor:  # (I - J)ᴴ
            return u - flatten(pull(unflatten(u, space))[0], space)

        def plain(u: Tensor) -> Tensor:  # I - J
            return u - flatten(push(unflatten(u, space))[0], space)

        solved = lsqr(transposed, plain, flatten(v, space), max_steps=500)
        warn_unless_converged(solved, "The implicit derivative (LSQR)", 500)
        w = unflatten(solved.x, space)
        pull_theta: Any = vjp(lambda *theta: advance(x, *theta), *theta)[1]
        return (None, None, None, None, *pull_theta(w))


def attach_fixed_point(solver: Solver, problem: Problem, x: Tensor) -> Tensor:
    """Give ``x``, a fixed point of ``solver.fixed_point``, its derivatives in y, ξ, the weight, and the parameters of f and g."""
    theta: dict[str, Tensor] = {"y": flatten(problem.y, problem.A.range)}
    if isinstance(problem.weight, Tensor):
        theta["weight"] = problem.weight
    for part in _PARTS:
        held = getattr(problem, part)
        if held is not None:
            theta.update({f"{part}.{n}": p for n, p in held.parameters().items()})
    theta = {n: t for n, t in theta.items() if t.requires_grad}
    return _FixedPoint.apply(solver, problem, tuple(theta), x.detach(), *theta.values())


_PARTS = ("physics", "fidelity", "prior")


def _with(problem: Problem, names: tuple[str, ...], theta: Any) -> Problem:
    fields: dict[str, Any] = dict(zip(names, theta))
    if "y" in fields:
        fields["y"] = unflatten(fields["y"], problem.A.range)
    for part in _PARTS:
        own = {n: fields.pop(n) for n in names if n.startswith(part + ".")}
        if own:
            fields[part] = getattr(problem, part).bind(
                **{n.removeprefix(part + "."): v for n, v in own.items()}
            )
    return problem.replace(**fields)
