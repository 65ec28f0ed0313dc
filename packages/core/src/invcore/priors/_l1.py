"""ℓ1: the sum of magnitudes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._physics import Physics
from .._weights import Weight, weight_of_scale
from ..fidelities import Fidelity
from ..operators import Space
from ..operators._wavelet import soft_threshold
from ..spaces import per_sample, size_of
from ._base import Prior


class L1(Prior):
    """g(x) = Σ |xᵢ|, of real or complex entries.

    Its proximal operator is soft thresholding of the magnitudes. ``weight="auto"`` takes the
    maximum-likelihood Laplace prior of a Tikhonov solution: λ = 1 / mean |x|.

    Examples
    --------
    >>> L1().prox(torch.tensor([3.0, 0.5]), 1.0)
    tensor([2., 0.])
    """

    degree = 1

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return total(x.abs(), space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        return soft_threshold(x, per_sample(step, space))

    def _prox_conjugate(
        self, u: Tensor, step: float | Tensor, space: Space, weight: float | Tensor
    ) -> Tensor:
        """The projection onto |uᵢ| ≤ weight: exact for small steps, where Moreau's identity cancels."""
        return onto_ball(u, u.abs(), per_sample(weight, space))

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """(weight g)*(u): 0 where no |uᵢ| exceeds ``weight`` (up to rounding), else infinity."""
        r = u.abs()
        limit = per_sample(weight, space)
        excess = (r > limit * (1 + 100 * torch.finfo(r.dtype).eps)).to(r.dtype)
        return torch.where(total(excess, space) > 0, torch.inf, 0.0).to(r.dtype)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        n = size_of(physics.domain)
        return weight_of_scale(y, physics, fidelity, lambda x: self.value(x, physics.domain) / n)


def total(x: Tensor, space: Space) -> Tensor:
    """Sum over the dimensions of ``space``."""
    return x.sum(dim=tuple(range(-len(space.shape), 0))) if space.shape else x


def onto_ball(u: Tensor, norms: Tensor, limit: float | Tensor) -> Tensor:
    """Shorten ``u`` where its norms, which broadcast against it, exceed ``limit``."""
    outside = norms > limit
    return torch.where(outside, u * (limit / torch.where(outside, norms, 1)), u)
