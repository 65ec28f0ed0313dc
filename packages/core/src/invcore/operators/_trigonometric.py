"""Orthonormal discrete cosine and sine transforms by the fast Fourier transform."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
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
    >>> C(torch.ones(1, 4)).round(decimals=4)
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


def _along(x: Tensor, dims: tuple[int, ...], transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a real transform of the last axis along each of ``dims``."""
    if x.is_complex():
        parts = torch.view_as_real(x).movedim(-1, 0)
        parts = _along(parts, dims, transform)
        return torch.complex(parts[0], parts[1])
    for d in dims:
        x = transform(x.movedim(d, -1)).movedim(-1, d)
    return x.contiguous()


def _phases(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of πk/2n for k = 0, ..., ⌊n/2⌋, times √(2/n) (√(1/n) for k = 0)."""
    angle = torch.arange(n // 2 + 1, dtype=torch.float64, device=like.device) * (math.pi / (2 * n))
    scale = torch.full_like(angle, math.sqrt(2 / n))
    scale[0] = math.sqrt(1 / n)
    return (scale * angle.cos()).to(like.dtype), (scale * angle.sin()).to(like.dtype)


def _cosine_2(x: Tensor) -> Tensor:
    n = x.shape[-1]
    folded = torch.cat((x[..., ::2], x[..., 1::2].flip(-1)), -1)
    V = torch.fft.rfft(folded)
    cos, sin = _phases(n, x)
    out = torch.empty_like(folded)
    # e^{-iπk/2n} V_k: minus its imaginary part is coefficient n - k, as V is Hermitian
    out[..., : n // 2 + 1] = V.real * cos + V.imag * sin
    m = (n - 1) // 2
    out[..., n - m :] = (V.real * sin - V.imag * cos)[..., 1 : m + 1].flip(-1)
    return out


def _cosine_3(X: Tensor) -> Tensor:
    """The inverse, and transpose, of `_cosine_2`."""
    n = X.shape[-1]
    cos, sin = _phases(n, X)
    low = X[..., : n // 2 + 1]
    high = torch.zeros_like(low)
    high[..., 1:] = X[..., n - n // 2 :].flip(-1)
    # (X_k - i X_{n-k}) e^{iπk/2n}, and n/2 of the scale since the inverse FFT divides by n
    V = torch.complex(low * cos + high * sin, low * sin - high * cos) * (n / 2)
    V[..., 0] *= 2
    folded = torch.fft.irfft(V, n=n)
    out = torch.empty_like(folded)
    out[..., ::2] = folded[..., : (n + 1) // 2]
    out[..., 1::2] = folded[..., (n + 1) // 2 :].flip(-1)
    return out


def _cosine_1(x: Tensor) -> Tensor:
    n = x.shape[-1]
    z = x.clone()  # the even extension holds the ends once, the others twice
    z[..., 0] *= math.sqrt(2)
    z[..., -1] *= math.sqrt(2)
    out = torch.fft.rfft(torch.cat((z, z[..., 1:-1].flip(-1)), -1)).real * math.sqrt(0.5 / (n - 1))
    out[..., 0] *= math.sqrt(0.5)
    out[..., -1] *= math.sqrt(0.5)
    return out


def _sine_1(x: Tensor) -> Tensor:
    n = x.shape[-1]
    zero = x.new_zeros((*x.shape[:-1], 1))
    odd = torch.cat((zero, x, zero, -x.flip(-1)), -1)
    return torch.fft.rfft(odd)[..., 1 : n + 1].imag * -math.sqrt(0.5 / (n + 1))


def _sine_2(x: Tensor) -> Tensor:
    return _cosine_2(_alternating(x)).flip(-1)


def _sine_3(X: Tensor) -> Tensor:
    return _alternating(_cosine_3(X.flip(-1)))


def _alternating(x: Tensor) -> Tensor:
    """Every second sample with the opposite sign."""
    out = x.clone()
    out[..., 1::2].neg_()
    return out
