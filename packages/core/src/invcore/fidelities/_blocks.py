"""One data fidelity for each block of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import SpaceLike
from ._base import Fidelity


class BlockFidelity(Fidelity):
    """The fidelity of data in several blocks, f(u; y) = Σₖ fₖ(uₖ; yₖ): those of a stacked operator.

    Parameters
    ----------
    parts : tuple of Fidelity
        fₖ, one for each block.

    Examples
    --------
    >>> from invcore.fidelities import L1, LeastSquares
    >>> f = BlockFidelity((LeastSquares(sigma=0.5), L1()))
    >>> f.value((torch.ones(2), torch.ones(3)), (torch.zeros(2), torch.zeros(3)))
    tensor(7.)
    """

    units = {"parts": 1}

    parts: tuple[Fidelity, ...]

    def __post_init__(self) -> None:
        held = self.parts
        if not (isinstance(held, tuple) and held and all(isinstance(f, Fidelity) for f in held)):
            raise ParameterError(
                f"BlockFidelity: parts must be a tuple of Fidelity, one for each block of the data, got "
                f"{self.parts!r:.80}"
            )

    @property
    def convex(self) -> bool:  # type: ignore[override]
        """True if all parts are convex."""
        return all(f.convex for f in self.parts)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        """True if all parts are smooth."""
        return all(f.smooth for f in self.parts)

    @property
    def chi_square(self) -> bool:  # type: ignore[override]
        """True if 2 f is χ² for all parts."""
        return all(f.chi_square for f in self.parts)

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        found = [f.value(*own, s) for f, s, *own in self._each(space, u, y)]
        return sum(found[1:], found[0])

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        return tuple(f.grad(*own, s) for f, s, *own in self._each(space, u, y))

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        return tuple(f.prox(*own, step, s) for f, s, *own in self._each(space, u, y))

    def prox_conjugate(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        return tuple(f.prox_conjugate(*own, step, s) for f, s, *own in self._each(space, u, y))

    def conjugate(self, p: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        found = [f.conjugate(*own, s) for f, s, *own in self._each(space, p, y)]
        return sum(found[1:], found[0])

    def lipschitz(self) -> float | Tensor | None:
        """The largest constant of the parts."""
        found = [f.lipschitz() for f in self.parts]
        if any(c is None for c in found):
            return None
        if not any(isinstance(c, Tensor) for c in found):
            return max(found)  # type: ignore[type-var]
        tensors = torch.broadcast_tensors(*(torch.as_tensor(c) for c in found))
        return torch.stack(tensors).amax(0)

    def _each(self, space: SpaceLike | None, *vectors: Any) -> Iterator[tuple[Any, ...]]:
        """Each part with its space and its block of each vector."""
        for v in vectors:
            if not (isinstance(v, tuple) and len(v) == len(self.parts)):
                got = f"a tuple of {len(v)}" if isinstance(v, tuple) else f"a {type(v).__name__}"
                raise ParameterError(
                    f"BlockFidelity: the data must be a tuple of {len(self.parts)} tensors, one a part, "
                    f"got {got}"
                )
        spaces = space if isinstance(space, tuple) else (None,) * len(self.parts)
        return zip(self.parts, spaces, *vectors)
