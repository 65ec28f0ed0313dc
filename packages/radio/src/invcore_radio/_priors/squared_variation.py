"""Total squared variation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ShapeError
from invcore.operators import CosineTransform, Differences, Space, SpaceLike
from invcore.priors import Prior
from invcore.spaces import space_of

from .functionals import steps_of


class TotalSquaredVariation(Prior):
    r"""The sum of the squared differences of neighboring pixels [1]_.

    .. math:: g(x) = \sum_{i,j} |x_{i+1,j} - x_{i,j}|^2 + |x_{i,j+1} - x_{i,j}|^2

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

    def value(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        count = len(self._image(x, space).shape)
        down, right = x.diff(dim=-2), x.diff(dim=-1)
        parts = [d.abs().square().flatten(d.ndim - count).sum(-1) for d in (down, right)]
        return parts[0] + parts[1]

    def grad(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        D = Differences(domain=self._image(x, space), spatial_dims=2)
        return 2 * D._gram(x)

    def prox(self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        image = self._image(x, space)
        t = steps_of(step, x.real if x.is_complex() else x, image)
        ny, nx = image.shape[-2:]
        waves = [
            2 * torch.sin(math.pi * torch.arange(n, dtype=t.dtype, device=x.device) / (2 * n))
            for n in (ny, nx)
        ]
        power = waves[0].square()[:, None] + waves[1].square()
        C = CosineTransform(domain=image, spatial_dims=2)
        return C._apply_adjoint(C._apply(x) / (1 + 2 * t * power))

    def _image(self, x: Tensor, space: SpaceLike | None) -> Space:
        whole = space_of(x)
        image = space if isinstance(space, Space) else whole
        if len(image.shape) < 2:
            raise ShapeError(f"TotalSquaredVariation needs images (channel, y, x), got {tuple(image.shape)}")
        return image
