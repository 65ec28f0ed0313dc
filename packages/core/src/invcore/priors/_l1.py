"""ℓ1: the sum of magnitudes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._physics import Physics
from .._weights import Weight, weight_of_scale
from ..fidelities import Fidelity
from ..operators import Space, SpaceLike
from ..operators._wavelet import soft_threshold
from ..spaces import per_sample
from ._base import Prior
from ._dual import onto_ball


class L1(Prior):
    """g(x) = Σ |xᵢ|, of real or complex entries.

    Its proximal operator is soft thresholding of the magnitudes. ``weight="auto"`` takes the maximum-likelihood
    Laplace prior of a Tikhonov solution: λ = 1 / mean |x|.

    Examples
    --------
    >>> L1().prox(torch.tensor([3.0, 0.5]), 1.0)
    tensor([2., 0.])
    """

    def value(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        return total(x.abs(), space)

    def prox(self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        return soft_threshold(x, step if space is None else per_sample(step, space))

    def prox_conjugate(
        self, u: Tensor, step: float | Tensor, space: SpaceLike | None = None, *, weight: float | Tensor = 1.0
    ) -> Tensor:
        """The projection onto |uᵢ| ≤ weight: exact for small steps, where Moreau's identity cancels."""
        return onto_ball(u, u.abs(), weight if space is None else per_sample(weight, space))

    def conjugate(self, u: Tensor, space: SpaceLike | None = None, *, weight: float | Tensor = 1.0) -> Tensor:
        """(weight g)*(u): 0 where no |uᵢ| exceeds ``weight`` (up to rounding), else infinity."""
        r = u.abs()
        limit = weight if space is None else per_sample(weight, space)
        excess = (r > limit * (1 + 100 * torch.finfo(r.dtype).eps)).to(r.dtype)
        return torch.where(total(excess, space) > 0, torch.inf, 0.0).to(r.dtype)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        return weight_of_scale(y, physics, fidelity, lambda x: mean(x.abs(), physics.domain))


def total(x: Tensor, space: SpaceLike | None) -> Tensor:
    """Sum over the dimensions of ``space`` (all, if it is None)."""
    return x.sum() if space is None else x.sum(dim=tuple(range(-len(_one(space).shape), 0)))


def mean(x: Tensor, space: SpaceLike) -> Tensor:
    """Mean over the dimensions of ``space``."""
    return x.mean(dim=tuple(range(-len(_one(space).shape), 0)))


def _one(space: SpaceLike) -> Space:
    if not isinstance(space, Space):
        raise TypeError("this prior acts on single images; the operator's domain is a tuple of blocks")
    return space
