"""The Moreau envelope of a prior: smooth, its gradient by the proximal operator."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from torch import Tensor

from invcore import Prior
from invcore.operators import Space, SpaceLike
from invcore.spaces import per_sample, vdot


class MoreauEnvelope(Prior):
    """min over z of λ g(z) + ‖z - x‖²/(2μ), with the gradient (x - prox_{μλg}(x))/μ.

    Parameters
    ----------
    prior : Prior
        g.
    mu : float or Tensor, shape (batch...)
        μ.
    weight : float or Tensor, shape (batch...)
        λ.

    Examples
    --------
    >>> import torch
    >>> from invcore.priors import L1
    >>> MoreauEnvelope(L1(), mu=0.5).grad(torch.tensor([2.0, 0.1]))  # Huber's function
    tensor([1.0000, 0.2000])
    """

    prior: Prior
    mu: float | Tensor
    weight: float | Tensor = 1.0
    positional = 1
    params = ("mu", "weight")

    def at(self, k: int) -> Self:
        """With the prior of iteration ``k``."""
        inner = self.prior.at(k)
        return self if inner is self.prior else dataclasses.replace(self, prior=inner)

    def _value(self, x: Any, space: Space) -> Tensor:
        z = self.prior.prox(x, self.weight * self.mu, space)
        return self.weight * self.prior.value(z, space) + vdot(x - z, x - z, space) / (2 * self.mu)

    def _grad(self, x: Any, space: Space) -> Any:
        z = self.prior.prox(x, self.weight * self.mu, space)
        return (x - z) / per_sample(self.mu, space)

    def majorizer(self, space: SpaceLike) -> float | Tensor:
        """1/μ."""
        return 1 / self.mu
