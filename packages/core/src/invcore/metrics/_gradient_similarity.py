"""Gradient magnitude similarity deviation."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ._base import RangedComparison


class GMSD(RangedComparison):
    r"""Gradient magnitude similarity deviation (Xue et al., 2014): 0 for equal images, larger is worse.

    .. math:: s_i = \frac{2 m_i {\hat m}_i + c R^2}{m_i^2 + {\hat m}_i^2 + c R^2}, \qquad
        \Bigl(\frac1{N-1} \sum_i (s_i - \bar s)^2\Bigr)^{1/2}

    with the magnitudes of the Prewitt gradients of both images, after averaging blocks of 2 x 2 pixels, and
    the data range R. As in the code of the paper the images are zero beyond the border and the deviation is
    that of a sample. Several channels: the mean over channels.
    It measures how unevenly the gradients are damaged; a loss of contrast that is the same everywhere hardly
    counts. Differentiable, but where the value is 0 the derivative is taken as zero.

    Parameters
    ----------
    c : float
        The stabilizing constant, for images of range 1; the paper has 170 for the range 255.
    subsample : bool
        Average and take every second pixel first, as the paper does.

    Raises
    ------
    ShapeError
        If the images are smaller than 4 x 4 pixels.

    References
    ----------
    W. Xue, L. Zhang, X. Mou, A. Bovik, "Gradient magnitude similarity deviation: a highly efficient
    perceptual image quality index", IEEE Trans. Image Process. 23 (2014).

    Examples
    --------
    >>> x = torch.linspace(0, 1, 256).reshape(1, 16, 16)
    >>> GMSD(data_range=1.0)(x, x)
    tensor(0.)
    """

    higher_is_better: ClassVar[bool] = False
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    magnitude_only: ClassVar[bool] = True

    c: float = 170 / 255**2
    subsample: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.c > 0:
            raise ParameterError(f"GMSD: c must be positive, got {self.c!r}.")

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        least = 4 if self.subsample else 2
        if min(x.shape[-2:]) < least:
            raise ShapeError(
                f"GMSD: the image {tuple(x.shape[-2:])} is smaller than {least} x {least} pixels."
            )
        c = self.c * self._peak(x).square()
        a, b = self._squared_magnitude(x_hat), self._squared_magnitude(x)
        similarity = (2 * _root(a * b) + c) / (a + b + c)
        return _root(similarity.var((-2, -1))).mean(-1)

    def _squared_magnitude(self, x: Tensor) -> Tensor:
        """Squared magnitude of the Prewitt gradient."""
        v = x.reshape(-1, 1, *x.shape[-2:])
        if self.subsample:
            v = F.avg_pool2d(F.pad(v, (0, v.shape[-1] % 2, 0, v.shape[-2] % 2)), 2)
        across = torch.tensor([1.0, 0.0, -1.0], dtype=v.dtype, device=v.device).expand(3, 3) / 3
        gradient = F.conv2d(v, torch.stack((across, across.T))[:, None], padding=1)
        squared = gradient.square().sum(1)
        return squared.reshape(*x.shape[:-2], *squared.shape[-2:])


def _root(v: Tensor) -> Tensor:
    """The square root, with the derivative zero at zero."""
    zero = v == 0
    return torch.where(zero, v, torch.where(zero, 1, v).sqrt())
