"""The undecimated (stationary) wavelet transform."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import complex_dtype
from ..spaces import Space
from ._base import LinearOperator
from ._convolution_kernels import from_spectrum, spectrum
from ._wavelet import max_levels, orthogonal_filters


class UndecimatedWaveletTransform(LinearOperator):
    r"""Undecimated (stationary, à trous) wavelet transform, periodic, in one to three dimensions.

    Level j filters the approximation of level j - 1 along each axis with the low-pass filter h and the
    high-pass filter g of an orthogonal wavelet, dilated and not decimated, so that it commutes with shifts:

    .. math::
        a_j[i] = \frac{1}{\sqrt 2} \sum_m h[m]\, a_{j-1}[i + 2^{j-1} (L/2 - m)], \qquad
        d_j[i] = \frac{1}{\sqrt 2} \sum_m g[m]\, a_{j-1}[i + 2^{j-1} (L/2 - m)]

    With the factor 1/√2 it is a Parseval frame: AᴴA = I, so the adjoint is an inverse (A Aᴴ is a projection),
    and ‖A x‖ = ‖x‖. The coefficients are those of ``pywt.swtn(..., norm=True, trim_approx=True)`` where that
    takes the size; here every size is taken.

    Parameters
    ----------
    domain : Space
        The last ``spatial_dims`` dimensions are transformed; real or complex.
    wavelet : str
        An orthogonal wavelet of PyWavelets: haar, db, sym or coif family.
    levels : int, optional
        At least 1; by default as many as leave the shortest axis at least as long as the filter, at most
        four.
    spatial_dims : int
        1, 2 or 3.
    approximation : bool
        Whether the coarsest approximation is among the coefficients. Without it AᴴA = I minus a low-pass
        filter: the analysis operator of wavelet sparsity.

    Raises
    ------
    ParameterError, ShapeError

    Notes
    -----
    The range is ``(band, *domain.shape)``: the approximation first, then the details from the coarsest level
    to the finest, within a level in the order of `bands`. Computed by one FFT of the image and one inverse
    FFT a band.

    References
    ----------
    .. [1] G. P. Nason and B. W. Silverman, "The stationary wavelet transform and some statistical
       applications", in *Wavelets and Statistics*, Springer (1995).
    .. [2] J.-L. Starck, J. Fadili and F. Murtagh, "The undecimated wavelet decomposition and its
       reconstruction", IEEE Trans. Image Process. 16 (2007).

    Examples
    --------
    >>> W = UndecimatedWaveletTransform((1, 5, 6), wavelet="haar", levels=2)
    >>> W.range, W.bands[:3]
    (Space((7, 1, 5, 6)), ('aa', 'ad2', 'da2'))
    >>> x = torch.arange(30.0).reshape(1, 5, 6)
    >>> torch.allclose(W.H(W(x)), x, atol=1e-4)
    True
    """

    domain: Space
    wavelet: str = "db4"
    levels: int | None = None
    spatial_dims: int = 2
    approximation: bool = True
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        orthogonal_filters(self.wavelet)
        if self.spatial_dims not in (1, 2, 3) or self.spatial_dims > len(self.domain.shape):
            raise ShapeError(
                "UndecimatedWaveletTransform: spatial_dims must be 1, 2 or 3 and at most the "
                f"{len(self.domain.shape)} dimensions of {self.domain}, got {self.spatial_dims!r}."
            )
        if 0 in self._spatial:
            raise ShapeError(
                f"UndecimatedWaveletTransform needs a sample along every axis, got {self.domain}."
            )
        if self.levels is not None and (not isinstance(self.levels, int) or self.levels < 1):
            raise ParameterError(
                f"UndecimatedWaveletTransform: levels must be None or an integer >= 1, got {self.levels!r}."
            )

    @property
    def range(self) -> Space:
        return Space((len(self.bands), *self.domain.shape), self.domain.kind)

    @property
    def depth(self) -> int:
        """The number of levels in use."""
        return max(1, min(max_levels(self._spatial, self.wavelet), 4)) if self.levels is None else self.levels

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands: a letter per axis (``a`` low-pass, ``d`` high-pass) and the detail level."""
        words = ["".join(letters) for letters in product("ad", repeat=self.spatial_dims)]
        details = [f"{word}{level}" for level in range(self.depth, 0, -1) for word in words[1:]]
        return (*words[: int(self.approximation)], *details)

    @property
    def _spatial(self) -> tuple[int, ...]:
        return self.domain.shape[-self.spatial_dims :]

    @property
    def _real(self) -> bool:
        return self.domain.kind == "real"

    def _transfer(self, band: str, like: Tensor) -> Tensor:
        """The transfer function of a band, a product over axes."""
        level = int(band[self.spatial_dims :] or self.depth)
        result: Tensor | None = None
        for axis, (letter, n) in enumerate(zip(band, self._spatial)):
            both = _transfers(self.wavelet, n, level, complex_dtype(like.dtype), like.device)
            line = both[0 if letter == "a" else 1]
            if self._real and axis == self.spatial_dims - 1:
                line = line[: n // 2 + 1]
            line = line.reshape(-1, *(1,) * (self.spatial_dims - 1 - axis))
            result = line if result is None else result * line
        assert result is not None
        return result

    def forward(self, x: Tensor) -> Tensor:
        d, sizes = len(self.domain.shape), self._spatial
        image = spectrum(x, sizes, real=self._real)
        out = x.new_empty((*x.shape[: x.ndim - d], *self.range.shape))
        for k, band in enumerate(self.bands):
            out.select(-d - 1, k).copy_(
                from_spectrum(image * self._transfer(band, x), sizes, real=self._real)
            )
        return out

    def adjoint(self, y: Tensor) -> Tensor:
        d, sizes = len(self.domain.shape), self._spatial
        total: Tensor | None = None
        for k, band in enumerate(self.bands):
            part = spectrum(y.select(-d - 1, k), sizes, real=self._real).mul_(self._transfer(band, y).conj())
            total = part if total is None else total.add_(part)
        assert total is not None
        return from_spectrum(total, sizes, real=self._real)

    def _gram(self, x: Tensor) -> Tensor:
        if self.approximation:
            return x
        low = self._transfer("a" * self.spatial_dims, x)
        smooth = spectrum(x, self._spatial, real=self._real) * (low.conj() * low)
        return x - from_spectrum(smooth, self._spatial, real=self._real)

    def norm_bound(self) -> Tensor:
        return torch.ones(())


@lru_cache(maxsize=128)
def _transfers(
    wavelet: str, n: int, level: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Transfer functions along an axis of n samples, from image to approximation and details of a level."""
    filters = orthogonal_filters(wavelet)
    frequency, tap = torch.arange(n), torch.arange(len(filters.low))
    approximation = torch.ones(n, dtype=torch.complex128)
    for j in range(level):
        position = 2**j * (tap - len(filters.low) // 2)
        turns = torch.remainder(frequency[:, None] * position, n).to(torch.float64) / n
        waves = torch.polar(torch.full_like(turns, math.sqrt(0.5)), -2 * math.pi * turns)
        low, high = (
            waves @ torch.tensor(f, dtype=waves.dtype) * approximation for f in (filters.low, filters.high)
        )
        approximation, details = low, high
    return approximation.to(device, dtype), details.to(device, dtype)
