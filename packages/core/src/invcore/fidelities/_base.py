"""`Fidelity`: the misfit between a prediction u = A(x) and data y."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from .._value import Value
from ..operators import SpaceLike
from ..operators._space import scaled, tree_map


class Fidelity(Value, abstract=True):
    """A function f(u; y), convex in u unless its docstring says otherwise.

    Dimensions before those of ``space`` are batch; without ``space`` the whole of ``u`` is one item. Blocks
    (the data of a stacked operator) are tuples of tensors.
    """

    @abstractmethod
    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        """f(u; y) of each batch item, shape (batch...)."""

    @abstractmethod
    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        """Gradient with respect to u, in the space of u."""

    @abstractmethod
    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """argmin over z of f(z; y) + ‖z - u‖² / (2 step)."""

    def prox_conjugate(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """prox of step · f(·; y)*, from `prox` by Moreau's identity: u - s prox_{f/s}(u/s)."""
        inner = self.prox(scaled(1 / step, u, space), y, 1 / step, space)
        return tree_map(torch.sub, u, scaled(step, inner, space))

    def lipschitz(self) -> float | Tensor | None:
        """Lipschitz constant of `grad` in u, per sample; None if there is none."""
        return None
