"""Total squared variation, a smoothness prior."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from invcore.operators import CosineTransform, Differences, Space
from invcore.priors import Prior
from invcore.spaces import per_sample


class TotalSquaredVariation(Prior):
    r"""Sum of the squared differences of neighboring pixels [1]_.

    .. math:: g(x) = \sum_{i,j} |x_{i+1,j} - x_{i,j}|^2 / h_1^2 + |x_{i,j+1} - x_{i,j}|^2 / h_2^2

    with the ``spacing`` h, 1 by default.

    Edges become smooth, where total variation keeps them sharp. The proximal operator is a division in the
    cosine basis.

    References
    ----------
    .. [1] K. Kuramochi et al., "Superresolution interferometric imaging with sparse modeling using total
       squared variation: application to imaging the black hole shadow", ApJ 858 (2018) 56.

    Examples
    --------
    >>> g = TotalSquaredVariation()
    >>> g.value(torch.tensor([[[0.0, 0.0, 2.0, 2.0]]]))
    tensor(4.)
    >>> g.prox(torch.tensor([[[0.0, 2.0]]]), 0.5)  # 1/(1 + 4 · 0.5) of the difference is left
    tensor([[[0.6667, 1.3333]]])
    """

    power = 2
    spatial_dims: ClassVar[int] = 2

    spacing: tuple[float, float] | None = None

    def _value(self, x: Tensor, space: Space) -> Tensor:
        count = len(space.shape)
        h = self.spacing or (1.0, 1.0)
        down, right = x.diff(dim=-2) / h[0], x.diff(dim=-1) / h[1]
        parts = [d.abs().square().flatten(d.ndim - count).sum(-1) for d in (down, right)]
        return parts[0] + parts[1]

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        D = Differences(domain=space, spatial_dims=2, spacing=self.spacing)
        return 2 * D._gram(x)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        t = per_sample(self._steps(step, x), space)
        ny, nx = space.shape[-2:]
        waves = [
            2 / h * torch.sin(math.pi * torch.arange(n, dtype=t.dtype, device=x.device) / (2 * n))
            for n, h in zip((ny, nx), self.spacing or (1.0, 1.0))
        ]
        power = waves[0].square()[:, None] + waves[1].square()
        C = CosineTransform(domain=space, spatial_dims=2)
        return C._apply_adjoint(C._apply(x) / (1 + 2 * t * power))
