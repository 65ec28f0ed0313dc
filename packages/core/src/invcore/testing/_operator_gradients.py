"""Derivatives of an operator: to x and to each parameter, once and twice, against finite differences.

Everything is asked of the scalar S(x, v, ξ) = Re⟨v, A_ξ x⟩ in float64: its gradient holds A, A.H and the
derivative to ξ, and the gradient of that holds the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import LinearOperator, Operator
from ..spaces import SpaceLike, flatten, unflatten
from ._checks import fail, skip
from ._probes import (
    differentiable_parameters,
    maps_of,
    parameter_batch,
    probe,
    real_size_of,
    require_same,
    seeded,
)

_FIRST, _SECOND = 1e-7, 1e-6
_STEP = 2e-3
_LARGE = 200_000


@dataclass(frozen=True)
class Scalar:
    """S as a function of real vectors, one for each of x, v and the parameters."""

    label: str
    value: Callable[[dict[str, Tensor]], Tensor]
    at: dict[str, Tensor]


def _scalars(A: Operator) -> list[Scalar]:
    B = A.to(torch.float64)
    batch = parameter_batch(B)
    parameters = differentiable_parameters(B)
    labels = [m.label for m in maps_of(B)]
    out = []
    for k, label in enumerate(labels):
        m = maps_of(B)[k]
        at = {
            "x": flatten(probe(m.domain, batch, seed=21), m.domain),
            "v": flatten(probe(m.range, batch, seed=22), m.range),
            **{f"ξ {n}": _real(p.detach()) for n, p in parameters.items()},
        }
        out.append(Scalar(label, _pairing(B, k, m.domain, m.range, parameters), at))
    return out


def _pairing(
    A: Operator, k: int, domain: SpaceLike, codomain: SpaceLike, parameters: dict[str, Tensor]
) -> Callable[[dict[str, Tensor]], Tensor]:
    def value(at: dict[str, Tensor]) -> Tensor:
        bound = A.bind(**{n: _unreal(at[f"ξ {n}"], p) for n, p in parameters.items()})
        out = maps_of(bound)[k].apply(unflatten(at["x"], domain))
        return (flatten(out, codomain) * at["v"]).sum()

    return value


def _real(p: Tensor) -> Tensor:
    return torch.view_as_real(p.resolve_conj()).clone() if p.is_complex() else p.clone()


def _unreal(v: Tensor, p: Tensor) -> Tensor:
    return torch.view_as_complex(v.contiguous()) if p.is_complex() else v


def _leaves(at: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: t.detach().clone().requires_grad_() for n, t in at.items()}


def _gradient(s: Scalar, at: dict[str, Tensor], *, graph: bool = False) -> dict[str, Tensor | None]:
    try:
        value = s.value(at)
    except Exception as error:
        fail(f"{s.label} fails when its inputs require gradients: {type(error).__name__}: {error}")
    if not value.requires_grad:
        fail(f"{s.label}: the output does not require grad although its input does: the graph is cut")
    try:
        found = torch.autograd.grad(value, list(at.values()), create_graph=graph, allow_unused=True)
    except ParameterError as error:
        if "vjp_params" in str(error):
            skip(f"a foreign operator that offers no gradient to its parameters, and says so: {error}")
        raise
    return dict(zip(at, found))


def _numeric(
    function: Callable[[dict[str, Tensor]], Tensor], at: dict[str, Tensor], name: str, d: Tensor
) -> float:
    """The derivative along ``d`` by a four-point stencil."""
    scale = float(at[name].norm()) or 1.0
    h = _STEP * scale / max(float(d.norm()), 1e-300)

    def shifted(k: int) -> float:
        moved = {**at, name: at[name].detach() + k * h * d}
        return float(function(moved).detach())

    return (shifted(-2) - 8 * shifted(-1) + 8 * shifted(1) - shifted(2)) / (12 * h)


def _need_small(A: Operator) -> None:
    if real_size_of(A.domain) + real_size_of(A.range) > _LARGE:
        skip("derivatives are checked on smaller examples")


def check_gradients(A: Operator) -> None:
    """Gradients to x and to every parameter, through A, A.H and A.gram, match finite differences."""
    _need_small(A)
    for s in _scalars(A):
        _compare(s, lambda at, s=s: s.value(at), _gradient(s, _leaves(s.at)), _FIRST, "gradient")  # type: ignore[misc]


def _compare(
    s: Scalar,
    function: Callable[[dict[str, Tensor]], Tensor],
    gradient: dict[str, Tensor | None],
    tolerance: float,
    what: str,
) -> None:
    magnitude = _magnitude(s)
    for name, g in gradient.items():
        at = s.at[name]
        random = torch.randn(at.shape, generator=seeded(23), dtype=torch.float64)
        if g is None:
            slope = _numeric(function, s.at, name, random)
            if abs(slope) * float(at.norm()) > tolerance * magnitude * float(random.norm()):
                fail(
                    f"{s.label}: no {what} reaches {_named(name)}, although the value depends on it "
                    f"(finite differences give {slope:.3g}): the graph is cut"
                )
            continue
        if not bool(torch.isfinite(g).all()):
            fail(f"{s.label}: the {what} to {_named(name)} is not finite")
        size = float(g.norm())
        along = g / size if size else random / random.norm()
        for d in (along, random / random.norm()):
            analytic, numeric = float((g * d).sum()), _numeric(function, s.at, name, d)
            allowed = tolerance * max(size, abs(numeric), 1e-6 * magnitude / max(float(at.norm()), 1e-300))
            if not abs(analytic - numeric) <= allowed:
                ratio = f"{analytic / numeric:.6g} x" if numeric else "not"
                fail(
                    f"{s.label}: the {what} to {_named(name)} is {ratio} what finite differences give "
                    f"({analytic:.6g} against {numeric:.6g} along "
                    f"{'itself' if d is along else 'a random direction'})"
                )


def _magnitude(s: Scalar) -> float:
    """Return the size of S without cancellation, to distinguish zero from small."""
    leaves = _leaves({"v": s.at["v"]})
    value = s.value({**s.at, **leaves})
    (g,) = torch.autograd.grad(value, [leaves["v"]])
    return float(g.norm() * s.at["v"].norm())


def _named(name: str) -> str:
    return f"parameter {name[2:]!r}" if name.startswith("ξ ") else name


def check_second_derivatives_exist(A: Operator) -> None:
    """A gradient taken with ``create_graph=True`` can be differentiated again: nothing cuts the graph."""
    _need_small(A)
    for s in _scalars(A):
        leaves = _leaves(s.at)
        gradient = _gradient(s, leaves, graph=True)
        for name, g in gradient.items():
            if name == "v" or g is None:
                continue
            if not g.requires_grad:
                fail(
                    f"{s.label}: the gradient to {_named(name)} does not require grad: the second derivative "
                    "is cut (a backward that calls plain code instead of differentiable operations)"
                )
            u = torch.randn(g.shape, generator=seeded(24), dtype=torch.float64)
            (mixed,) = torch.autograd.grad((g * u).sum(), [leaves["v"]], retain_graph=True, allow_unused=True)
            if mixed is None and float(g.norm()) > 0:
                fail(
                    f"{s.label}: the gradient to {_named(name)} has no derivative to the incoming gradient "
                    "v: the second derivative is cut"
                )


def check_second_derivatives(A: Operator) -> None:
    """Second derivatives in x, in the incoming gradient and in every parameter match finite differences."""
    _need_small(A)
    for s in _scalars(A):
        directions = {
            n: torch.randn(t.shape, generator=seeded(25 + i), dtype=torch.float64) / max(t.numel(), 1) ** 0.5
            for i, (n, t) in enumerate(s.at.items())
        }

        def slope(at: dict[str, Tensor], s: Scalar = s, directions: dict[str, Tensor] = directions) -> Tensor:
            leaves = {n: t if t.requires_grad else t.detach().clone().requires_grad_() for n, t in at.items()}
            found = _gradient(s, leaves, graph=True)
            terms = [(g * directions[n]).sum() for n, g in found.items() if g is not None]
            return torch.stack(terms).sum()

        leaves = _leaves(s.at)
        total = slope(leaves)
        if not total.requires_grad:
            fail(f"{s.label}: the gradients do not require grad: the second derivative is cut")
        second = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        _compare(s, slope, dict(zip(leaves, second)), _SECOND, "second derivative")


def check_forward_mode(A: Operator) -> None:
    """The Jacobian-vector product of torch (forward mode) is the derivative."""
    B = A.to(torch.float64)
    batch = parameter_batch(B)
    x, d = probe(B.domain, batch, seed=26), probe(B.domain, batch, seed=27)
    if isinstance(x, tuple):
        skip("the input is a tuple of blocks")
    got: Any = torch.func.jvp(B._apply, (x,), (d,))[1]
    J = B.linearize(x)
    v = probe(B.range, batch, seed=28)
    (back,) = torch.func.vjp(B._apply, x)[1](v)
    left = float((flatten(got, B.range) * flatten(v, B.range)).sum())
    right = float((flatten(d, B.domain) * flatten(back, B.domain)).sum())
    size = float(flatten(got, B.range).norm() * flatten(v, B.range).norm())
    if not abs(left - right) <= 1e-11 * size:
        fail(
            f"forward-mode and reverse-mode derivatives disagree: ⟨J d, v⟩ = {left:.8g}, ⟨d, Jᴴ v⟩ = "
            f"{right:.8g}"
        )
    require_same(
        flatten(got, B.range),
        flatten(J(d), B.range),
        1e-10,
        "the forward-mode derivative is not A.linearize(x)(d)",
    )


def check_gradient_of_the_norm(A: Operator) -> None:
    """``A.norm()``, from which solvers take their steps, has the derivative of what it computes."""
    if not isinstance(A, LinearOperator):
        skip("a nonlinear operator has no norm")
    _need_small(A)
    B = A.to(torch.float64)
    parameters = differentiable_parameters(B)
    if not parameters:
        skip("no parameters that can carry a gradient")
    at = {n: _real(p.detach()) for n, p in parameters.items()}

    def value(at: dict[str, Tensor]) -> Tensor:
        return B.bind(**{n: _unreal(at[n], p) for n, p in parameters.items()}).norm().sum()

    leaves = _leaves(at)
    total = value(leaves)
    if not total.requires_grad:
        found: list[Tensor | None] = [None] * len(at)
    else:
        try:
            found = list(torch.autograd.grad(total, list(leaves.values()), allow_unused=True))
        except ParameterError as error:
            if "vjp_params" in str(error):
                skip(f"a foreign operator that offers no gradient to its parameters, and says so: {error}")
            raise
    for name, g in zip(at, found):
        d, h = at[name], 1e-6  # a maximum that several entries attain still has a derivative in their size
        ends = [float(value({**at, name: at[name] + sign * h * d}).detach()) for sign in (1, -1)]
        numeric = (ends[0] - ends[1]) / (2 * h)
        analytic = 0.0 if g is None else float((g * d).sum())
        if not abs(analytic - numeric) <= 1e-5 * max(abs(numeric), 1e-3 * abs(float(total.detach()))):
            fail(
                f"the derivative of the norm to parameter {name!r} is {analytic:.6g} along itself, "
                f"differences give {numeric:.6g}: norm_bound, or what it is made of, is taken for a constant"
            )


CHECKS = (
    check_gradients,
    check_gradient_of_the_norm,
    check_second_derivatives_exist,
    check_second_derivatives,
    check_forward_mode,
)
