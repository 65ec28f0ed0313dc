"""Checks of the mathematics of operators: spaces, linearity, adjoint, gram, norm, pseudo-inverse."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import DtypeError, ShapeError
from .._value import real_dtype
from ..operators import LinearOperator, Operator
from ..spaces import SpaceLike, batch_shape, check, flatten, real_size_of, unflatten
from ._checks import fail, skip
from ._probes import (
    PRECISIONS,
    Map,
    cast,
    distance,
    is_complex,
    maps_of,
    need_affordable,
    parameter_batch,
    probe,
    real_matrix,
    require_same,
    tensors_in,
    varied,
)

ADJOINT_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def check_declared_spaces(A: Operator) -> None:
    """Outputs have the shape, the kind and the precision that ``range`` (for A.H, ``domain``) declares."""
    for dtype in PRECISIONS:
        B = A.to(dtype)
        for m in maps_of(B):
            for batch in (parameter_batch(B), (2, *parameter_batch(B))):
                x = probe(m.domain, batch, dtype=dtype)
                _require_in(m, m.apply(x), batch, dtype)


def _require_in(m: Map, out: Any, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    try:
        check(out, m.range, f"output of {m.label}")
    except (ShapeError, DtypeError) as error:
        fail(f"the output of {m.label} does not lie in the declared space {m.range}: {error}")
    got = tuple(batch_shape(out, m.range))
    if got != batch:
        fail(f"the output of {m.label} has batch dimensions {got} for an input with {batch}")
    for t in tensors_in(out):
        if real_dtype(t.dtype) != dtype:
            fail(f"{m.label} returns {t.dtype} for an input in {dtype}: the precision changed")


def check_linear(A: LinearOperator) -> None:
    """A(a x + b z) = a A(x) + b A(z), with complex a, b between complex spaces; A.H and A.gram too."""
    for dtype in PRECISIONS:
        B = A.to(dtype)
        for m in maps_of(B):
            batch = parameter_batch(B)
            x, z = (probe(m.domain, batch, dtype=dtype, seed=s) for s in (1, 2))
            a, b = 0.6, -1.7
            fx, fz = m.apply(x), m.apply(z)
            require_same(
                m.apply(_combined(a, x, b, z)),
                _combined(a, fx, b, fz),
                ADJOINT_TOLERANCE[dtype] * 10,
                f"{m.label} is not linear over the reals in {dtype}",
            )
            # between a complex and a real space an operator, and with it its gram, is linear over the reals
            # only
            if is_complex(A.domain) and is_complex(A.range):
                require_same(
                    m.apply(_combined(1j, x, 0.0, z)),
                    _combined(1j, fx, 0.0, fz),
                    ADJOINT_TOLERANCE[dtype] * 10,
                    f"{m.label} is not linear over the complex numbers in {dtype}: {m.label}(i x) is not i "
                    f"{m.label}(x)",
                )


def _combined(a: complex, x: Any, b: complex, z: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(_combined(a, s, b, t) for s, t in zip(x, z))
    return a * x + b * z


def check_adjoint_matches_dense(A: LinearOperator) -> None:
    """The matrix of A.H is the conjugate transpose of that of A, entrywise, in float64 (tiny examples)."""
    need_affordable(A)
    B = A.to(torch.float64)
    _require_adjoint(B, "")
    for name, p in B.parameters().items():
        other = varied(B, name)
        if other is not None and (p.is_complex() or p.is_floating_point()):
            _require_adjoint(other, f" (with other values of {name!r})")


def _require_adjoint(A: LinearOperator, where: str) -> None:
    forward, backward, *_ = maps_of(A)
    matrix = real_matrix(forward)
    adjoint = real_matrix(backward)
    error = (adjoint - matrix.mT).abs().max() if matrix.numel() else torch.zeros(())
    scale = torch.linalg.vector_norm(matrix, dim=-2).max() if matrix.numel() else torch.ones(())
    if not float(error) <= ADJOINT_TOLERANCE[torch.float64] * max(float(scale), 1e-300):
        fail(
            f"A.H is not the adjoint of A{where}: entries of the two matrices differ by up to "
            f"{float(error / scale):.2g} of the largest column. {_diagnosis(A, matrix, adjoint)}"
        )


def _diagnosis(A: LinearOperator, matrix: Tensor, adjoint: Tensor) -> str:
    """Say in what way an adjoint is wrong, by comparing it with the usual suspects."""
    true = matrix.mT
    fitted = float((adjoint * true).sum() / (true * true).sum())
    if distance(adjoint, fitted * true) < 1e-6:
        return f"It is {fitted:.6g} x the true adjoint."
    if distance(adjoint, -true) < 1e-6:
        return "Its sign is wrong."
    for name, p in A.parameters().items():
        if p.is_complex():
            try:
                other = real_matrix(maps_of(A.bind(**{name: p.conj().resolve_conj()}))[1])
            except (
                Exception
            ):  # a guess that cannot be tried explains nothing; the failure is reported all the same
                continue
            if distance(other, true) < 1e-6:
                return f"With the conjugate of {name!r} it would be right: a conj() is missing."
    if is_complex(A.domain) and is_complex(A.range) and distance(adjoint, _conjugated(true)) < 1e-6:
        return "It is the transpose: the conjugate is missing."
    wrong = ((adjoint - true).abs() > 1e-9 * true.abs().max()).flatten(0, -2).any(0)
    return f"Fitted scale {fitted:.6g}; {int(wrong.sum())} of {len(wrong)} columns are wrong."


def _conjugated(matrix: Tensor) -> Tensor:
    """The real form of conj(M), from the real form of a complex matrix M."""
    signs = torch.ones(matrix.shape[-1], dtype=matrix.dtype)
    signs[1::2] = -1
    rows = torch.ones(matrix.shape[-2], dtype=matrix.dtype)
    rows[1::2] = -1
    return rows[:, None] * matrix * signs


def check_adjoint_probes(A: LinearOperator) -> None:
    """⟨A x, y⟩ = ⟨x, A.H y⟩ for random and correlated x, y, in float32 and float64, relative to the norms.

    A random pair is nearly orthogonal in high dimensions and hides a factor, so y = A x and x = A.H y are
    tried too.
    """
    for dtype in PRECISIONS:
        B = A.to(dtype)
        batch = parameter_batch(B)
        x, y = probe(B.domain, batch, dtype=dtype, seed=3), probe(B.range, batch, dtype=dtype, seed=4)
        _probe_pair(B, x, B(x), dtype, "correlated probes, y = A x")
        _probe_pair(B, B.H(y), y, dtype, "correlated probes, x = A.H y")
        _probe_pair(B, x, y, dtype, "random probes")


def _probe_pair(A: LinearOperator, x: Any, y: Any, dtype: torch.dtype, label: str) -> None:
    left, right = A(x), A.H(y)
    forward, norm_left = _inner(left, y, A.range)
    backward, _ = _inner(x, right, A.domain)
    _, norm_x = _inner(x, x, A.domain)
    scale = max(norm_left, norm_x * float(flatten(right, A.domain).double().norm()))
    error = abs(forward - backward)
    if not error <= ADJOINT_TOLERANCE[dtype] * scale:
        fitted = backward / forward if forward else float("nan")
        fail(
            f"A.H is not the adjoint of A in {dtype}, {label}: ⟨Ax, y⟩ and ⟨x, A.H y⟩ differ by "
            f"{error / scale:.2g} ‖Ax‖‖y‖. Fitted scale: A.H is {fitted:.6g} x the true adjoint."
        )


def _inner(x: Any, y: Any, space: SpaceLike) -> tuple[float, float]:
    """Re⟨x, y⟩ and ‖x‖‖y‖ over batch and all, accumulated in float64."""
    a, b = flatten(x, space).double(), flatten(y, space).double()
    return float((a * b).sum()), float(a.norm() * b.norm())


def check_adjoint_of_adjoint(A: LinearOperator) -> None:
    """``A.H.H is A``, the same for ``A.H``, and domain and range change places."""
    adjoint = A.H
    if adjoint.H is not A:
        fail("A.H.H is not A itself")
    if adjoint.H.H is not adjoint:
        fail("A.H.H.H is not A.H itself")
    if (A.H.domain, A.H.range) != (A.range, A.domain):
        fail(f"A.H maps {A.H.domain} to {A.H.range}; A maps {A.domain} to {A.range}")


def check_gram(A: LinearOperator) -> None:
    """``A.gram(x)`` equals ``A.H(A(x))``, also with other values of the parameters."""
    for dtype in PRECISIONS:
        B = A.to(dtype)
        for label, C in [("", B), *((f" with other values of {n!r}", varied(B, n)) for n in B.parameters())]:
            if C is None:
                continue
            x = probe(C.domain, (2, *parameter_batch(C)), dtype=dtype, seed=5)
            got, expected = C.gram(x), C.H(C(x))
            fitted = _fitted(got, expected, C.domain)
            require_same(
                got,
                expected,
                {torch.float64: 1e-11, torch.float32: 1e-5}[dtype],
                f"A.gram is not A.H A{label} in {dtype} (fitted scale {fitted:.6g})",
            )


def _fitted(got: Any, expected: Any, space: SpaceLike) -> float:
    forward, _ = _inner(got, expected, space)
    energy, _ = _inner(expected, expected, space)
    return forward / energy if energy else float("nan")


def check_norm_bound(A: LinearOperator) -> None:
    """``A.norm()`` is not below the largest singular value (tiny examples), whatever the parameters are."""
    need_affordable(A)
    if real_size_of(A.domain) > 600:
        skip("the example is too large for its singular values")
    B = A.to(torch.float64)
    candidates = [("", B)]
    for name, p in B.parameters().items():
        if p.is_floating_point() or p.is_complex():
            try:
                candidates.append((f" with {name!r} 1.5 times as large", B.bind(**{name: 1.5 * p})))
            except Exception:
                continue
        other = varied(B, name)
        candidates += [(f" with other values of {name!r}", other)] if other is not None else []
    for label, C in candidates:
        matrix = real_matrix(maps_of(C)[0])
        if C.nonnegative and float(matrix.min()) < -1e-12 * float(matrix.abs().max()):
            fail(f"nonnegative = True{label}, but the matrix has the entry {float(matrix.min()):.3g}")
        top = torch.linalg.matrix_norm(matrix, 2)
        bound = C.norm()
        if bound.numel() not in (1, top.numel()):
            fail(f"norm() has shape {tuple(bound.shape)}; the parameters have batch {tuple(top.shape)}")
        ratio = float((bound / top.clamp_min(1e-300)).min())
        if not ratio >= 1 - 1e-9:
            origin = "norm_bound()" if C.norm_bound() is not None else "norm()"
            fail(f"{origin} is not an upper bound of the norm{label}: it is {ratio:.4g} x the true norm")


def check_norm_scales(A: LinearOperator) -> None:
    """``(s A).norm()`` is ``s A.norm()`` for norms from 1e-30 to 1e30, in float32 and float64."""
    for dtype in PRECISIONS:
        B = A.to(dtype)
        reference = B.norm().double()
        size = float(reference.max()) if reference.numel() else 0.0
        for s in (1e-6, 1e-30 / (size or 1.0), 1e30 / (size or 1.0)):
            scaled: Any = s * B
            got = scaled.norm().double() / s
            if bool(((got - reference).abs() > 1e-3 * reference).any()):
                fail(
                    f"norm() is not homogeneous in {dtype}: ({s:g} A).norm() is "
                    f"{float((got / reference).max()):.4g} x {s:g} A.norm()"
                )


def check_pinv(A: LinearOperator) -> None:
    """``A.pinv`` is the pseudo-inverse of the dense matrix, and does not depend on the scale of A."""
    need_affordable(A)
    if real_size_of(A.domain) > 256:
        skip("the example is too large for a dense pseudo-inverse")
    B = A.to(torch.float64)
    matrix = real_matrix(maps_of(B)[0])
    sigma = torch.linalg.svdvals(matrix)
    nonzero = sigma > 1e-9 * sigma[..., :1]
    if bool((nonzero & (sigma < 1e-3 * sigma[..., :1])).any()) or not bool(nonzero.any()):
        skip("the example is too ill-conditioned to compare pseudo-inverses")
    y = probe(B.range, parameter_batch(B), seed=6)
    rank_tol = 1e-9
    inverse = torch.linalg.pinv(matrix, rtol=rank_tol)
    expected = unflatten((inverse @ flatten(y, B.range).unsqueeze(-1)).squeeze(-1), B.domain)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a solve may stop short of its own tolerance; ours is what counts here
        require_same(B.pinv(y), expected, 1e-7, "A.pinv(y) is not A⁺y")
        for dtype in PRECISIONS:
            C, data = A.to(dtype), cast(y, dtype)
            reference = C.pinv(data)
            for s in (2.0**-20, 2.0**20):
                scaled: Any = s * C
                got = scaled.pinv(data)
                got = _combined(s, got, 0.0, got)
                require_same(
                    got,
                    reference,
                    1e-6,
                    f"({s:.0e} A).pinv(y) in {dtype} is not A.pinv(y) / {s:.0e}: a tolerance is absolute",
                )


def check_linearize_matches_finite_differences(A: Operator) -> None:
    """The Jacobian of a nonlinear operator predicts small changes of its output."""
    B = A.to(torch.float64)
    batch = parameter_batch(B)
    x, d = probe(B.domain, batch, seed=7), probe(B.domain, batch, seed=8)
    J = B.linearize(x)
    h = 1e-3
    steps = [B(_combined(1.0, x, k * h, d)) for k in (-2, -1, 1, 2)]
    a, b, c, e = (flatten(s, B.range) for s in steps)
    numeric = (a - 8 * b + 8 * c - e) / (12 * h)
    require_same(
        flatten(J(d), B.range), numeric, 1e-6, "A.linearize(x)(d) is not the derivative of A at x along d"
    )


def check_linearize_adjoint(A: Operator) -> None:
    """``A.linearize(x).H`` is the adjoint of ``A.linearize(x)``."""
    B = A.to(torch.float64)
    batch = parameter_batch(B)
    J = B.linearize(probe(B.domain, batch, seed=7))
    x, y = probe(B.domain, batch, seed=9), probe(B.range, batch, seed=10)
    for left, right, label in ((x, y, "random probes"), (x, J(x), "correlated probes, y = J x")):
        _probe_pair(J, left, right, torch.float64, f"Jacobian, {label}")


COMMON = (check_declared_spaces,)
LINEAR = (
    check_linear,
    check_adjoint_matches_dense,
    check_adjoint_probes,
    check_adjoint_of_adjoint,
    check_gram,
    check_norm_bound,
    check_norm_scales,
    check_pinv,
)
NONLINEAR = (check_linearize_matches_finite_differences, check_linearize_adjoint)


def checks(A: Operator) -> list[Callable[[Any], None]]:
    """The checks for an operator."""
    from . import _operator_batches, _operator_gradients, _operator_inputs, _values

    own = LINEAR if isinstance(A, LinearOperator) else NONLINEAR
    parts = (_operator_inputs.CHECKS, _operator_batches.CHECKS, _operator_gradients.CHECKS, _values.CHECKS)
    return [*COMMON, *own, *(f for part in parts for f in part)]
