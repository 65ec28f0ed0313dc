"""Pansharpening by ratios."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._value import Value
from ..operators import ChannelMatrix, Downsample, Upsample
from ..operators._algebra import LinearStack
from ..spaces import check


class Brovey(Value):
    """The Brovey fusion of a coarse multispectral and a sharp panchromatic image.

    Each band, interpolated, is multiplied by the ratio of the panchromatic image to the weighted sum of the
    interpolated bands: x = u ⊙ p / (W u). The result fits the panchromatic image exactly, keeps the ratios of
    the bands, and changes their mean where the sensors differ. Where W u is zero it is u.

    Parameters
    ----------
    kernel : str
        The interpolation, of `Upsample`.

    References
    ----------
    A. R. Gillespie, A. B. Kahle, R. E. Walker, "Color enhancement of highly correlated images. II. Channel
    ratio and chromaticity transformation techniques", Remote Sens. Environ. 22 (1987).

    Examples
    --------
    >>> from invcore.operators import Space, pansharpen
    >>> physics = Physics(pansharpen(domain=Space((2, 4, 4)), factor=2))
    >>> y = physics(torch.ones(2, 4, 4))
    >>> torch.allclose(Brovey()(y, physics), torch.ones(2, 4, 4))
    True
    """

    kernel: str = "bicubic"

    def __call__(self, y: Any, physics: Physics) -> Tensor:
        """Fuse the images.

        Parameters
        ----------
        y : tuple of Tensor, shapes (batch..., band, y / factor, x / factor) and (batch..., 1, y, x)
        physics : Physics
            With the operator of `invcore.operators.pansharpen`.

        Returns
        -------
        Tensor, shape (batch..., band, y, x)
        """
        A = physics.operator
        parts = A.operators if isinstance(A, LinearStack) else ()
        if len(parts) != 2 or not (isinstance(parts[0], Downsample) and isinstance(parts[1], ChannelMatrix)):
            raise ParameterError(
                f"Brovey: the operator must be that of pansharpen(...), a stack of downsampling and a sum of "
                f"bands, got {type(A).__name__}"
            )
        check(y, A.range, "Brovey: data y")
        coarse, sharp = y
        up = Upsample(parts[0].range, factor=parts[0].factor, kernel=self.kernel)(coarse)
        total = parts[1](up)
        there = total != 0
        return torch.where(there, up * (sharp / torch.where(there, total, 1)), up)
