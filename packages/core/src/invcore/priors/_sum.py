"""Sums and multiples of priors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._value import in_unit
from .._weights import Weight, weight_of_scale
from ..fidelities import Fidelity
from ..fidelities._numeric import numeric_prox
from ..operators import Identity, LinearOperator, SpaceLike, stack
from ..spaces import batch_shape, norm, one_per_sample, real_size_of, scaled, tree_map
from ._base import Part, Prior
from ._constraints import Box, NonNegative
from ._function import FunctionPrior
from ._joint import memory_of_parts, prox_of_parts
from ._l1 import L1
from ._tikhonov import Tikhonov


class SumPrior(Prior):
    r"""A sum of priors with weights: what ``TV() + 0.1 * L1() + NonNegative()`` gives.

    .. math:: g(x) = \sum_i w_i g_i(x)

    Solvers that split ('chambolle_pock', 'condat_vu', 'admm') take each term with its own operator (`parts`).
    The proximal operator is exact where a formula is known: for one term; with a `Tikhonov` term (a smaller
    step at a smaller image); and for bounds, alone or with `L1` (the projection after soft thresholding).
    So it is, to ``rtol``, for bounds with one term that has a gradient and no other way (a `FunctionPrior`,
    say), by projected gradients sample by sample, as long as no derivative of it is asked for. Otherwise it
    solves the dual problem by accelerated projected gradients with restarts, bounds inside, each
    sample until its duality gap is below ``rtol`` times the primal value; the terms then need known
    conjugates. Bounds have no weight.

    ``weight="auto"`` sees past bounds: for one other term it is that of the term, over w; for terms of one
    degree d of homogeneity λ = n/(d g(x)).

    Parameters
    ----------
    priors : tuple of Prior
        gᵢ.
    weights : tuple of float or Tensor, shape (batch...), optional
        wᵢ >= 0; 1 by default.

    References
    ----------
    N. Parikh and S. Boyd, "Proximal algorithms", Found. Trends Optim. 1 (2014), Section 2.2; P. Combettes and
    J.-C. Pesquet, "A Douglas-Rachford splitting approach to nonsmooth convex variational signal recovery",
    IEEE J. Sel. Top. Signal Process. 1 (2007), Proposition 12 (bounds after soft thresholding).

    Examples
    --------
    >>> g = 0.5 * L1() + NonNegative()
    >>> g.prox(torch.tensor([-3.0, 0.2, 2.0]), 1.0)
    tensor([0.0000, 0.0000, 1.5000])
    """

    priors: tuple[Prior, ...]
    weights: tuple[float | Tensor, ...] | None = None
    rtol: float = 1e-5
    max_steps: int = 2000
    positional = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.priors, tuple) or not all(isinstance(g, Prior) for g in self.priors):
            raise ParameterError(f"SumPrior: priors must be a tuple of Prior, got {self.priors!r:.80}")
        if self.weights is None:
            object.__setattr__(self, "weights", (1.0,) * len(self.priors))
        if not isinstance(self.weights, tuple) or len(self.weights) != len(self.priors):
            raise ParameterError(
                f"SumPrior: weights must be a tuple of {len(self.priors)} numbers, one for each prior, got "
                f"{self.weights!r:.80}"
            )
        for w in self.weights:
            least = float(w.detach().min()) if isinstance(w, Tensor) and w.numel() else w
            if isinstance(least, Tensor | bool) or not 0 <= least < math.inf:
                raise ParameterError(
                    f"a prior times {least!r}: a weight must be a finite number >= 0, a negative one leaves "
                    "nothing to minimize"
                )

    @classmethod
    def of(cls, *priors: Prior) -> SumPrior:
        """The sum of priors; those that are sums themselves join it."""
        terms = [term for g in priors for term in (g._terms() if isinstance(g, SumPrior) else [(1.0, g)])]
        return cls(tuple(g for _, g in terms), tuple(w for w, _ in terms))

    def times(self, factor: float | Tensor) -> SumPrior:
        """The sum with all weights times ``factor``."""
        return dataclasses.replace(self, weights=tuple(factor * w for w, _ in self._terms()))

    def _terms(self) -> list[tuple[float | Tensor, Prior]]:
        assert self.weights is not None
        return list(zip(self.weights, self.priors))

    @property
    def _free(self) -> list[tuple[float | Tensor, Prior]]:
        """The terms that are no bounds."""
        return [(w, g) for w, g in self._terms() if not isinstance(g, Box | NonNegative)]

    @property
    def _names_of_terms(self) -> str:
        return " + ".join(type(g).__name__ for g in self.priors)

    @property
    def blocks(self) -> bool:  # type: ignore[override]
        """True if all terms act on tuples."""
        return all(g.blocks for g in self.priors)

    @property
    def degree(self) -> int | None:  # type: ignore[override]
        """That of all terms, if they have one."""
        found = {g.degree for g in self.priors}
        return found.pop() if len(found) == 1 else None

    @property
    def power(self) -> float | None:  # type: ignore[override]
        """The largest power of the terms; `_in_unit` changes the weights of the others."""
        found = [_power(g) for _, g in self._free]
        return None if None in found else max(found, default=0)  # type: ignore[type-var]

    def _in_unit(self, unit: float) -> SumPrior | None:
        """The sum in another unit, times unit^-power: terms of a lower power weigh more, or less, there."""
        there = tuple(in_unit(g, unit) for g in self.priors)
        power = self.power
        if power is None or any(g is None for g in there):
            return None
        weights = tuple(
            w if isinstance(g, Box | NonNegative) else w * unit ** ((_power(g) or 0) - power)
            for w, g in self._terms()
        )
        return dataclasses.replace(self, priors=there, weights=weights)

    def _value(self, x: Any, space: SpaceLike) -> Tensor:
        bounds = [g.value(x, space) for g in self.priors if isinstance(g, Box | NonNegative)]
        found = [w * g.value(x, space) for w, g in self._free] + bounds
        return sum(found[1:], found[0]) if found else 0 * norm(x, space)

    def _grad(self, x: Any, space: SpaceLike) -> Any:
        found = [scaled(w, g.grad(x, space), space) for w, g in self._terms()]
        out = found[0]
        for more in found[1:]:
            out = tree_map(torch.add, out, more)
        return out

    def majorizer(self, space: SpaceLike) -> LinearOperator | float | Tensor | None:
        """The sum of those of the terms, if all have one."""
        found = [g.majorizer(space) for _, g in self._terms()]
        if not found or any(M is None for M in found):
            return None
        weighted: list[Any] = [M * w for M, (w, _) in zip(found, self._terms())]  # type: ignore[operator]
        if any(isinstance(M, LinearOperator) for M in weighted):
            weighted = [M if isinstance(M, LinearOperator) else Identity(space) * M for M in weighted]
        return sum(weighted[1:], weighted[0])

    def _prox(self, x: Any, step: float | Tensor, space: SpaceLike) -> Any:
        if _joint(self.priors):
            return self._joint_prox(x, step, space)
        if (smooth := self._smooth) is not None:
            return self._projected_prox(*smooth, x, step, space)
        return self._dual_prox(x, step, space, None)[0]

    def _dual_prox(
        self, x: Any, step: float | Tensor, space: SpaceLike, start: tuple[Any, ...] | None
    ) -> tuple[Any, tuple[Any, ...]]:
        """The proximal operator where it is an iteration, and the dual variables at its end."""
        dual, inner = self._dual_parts(space)
        return prox_of_parts(self, x, step, dual, inner=inner, start=start)

    def _dual_parts(self, space: SpaceLike) -> tuple[tuple[Part, ...], Prior | None]:
        """The terms that get dual variables, and the one that is proximable in the image itself."""
        parts = self.parts(space)
        if not parts[-1].on_image:
            return parts, None
        return parts[:-1], SumPrior((parts[-1].prior,), (parts[-1].weight,))

    def memory(self, x: Any, space: SpaceLike | None = None) -> tuple[Tensor, ...]:
        """The dual variables of `prox` where it is an iteration, at first zero; empty with derivatives."""
        if _joint(self.priors) or self._smooth is not None:
            return ()
        image = self._item(x, space)
        return memory_of_parts(x, self._dual_parts(image)[0], image)

    def warm_prox(
        self, x: Any, step: float | Tensor, space: SpaceLike | None, memory: tuple[Tensor, ...]
    ) -> tuple[Any, tuple[Tensor, ...]]:
        if not memory:
            return self.prox(x, step, space), memory
        image = self._item(x, space)
        return self._dual_prox(x, one_per_sample(step, image, batch_shape(x, image)), image, memory)

    @property
    def _smooth(self) -> tuple[float | Tensor, Prior] | None:
        """The only term beside bounds, if its gradient is all that there is."""
        free = self._free
        if len(free) != 1 or len(free) == len(self.priors):
            return None
        only = isinstance(free[0][1], FunctionPrior) or not free[0][1].has_prox
        return free[0] if only and free[0][1].has_grad else None

    def _projected_prox(
        self, weight: float | Tensor, g: Prior, x: Any, step: float | Tensor, space: SpaceLike
    ) -> Any:
        bounds = SumPrior(tuple(h for h in self.priors if h is not g))
        return numeric_prox(
            lambda v, _: g.value(v, space),
            x,
            step * weight,
            space,
            rtol=g.tolerance or self.rtol,
            max_steps=getattr(g, "max_steps", self.max_steps),
            what=self._names_of_terms,
            project=lambda v: bounds.prox(v, 1.0, space),
        )

    def _joint_prox(self, x: Any, step: float | Tensor, space: SpaceLike) -> Any:
        """The proximal operator where `_joint` says that it is exact."""
        ridge: Any = 0.0
        for w, g in self._terms():
            ridge = ridge + w if isinstance(g, Tikhonov) else ridge
        shrink = 1 / (1 + step * ridge)
        z = x if isinstance(ridge, float) and ridge == 0 else scaled(shrink, x, space)
        for w, g in self._free:
            if not isinstance(g, Tikhonov):
                z = g.prox(z, w * step * shrink, space)
        for g in self.priors:
            if isinstance(g, Box | NonNegative):
                z = g.prox(z, 1.0, space)
        return z

    def _prox_conjugate(self, u: Any, step: float | Tensor, space: Any, weight: float | Tensor) -> Any:
        if not self.priors:
            return tree_map(torch.zeros_like, u)
        if len(self.priors) > 1:
            return super()._prox_conjugate(u, step, space, weight)
        ((w, g),) = self._terms()
        return g.prox_conjugate(u, step, space, weight=w * weight)

    def _conjugate(self, u: Any, space: Any, weight: float | Tensor) -> Tensor:
        if len(self.priors) != 1:
            return super()._conjugate(u, space, weight)
        ((w, g),) = self._terms()
        return g.conjugate(u, space, weight=w * weight)

    def parts(self, space: SpaceLike) -> tuple[Part, ...]:
        found = [part._replace(weight=w * part.weight) for w, g in self._terms() for part in g.parts(space)]
        image = [part for part in found if part.on_image]
        behind = [part for part in found if not part.on_image]
        if len(image) > 1 and _joint(tuple(part.prior for part in image)):
            together = SumPrior(tuple(p.prior for p in image), tuple(p.weight for p in image))
            image = [Part(image[0].operator, together)]
        image.sort(
            key=lambda part: isinstance(part.prior, Box | NonNegative)
        )  # bounds are kept exactly: last
        return (*behind, *image)

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """The stack of the operators of the terms, and the sum over its blocks."""
        parts = self.parts(space)
        if len(parts) == 1:
            return parts[0].operator, SumPrior((parts[0].prior,), (parts[0].weight,))
        outer = tuple(SumPrior((part.prior,), (part.weight,)) for part in parts)
        joint: Any = stack([part.operator for part in parts])
        return joint, SeparableSum(outer)

    def at(self, k: int) -> Self:
        return dataclasses.replace(self, priors=tuple(g.at(k) for g in self.priors))

    @property
    def tolerance(self) -> float:
        own = max((g.tolerance for g in self.priors), default=0.0)
        if self._smooth is not None:
            return own or self.rtol
        return own if _joint(self.priors) else max(self.rtol, own)

    @property
    def stochastic(self) -> bool:
        return any(g.stochastic for g in self.priors)

    @property
    def settles(self) -> bool:
        return all(g.settles for g in self.priors)

    @property
    def has_prox(self) -> bool:
        """True if all terms have one, or the only one beside bounds a gradient."""
        return self._smooth is not None or all(g.has_prox for g in self.priors)

    @property
    def has_grad(self) -> bool:
        """True if all terms have one."""
        return bool(self.priors) and all(g.has_grad for g in self.priors)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        free = self._free
        if not free:
            return Weight(1.0)
        if len(free) == 1:
            found = free[0][1].suggested_weight(y, physics, fidelity)
            return Weight(found.value / free[0][0], found.x0)
        rest = SumPrior(tuple(g for _, g in free), tuple(w for w, _ in free))
        degree, space = rest.degree, physics.domain
        if degree is None:
            raise ParameterError(
                f"{rest._names_of_terms} has no rule for its weight, because the terms scale differently "
                "with the image: give the solver one, weight=<number> in Python, --weight <number> on the "
                "command line"
            )
        n = real_size_of(space)
        return weight_of_scale(y, physics, fidelity, lambda x: degree * rest.value(x, space) / n)


class SeparableSum(Prior):
    """g(x₁, x₂, …) = Σ gᵢ(xᵢ): a prior for each block."""

    priors: tuple[Prior, ...]
    blocks = True

    def _value(self, x: Any, space: Any) -> Tensor:
        found = [g.value(part, s) for g, part, s in zip(self.priors, x, space)]
        return sum(found[1:], found[0])

    def _grad(self, x: Any, space: Any) -> Any:
        return tuple(g.grad(part, s) for g, part, s in zip(self.priors, x, space))

    def _prox(self, x: Any, step: float | Tensor, space: Any) -> Any:
        return tuple(g.prox(part, step, s) for g, part, s in zip(self.priors, x, space))

    def _prox_conjugate(self, u: Any, step: float | Tensor, space: Any, weight: float | Tensor) -> Any:
        each = zip(self.priors, u, space)
        return tuple(g.prox_conjugate(part, step, s, weight=weight) for g, part, s in each)

    def _conjugate(self, u: Any, space: Any, weight: float | Tensor) -> Tensor:
        found = [g.conjugate(part, s, weight=weight) for g, part, s in zip(self.priors, u, space)]
        return sum(found[1:], found[0])


def _power(prior: Prior) -> float | None:
    """The power of the unit of the image by which a prior scales."""
    return prior.degree if prior.power is None else prior.power


def _joint(priors: Sequence[Prior]) -> bool:
    """True if the proximal operator of any weighted sum follows from those of the terms."""
    others = [g for g in priors if not isinstance(g, Tikhonov | Box | NonNegative)]
    bounds = any(isinstance(g, Box | NonNegative) for g in priors)
    return not others or (len(others) == 1 and (isinstance(others[0], L1) or not bounds))
