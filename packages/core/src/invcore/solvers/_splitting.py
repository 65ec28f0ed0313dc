"""Tools of splitting solvers: terms φ(Bx) with ‖B‖ ≤ 1, proximal steps and quadratic subproblems.

Terms are normalized, φ(v) = F(c v) and B = K/c with c = ‖K‖, so that all dual variables have the units of
energy over image and one number, an energy over an image squared (`curvature`), fixes every step size,
whatever the units of the data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._krylov.base import Solved, default_rtol
from .._krylov.cg import cg
from .._krylov.scalars import Scalar, plus_image
from .._problem import Problem
from ..fidelities import LeastSquares
from ..operators import Identity, LinearOperator, Space
from ..operators._least_squares import attach, closed_form
from ..priors import Part, Prior, SumPrior
from ..spaces import batch_shape, broadcast_shapes, flatten, norm, scaled, tree_map, unflatten
from ._base import Solver


def ones(x: Tensor, space: Any) -> Tensor:
    """1 for each batch item."""
    return torch.ones(batch_shape(x, space), dtype=x.real.dtype, device=x.device)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and a where b = 0."""
    return a / torch.where(b > 0, b, 1)


def curvature(problem: Problem) -> Tensor:
    """Scale of f(A x; y) as a quadratic in x, per sample: a unit for step sizes.

    The Lipschitz constant of its gradient, or where it has none 2 f(0)/‖x‖² with x = Aᴴy/‖A‖².
    Convergence does not depend on it.
    """
    b = problem.backprojection
    one = torch.ones(batch_shape(b, problem.space), dtype=b.real.dtype, device=b.device)
    if problem.fidelity.lipschitz() is not None:
        found = problem.lipschitz * one
    else:
        c = problem.linear.norm()
        x = scaled(ratio(torch.ones_like(c), c**2), b, problem.space)
        zero = tree_map(torch.zeros_like, problem.y)
        energy = problem.fidelity.value(zero, problem.y, problem.A.range)
        usable = torch.isfinite(energy) & (energy > 0)
        if problem.prior is not None:
            other = problem.weight * problem.prior.value(x, problem.space)
            energy = torch.where(usable, energy, other)
            usable = torch.isfinite(energy) & (energy > 0)
        size = norm(x, problem.space)
        found = torch.where(usable & (size > 0), 2 * energy, 0) / torch.where(size > 0, size, 1) ** 2
    return torch.where((found > 0) & torch.isfinite(found), found, 1).to(one)


class Term:
    """φ(Bx) = F(Kx) with B = K/c and φ(v) = F(c v)."""

    def __init__(
        self,
        operator: LinearOperator,
        c: Tensor,
        prox: Callable[[Any, Any], Any],
        prox_conjugate: Callable[[Any, Any], Any],
    ) -> None:
        self.operator, self.c = operator, c
        self._prox, self._prox_conjugate = prox, prox_conjugate
        self.space = operator.range

    def apply(self, x: Any) -> Any:
        return scaled(1 / self.c, self.operator._apply(x), self.space)

    def adjoint(self, u: Any) -> Any:
        return scaled(1 / self.c, self.operator._apply_adjoint(u), self.operator.domain)

    def prox(self, v: Any, step: Any) -> Any:
        c = self.c
        return scaled(1 / c, self._prox(scaled(c, v, self.space), c**2 * step), self.space)

    def prox_conjugate(self, u: Any, step: Any) -> Any:
        c = self.c
        return scaled(c, self._prox_conjugate(scaled(1 / c, u, self.space), step / c**2), self.space)


class Terms:
    """Several terms side by side: Bx = (B₁x, B₂x, …), with ‖B‖² at most their number."""

    def __init__(self, terms: list[Term]) -> None:
        self.terms = terms
        self.space = tuple(t.space for t in terms)
        self.norm2 = float(len(terms))

    def apply(self, x: Any) -> tuple[Any, ...]:
        return tuple(t.apply(x) for t in self.terms)

    def adjoint(self, u: tuple[Any, ...]) -> Any:
        first, *rest = (t.adjoint(part) for t, part in zip(self.terms, u))
        for part in rest:
            first = first + part
        return first

    def prox(self, v: tuple[Any, ...], step: Any) -> tuple[Any, ...]:
        return tuple(t.prox(part, step) for t, part in zip(self.terms, v))

    def prox_conjugate(self, u: tuple[Any, ...], step: Any) -> tuple[Any, ...]:
        return tuple(t.prox_conjugate(part, step) for t, part in zip(self.terms, u))


def _parts(problem: Problem, k: int = 0) -> tuple[Part, ...]:
    """The terms of the prior at iteration ``k``; none if there is none."""
    return () if problem.prior is None else problem.prior.at(k).parts(problem.space)


def on_image(problem: Problem, k: int = 0) -> Part | None:
    """The term of the prior that is proximable in the image itself, K being the identity."""
    parts = _parts(problem, k)
    return parts[-1] if parts and parts[-1].on_image else None


def simple(problem: Problem) -> bool:
    """True if all of the prior is proximable in the image itself (or there is none)."""
    parts = _parts(problem)
    return not parts or (len(parts) == 1 and parts[0].on_image)


def _chosen(problem: Problem, k: int, image: bool) -> list[Part]:
    """The terms of the prior, with or without that `on_image`; for no prior one that is zero."""
    parts = _parts(problem, k)
    if not parts:
        return [Part(Identity(domain=problem.space), SumPrior(()))]
    return list(parts if image or not parts[-1].on_image else parts[:-1])


def _operators(
    problem: Problem, fidelity: bool, prior: bool, image: bool, diagonal: Tensor | None = None
) -> list[LinearOperator]:
    found = [problem.linear] if fidelity else []
    if prior:
        found += [part.operator for part in _chosen(problem, 0, image)]
    if diagonal is None:
        return found
    from ..operators import Mask

    assert isinstance(problem.space, Space)
    return [K @ Mask(mask=diagonal, domain=problem.space) for K in found]  # type: ignore[misc]


def norms(
    problem: Problem, *, fidelity: bool, prior: bool, image: bool = True, diagonal: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The certified norms c of the operators of `terms`; 1 for one that is zero."""
    real = problem.backprojection.real.dtype
    found = [K.norm().to(real) for K in _operators(problem, fidelity, prior, image, diagonal)]
    return tuple(torch.where(c > 0, c, 1) for c in found)


def terms(
    problem: Problem,
    k: int,
    norms: tuple[Tensor, ...],
    *,
    fidelity: bool,
    prior: bool,
    image: bool = True,
    diagonal: Tensor | None = None,
) -> Terms:
    """f(Ax) and the λ wᵢ hᵢ(Kᵢx) at step ``k``, with a ``diagonal`` D as functions of D⁻¹x.

    Without ``image`` the term on the image itself is left out.
    """
    parts: list[Term] = []
    operators = _operators(problem, fidelity, prior, image, diagonal)
    if fidelity:
        f, y, space = problem.fidelity, problem.y, problem.A.range
        parts.append(
            Term(
                operators[0],
                norms[0],
                lambda v, t: f.prox(v, y, t, space),
                lambda u, t: f.prox_conjugate(u, y, t, space),
            )
        )
    if prior:
        first = len(parts)
        for part, K, c in zip(_chosen(problem, k, image), operators[first:], norms[first:]):
            parts.append(_prior_term(part, K, c, problem.weight))
    return Terms(parts)


def _prior_term(part: Part, K: LinearOperator, c: Tensor, weight: Any) -> Term:
    """λ w h(Kx)."""
    h, range_, weight = part.prior, K.range, part.weight * weight
    return Term(
        K,
        c,
        lambda v, t: h.prox(v, weight * t, range_),
        lambda u, t: h.prox_conjugate(u, t, range_, weight=weight),
    )


def check_step_size(solver: Any) -> None:
    """Raise a `ParameterError` unless each ``step_size`` of a proximal gradient method is in (0, 2)."""
    sizes = solver.step_size if isinstance(solver.step_size, tuple) else (solver.step_size,)
    for size in (torch.as_tensor(s).detach() for s in sizes):
        if not bool(((size > 0) & (size < 2)).all()):
            raise ParameterError(
                f"{type(solver).__name__}: step_size must be between 0 and 2 (in units of 1/L), got "
                f"{solver.step_size}"
            )


def longest_step(problem: Problem) -> Tensor:
    """1/L, and 0 where the operator is zero."""
    bound = problem.lipschitz
    return torch.where(bound > 0, 1 / torch.where(bound > 0, bound, 1), 0)


def forward_backward(problem: Problem, x: Tensor, step: Scalar, threshold: Any, k: int = 0) -> Tensor:
    """prox_{τg}(x - t ∇f(Ax)) with t = ``step`` and τ = ``threshold``.

    For τ = λt its fixed points are the minimizers.
    """
    v = plus_image(x, -step, problem.gradient(x), problem.space)
    return v if problem.prior is None else problem.prior.at(k).prox(v, threshold, problem.space)


def warm_forward_backward(
    problem: Problem, x: Tensor, step: Scalar, threshold: Any, k: int, memory: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`forward_backward` whose proximal step starts where the last one ended."""
    v = plus_image(x, -step, problem.gradient(x), problem.space)
    if problem.prior is None:
        return v, memory
    return problem.prior.at(k).warm_prox(v, threshold, problem.space, memory)


def first_memory(problem: Problem, x: Tensor) -> tuple[Tensor, ...]:
    """What the first `warm_forward_backward` starts from."""
    return () if problem.prior is None else problem.prior.memory(x, problem.space)


def averaged(problem: Problem, mean: Tensor, x: Tensor, moved: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The point that converges, and its last move: x, or for a stochastic prior the average of the iterates.

    Their weights are ∝ k³.
    """
    if problem.prior is None or not problem.prior.stochastic:
        return x, moved
    moved = 4 / (k + 4) * (x - mean)
    return mean + moved, moved


def _sharp(prior: Prior, x: Tensor) -> Prior:
    """Prior whose proximal operator, where iterative, is solved as well as the precision allows."""
    names = {f.name for f in dataclasses.fields(prior)}
    if not {"rtol", "max_steps"} <= names:
        return prior
    own: Any = prior
    rtol = 1e-3 * default_rtol(x.dtype)
    return dataclasses.replace(own, rtol=min(own.rtol, rtol), max_steps=max(own.max_steps, 20_000))


def minimizer_map(solver: Solver, problem: Problem, x: Tensor) -> Tensor:
    """`forward_backward` for implicit derivatives, where fidelity and prior allow it.

    For a prior h(Kx) its proximal operator is an iteration, which is differentiated by its steps. Where a
    denoiser takes the place of one, the fixed point depends on the length of the solver's step.
    """
    name = type(solver).__name__
    if problem.prior is not None and problem.prior.stochastic:
        raise SolverError(
            f"{name}: {type(problem.prior).__name__} with random shifts has no fixed point to differentiate: "
            "use differentiate='unroll', or random_shifts=False"
        )
    if problem.fidelity.lipschitz() is None:
        raise SolverError(
            f"{name} has an implicit derivative for a smooth fidelity, not for "
            f"{type(problem.fidelity).__name__}: use differentiate='unroll'"
        )
    if problem.prior is not None and not simple(problem):
        problem = problem.replace(prior=_sharp(problem.prior, x))
    sizes = 1.0 if getattr(solver, "backtracking", False) else getattr(solver, "step_size", 1.0)
    step = (sizes[-1] if isinstance(sizes, tuple) else sizes) / curvature(problem)
    return forward_backward(problem, x, step, problem.weight * step)


def solve(
    op: LinearOperator, b: Tensor, shift: Tensor, x0: Tensor, tolerance: Tensor, max_steps: int
) -> tuple[Tensor, Tensor]:
    """Solve (AᴴA + shift) x = b by conjugate gradient; return x and which samples have ‖r‖ ≤ tolerance ‖b‖.

    Where the operator has a closed form it is the start, and nearly always the end: the derivative is then
    that of the exact solution. Else it is that of the steps.
    """
    space = op.domain
    flat_b, start = flatten(b, space), flatten(x0, space)
    batch = broadcast_shapes(flat_b.shape[:-1], shift.shape, start.shape[:-1])
    flat_b = flat_b.expand(*batch, flat_b.shape[-1])
    rtol: Any = tolerance.item() if tolerance.numel() == 1 else tolerance.expand(batch)
    lam = shift.unsqueeze(-1)
    with torch.no_grad():
        exact = closed_form(op, flat_b, shift)
    with torch.set_grad_enabled(torch.is_grad_enabled() and exact is None):
        solved: Solved = cg(
            lambda v: torch.addcmul(flatten(op._gram(unflatten(v, space)), space), lam, v),
            flat_b,
            x0=start if exact is None else exact,
            rtol=rtol,
            max_steps=max_steps,
        )
    x = solved.x
    if exact is not None:
        x = attach(op, x, flat_b, shift, {"rtol": None, "max_steps": 20 * max_steps})
    return unflatten(x, space), solved.converged


def inner_tolerance(change: Tensor, dtype: torch.dtype) -> Tensor:
    """Accuracy of a subproblem: a hundredth of the last change, so that its errors vanish in the limit."""
    return (0.01 * change).clamp(default_rtol(dtype), 1e-3)


def settled(tolerance: Tensor, rtol: float, dtype: torch.dtype) -> Tensor:
    """True if the inner tolerance is tight enough for the outer stopping test to be meaningful."""
    return tolerance <= max(0.1 * rtol, default_rtol(dtype))


def data_prox(
    solver: Solver, problem: Problem, z: Tensor, step: Tensor, x0: Tensor, tolerance: Tensor, max_steps: int
) -> tuple[Tensor, Tensor]:
    """argmin over x of f(Ax; y) + ‖x - z‖²/(2 step), and which samples reached the tolerance."""
    f = problem.fidelity
    if isinstance(f, LeastSquares):
        shift = 1 / (step * f.precision())
        b = problem.backprojection + scaled(shift, z, problem.space)
        return solve(problem.linear, b, shift, x0, tolerance, max_steps)
    if isinstance(problem.A, Identity):
        return f.prox(z, problem.y, step, problem.space), torch.ones_like(step, dtype=torch.bool)
    raise ParameterError(
        f"{type(solver).__name__} needs the proximal operator of f(Ax), which {type(f).__name__} has only "
        "for the identity: use 'admm' or 'chambolle_pock'"
    )
