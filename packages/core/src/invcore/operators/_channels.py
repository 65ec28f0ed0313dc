"""Operators on the channels of an image: mixing, gray levels, color filter arrays."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space
from ._base import LinearOperator
from ._products import product

LUMINANCE = {"rec601": (0.299, 0.587, 0.114), "rec709": (0.2126, 0.7152, 0.0722)}
"""Weights of red, green and blue in the luminance of ITU-R BT.601 and BT.709."""


class ChannelMatrix(LinearOperator):
    r"""The same linear combination of channels in every pixel, :math:`y_{ip} = \sum_j M_{ij} x_{jp}`.

    Spectral response functions, color transforms, linear mixing of endmembers (hyperspectral unmixing [1]_).

    Parameters
    ----------
    matrix : Tensor, shape (..., out, in)
        Real, or complex on a complex domain; leading dimensions are batch.
    domain : Space
        ``(in, *spatial)``, real or complex.

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] J. M. Bioucas-Dias et al., "Hyperspectral unmixing overview: geometrical, statistical, and sparse
       regression-based approaches", IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 5 (2012).

    Examples
    --------
    >>> A = ChannelMatrix(torch.tensor([[0.5, 0.5]]), domain=(2, 3))
    >>> A(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    tensor([[2., 2., 2.]])
    """

    matrix: Tensor
    domain: Space
    params = ("matrix",)

    def __post_init__(self) -> None:
        fits = self.matrix.ndim >= 2 and self.domain.shape[:1] == tuple(self.matrix.shape[-1:])
        if not fits or not (self.matrix.is_floating_point() or self.matrix.is_complex()):
            raise ShapeError(
                "matrix must be a floating or complex tensor (..., out, in) with in = the channels of "
                f"{self.domain}, got {self.matrix.dtype} {tuple(self.matrix.shape)}"
            )
        if self.matrix.is_complex() and self.domain.kind == "real":
            raise ShapeError("a complex matrix needs a complex domain: Space(shape, 'complex')")

    @property
    def range(self) -> Space:
        return Space((self.matrix.shape[-2], *self.domain.shape[1:]), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        return self._mixed(self.matrix, x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._mixed(self.matrix.mH, y)

    def _gram(self, x: Tensor) -> Tensor:
        return self._mixed(self.matrix.mH @ self.matrix, x)

    def norm_bound(self) -> Tensor:
        return torch.linalg.matrix_norm(self.matrix, ord=2)

    def _mixed(self, matrix: Tensor, x: Tensor) -> Tensor:
        spatial = self.domain.shape[1:]
        y = product(matrix, x.reshape(*x.shape[: x.ndim - len(spatial)], self._pixels()))
        return y.reshape(*y.shape[:-1], *spatial)

    def _pixels(self) -> int:
        return Space(self.domain.shape[1:]).size


def decolorize(
    *, domain: Space, weights: Literal["rec601", "rec709", "flat"] | tuple[float, ...] = "rec601"
) -> ChannelMatrix:
    r"""Gray levels of a color image, :math:`y_p = \sum_j w_j x_{jp}`, as a `ChannelMatrix`.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``.
    weights : {"rec601", "rec709", "flat"} or tuple of float
        Luminance of ITU-R BT.601 or BT.709 (red, green, blue), the mean of any number of channels, or one
        weight a channel: the spectral response of a panchromatic sensor.

    Returns
    -------
    ChannelMatrix
        Its range is ``(1, *spatial)``.

    Raises
    ------
    ParameterError
        If the number of weights is not that of the channels.

    References
    ----------
    .. [1] Recommendation ITU-R BT.601-7, "Studio encoding parameters of digital television" (2011).

    Examples
    --------
    >>> A = decolorize(domain=Space((3, 1)))
    >>> A(torch.tensor([[1.0], [0.0], [0.0]]))
    tensor([[0.2990]])
    """
    channels = domain.shape[0] if domain.shape else 0
    if isinstance(weights, str):
        if weights != "flat" and weights not in LUMINANCE:
            raise ParameterError(
                f"weights must be 'rec601', 'rec709', 'flat' or a tuple of numbers, got {weights!r}"
            )
        weights = (1 / max(channels, 1),) * channels if weights == "flat" else LUMINANCE[weights]
    if len(weights) != channels:
        raise ParameterError(f"decolorize: {len(weights)} weights for the {channels} channels of {domain}")
    return ChannelMatrix(matrix=torch.tensor([weights], dtype=torch.float32), domain=domain)


class Demosaic(LinearOperator):
    r"""A color filter array: of every pixel the sensor sees one color, :math:`y_p = x_{c(p)\,p}`.

    The image is recovered by demosaicing. A Aᴴ = I: the adjoint puts each sample into its channel and 0
    elsewhere, and is the pseudo-inverse.

    Parameters
    ----------
    domain : Space
        ``(3, y, x)``: red, green, blue.
    pattern : {"rggb", "bggr", "grbg", "gbrg"}
        Bayer's array [1]_: the colors of the top left 2 × 2 filters, row by row.
    cell : int
        The side of a filter in pixels: 1 for Bayer's array; 2 for Quad Bayer [2]_, where the 2 × 2 pixels
        below a filter can be read as one; 3 for "nona" cells.

    Returns
    -------
    Tensor, shape (..., 1, y, x)
        The mosaic.

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    .. [1] B. E. Bayer, "Color imaging array", US Patent 3971065 (1976).
    .. [2] T. Okawa et al., "A 1/2inch 48M all PDAF CMOS image sensor using 0.8µm quad Bayer coding 2×2OCL
       with 1.0lux minimum AF illuminance level", IEEE IEDM (2019).

    Examples
    --------
    >>> A = Demosaic((3, 2, 2))
    >>> A(torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, 2, 2))
    tensor([[[1., 2.],
             [2., 3.]]])
    >>> Demosaic((3, 2, 4), cell=2)(torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, 2, 4))
    tensor([[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]])
    """

    domain: Space
    pattern: Literal["rggb", "bggr", "grbg", "gbrg"] = "rggb"
    cell: int = 1
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        if len(self.domain.shape) != 3 or self.domain.shape[0] != 3:
            raise ShapeError(f"Demosaic takes images (3, y, x) in red, green, blue; got {self.domain}")
        if self.pattern not in ("rggb", "bggr", "grbg", "gbrg"):
            raise ParameterError(f"pattern must be 'rggb', 'bggr', 'grbg' or 'gbrg', got {self.pattern!r}")
        if not (isinstance(self.cell, int) and self.cell > 0):
            raise ParameterError(f"cell must be a positive number of pixels, got {self.cell!r}")

    @property
    def range(self) -> Space:
        return Space((1, *self.domain.shape[1:]), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x[..., :1, :, :], memory_format=torch.contiguous_format)
        n = 2 * self.cell
        for c, i, j in self._sites():
            y[..., 0, i::n, j::n] = x[..., c, i::n, j::n]
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros((*y.shape[:-3], *self.domain.shape))
        n = 2 * self.cell
        for c, i, j in self._sites():
            x[..., c, i::n, j::n] = y[..., 0, i::n, j::n]
        return x

    def norm_bound(self) -> Tensor:
        return torch.ones(())

    def _sites(self) -> list[tuple[int, int, int]]:
        """Channel, row and column of each pixel below the 2 × 2 filters."""
        side = 2 * self.cell
        place = [(i // self.cell * 2 + j // self.cell, i, j) for i in range(side) for j in range(side)]
        return [("rgb".index(self.pattern[k]), i, j) for k, i, j in place]
