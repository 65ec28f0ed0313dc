"""ℓ∞: the largest magnitude."""

from __future__ import annotations

import torch
from torch import Tensor

from ..operators import Space
from ..spaces import per_sample
from ._base import Prior


class LInf(Prior):
    """g(x) = max |xᵢ|, of real or complex entries: it levels peaks.

    Its proximal operator takes off the projection onto the ℓ1 ball of radius ``step``, found by sorting [1]_.

    References
    ----------
    .. [1] J. Duchi, S. Shalev-Shwartz, Y. Singer, T. Chandra, "Efficient projections onto the l1-ball for
       learning in high dimensions", ICML (2008).

    Examples
    --------
    >>> LInf().value(torch.tensor([3.0, -0.5])), LInf().prox(torch.tensor([3.0, 2.5, 0.5]), 1.5)
    (tensor(3.), tensor([2.0000, 2.0000, 0.5000]))
    """

    degree = 1

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return x.abs().flatten(x.ndim - len(space.shape)).amax(-1) if space.shape else x.abs()

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        size = x.abs()
        limit = self._limit(size, torch.as_tensor(step, dtype=size.dtype, device=size.device), space)
        there = size > limit
        return torch.where(there, x * (limit / torch.where(there, size, 1)), x)

    def _limit(self, size: Tensor, step: Tensor, space: Space) -> Tensor:
        """The level c with Σ (|xᵢ| - c)₊ = step, and 0 if the magnitudes add up to less."""
        flat = size.reshape(*size.shape[: size.ndim - len(space.shape)], -1)
        down = flat.sort(descending=True, dim=-1).values
        k = torch.arange(1, flat.shape[-1] + 1, dtype=flat.dtype, device=flat.device)
        levels = (down.cumsum(-1) - step.unsqueeze(-1)) / k
        count = (down > levels).sum(-1, keepdim=True).clamp_min(1)
        found = levels.gather(-1, (count - 1).expand(*levels.shape[:-1], 1)).squeeze(-1).clamp_min(0)
        return per_sample(found, space)

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """0 where Σ |uᵢ| is at most ``weight`` (up to rounding), else infinity."""
        size = u.abs().flatten(u.ndim - len(space.shape)).sum(-1) if space.shape else u.abs()
        return torch.where(
            size <= weight * (1 + 100 * torch.finfo(size.dtype).eps), torch.zeros_like(size), torch.inf
        )
