"""Orthonormal discrete cosine and sine transforms by the fast Fourier transform."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import complex_dtype
from ._axes import spatial_axes
from ._base import LinearOperator
from ._space import Space


class CosineTransform(LinearOperator):
    r"""The orthonormal discrete cosine transform, of type I or II, in one to three dimensions.

    Along an axis of n samples, with c = 1/√2 at the ends that are marked and 1 elsewhere,

    .. math::
        \text{II:}\quad X_k &= \sqrt{2/n}\; c_k \sum_{j=0}^{n-1} x_j \cos\frac{\pi k (2j + 1)}{2n},
            \qquad c_0 \text{ marked} \\
        \text{I:}\quad X_k &= \sqrt{2/(n-1)}\; c_k \sum_{j=0}^{n-1} c_j x_j \cos\frac{\pi k j}{n-1},
            \qquad c_0, c_{n-1} \text{ marked}

    Both are orthogonal, ``A.H`` is the inverse (for type II it is the transform of type III). Each takes one real
    FFT of length n (II [1]_) or 2(n - 1) (I) an axis.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex (real and imaginary part are transformed alike).
    spatial_dims : int, optional
        How many trailing axes to transform, 1 to 3; by default all but the first (the channels).
    type : {2, 1}

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    .. [1] J. Makhoul, "A fast cosine transform in one and two dimensions", IEEE Trans. Acoust. Speech Signal
       Process. 28 (1980).

    Examples
    --------
    >>> C = CosineTransform(domain=Space((1, 4)))
    >>> C(torch.ones(1, 4)).abs().round(decimals=4)
    tensor([[2., 0., 0., 0.]])
    """

    domain: Space
    spatial_dims: int | None = None
    type: Literal[1, 2] = 2
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        _validate_type(self.type)
        if self.type == 1 and any(self.domain.shape[d] < 2 for d in self.dims):
            raise ShapeError(
                f"The cosine transform of type I needs two samples along every axis, got {self.domain}"
            )

    @property
    def dims(self) -> tuple[int, ...]:
        """The transformed axes, counted from the end."""
        return spatial_axes(self.domain, self.spatial_dims, "CosineTransform")

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return _along(x, self.dims, _cosine_2 if self.type == 2 else _cosine_1)

    def adjoint(self, y: Tensor) -> Tensor:
        return _along(y, self.dims, _cosine_3 if self.type == 2 else _cosine_1)

    def _gram(self, x: Tensor) -> Tensor:
        return x

    def norm_bound(self) -> Tensor:
        return torch.ones(())


class SineTransform(LinearOperator):
    r"""The orthonormal discrete sine transform, of type I or II, in one to three dimensions.

    Along an axis of n samples, with c = 1/√2 for k = n - 1 and 1 elsewhere,

    .. math::
        \text{I:}\quad X_k &= \sqrt{2/(n+1)} \sum_{j=0}^{n-1} x_j \sin\frac{\pi (k + 1)(j + 1)}{n+1} \\
        \text{II:}\quad X_k &= \sqrt{2/n}\; c_k \sum_{j=0}^{n-1} x_j \sin\frac{\pi (k + 1)(2j + 1)}{2n}

    Both are orthogonal, ``A.H`` is the inverse; type I is its own. Each takes one real FFT of length n (II) or
    2(n + 1) (I) an axis.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex (real and imaginary part are transformed alike).
    spatial_dims : int, optional
        How many trailing axes to transform, 1 to 3; by default all but the first (the channels).
    type : {1, 2}

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    .. [1] G. Strang, "The discrete cosine transform", SIAM Review 41 (1999).
    .. [2] J. Makhoul, "A fast cosine transform in one and two dimensions", IEEE Trans. Acoust. Speech Signal
       Process. 28 (1980).

    Examples
    --------
    >>> S = SineTransform(domain=Space((1, 3)))
    >>> S(S(torch.tensor([[1.0, 2.0, 3.0]]))).round(decimals=4)
    tensor([[1., 2., 3.]])
    """

    domain: Space
    spatial_dims: int | None = None
    type: Literal[1, 2] = 1
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        _validate_type(self.type)
        spatial_axes(self.domain, self.spatial_dims, "SineTransform")

    @property
    def dims(self) -> tuple[int, ...]:
        """The transformed axes, counted from the end."""
        return spatial_axes(self.domain, self.spatial_dims, "SineTransform")

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return _along(x, self.dims, _sine_2 if self.type == 2 else _sine_1)

    def adjoint(self, y: Tensor) -> Tensor:
        return _along(y, self.dims, _sine_3 if self.type == 2 else _sine_1)

    def _gram(self, x: Tensor) -> Tensor:
        return x

    def norm_bound(self) -> Tensor:
        return torch.ones(())


def _validate_type(type: int) -> None:
    if type not in (1, 2):
        raise ParameterError(
            f"type must be 1 or 2, got {type!r}. The transform of type III is that of type 2 with .H"
        )


def _along(x: Tensor, dims: tuple[int, ...], transform: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Apply a real transform along each of ``dims``, which count from the end."""
    if x.is_complex():
        parts = _along(torch.view_as_real(x).movedim(-1, 0), dims, transform)
        return torch.complex(parts[0], parts[1])
    for d in dims:
        x = transform(x, d)
    return x.contiguous()


def _at(d: int, part: slice) -> tuple[Any, ...]:
    """The index of a part of axis ``d``, which counts from the end."""
    return (..., part, *(slice(None),) * (-d - 1))


def _phases(n: int, like: Tensor, d: int) -> Tensor:
    """e^{-iπk/2n} for k = 0, ..., ⌊n/2⌋, times √(2/n) (√(1/n) for k = 0), along axis ``d``."""
    angle = torch.arange(n // 2 + 1, dtype=torch.float64, device=like.device) * (-math.pi / (2 * n))
    scale = torch.full_like(angle, math.sqrt(2 / n))
    scale[0] = math.sqrt(1 / n)
    return torch.polar(scale, angle).to(complex_dtype(like.dtype)).reshape(-1, *(1,) * (-d - 1))


def _cosine_2(x: Tensor, d: int) -> Tensor:
    n = x.shape[d]
    folded = torch.cat((x[_at(d, slice(0, None, 2))], x[_at(d, slice(1, None, 2))].flip(d)), d)
    V = torch.fft.rfft(folded, dim=d)
    V *= _phases(n, x, d)
    # V is Hermitian: minus the imaginary part is coefficient n - k
    out = torch.empty_like(folded)
    out.narrow(d, 0, n // 2 + 1).copy_(V.real)
    m = (n - 1) // 2
    out.narrow(d, n - m, m).copy_(V.imag.narrow(d, 1 if m else 0, m).flip(d)).neg_()
    return out


def _cosine_3(X: Tensor, d: int) -> Tensor:
    """The inverse, and transpose, of `_cosine_2`."""
    n = X.shape[d]
    h = n // 2
    V = torch.zeros_like(X.narrow(d, 0, h + 1), dtype=complex_dtype(X.dtype))
    V.real.copy_(X.narrow(d, 0, h + 1))
    V.imag.narrow(d, 1, h).copy_(X.narrow(d, n - h, h).flip(d)).neg_()
    # n/2 (n for k = 0) turns the scale of the forward transform into that of the inverse; the inverse FFT has 1/n
    V *= _phases(n, X, d).conj() * (n / 2)
    V.narrow(d, 0, 1).mul_(2)
    folded = torch.fft.irfft(V, n=n, dim=d)
    out = torch.empty_like(folded)
    out[_at(d, slice(0, None, 2))] = folded.narrow(d, 0, n - h)
    out[_at(d, slice(1, None, 2))] = folded.narrow(d, n - h, h).flip(d)
    return out


def _cosine_1(x: Tensor, d: int) -> Tensor:
    n = x.shape[d]
    z = x.clone()  # the even extension holds the ends once, the others twice
    _scale_ends(z, d, math.sqrt(2))
    even = torch.cat((z, z.narrow(d, 1, n - 2).flip(d)), d)
    out = torch.fft.rfft(even, dim=d).real * math.sqrt(0.5 / (n - 1))
    _scale_ends(out, d, math.sqrt(0.5))
    return out


def _scale_ends(x: Tensor, d: int, factor: float) -> None:
    x.narrow(d, 0, 1).mul_(factor)
    x.narrow(d, x.shape[d] - 1, 1).mul_(factor)


def _sine_1(x: Tensor, d: int) -> Tensor:
    n = x.shape[d]
    zero = torch.zeros_like(x.narrow(d, 0, 1))
    odd = torch.cat((zero, x, zero, -x.flip(d)), d)
    return torch.fft.rfft(odd, dim=d).imag.narrow(d, 1, n) * -math.sqrt(0.5 / (n + 1))


def _sine_2(x: Tensor, d: int) -> Tensor:
    return _cosine_2(_alternating(x, d), d).flip(d)


def _sine_3(X: Tensor, d: int) -> Tensor:
    return _alternating(_cosine_3(X.flip(d), d), d)


def _alternating(x: Tensor, d: int) -> Tensor:
    """Every second sample with the opposite sign."""
    out = x.clone()
    out[_at(d, slice(1, None, 2))].neg_()
    return out
