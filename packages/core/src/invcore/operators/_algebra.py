"""Algebra of operators: each node is a named, printable, picklable operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space, SpaceLike, Vector, broadcast_shapes, check, one_per_sample, scaled, spaces_of
from ._autograd import plainly_saved
from ._base import LinearOperator, Operator

if TYPE_CHECKING:
    from ._svd import SVD


class Adjoint(LinearOperator):
    """The adjoint Aᴴ of a linear operator, as ``A.H`` gives it."""

    base: LinearOperator

    @property
    def domain(self) -> SpaceLike:
        return self.base.range

    @property
    def range(self) -> SpaceLike:
        return self.base.domain

    def forward(self, x: Any) -> Any:
        return self.base._apply_adjoint(x)

    def adjoint(self, y: Any) -> Any:
        return self.base._apply(y)

    def norm_bound(self) -> Tensor | None:
        return self.base.norm_bound()

    def _svd(self) -> SVD | None:
        from ._svd import SVD

        found = self.base._svd()
        return None if found is None else SVD(U=found.V, s=found.s, V=found.U)

    @property
    def H(self) -> LinearOperator:
        """The operator itself."""
        return self.base

    def __repr__(self) -> str:
        return f"{_grouped(self.base)}.H"


class _Of(Operator, abstract=True):
    """An operator between the spaces of another, ``base``."""

    base: Operator

    @property
    def domain(self) -> SpaceLike:
        return self.base.domain

    @property
    def range(self) -> SpaceLike:
        return self.base.range


class Gram(_Of, LinearOperator):
    """The normal operator AᴴA, as ``A.gram`` gives it."""

    base: LinearOperator

    @property
    def range(self) -> SpaceLike:
        return self.base.domain

    def forward(self, x: Any) -> Any:
        return self.base._gram(x)

    def adjoint(self, y: Any) -> Any:
        return self.base._gram(y)

    def norm_bound(self) -> Tensor | None:
        bound = self.base.norm_bound()
        return None if bound is None else bound**2

    @property
    def H(self) -> LinearOperator:
        """Self-adjoint: the operator itself."""
        return self

    def __repr__(self) -> str:
        return f"{_grouped(self.base)}.gram"


class _Several(Operator, abstract=True):
    """An operator made of several, between the spaces of the first unless it says otherwise."""

    operators: tuple[Operator, ...]

    @property
    def domain(self) -> SpaceLike:
        return self.operators[0].domain

    @property
    def range(self) -> SpaceLike:
        return self.operators[0].range


class _Chain(_Several, abstract=True):
    """A₁ ∘ A₂ ∘ …, linear or not."""

    @property
    def domain(self) -> SpaceLike:
        return self.operators[-1].domain

    def forward(self, x: Any) -> Any:
        return _chain(self.operators, x)

    def __repr__(self) -> str:
        return " @ ".join(map(repr, self.operators))


class Composition(_Chain):
    """A₁ ∘ A₂ ∘ … of operators of which at least one is not linear."""

    operators: tuple[Operator, ...]

    def linearize(self, x: Vector) -> LinearOperator:
        """By the chain rule: linear operators stay what they are, with their fast adjoint and gram."""
        check(x, self.domain, f"Point at which {type(self).__name__} is linearized")
        parts: list[LinearOperator] = []
        for op in reversed(self.operators):
            parts.append(op.linearize(x))
            x = op._apply(x)
        return LinearComposition(operators=tuple(reversed(parts)))


class LinearComposition(_Chain, LinearOperator):
    """A₁ A₂ … of linear operators, as ``A @ B`` gives it."""

    operators: tuple[LinearOperator, ...]

    def adjoint(self, y: Any) -> Any:
        for op in self.operators:
            y = op._apply_adjoint(y)
        return y

    def _gram(self, x: Any) -> Any:
        """(A B)ᴴ(A B) = Bᴴ (AᴴA) B: the fast gram of the outermost operator is used."""
        outer, inner = self.operators[0], self.operators[1:]
        x = outer._gram(_chain(inner, x))
        for op in inner:
            x = op._apply_adjoint(x)
        return x


class _Total(_Several, abstract=True):
    """A₁ + A₂ + …, linear or not."""

    def forward(self, x: Any) -> Any:
        return _total([op._apply(x) for op in self.operators])


class Sum(_Total):
    """A₁ + A₂ + … of operators of which at least one is not linear."""

    operators: tuple[Operator, ...]


class LinearSum(_Total, LinearOperator):
    """A₁ + A₂ + … of linear operators."""

    operators: tuple[LinearOperator, ...]

    def adjoint(self, y: Any) -> Any:
        return _total([op._apply_adjoint(y) for op in self.operators])


class _Multiple(_Of, abstract=True):
    """s A, linear or not."""

    scale: Any

    def forward(self, x: Any) -> Any:
        return scaled(self.scale, self.base._apply(x), self.range)


class Scaled(_Multiple):
    """s A for an operator that is not linear."""

    scale: Any
    base: Operator
    params = ("scale",)


class LinearScaled(_Multiple, LinearOperator):
    """s A for a linear operator; s is a number, or a tensor with one entry per batch item."""

    scale: Any
    base: LinearOperator
    params = ("scale",)

    def adjoint(self, y: Any) -> Any:
        conj = _conj(self.scale)
        if isinstance(conj, complex) or (isinstance(conj, Tensor) and conj.is_complex()):
            # i does not commute with an operator that is linear over the reals only, such as one that takes a
            # real part
            return self.base._apply_adjoint(scaled(conj, y, self.range))
        return scaled(conj, self.base._apply_adjoint(y), self.domain)

    @cached_property
    def _extreme(self) -> bool:
        """True if |s|², or the square of an operator of size 1/s, may leave single precision."""
        size = torch.as_tensor(self.scale).detach().abs().double()
        return not bool(((size == 0) | ((size > 1e-9) & (size < 1e9))).all())

    def _gram(self, x: Any) -> Any:
        if self._extreme:
            return self.adjoint(self.forward(x))
        return scaled(_abs2(self.scale), self.base._gram(x), self.domain)

    def _ridge(self, y: Any, z: Any, weight: Tensor) -> Any:
        """Solve with A for the data y / s and the weight divided by |s|²."""
        if self._extreme:
            return None
        power = torch.as_tensor(_abs2(self.scale), dtype=weight.dtype, device=weight.device)
        if not bool((power > 0).all()):
            return None
        return self.base._ridge(
            None if y is None else scaled(1 / self.scale, y, self.range), z, weight / power
        )

    def norm_bound(self) -> Tensor | None:
        bound = self.base.norm_bound()
        return None if bound is None else abs(self.scale) * bound

    def coarser(self, y: Any) -> tuple[LinearOperator, Any] | None:
        found = self.base.coarser(y)
        return None if found is None else (self.scale * found[0], found[1])


class _Rows(_Several, abstract=True):
    """x ↦ (A₁x, A₂x, …), linear or not."""

    @property
    def range(self) -> SpaceLike:
        return tuple(op.range for op in self.operators)

    def forward(self, x: Any) -> Any:
        return tuple(op._apply(x) for op in self.operators)


class Stack(_Rows):
    """x ↦ (A₁x, A₂x, …) of operators of which at least one is not linear."""

    operators: tuple[Operator, ...]


class LinearStack(_Rows, LinearOperator):
    """x ↦ (A₁x, A₂x, …); the range is a tuple of spaces, its elements plain tuples of tensors."""

    operators: tuple[LinearOperator, ...]

    def adjoint(self, y: Any) -> Any:
        return _total([op._apply_adjoint(part) for op, part in zip(self.operators, y)])

    def _gram(self, x: Any) -> Any:
        return _total([op._gram(x) for op in self.operators])


class BlockDiagonal(LinearOperator):
    """(x₁, x₂, …) ↦ (A₁x₁, A₂x₂, …) of linear operators."""

    operators: tuple[LinearOperator, ...]

    @property
    def domain(self) -> SpaceLike:
        return tuple(op.domain for op in self.operators)

    @property
    def range(self) -> SpaceLike:
        return tuple(op.range for op in self.operators)

    def forward(self, x: Any) -> Any:
        return tuple(op._apply(part) for op, part in zip(self.operators, x))

    def adjoint(self, y: Any) -> Any:
        return tuple(op._apply_adjoint(part) for op, part in zip(self.operators, y))

    def _gram(self, x: Any) -> Any:
        return tuple(op._gram(part) for op, part in zip(self.operators, x))


class Jacobian(_Of, LinearOperator):
    """The Jacobian of ``base`` at ``point``, as ``A.linearize(x)`` gives it."""

    base: Operator
    point: Vector
    params = ("point",)

    def forward(self, x: Any) -> Any:
        point = _expanded(self.point, x)
        with plainly_saved():
            return torch.func.jvp(self.base._apply, (point,), (_expanded(x, point),))[1]

    def adjoint(self, y: Any) -> Any:
        batch = y.shape[: y.ndim - len(self.range.shape)] if isinstance(y, Tensor) else ()  # type: ignore[union-attr]
        point = self.point
        if isinstance(point, Tensor) and batch:
            own = point.ndim - len(self.domain.shape)  # type: ignore[union-attr]
            shape = broadcast_shapes(batch, point.shape[:own])
            point = point.expand(*shape, *point.shape[own:])
            y = y.expand(*shape, *self.range.shape)  # type: ignore[union-attr]
        with plainly_saved():
            return torch.func.vjp(self.base._apply, point)[1](y)[0]


class LinearFunction(LinearOperator):
    """A linear operator made of a torch function by ``LinearOperator.from_function``."""

    function: Callable[[Any], Any]
    domain: SpaceLike
    range: SpaceLike

    def forward(self, x: Any) -> Any:
        return self.function(x)


class NonlinearFunction(Operator):
    """An operator made of a torch function by ``Operator.from_function``."""

    function: Callable[[Any], Any]
    domain: SpaceLike
    range: SpaceLike

    def forward(self, x: Any) -> Any:
        return self.function(x)


def compose(outer: Operator, inner: Operator) -> Operator:
    """``outer @ inner``; nested compositions are flattened."""
    if outer.domain != inner.range:
        raise ShapeError(
            f"Cannot compose: {type(outer).__name__} takes {outer.domain}, {type(inner).__name__} gives "
            f"{inner.range}"
        )
    parts: list[Operator] = []
    for op in (outer, inner):
        parts.extend(op.operators if isinstance(op, Composition | LinearComposition) else (op,))
    linear = _all_linear(parts)
    return LinearComposition(operators=linear) if linear else Composition(operators=tuple(parts))


def add(first: Operator, second: Operator) -> Operator:
    """``first + second``; nested sums are flattened."""
    if first.domain != second.domain or first.range != second.range:
        raise ShapeError(
            f"Cannot add {type(first).__name__}: {first.domain} -> {first.range} and "
            f"{type(second).__name__}: {second.domain} -> {second.range}; both spaces must be the same"
        )
    parts: list[Operator] = []
    for op in (first, second):
        parts.extend(op.operators if isinstance(op, Sum | LinearSum) else (op,))
    linear = _all_linear(parts)
    return LinearSum(operators=linear) if linear else Sum(operators=tuple(parts))


def rescale(op: Operator, scale: float | complex | Tensor) -> Operator:
    """``scale * op``; see `Operator.__mul__`."""
    if isinstance(scale, Tensor) and _ends_with(scale, op.domain):
        raise ParameterError(
            f"{type(op).__name__}: * scales by a number, and got a tensor {tuple(scale.shape)}, an element "
            "of the domain. Write A(x) or A @ x to apply the operator; (1 * A).bind(scale=s) to scale by "
            "one factor per sample."
        )
    scale = one_per_sample(scale, op.range)
    is_complex = scale.is_complex() if isinstance(scale, Tensor) else isinstance(scale, complex)
    if is_complex and any(s.kind == "real" for space in (op.domain, op.range) for s in spaces_of(space)):
        raise ParameterError(
            f"{type(op).__name__} has a real space: it cannot be scaled by the complex number {scale}"
        )
    return (
        LinearScaled(scale=scale, base=op) if isinstance(op, LinearOperator) else Scaled(scale=scale, base=op)
    )


def stack(operators: Sequence[Operator]) -> Operator:
    """Stack operators on one domain: x ↦ (A₁x, A₂x, …).

    Parameters
    ----------
    operators : sequence of Operator
        With the same domain.

    Returns
    -------
    Operator
        Linear if all are. Its range is a tuple of spaces.

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> I = Identity((2,))
    >>> stack([I, 3 * I])(torch.ones(2))
    (tensor([1., 1.]), tensor([3., 3.]))
    """
    parts = tuple(operators)
    if not parts:
        raise ParameterError("stack() needs at least one operator")
    for op in parts[1:]:
        if op.domain != parts[0].domain:
            raise ShapeError(f"stack() needs one domain; got {parts[0].domain} and {op.domain}")
    linear = _all_linear(parts)
    return LinearStack(operators=linear) if linear else Stack(operators=parts)


def block_diag(operators: Sequence[LinearOperator]) -> LinearOperator:
    """The block-diagonal operator (x₁, x₂, …) ↦ (A₁x₁, A₂x₂, …) on tuples.

    Parameters
    ----------
    operators : sequence of LinearOperator
    """
    parts = tuple(operators)
    if not parts:
        raise ParameterError("block_diag() needs at least one operator")
    return BlockDiagonal(operators=parts)


def _ends_with(x: Tensor, space: SpaceLike) -> bool:
    shape = space.shape if isinstance(space, Space) else ()
    return len(shape) > 0 and tuple(x.shape[-len(shape) :]) == shape


def _grouped(op: Operator) -> str:
    """The repr, in parentheses where what follows would bind to its last part only."""
    return f"({op!r})" if isinstance(op, LinearComposition) else repr(op)


def _all_linear(parts: Sequence[Operator]) -> tuple[LinearOperator, ...]:
    """The parts as linear operators, or an empty tuple if one is not."""
    linear = tuple(op for op in parts if isinstance(op, LinearOperator))
    return linear if len(linear) == len(parts) else ()


def _chain(operators: Sequence[Operator], x: Any) -> Any:
    for op in reversed(operators):
        x = op._apply(x)
    return x


def _total(terms: Sequence[Any]) -> Any:
    if isinstance(terms[0], tuple):
        return tuple(_total(parts) for parts in zip(*terms))
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _conj(scale: Any) -> Any:
    return scale.conj() if isinstance(scale, Tensor) else scale.conjugate()


def _abs2(scale: Any) -> Any:
    return (_conj(scale) * scale).real


def _expanded(x: Any, other: Any) -> Any:
    """``x`` with the batch dimensions of ``other`` (Jacobians need point and tangent of one shape)."""
    if isinstance(x, tuple):
        return tuple(_expanded(a, b) for a, b in zip(x, other))
    return x.expand(broadcast_shapes(x.shape, other.shape)).contiguous()
