"""ℓp to the power p."""

from __future__ import annotations

import torch
from torch import Tensor

from .._errors import ParameterError
from ..operators import Space
from ..spaces import per_sample
from ._base import Prior
from ._l1 import total

_BISECTIONS = 60


class Lp(Prior):
    """g(x) = Σ |xᵢ|ᵖ, of real or complex entries, 0 ≤ p ≤ 2; convex for p ≥ 1.

    For p = 0 it counts the entries that are not zero, and the proximal operator keeps those above √(2t), the
    step t (hard thresholding). For the others it keeps the phase; the magnitude r of an entry v minimizes t
    rᵖ + (r - |v|)²/2: the root of r + t p r^(p-1) = |v|, by bisection, and for p < 1 the largest such root or
    zero, whichever is better [1]_.

    Parameters
    ----------
    p : float

    References
    ----------
    .. [1] G. Marjanovic and V. Solo, "On ℓq optimization and matrix completion", IEEE Trans. Signal Process.
       60 (2012).

    Examples
    --------
    >>> Lp(p=1.5).value(torch.tensor([4.0, -1.0])), Lp(p=1.0).prox(torch.tensor([3.0, -0.5]), 1.0)
    (tensor(9.), tensor([2., -0.]))
    """

    p: float

    @property
    def power(self) -> float:  # type: ignore[override]
        """p."""
        return self.p

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 2:
            raise ParameterError(f"Lp: p must be in [0, 2], got {self.p!r}")

    def _value(self, x: Tensor, space: Space) -> Tensor:
        size = x.abs()
        return total((size > 0).to(size.dtype) if self.p == 0 else size**self.p, space)

    @property
    def has_grad(self) -> bool:
        """True for p > 1."""
        return self.p > 1

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        if self.p <= 1:
            return super()._grad(x, space)
        size = x.abs()
        there = size > 0
        return torch.where(there, self.p * torch.where(there, size, 1) ** (self.p - 2), 0) * x

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        t = per_sample(step, space)
        size = x.abs()
        there = size > 0
        return x * torch.where(there, self._shrunk(size, t) / torch.where(there, size, 1), 0)

    def _shrunk(self, v: Tensor, t: float | Tensor) -> Tensor:
        """Return the prox of magnitudes v; Newton steps from the root give it derivatives."""
        p = self.p
        if p == 0:
            return torch.where(v.square() > 2 * t, v, 0)
        if p == 1:
            return (v - t).clamp_min(0)
        if p == 2:
            return v / (1 + 2 * t)
        t = torch.as_tensor(t, dtype=v.dtype, device=v.device)
        with torch.no_grad():
            low = torch.zeros_like(v) if p > 1 else (t * p * (1 - p)).pow(1 / (2 - p)).minimum(v)
            high = v
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                above = middle + t * p * middle ** (p - 1) > v
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
            r = (low + high) / 2
            there = r > 0
            if p < 1:
                there &= t * r**p + (r - v) ** 2 / 2 < v**2 / 2
            safe = torch.where(there, r, 1)
        for _ in range(2 if torch.is_grad_enabled() else 1):  # each step is right to one more order
            bend = 1 + t * p * (p - 1) * safe ** (p - 2)
            move = (safe + t * p * safe ** (p - 1) - v) / torch.where(bend > 0, bend, 1).detach()
            safe = torch.where(there, safe - move, 1)
        return torch.where(there, safe.clamp_min(0), 0)
