"""Convolution by a known kernel, and by a known image."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError
from ..spaces import Space, per_sample
from ._base import LinearOperator
from ._basic import Mask
from ._convolution_kernels import (
    Layout,
    direct,
    direct_adjoint,
    direct_layout,
    extend,
    extend_adjoint,
    filtered,
    from_spectrum,
    place,
    place_adjoint,
    spectral_layout,
    spectrum,
)
from ._fourier import FourierTransform
from ._hartley import HartleyTransform

if TYPE_CHECKING:
    from ._svd import SVD

Boundary = Literal["valid", "circular", "zero", "reflect", "replicate"]
Method = Literal["auto", "direct", "fft"]

BOUNDARIES = ("valid", "circular", "zero", "reflect", "replicate")
_METHODS = ("auto", "direct", "fft")
# Measured on a CPU: with a boundary other than circular, kernels up to this many entries are faster by sums.
_DIRECT_TAPS = {1: 32, 2: 9, 3: 8}


class Convolution(LinearOperator):
    r"""Convolution of each channel with a kernel, in one to three dimensions, with a stated boundary.

    .. math:: y[n] = \sum_j k[j]\, \tilde x[n + c - j], \qquad c = \lfloor K / 2 \rfloor \text{ on each axis}

    A true convolution (the kernel is the image of a point). x̃ is x continued beyond its edges. The center of
    an even kernel is the entry right of the middle, as that of `torch.fft.fftshift`. ``A.H`` is the exact
    adjoint for every boundary and size, and derivatives reach the kernel; `kernel_operator` is the map
    k ↦ k * x itself.

    Parameters
    ----------
    kernel : Tensor, shape (..., channel or 1, *k)
        As many spatial dimensions as the domain; leading dimensions are batch, one kernel for each sample. It
        may be larger than the image. Complex kernels need a complex domain.
    domain : Space
        Shape ``(channel, *spatial)`` with one to three spatial dimensions; real or complex.
    boundary : {"circular", "zero", "reflect", "replicate", "valid"}
        Beyond the edges the image is periodic, zero, mirrored about the center of the outermost pixel (which
        is not repeated; "mirror" in `scipy.ndimage`), or equal to the outermost pixel. "valid" needs no
        continuation: only the n - k + 1 outputs that see the image alone.
    method : {"auto", "direct", "fft"}
        By sums or by FFT. "auto" is the faster one as measured on a CPU: sums for kernels of at most 32, 9 or
        8 entries in one, two or three dimensions, except with a circular boundary; the FFT for all others.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    Notes
    -----
    The transfer function is computed once and kept unless the kernel needs a gradient. With a circular
    boundary AᴴA takes one pair of FFTs, the norm is exact, and `ridge` is a closed form.

    References
    ----------
    P. C. Hansen, J. G. Nagy, D. P. O'Leary, "Deblurring Images: Matrices, Spectra, and Filtering", SIAM
    (2006).

    Examples
    --------
    >>> A = Convolution(torch.tensor([[1.0, 2.0, 3.0]]), domain=(1, 5), boundary="zero")
    >>> A(torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]]))
    tensor([[1., 2., 3., 0., 0.]])
    >>> A.H(torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]]))
    tensor([[2., 1., 0., 0., 0.]])
    """

    kernel: Tensor
    domain: Space
    boundary: Boundary = "circular"
    method: Method = "auto"
    params = ("kernel",)

    def __post_init__(self) -> None:
        _check_options("Convolution", self.domain, self.boundary, self.method)
        d = len(self.domain.shape) - 1
        if not (self.kernel.is_floating_point() or self.kernel.is_complex()):
            raise DtypeError(
                f"Convolution: kernel must be floating point or complex, got {self.kernel.dtype}"
            )
        if self.kernel.is_complex() and self.domain.kind == "real":
            raise DtypeError("Convolution: a complex kernel needs a complex domain: Space(shape, 'complex')")
        _check_kernel("Convolution", tuple(self.kernel.shape), self.domain, d, self.boundary)

    @property
    def range(self) -> Space:
        shape = direct_layout(self._spatial, self._taps, self.boundary).out
        return Space((self.domain.shape[0], *shape), self.domain.kind)

    @property
    def _spatial(self) -> tuple[int, ...]:
        return self.domain.shape[1:]

    @property
    def _taps(self) -> tuple[int, ...]:
        return tuple(self.kernel.shape[-len(self._spatial) :])

    @property
    def _direct(self) -> bool:
        if self.method == "auto":
            return self.boundary != "circular" and math.prod(self._taps) <= _DIRECT_TAPS[len(self._taps)]
        return self.method == "direct"

    @property
    def _real(self) -> bool:
        return self.domain.kind == "real"

    @property
    def _layout(self) -> Layout:
        layout = direct_layout if self._direct else spectral_layout
        return layout(self._spatial, self._taps, self.boundary)

    # What depends on a tensor that needs a gradient is not kept: a kept graph could be backpropagated only
    # once.

    @cached_property
    def _kept_transfer(self) -> Tensor:
        with torch.inference_mode(False):
            return self._transferred()

    @cached_property
    def _kept_power(self) -> Tensor:
        with torch.inference_mode(False):
            return _power(self._kept_transfer)

    @cached_property
    def _kept_gram(self) -> Tensor:
        """`_kept_power` as complex numbers, which a spectrum is multiplied by faster."""
        with torch.inference_mode(False):
            return self._kept_power.to(self._kept_transfer.dtype)

    def _transferred(self) -> Tensor:
        layout = spectral_layout(self._spatial, self._taps, self.boundary)
        return spectrum(place(self.kernel, layout.sizes, layout.shift), layout.sizes, real=self._real)

    def _transfer(self) -> Tensor:
        """The Fourier transform of the kernel on the grid of the FFT."""
        return self._transferred() if self.kernel.requires_grad else self._kept_transfer

    def _transfer_power(self) -> Tensor:
        return _power(self._transferred()) if self.kernel.requires_grad else self._kept_power

    def forward(self, x: Tensor) -> Tensor:
        layout, d = self._layout, len(self._spatial)
        x = extend(x, layout.before, layout.after, self.boundary)
        if self._direct:
            return direct(x, self.kernel, d)
        return filtered(x, self._transfer(), layout.sizes, layout.out, real=self._real)

    def adjoint(self, y: Tensor) -> Tensor:
        layout, d = self._layout, len(self._spatial)
        if self._direct:
            x = direct_adjoint(y, self.kernel, d)
        else:
            extended = tuple(n + b + a for n, b, a in zip(self._spatial, layout.before, layout.after))
            x = filtered(y, self._transfer().conj(), layout.sizes, extended, real=self._real)
        return extend_adjoint(x, self._spatial, layout.before, layout.after, self.boundary)

    def _gram(self, x: Tensor) -> Tensor:
        if self.boundary != "circular" or self._direct:
            return self.adjoint(self.forward(x))
        transfer = self._transfer_power() if self.kernel.requires_grad else self._kept_gram
        return filtered(x, transfer, self._spatial, self._spatial, real=self._real)

    def norm_bound(self) -> Tensor | None:
        """The largest magnitude of the transfer function (exact) for a circular boundary; None for others."""
        if self.boundary != "circular":
            return None
        return self._transfer().abs().flatten(-len(self._spatial) - 1).amax(-1)

    def kernel_operator(self, x: Tensor) -> KernelConvolution:
        """The linear operator k ↦ k * x, for blind deconvolution.

        Parameters
        ----------
        x : Tensor, shape (..., channel, *spatial)
            The image; leading dimensions are batch.
        """
        kind: Literal["real", "complex"] = "complex" if self.kernel.is_complex() else "real"
        channels = self.kernel.shape[-len(self._spatial) - 1]
        return KernelConvolution(
            image=x,
            domain=Space((channels, *self._taps), kind),
            image_domain=self.domain,
            boundary=self.boundary,
            method=self.method,
        )

    def ridge(self, y: Tensor | None = None, z: Tensor | None = None, *, weight: float | Tensor) -> Tensor:
        """The minimizer of ½‖A x − y‖² + ½ weight ‖x − z‖², in closed form (a circular boundary only).

        With ``z`` left out this is the Wiener filter for white signal and noise, ``weight`` their ratio of
        powers. `least_squares` and the splitting solvers use it automatically.

        Parameters
        ----------
        y, z : Tensor, shape (..., channel, *spatial), optional
            By default zero; at least one of them is needed.
        weight : float or Tensor, shape (...)
            Positive; one for all or one for each sample.
        """
        if self.boundary != "circular":
            raise ParameterError(
                f"Convolution.ridge needs boundary='circular', this one is {self.boundary!r}; use "
                "least_squares"
            )
        if y is None and z is None:
            raise ParameterError("Convolution.ridge needs data y, a center z, or both")
        w = per_sample(weight, self.domain)
        solved: Tensor | float = 0.0
        if y is not None:
            solved = self._transfer().conj() * spectrum(y, self._spatial, real=self._real)
        if z is not None:
            solved = solved + w * spectrum(z, self._spatial, real=self._real)
        return from_spectrum(solved / (self._transfer_power() + w), self._spatial, real=self._real)

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor | None:
        return self.ridge(y, z, weight=weight) if self.boundary == "circular" else None

    def _svd(self) -> SVD | None:
        """By the Fourier transform for a circular boundary: the singular values are |transfer function|."""
        from ._svd import SVD, phase

        if self.boundary != "circular":
            return None
        F = FourierTransform(self.domain)
        transfer = spectrum(place(self.kernel, self._spatial, self._layout.shift), self._spatial, real=False)
        size = transfer.abs()
        V = spectral_basis(self.domain)
        U: Any = F.H @ Mask(phase(transfer, size), F.range) @ F @ V
        return SVD(U=U, s=size, V=V)


def spectral_basis(domain: Space) -> LinearOperator:
    """The orthonormal basis in which circular convolutions with even spectra are diagonal."""
    return HartleyTransform(domain) if domain.kind == "real" else FourierTransform(domain).H


class KernelConvolution(LinearOperator):
    """Convolution as a function of the kernel, k ↦ k * x, as `Convolution.kernel_operator` gives it.

    Parameters
    ----------
    image : Tensor, shape (..., channel, *spatial)
        Leading dimensions are batch.
    domain : Space
        Of the kernel, shape ``(channel or 1, *k)``; a kernel with one channel serves all channels.
    image_domain : Space
        Of the image.
    boundary, method
        As for `Convolution`.

    Examples
    --------
    >>> B = KernelConvolution(image=torch.tensor([[1.0, 2.0, 3.0]]), domain=(1, 2),
    ...                       image_domain=(1, 3), boundary="valid")
    >>> B(torch.tensor([[10.0, 1.0]])), B.dense()
    (tensor([[21., 32.]]), tensor([[2., 1.],
            [3., 2.]]))
    """

    image: Tensor
    domain: Space
    image_domain: Space
    boundary: Boundary = "circular"
    method: Method = "auto"
    params = ("image",)

    def __post_init__(self) -> None:
        _check_options("KernelConvolution", self.image_domain, self.boundary, self.method)
        shape, d = self.image_domain.shape, len(self.image_domain.shape) - 1
        if tuple(self.image.shape[-d - 1 :]) != shape:
            raise ShapeError(
                f"KernelConvolution: image must be (..., {', '.join(map(str, shape))}), got "
                f"{tuple(self.image.shape)}"
            )
        if self.image.is_complex() and self.image_domain.kind == "real":
            raise DtypeError("KernelConvolution: a complex image needs a complex image_domain")
        if self.domain.kind == "complex" and self.image_domain.kind == "real":
            raise DtypeError("KernelConvolution: a complex kernel needs a complex image_domain")
        if len(self.domain.shape) != d + 1:
            raise ShapeError(f"KernelConvolution: domain must be (channel or 1, *k), got {self.domain}")
        _check_kernel("KernelConvolution", self.domain.shape, self.image_domain, d, self.boundary)

    @property
    def range(self) -> Space:
        shape = direct_layout(self.image_domain.shape[1:], self.domain.shape[1:], self.boundary).out
        return Space((self.image_domain.shape[0], *shape), self.image_domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        image = self.image + 0j if self.image_domain.kind == "complex" else self.image
        A = Convolution(kernel=x, domain=self.image_domain, boundary=self.boundary, method=self.method)
        return A.forward(image)

    def adjoint(self, y: Tensor) -> Tensor:
        real = self.image_domain.kind == "real"
        spatial, taps = self.image_domain.shape[1:], self.domain.shape[1:]
        layout = spectral_layout(spatial, taps, self.boundary)
        x = extend(self.image, layout.before, layout.after, self.boundary)
        image = spectrum(x, layout.sizes, real=real)
        grid = from_spectrum(spectrum(y, layout.sizes, real=real) * image.conj(), layout.sizes, real=real)
        kernel = place_adjoint(grid, taps, layout.shift)
        if self.domain.shape[0] == 1:
            kernel = kernel.sum(-len(taps) - 1, keepdim=True)
        return kernel.real if self.domain.kind == "real" and not real else kernel


def _power(transfer: Tensor) -> Tensor:
    return (transfer.conj() * transfer).real


def _check_options(name: str, domain: Space, boundary: str, method: str) -> None:
    if len(domain.shape) not in (2, 3, 4) or 0 in domain.shape:
        raise ShapeError(
            f"{name}: the image must be (channel, *spatial) with one to three spatial dimensions, got "
            f"{domain}"
        )
    if boundary not in BOUNDARIES:
        raise ParameterError(f"{name}: boundary must be one of {BOUNDARIES}, got {boundary!r}")
    if method not in _METHODS:
        raise ParameterError(f"{name}: method must be one of {_METHODS}, got {method!r}")


def _check_kernel(name: str, kernel: tuple[int, ...], domain: Space, d: int, boundary: str) -> None:
    channels, spatial = domain.shape[0], domain.shape[1:]
    if len(kernel) <= d or 0 in kernel[-d:] or kernel[-d - 1] not in (1, channels):
        raise ShapeError(
            f"{name}: the kernel must be (..., {channels} or 1, *k) with {d} spatial dimensions for "
            f"{domain}, got {kernel}"
        )
    if boundary == "valid" and any(k > n for k, n in zip(kernel[-d:], spatial)):
        raise ShapeError(
            f"{name}: with boundary='valid' the kernel {kernel[-d:]} must not be larger than the image "
            f"{spatial}"
        )
