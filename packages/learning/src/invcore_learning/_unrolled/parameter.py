"""`Number`: a learned number or tensor between bounds."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

_FARTHEST = 15.0
"""Of θ: beyond, single precision would reach the bound."""


class Number(Module):
    r"""A learned number, or tensor of them, that stays between its bounds.

    .. math:: v = a + \frac{s - a}{1 + (1 - r)(e^{-θ} - 1)}, \quad r = \frac{s - a}{b - a}

    for bounds a < s < b around the start s: a logistic curve in θ, which is (s - a) e^θ where b is infinite.
    θ starts at zero, where v = s exactly. Without bounds θ is the number itself.

    Parameters
    ----------
    start : Tensor
        s, any precision.
    low, high : float
        a and b; both infinite, or a finite.
    dtype, device
        Of θ.
    """

    def __init__(
        self, start: Tensor, low: float = -math.inf, high: float = math.inf, *, dtype: Any, device: Any = None
    ) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.start = start.detach()  # no buffer, which a lower precision would round
        first = torch.zeros_like(start) if low > -math.inf else start.clone()
        self.theta = Parameter(first.to(device=device, dtype=dtype))

    def forward(self) -> Tensor:
        """The number, differentiable in θ."""
        if self.low == -math.inf:
            return self.theta
        above = self.start - self.low
        share = (above / (self.high - self.low)).to(self.theta)
        theta = self.theta.clamp(-_FARTHEST, _FARTHEST)
        return self.low + above.to(theta) / (1 + (1 - share) * torch.expm1(-theta))
