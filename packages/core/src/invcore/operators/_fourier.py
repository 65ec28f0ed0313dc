"""Discrete Fourier transforms, orthonormal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .._errors import ShapeError
from ..spaces import Space
from ._axes import AlongAxes, Isometry


class FourierTransform(AlongAxes, Isometry):
    r"""The orthonormal discrete Fourier transform in one to three dimensions.

    Along an axis of n samples

    .. math:: X_k = n^{-1/2} \sum_j x_j \, e^{-2\pi i (k - c)(j - c)/n},

    with c = 0, or c = n // 2 if ``centered``: zero frequency and origin of the image then lie at index
    n // 2, also for odd n. It is an isometry, ``A.H(A(x)) = x``.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, complex or real (then the adjoint takes the real part).
    centered : bool

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] J. W. Cooley and J. W. Tukey, "An algorithm for the machine calculation of complex Fourier series",
       Math. Comp. 19 (1965).

    Examples
    --------
    >>> F = FourierTransform(Space((1, 4), "complex"), centered=True)
    >>> F(torch.ones(1, 4) + 0j).abs().round(decimals=4)
    tensor([[0., 0., 2., 0.]])
    """

    domain: Space
    spatial_dims: int | None = None
    centered: bool = False

    @property
    def range(self) -> Space:
        return Space(self.domain.shape, "complex")

    def forward(self, x: Tensor) -> Tensor:
        if not self.centered:
            return torch.fft.fftn(x, dim=self.dims, norm="ortho")
        return self._centered(x, torch.fft.fftn)

    def adjoint(self, y: Tensor) -> Tensor:
        if self.centered:
            x = self._centered(y, torch.fft.ifftn)
        else:
            x = torch.fft.ifftn(y, dim=self.dims, norm="ortho")
        return x.real.clone() if self.domain.kind == "real" else x

    def _centered(self, x: Tensor, transform: Callable[..., Tensor]) -> Tensor:
        """Along axes of even length n the two shifts are multiplications by (-1)^j and (-1)^(k + n/2)."""
        odd = [d for d in self.dims if x.shape[d] % 2]
        even = [d for d in self.dims if not x.shape[d] % 2]
        if odd:
            x = torch.fft.ifftshift(x, odd)
        signs = self._signs(x, even)
        x = transform(x if signs is None else x * signs, dim=self.dims, norm="ortho")
        if signs is not None:
            x *= -signs if sum(x.shape[d] // 2 for d in even) % 2 else signs
        return torch.fft.fftshift(x, odd) if odd else x

    def _signs(self, x: Tensor, dims: list[int]) -> Tensor | None:
        signs = None
        for d in dims:
            sign = 1 - 2 * (torch.arange(x.shape[d], device=x.device) % 2).to(x.real.dtype)
            sign = sign.reshape(-1, *(1,) * (-d - 1))
            signs = sign if signs is None else signs * sign
        return signs


class RealFourierTransform(AlongAxes):
    r"""The orthonormal Fourier transform of a real image, without the half that follows by symmetry.

    .. math:: X_k = n^{-1/2} \sum_j x_j \, e^{-2\pi i kj/n}, \qquad k = 0, \dots, \lfloor n/2 \rfloor

    along the last axis, all frequencies along the others. The adjoint is that of the real inner product
    Re⟨X, Y⟩ of the half spectrum, in which a frequency counts once although it stands for itself and its
    mirror image; it is *not* the inverse. With ``isometric`` the frequencies that stand for two are
    multiplied by √2; then ``A.H(A(x)) = x``.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real.
    isometric : bool

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] H. V. Sorensen, D. L. Jones, M. T. Heideman and C. S. Burrus, "Real-valued fast Fourier transform
       algorithms", IEEE Trans. Acoust. Speech Signal Process. 35 (1987).

    Examples
    --------
    >>> F = RealFourierTransform((1, 5), isometric=True)
    >>> F.range
    Space((1, 3), 'complex')
    >>> F.H(F(torch.arange(5.0)[None])).round(decimals=4)
    tensor([[0., 1., 2., 3., 4.]])
    """

    domain: Space
    spatial_dims: int | None = None
    isometric: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.domain.kind != "real":
            raise ShapeError(
                f"RealFourierTransform takes a real image, got {self.domain}. Use FourierTransform for a "
                "complex one."
            )

    @property
    def range(self) -> Space:
        *others, n = self.domain.shape
        return Space((*others, n // 2 + 1), "complex")

    def forward(self, x: Tensor) -> Tensor:
        y = torch.fft.rfftn(x, dim=self.dims, norm="ortho")
        if self.isometric:
            self._scale(y, 2**0.5)
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        y = torch.fft.ifftn(y, dim=self.dims[:-1], norm="ortho") if len(self.dims) > 1 else y.clone()
        n = self.domain.shape[-1]
        # irfft counts the frequencies between the ends twice, and leaves the imaginary part of the ends
        # undefined
        self._scale(y, 0.5**0.5 if self.isometric else 0.5)
        y.imag[..., 0] = 0
        if n % 2 == 0:
            y.imag[..., -1] = 0
        return torch.fft.irfft(y, n=n, dim=-1, norm="ortho")

    def _gram(self, x: Tensor) -> Tensor:
        if self.isometric:
            return x
        n = self.domain.shape[-1]
        ends = x.mean(-1, keepdim=True).expand_as(x)
        if n % 2 == 0:
            sign = 1 - 2 * (torch.arange(n, device=x.device) % 2).to(x.dtype)
            ends = ends + sign * (sign * x).mean(-1, keepdim=True)
        return 0.5 * (x + ends)

    def norm_bound(self) -> Tensor:
        return torch.ones(())

    def _scale(self, y: Tensor, factor: float) -> None:
        """Multiply the frequencies of the last axis that are not their own mirror image."""
        y[..., 1 : (self.domain.shape[-1] + 1) // 2] *= factor
