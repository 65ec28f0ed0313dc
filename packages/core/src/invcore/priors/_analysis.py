"""A prior behind any linear operator."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from torch import Tensor

from .._errors import ShapeError
from ..operators import Identity, LinearOperator, SpaceLike
from ..spaces import batch_shape, check, one_per_sample
from ._base import Part, Prior
from ._joint import memory_of_parts, prox_of_parts


class Analysis(Prior):
    r"""A prior on what a linear operator makes of the image, g(x) = h(Kx): an analysis prior [1]_.

    Solvers that split ('chambolle_pock', 'condat_vu', 'admm') work with K and h apart. The proximal operator
    solves the dual problem by accelerated projected gradients with restarts, each sample until its duality
    gap is below ``rtol`` times the primal value; h needs a known conjugate.

    Parameters
    ----------
    h : Prior
        It acts on the range of K.
    K : LinearOperator
        Its domain is the space of the images.

    References
    ----------
    .. [1] M. Elad, P. Milanfar, R. Rubinstein, "Analysis versus synthesis in signal priors", Inverse Probl.
       23 (2007).

    Examples
    --------
    >>> import torch
    >>> from invcore.operators import Matrix
    >>> from invcore.priors import L1
    >>> g = Analysis(L1(), Matrix(torch.tensor([[1.0, -1.0]])))
    >>> g.value(torch.tensor([3.0, 1.0])), g.prox(torch.tensor([3.0, 1.0]), 0.5).round(decimals=3)
    (tensor(2.), tensor([2.5000, 1.5000]))
    """

    units = {"h": 1}

    h: Prior
    K: LinearOperator
    rtol: float = 1e-5
    max_steps: int = 5000

    @property
    def blocks(self) -> bool:  # type: ignore[override]
        """True if K acts on tuples."""
        return isinstance(self.K.domain, tuple)

    @property
    def degree(self) -> int | None:  # type: ignore[override]
        """That of h."""
        return self.h.degree

    @property
    def power(self) -> float | None:  # type: ignore[override]
        """That of h."""
        return self.h.power

    def parts(self, space: SpaceLike) -> tuple[Part, ...]:
        self._own(space)
        found = self.h.parts(self.K.range)
        return tuple(p._replace(operator=self.K if p.on_image else p.operator @ self.K) for p in found)  # type: ignore[arg-type]

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """K and h, or if h itself is behind an operator the composition and what is behind both."""
        self._own(space)
        L, h = self.h.split(self.K.range)
        joint: Any = self.K if isinstance(L, Identity) else L @ self.K
        return joint, h

    def _own(self, space: Any) -> None:
        if space != self.K.domain:
            raise ShapeError(f"Analysis: K acts on {self.K.domain}; the images are of {space}")

    def _value(self, x: Any, space: SpaceLike) -> Tensor:
        check(x, self.K.domain, "Analysis: x")
        return self.h.value(self.K._apply(x), self.K.range)

    @property
    def has_prox(self) -> bool:
        """That of h."""
        return self.h.has_prox

    @property
    def has_grad(self) -> bool:
        """That of h."""
        return self.h.has_grad

    def _grad(self, x: Any, space: SpaceLike) -> Any:
        check(x, self.K.domain, "Analysis: x")
        return self.K._apply_adjoint(self.h.grad(self.K._apply(x), self.K.range))

    def _prox(self, x: Any, step: float | Tensor, space: SpaceLike) -> Any:
        if isinstance(self.K, Identity):
            return self.h.prox(x, step, space)
        return prox_of_parts(self, x, step, self.parts(space))[0]

    def memory(self, x: Any, space: SpaceLike | None = None) -> tuple[Tensor, ...]:
        """The dual variables of `prox`, at first zero; empty with derivatives."""
        image = self._item(x, space)
        return () if isinstance(self.K, Identity) else memory_of_parts(x, self.parts(image), image)

    def warm_prox(
        self, x: Any, step: float | Tensor, space: SpaceLike | None, memory: tuple[Tensor, ...]
    ) -> tuple[Any, tuple[Tensor, ...]]:
        if not memory:
            return self.prox(x, step, space), memory
        image = self._item(x, space)
        own = one_per_sample(step, image, batch_shape(x, image))
        return prox_of_parts(self, x, own, self.parts(image), start=memory)

    def at(self, k: int) -> Self:
        return dataclasses.replace(self, h=self.h.at(k)) if self.stochastic else self

    @property
    def tolerance(self) -> float:
        return self.h.tolerance if isinstance(self.K, Identity) else max(self.rtol, self.h.tolerance)

    @property
    def stochastic(self) -> bool:
        return self.h.stochastic

    @property
    def settles(self) -> bool:
        return self.h.settles
