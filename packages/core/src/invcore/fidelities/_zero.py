"""No data fidelity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..operators import SpaceLike
from ..spaces import batch_shape, broadcast_shapes, flatten, norm, space_of, tree_map
from ._base import Fidelity


class Zero(Fidelity):
    """f(u; y) = 0: the data are ignored, and the prior alone decides.

    To see what a prior or denoiser makes of the starting point, or to draw from a prior without data. Any
    number bounds the Lipschitz constant of its gradient; `lipschitz` is 1, so that solvers have a step.

    Examples
    --------
    >>> f = Zero()
    >>> f.value(torch.ones(2), torch.zeros(2)), f.prox(torch.tensor([1.0, 2.0]), torch.zeros(2), 3.0)
    (tensor(0.), tensor([1., 2.]))
    """

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        item = space_of(u) if space is None else space
        batch = broadcast_shapes(batch_shape(u, item), batch_shape(y, item))
        return flatten(u, item).new_zeros(batch)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        return tree_map(torch.zeros_like, u)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        return tree_map(torch.clone, u)

    def conjugate(self, p: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        """0 for p = 0, else infinity."""
        size = norm(p, space)
        return torch.where(size > 0, torch.inf, torch.zeros_like(size))

    def lipschitz(self) -> float:
        return 1.0
