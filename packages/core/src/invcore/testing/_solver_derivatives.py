"""Derivatives of a solver's steps, of first and second order, beside differences of the same steps.

What is asked is one number, S(θ) = ⟨w, x_n⟩ of the image after n steps. θ is all that these depend on: the
data, the parameters of operator and noise, those of the solver and its prior (the weight, a step size), and
the starting point. Steps, penalties, norms and line searches are functions of θ too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._errors import InvcoreError, ParameterError, SolverError
from .._physics import Physics
from ..noises import GaussianNoise
from ..solvers import Solver
from ..spaces import flatten
from ._checks import fail, skip
from ._example import SolverExample
from ._probes import differentiable_parameters, mapped, probe, seeded, tensors_in
from ._solver_problems import (
    SIGMA,
    Example,
    data_of,
    dense_data,
    dense_physics,
    kinds_of,
    need_deterministic_prior,
    physics_of,
    solver_of,
    tight_solver,
    with_options,
)

_STEPS = 4
_SMALL = 1e-5
"""Relative size of a difference: S and its slope may have a kink near by, which a longer one would cross."""
_FIRST, _SECOND = 3e-6, 1e-4
_OF_SOLUTION, _SECOND_OF_SOLUTION = 1e-4, 1e-3

Point = dict[str, Tensor]


@dataclass(frozen=True)
class Steps:
    """S as a function of real vectors, by the name of what they are."""

    solve: Callable[[Point, str], Any]
    """θ and a mode of ``differentiate`` ↦ x_n."""
    space: Any
    at: Point

    def value(self, at: Point, mode: str) -> Tensor:
        x = flatten(self.solve(at, mode), self.space)
        return (x * flatten(probe(self.space, tuple(x.shape[:-1]), seed=119), self.space)).sum()


def steps_of(solver: Solver, physics: Any, y: Any) -> Steps:
    """The first steps of a solver as a function of all that they depend on."""
    short = with_options(solver, max_steps=_STEPS, rtol=0.0)
    return _function(short, physics, y, _away(short.solve(y, physics).value, solver.requires_nonnegative))


def solution_of(solver: Solver, physics: Any, y: Any) -> Steps:
    """The solution as a function of all that it depends on."""
    return _function(solver, physics, y, None)


def _function(solver: Solver, physics: Any, y: Any, x0: Any) -> Steps:
    own = {n: p.double() for n, p in differentiable_parameters(solver).items()}
    if isinstance(weight := getattr(solver, "weight", None), int | float) and _takes(solver, "weight"):
        own["weight"] = torch.tensor(float(weight), dtype=torch.float64)
    of_physics = differentiable_parameters(physics)
    blocks = list(tensors_in(y))
    at = {f"y {i}": _real(t) for i, t in enumerate(blocks)}
    at |= {f"ξ {n}": _real(p) for n, p in of_physics.items()} | {f"θ {n}": _real(p) for n, p in own.items()}
    if isinstance(x0, Tensor):
        at["x0"] = _real(x0)

    def solve(at: Point, mode: str) -> Any:
        parts = iter(_unreal(at[f"y {i}"], t) for i, t in enumerate(blocks))
        data = mapped(lambda _: next(parts), y)
        model = physics.bind(**{n: _unreal(at[f"ξ {n}"], p) for n, p in of_physics.items()})
        moved = {n: _unreal(at[f"θ {n}"], p) for n, p in own.items()}
        weight = {n: moved.pop(n) for n in ("weight",) if n in moved}
        bound = with_options(solver.bind(**moved) if moved else solver, **weight)
        start = {"x0": _unreal(at["x0"], x0)} if "x0" in at else {}
        return bound.solve(data, model, differentiate=mode, **start).value  # type: ignore[arg-type]

    return Steps(solve, physics.domain, at)


def _away(x: Any, positive: bool) -> Any:
    """Another image of the same size, and of the same signs where only positive ones are asked for."""
    if not isinstance(x, Tensor):
        return None
    noise = torch.randn(x.shape, generator=seeded(121), dtype=torch.float64)
    moved = x * (1 + 0.5 * torch.tanh(noise))
    return moved if positive else moved + 0.3 * x.abs().mean() * noise.roll(1, -1)


def _takes(solver: Any, name: str) -> bool:
    inner = getattr(solver, "solver", None)
    return name in solver.__dataclass_fields__ or (inner is not None and _takes(inner, name))


def _real(t: Tensor) -> Tensor:
    t = t.detach().resolve_conj()
    return torch.view_as_real(t).clone() if t.is_complex() else t.clone()


def _unreal(v: Tensor, like: Tensor) -> Tensor:
    return torch.view_as_complex(v.contiguous()) if like.is_complex() else v


def _leaves(at: Point) -> Point:
    return {n: t.detach().clone().requires_grad_() for n, t in at.items()}


def _gradient(s: Steps, leaves: Point, mode: str, *, graph: bool = False) -> dict[str, Tensor | None]:
    value = s.value(leaves, mode)
    if not value.requires_grad:
        fail(f"differentiate={mode!r} gives a result that does not require grad: the graph is cut")
    found = torch.autograd.grad(value, list(leaves.values()), create_graph=graph, allow_unused=True)
    return dict(zip(leaves, found))


def _difference(function: Callable[[Point], Tensor], at: Point, ways: Point) -> float:
    """The derivative of a function along a direction by a central difference."""
    ends = []
    for sign in (1, -1):
        moved = {n: t + sign * _SMALL * ways[n] if n in ways else t for n, t in at.items()}
        ends.append(float(function(moved).detach()))
    return (ends[0] - ends[1]) / (2 * _SMALL)


def _directions(at: Point, seed: int) -> Point:
    """For each vector a direction as long as it is."""
    drawn = {}
    for i, (name, t) in enumerate(at.items()):
        d = torch.randn(t.shape, generator=seeded(seed + i), dtype=torch.float64).to(t)
        drawn[name] = d * (float(t.norm()) or 1.0) / (float(d.norm()) or 1.0)
    return drawn


def require_derivatives_of_steps(s: Steps, mode: str = "unroll") -> None:
    """Fail unless first derivatives are those of the steps, and second ones too or refused."""
    _require_derivatives(s, mode, _FIRST, _SECOND)


def require_derivatives_of_solution(s: Steps) -> None:
    """Fail unless the derivatives through ``differentiate="implicit"`` are right, or refused."""
    _require_derivatives(s, "implicit", _OF_SOLUTION, _SECOND_OF_SOLUTION)


def _require_derivatives(s: Steps, mode: str, first: float, second: float) -> None:
    try:
        gradient = _gradient(s, _leaves(s.at), mode)
    except (SolverError, ParameterError) as error:
        skip(f"no derivative with differentiate={mode!r}, and it says so: {error}")
    ways = _directions(s.at, 131)
    slopes = {n: _difference(lambda at: s.value(at, "none"), s.at, {n: d}) for n, d in ways.items()}
    size = max((abs(v) for v in slopes.values()), default=0.0)
    for name, numeric in slopes.items():
        g = gradient[name]
        analytic = 0.0 if g is None else float((g * ways[name]).sum())
        _require_close(analytic, numeric, size, first, f"the derivative (differentiate={mode!r}) to", name)
    _require_second_derivative(s, mode, ways, second)


def _require_second_derivative(s: Steps, mode: str, ways: Point, tolerance: float) -> None:
    """Fail unless the derivative of the gradient is that of its differences, or refused."""

    def slope(at: Point, graph: bool = False) -> Tensor:
        leaves = at if graph else _leaves(at)
        found = _gradient(s, leaves, mode, graph=graph)
        return torch.stack([(g * ways[n]).sum() for n, g in found.items() if g is not None]).sum()

    leaves = _leaves(s.at)
    try:
        total = slope(leaves, graph=True)
        second = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    except (InvcoreError, RuntimeError):  # refused, as it should be where it would not be right
        return
    others = _directions(s.at, 151)
    analytic = {n: 0.0 if h is None else float((h * others[n]).sum()) for n, h in zip(leaves, second)}
    numeric = _difference(slope, s.at, others)
    size = max(map(abs, analytic.values()), default=0.0) + abs(float(total.detach()))
    what = f"the second derivative (differentiate={mode!r}) of all"
    _require_close(sum(analytic.values()), numeric, size, tolerance, what, "")


def _require_close(
    analytic: float, numeric: float, size: float, tolerance: float, what: str, name: str
) -> None:
    if not math.isfinite(analytic) or abs(analytic - numeric) > tolerance * max(abs(numeric), 0.1 * size):
        named = {"y": "the data", "x0": "the starting point", "θ": "the solver's", "ξ": "the physics'"}
        kind, _, label = name.partition(" ")
        to = f" {named[kind]} {'' if kind in ('y', 'x0') else label}".rstrip() if name else ""
        fail(
            f"{what}{to} is {analytic:.9g}, differences give {numeric:.9g}: something that the result is "
            "made of (a step size, a norm, a penalty, an inner solve) is taken for a constant"
        )


def check_unrolled_derivatives(example: Example) -> None:
    """``differentiate="unroll"`` differentiates the steps that ran: differences of the same steps agree.

    To everything that they depend on, of first and of second order; a second derivative may be refused.
    """
    solver = solver_of(example)
    for kind in kinds_of(example):
        physics = physics_of(example, kind)
        if not isinstance(example, SolverExample):
            sigma = torch.tensor(SIGMA, dtype=torch.float64)
            physics = Physics(operator=physics.operator, noise=GaussianNoise(sigma=sigma))
        y = data_of(example, physics, (2,))
        require_derivatives_of_steps(steps_of(solver, physics, y))


def check_implicit_derivatives(solver: Solver) -> None:
    """Derivatives through ``differentiate="implicit"`` are those of differences of the solution.

    To data, weight and parameters of the operator; of second order they may be refused.
    """
    need_deterministic_prior(solver)
    physics = dense_physics(solver)
    tight = tight_solver(solver)
    require_derivatives_of_solution(solution_of(tight, physics, dense_data(solver, physics)))
