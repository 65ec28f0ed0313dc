"""Fidelities that are sums over entries, and sums over the entries of a space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError
from .._value import real_dtype
from ..operators import SpaceLike
from ..spaces import per_sample, space_of
from ._base import Fidelity


class Separable(Fidelity, abstract=True):
    """f(u; y) = Σᵢ φ(uᵢ; yᵢ): a subclass provides φ, its derivative and proximal operator, entry by entry.

    The parameters come after the data, in the order of ``params``, shaped to broadcast against the entries.
    """

    @abstractmethod
    def _value(self, u: Tensor, y: Tensor, *params: Any) -> Tensor:
        """φ, real."""

    @abstractmethod
    def _prox(self, u: Tensor, y: Tensor, step: Any, *params: Any) -> Tensor:
        """argmin over z of φ(z; y) + |z - u|²/(2 step)."""

    def _grad(self, u: Tensor, y: Tensor, *params: Any) -> Tensor:
        """dφ/du."""
        return super().grad(u, y)

    def _shaped(self, space: SpaceLike) -> list[Any]:
        """The parameters, shaped to broadcast against entries. One value per sample by default."""
        return [per_sample(getattr(self, name), space) for name in self.params]

    def of_blocks(self, count: int) -> tuple[Self, ...]:
        """The fidelity of each block of stacked data; the same for all by default."""
        return (self,) * count

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return total(self._entries(self._value, space, u, y), space)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        return self._entries(self._grad, space, u, y)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        return self._entries(self._prox, space, u, y, step=(step,))

    def conjugate(self, p: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        own = getattr(self, "_conjugate", None)
        if own is None:
            return super().conjugate(p, y, space)
        return total(self._entries(own, space, p, y), space)

    def _entries(
        self,
        function: Callable[..., Tensor],
        space: SpaceLike | None,
        u: Any,
        y: Any,
        *,
        step: tuple[Any, ...] = (),
    ) -> Any:
        space = space_of(u) if space is None else space
        if isinstance(space, tuple):
            each = self.of_blocks(len(u))
            return tuple(
                f._entries(getattr(f, function.__name__), s, a, b, step=step)
                for f, s, a, b in zip(each, space, u, y)
            )
        step = tuple(per_sample(s, space) for s in step)
        dtype = real_dtype(u.dtype)
        numbers = (p.to(dtype) if isinstance(p, Tensor) else p for p in (*step, *self._shaped(space)))
        return function(u, y, *numbers)


def total(x: Any, space: SpaceLike | None) -> Tensor:
    """Sum of a real tensor (or of blocks) over the dimensions of ``space``; over all if it is None."""
    space = space_of(x) if space is None else space
    if isinstance(space, tuple):
        sums = [total(part, s) for part, s in zip(x, space)]
        return sum(sums[1:], sums[0])
    return x.sum(dim=tuple(range(-len(space.shape), 0))) if space.shape else x


def square(x: Tensor) -> Tensor:
    """|x|², differentiable at zero."""
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()


def inner(p: Tensor, u: Tensor) -> Tensor:
    """Re(conj(p) u), entry by entry."""
    return p.real * u.real + p.imag * u.imag if p.is_complex() else p * u


def phase(u: Tensor) -> Tensor:
    """u/|u|, and 1 where u = 0."""
    return torch.where(u == 0, torch.ones_like(u), torch.sgn(u))


def need_real(holder: Any, *tensors: Tensor) -> None:
    """Raise a `DtypeError` if one of the tensors is complex."""
    for t in tensors:
        if t.is_complex():
            raise DtypeError(
                f"{type(holder).__name__} is a model of real data, got {t.dtype}: take x.abs() or x.real"
            )


def check_positive(holder: Any, *names: str, zero: bool = False) -> None:
    """Raise a `ParameterError` unless these fields are numbers > 0 (>= 0 with ``zero``), entry by entry."""
    for name in names:
        held = getattr(holder, name)
        if isinstance(held, tuple):
            held = torch.cat([torch.as_tensor(part).detach().reshape(-1).cpu() for part in held])
        if isinstance(held, Tensor):
            good = held.detach() >= 0 if zero else held.detach() > 0
            wrong = held.detach()[~good]
            bad = float(wrong.reshape(-1)[0]) if wrong.numel() else None
        else:
            bad = None if (held >= 0 if zero else held > 0) else float(held)
        if bad is not None:
            raise ParameterError(
                f"{type(holder).__name__}: {name} must be a number {'>=' if zero else '>'} 0, got {bad:.4g}"
            )
