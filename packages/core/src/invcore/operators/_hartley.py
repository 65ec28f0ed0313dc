"""The Hartley transform: an orthonormal Fourier basis of real images in real coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from .._errors import ShapeError
from ..spaces import Space
from ._axes import AlongAxes, Isometry


class HartleyTransform(AlongAxes, Isometry):
    r"""The orthonormal Hartley transform of a real image in one to three dimensions, its own inverse.

    .. math:: X_k = n^{-1/2} \sum_j x_j \, (\cos + \sin)(2\pi k \cdot j / n)

    that is, Re F x − Im F x with F the orthonormal `FourierTransform` [1]_. A convolution with an even kernel
    is a multiplication in it, as is AᵀA of every circular convolution A.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real.

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] R. N. Bracewell, "Discrete Hartley transform", J. Opt. Soc. Am. 73 (1983).

    Examples
    --------
    >>> H = HartleyTransform((1, 4))
    >>> H(torch.tensor([[1.0, 0.0, 2.0, 0.0]])), H(H(torch.tensor([[1.0, 0.0, 2.0, 0.0]])))
    (tensor([[ 1.5000, -0.5000,  1.5000, -0.5000]]), tensor([[1., 0., 2., 0.]]))
    """

    domain: Space
    spatial_dims: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.domain.kind != "real":
            raise ShapeError(
                f"HartleyTransform takes a real image, got {self.domain}. Use FourierTransform for a complex "
                "one."
            )

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        y = torch.fft.fftn(x, dim=self.dims, norm="ortho")
        return y.real - y.imag

    def adjoint(self, y: Tensor) -> Tensor:
        return self.forward(y)
