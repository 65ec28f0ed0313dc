"""Probes: inputs that show what an operator does, dense matrices, and varied parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from .._value import Value, complex_dtype, real_dtype
from ..operators import LinearOperator, Operator
from ..spaces import (
    SpaceLike,
    batch_shape,
    flatten,
    randn,
    real_size_of,
    spaces_of,
    unflatten,
    zeros,
)
from ._checks import fail, skip

DENSE_LIMIT = 2**20
"""Entries of a real matrix above which an example counts as large."""

PRECISIONS = (torch.float64, torch.float32)
ROUND_OFF = {torch.float64: 1e-12, torch.float32: 1e-5}


@dataclass(frozen=True)
class Map:
    """One of the maps that an operator offers: A itself, A.H, A.gram."""

    label: str
    apply: Callable[[Any], Any]
    domain: SpaceLike
    range: SpaceLike


def maps_of(A: Operator) -> list[Map]:
    """The maps of an operator, as a user calls them."""
    maps = [Map("A", A, A.domain, A.range)]
    if isinstance(A, LinearOperator):
        maps.append(Map("A.H", A.H, A.range, A.domain))
        maps.append(Map("A.gram", A.gram, A.domain, A.domain))
    return maps


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of one's own."""
    return torch.Generator().manual_seed(seed)


def probe(
    space: SpaceLike, batch: tuple[int, ...] = (), *, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Any:
    """White noise in a space."""
    return randn(space, batch, generator=seeded(seed), dtype=dtype)


def parameter_batch(A: Operator) -> tuple[int, ...]:
    """Batch dimensions that the parameters of an operator carry."""
    return tuple(batch_shape(A(zeros(A.domain, dtype=A.dtype, device=A.device)), A.range))


def is_complex(space: SpaceLike) -> bool:
    """True if every block of a space is complex."""
    return all(s.kind == "complex" for s in spaces_of(space))


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors of a vector (a tensor or nested tuple)."""
    return [t for t in tree_flatten(value)[0] if isinstance(t, Tensor)]


def mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Apply a function to every tensor of a vector."""
    return tree_map(lambda t: function(t) if isinstance(t, Tensor) else t, value)


def item(value: Any, index: Any) -> Any:
    """One batch item of a vector."""
    return mapped(lambda t: t[index], value)


def distance(got: Any, expected: Any) -> float:
    """‖got - expected‖ / ‖expected‖ over all blocks, in float64; infinite where the shapes differ."""
    a, b = tensors_in(got), tensors_in(expected)
    if len(a) != len(b) or any(s.shape != t.shape for s, t in zip(a, b)):
        return float("inf")
    wide = [_differing(_wide(s), _wide(t)) for s, t in zip(a, b)]
    error = sum(float(torch.linalg.vector_norm(s - t)) ** 2 for s, t in wide) ** 0.5
    scale = sum(float(torch.linalg.vector_norm(t)) ** 2 for _, t in wide) ** 0.5
    if error == 0:
        return 0.0
    if error != error:
        return float("inf")
    return error / scale if scale > 0 else float("inf")


def _differing(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Leave out where both are the same infinity (values of indicator functions)."""
    kept = (s != t) | t.isfinite()
    return s[kept], t[kept]


def _wide(t: Tensor) -> Tensor:
    t = t.detach().cpu()
    return t.to(torch.complex128 if t.is_complex() else torch.float64)


def shapes(value: Any) -> str:
    """The shapes of a vector, for a message."""
    found = [str(tuple(t.shape)) for t in tensors_in(value)]
    return found[0] if len(found) == 1 else "(" + ", ".join(found) + ")"


def require_same(got: Any, expected: Any, tolerance: float, message: str) -> None:
    """Fail with ``message`` and the size of the difference unless two vectors agree."""
    error = distance(got, expected)
    if error == float("inf") and shapes(got) != shapes(expected):
        fail(f"{message}: shape {shapes(got)} instead of {shapes(expected)}")
    if not error <= tolerance:
        fail(f"{message}: relative difference {error:.2g} (allowed {tolerance:.0e})")


# -- dense matrices in real coordinates -----------------------------------------------------------------


def affordable(A: Operator) -> bool:
    """True if the matrix of an operator is small enough to be made."""
    return real_size_of(A.domain) * real_size_of(A.range) <= DENSE_LIMIT


def need_affordable(A: Operator) -> None:
    """Skip the check on large examples."""
    if not affordable(A):
        skip("the example is too large for its dense matrix")


def real_matrix(m: Map) -> Tensor:
    """The matrix of a real-linear map in real coordinates, float64: ``(batch..., rows, columns)``.

    Column by column where affordable, so that it does not lean on the handling of batches.
    """
    n = real_size_of(m.domain)
    basis = torch.eye(n, dtype=torch.float64)
    if n <= 256:
        columns = [flatten(m.apply(unflatten(e, m.domain)), m.range) for e in basis]
        return torch.stack(columns, dim=-1)
    trial = m.apply(unflatten(basis[0], m.domain))
    batch = batch_shape(trial, m.range)
    x = unflatten(basis.reshape(n, *(1,) * len(batch), n), m.domain)
    return flatten(m.apply(x), m.range).movedim(0, -1)


# -- parameters ------------------------------------------------------------------------------------------


def differentiable_parameters(A: Any) -> dict[str, Tensor]:
    """The parameters ξ that can carry a gradient."""
    return {n: p for n, p in A.parameters().items() if p.is_floating_point() or p.is_complex()}


def variations(p: Tensor, seed: int = 1) -> Iterator[Tensor]:
    """Other values for a parameter, likely to be valid: entries shrink, then all shrink, then they move."""
    g = seeded(seed)
    if p.is_floating_point() or p.is_complex():
        if not bool((p != 0).any()):
            yield torch.full_like(p, 0.1)
            return
        u = torch.rand(p.shape, generator=g, dtype=torch.float64).to(real_dtype(p.dtype))
        shrunk = p.detach() * (1 - 0.2 * u)
        if p.is_complex():
            angle = torch.rand(p.shape, generator=g, dtype=torch.float64).to(real_dtype(p.dtype))
            yield shrunk * torch.polar(torch.ones_like(angle), angle)
        yield shrunk
        yield 0.9 * p.detach()
    elif p.dtype == torch.bool:
        flipped = p.clone().reshape(-1)
        flipped[0] = ~flipped[0]
        yield flipped.reshape(p.shape)
    yield p.detach().roll(1, -1) if p.ndim else p.detach() + 1
    yield p.detach().flip(-1) if p.ndim else p.detach() - 1


def varied(A: Any, name: str, seed: int = 1) -> Any:
    """``A`` with another valid value of one parameter, or None if none was accepted."""
    for value in variations(A.parameters()[name], seed):
        try:
            other = A.bind(**{name: value})
            if isinstance(other, Operator):
                other(zeros(other.domain, dtype=other.dtype, device=other.device))
        except Exception:
            continue
        return other
    return None


def with_parameter_batch(A: Operator, name: str, count: int = 2) -> tuple[Operator, list[Operator]] | None:
    """``A`` with ``count`` values of one parameter as a batch, and the operators one by one.

    How many dimensions the parameter has without batch is not declared, so singleton dimensions are put in
    front until the output gains a batch dimension; a parameter without dimensions has one per sample and no
    more. None if other values are refused.
    """
    singles: list[Operator] = []
    for seed in range(1, 3 * count):
        other = varied(A, name, seed)
        if other is not None and all(
            distance(other.parameters()[name], s.parameters()[name]) > 0 for s in singles
        ):
            singles.append(other)
        if len(singles) == count:
            break
    else:
        return None
    p = A.parameters()[name]
    before = parameter_batch(A)
    reasons = []
    for ones in range(4) if p.ndim else (0,):
        values = [s.parameters()[name].reshape((*(1,) * ones, *p.shape)) for s in singles]
        try:
            many = A.bind(**{name: torch.stack(values)})
            if parameter_batch(many) == (count, *before):
                return many, singles
        except Exception as error:
            reasons.append(f"{type(error).__name__}: {error}")
    because = f" ({reasons[0]})" if reasons else ""
    fail(
        f"parameter {name!r} of shape {tuple(p.shape)} does not take a leading batch dimension: with {count} "
        f"values stacked the output has no batch of {count}{because}"
    )


def cast(value: Any, dtype: torch.dtype) -> Any:
    """A vector in another precision."""
    return mapped(lambda t: t.to(complex_dtype(dtype) if t.is_complex() else dtype), value)


# -- state -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """Copies of every tensor and array below a value, to see later whether one was changed."""

    copies: list[tuple[str, Any, Any]]

    def changed(self) -> str | None:
        """The name of the first field that is not what it was."""
        for name, held, copy in self.copies:
            if isinstance(held, Tensor):
                if not _identical(held, copy):
                    return name
            elif repr(held) != copy:
                return name
        return None


def snapshot(value: Any, name: str = "") -> Snapshot:
    """Remember a value, or a vector, as it is now."""
    return Snapshot(list(_copies(value, name)))


def _copies(value: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(value, Tensor):
        yield name, value, value.detach().clone()
    elif isinstance(value, Value):
        for field in dataclasses.fields(value):  # type: ignore[arg-type]
            yield from _copies(getattr(value, field.name), f"{name}.{field.name}".lstrip("."))
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from _copies(part, f"{name}[{i}]")
    elif not callable(value):
        yield name, value, repr(value)


def _identical(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(
        torch.equal(a.detach().nan_to_num(), b.nan_to_num()) if a.is_floating_point() else torch.equal(a, b)
    )


def same_fields(a: Any, b: Any) -> str | None:
    """The first field in which two values differ, or None."""
    mine, theirs = list(_copies(a, "")), list(_copies(b, ""))
    if [n for n, *_ in mine] != [n for n, *_ in theirs]:
        return "the set of fields"
    for (name, _, left), (_, _, right) in zip(mine, theirs):
        if isinstance(left, Tensor) != isinstance(right, Tensor):
            return name
        if isinstance(left, Tensor) and not _identical(left, right):
            return name
        if not isinstance(left, Tensor) and left != right:
            return name
    return None
