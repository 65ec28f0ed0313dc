"""Imaging by frequency-modulated light: one detector, a chirped mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import LinearOperator, ShapeError, Space
from invcore.operators import CosineTransform


class Spifi(LinearOperator):
    r"""Readings of one detector while a chirped mask modulates a line of light,

    .. math:: y_t = \sum_j \left[ \tfrac12 + \tfrac12 \cos(π (j + \tfrac12) t / N) \right] x_j,
        \qquad t = 0, …, N - 1

    in each row: every place along x blinks at a frequency of its own. Twice the readings less the sum of x
    are the cosine transform of x, and the first reading is that sum, so that `inverse` is exact.

    Parameters
    ----------
    domain : Space
        ``(channel, y, x)``; readings take the place of x.

    Raises
    ------
    ShapeError

    References
    ----------
    G. Futia, P. Schlup, D. G. Winters, R. A. Bartels, "Spatially-chirped modulation imaging of absorbtion and
    fluorescent objects on single-element optical detector", Opt. Express 19 (2011).

    Examples
    --------
    >>> A = Spifi((1, 1, 2))
    >>> A(torch.tensor([[[1.0, 3.0]]])).round(decimals=3)
    tensor([[[4.0000, 1.2930]]])
    """

    domain: Space

    def __post_init__(self) -> None:
        if len(self.domain.shape) != 3 or 0 in self.domain.shape or self.domain.kind != "real":
            raise ShapeError(f"Spifi: the domain must be real (channel, y, x), got {self.domain}")

    @property
    def range(self) -> Space:
        return self.domain

    @property
    def _transform(self) -> CosineTransform:
        return CosineTransform(self.domain, spatial_dims=1)

    def _scale(self, like: Tensor) -> Tensor:
        """What turns the orthonormal transform into the sum of cosines."""
        n = self.domain.shape[-1]
        scale = torch.full((n,), math.sqrt(n / 2), dtype=like.dtype, device=like.device)
        return torch.cat((scale[:1] * math.sqrt(2), scale[1:]))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * (x.sum(-1, keepdim=True) + self._scale(x) * self._transform._apply(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return 0.5 * (y.sum(-1, keepdim=True) + self._transform._apply_adjoint(self._scale(y) * y))

    def norm_bound(self) -> Tensor:
        """The norm, exact: AAᴴ is N/8 plus a matrix on the span of the sum and of the first reading."""
        n = self.domain.shape[-1]
        if n == 1:
            return torch.ones(())
        largest = (n + 3.5 + math.sqrt((4.5 - n) ** 2 + 16 * (n - 1))) / 2
        return torch.tensor(math.sqrt(n / 4 * largest), dtype=torch.float64)

    def inverse(self, y: Tensor) -> Tensor:
        """The image with these readings, exactly.

        Parameters
        ----------
        y : Tensor, shape (..., channel, y, t)
        """
        return self._transform.H((2 * y - y[..., :1]) / self._scale(y))
