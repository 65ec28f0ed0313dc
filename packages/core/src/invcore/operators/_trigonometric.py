"""Orthonormal discrete cosine and sine transforms by the fast Fourier transform."""

from __future__ import annotations

import importlib.util
import math
from functools import cache, lru_cache
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import complex_dtype
from ..spaces import Space
from ._axes import AlongAxes, Isometry


class _Trigonometric(AlongAxes, Isometry, abstract=True):
    """A transform of type I or II."""

    family: ClassVar[Literal["cosine", "sine"]]
    type: Literal[1, 2]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type not in (1, 2):
            raise ParameterError(
                f"type must be 1 or 2, got {self.type!r}. The transform of type III is that of type 2 with .H"
            )

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return _along(x, len(self.dims), _Kind(self.family, self.type))

    def adjoint(self, y: Tensor) -> Tensor:
        return _along(y, len(self.dims), _Kind(self.family, self.type, inverse=self.type == 2))


class CosineTransform(_Trigonometric):
    r"""The orthonormal discrete cosine transform, of type I or II, in one to three dimensions.

    Along an axis of n samples, with c = 1/√2 at the ends that are marked and 1 elsewhere,

    .. math::
        \text{II:}\quad X_k &= \sqrt{2/n}\; c_k \sum_{j=0}^{n-1} x_j \cos\frac{\pi k (2j + 1)}{2n},
            \qquad c_0 \text{ marked} \\
        \text{I:}\quad X_k &= \sqrt{2/(n-1)}\; c_k \sum_{j=0}^{n-1} c_j x_j \cos\frac{\pi k j}{n-1},
            \qquad c_0, c_{n-1} \text{ marked}

    Both are orthogonal, ``A.H`` is the inverse (for type II it is the transform of type III). On a CPU
    they are those of ducc0 where it is installed (``pip install "invcore[dct]"``), a real FFT of length n an
    axis for type II [1]_. Else axes of up to 64 samples take a matrix product, longer ones a real FFT of
    twice the length.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex (real and imaginary part are transformed alike).
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
    >>> C = CosineTransform((1, 4))
    >>> C(torch.ones(1, 4)).abs().round(decimals=4)
    tensor([[2., 0., 0., 0.]])
    """

    family: ClassVar[Literal["cosine", "sine"]] = "cosine"
    domain: Space
    spatial_dims: int | None = None
    type: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type == 1 and any(self.domain.shape[d] < 2 for d in self.dims):
            raise ShapeError(
                f"The cosine transform of type I needs two samples along every axis, got {self.domain}"
            )


class SineTransform(_Trigonometric):
    r"""The orthonormal discrete sine transform, of type I or II, in one to three dimensions.

    Along an axis of n samples, with c = 1/√2 for k = n - 1 and 1 elsewhere,

    .. math::
        \text{I:}\quad X_k &= \sqrt{2/(n+1)} \sum_{j=0}^{n-1} x_j \sin\frac{\pi (k + 1)(j + 1)}{n+1} \\
        \text{II:}\quad X_k &= \sqrt{2/n}\; c_k \sum_{j=0}^{n-1} x_j \sin\frac{\pi (k + 1)(2j + 1)}{2n}

    Both are orthogonal, ``A.H`` is the inverse; type I is its own. They are computed as `CosineTransform` is.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex (real and imaginary part are transformed alike).
    type : {1, 2}

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    G. Strang, "The discrete cosine transform", SIAM Review 41 (1999).

    Examples
    --------
    >>> S = SineTransform((1, 3))
    >>> S(S(torch.tensor([[1.0, 2.0, 3.0]]))).round(decimals=4)
    tensor([[1., 2., 3.]])
    """

    family: ClassVar[Literal["cosine", "sine"]] = "sine"
    domain: Space
    spatial_dims: int | None = None
    type: Literal[1, 2] = 1


# -- engine -------------------------------------------------------------------------------------------------
# The operators differentiate by their adjoints, so none of it is recorded.

_SHORT = 64
"""Lines of up to so many samples are multiplied by the matrix."""

_LINE, _PAGE = 64, 4096
"""Bytes of a cache line and of a page."""

_CHUNK = 2**17
"""Real numbers that are transformed together on a CPU: what the caches hold."""


class _Kind(NamedTuple):
    """A transform of lines."""

    family: Literal["cosine", "sine"]
    type: Literal[1, 2]
    inverse: bool = False

    @property
    def first(self) -> int:
        """The frequency of the first coefficient."""
        return 0 if self.family == "cosine" else 1

    def period(self, n: int) -> int:
        """The length of the FFT for lines of n samples, after which their extension repeats."""
        return 2 * n if self.type == 2 else 2 * (n - 1 + 2 * self.first)


def _along(x: Tensor, ndim: int, kind: _Kind) -> Tensor:
    """Apply a transform along the last ``ndim`` axes."""
    sizes = x.shape[-ndim:]
    if x.numel() == 0:
        return torch.empty_like(x)
    if x.is_complex():
        parts = _along(torch.view_as_real(x).movedim(-1, 0), ndim, kind)
        return torch.complex(parts[0], parts[1])
    if x.device.type == "cpu" and _ducc_here():
        return _by_ducc(x, ndim, kind)
    if ndim == 1:
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        _transform(x.reshape(-1, *sizes), out.view(-1, *sizes), kind)
        return out
    turned = x  # lines are read from the last axis and written to the first: after all, axes are in order
    for n in reversed(sizes):
        lines = turned.reshape(-1, n)
        turned = lines.new_empty(n, len(lines))
        _transform(lines, turned.mT, kind)
    return turned.view(*sizes, -1).movedim(-1, 0).reshape(x.shape)


def _transform(lines: Tensor, out: Tensor, kind: _Kind) -> None:
    """The lines ``(m, n)``, into ``out``."""
    n = lines.shape[1]
    if n <= _SHORT:
        torch.mm(lines, _matrix(kind, n, lines.dtype, lines.device).mT, out=out)
        return
    weights = _weights(kind, n, lines.dtype, lines.device)
    count = max(1, _CHUNK // n) if lines.device.type == "cpu" else len(lines)
    for some, into in zip(lines.split(count), out.split(count)):
        into.copy_(_by_fft(some, kind, weights))


def _by_fft(lines: Tensor, kind: _Kind, weights: Tensor) -> Tensor:
    """The sums over the frequencies (type I and inverses), or over the samples."""
    m, n = lines.shape
    period, used = kind.period(n), slice(kind.first, kind.first + n)
    if kind.type == 2 and not kind.inverse:
        return (torch.fft.rfft(lines, n=period)[:, used] * weights).real
    spectrum = weights.new_zeros(m, period // 2 + 1)
    torch.mul(lines, weights, out=spectrum[:, used])
    samples = torch.fft.irfft(spectrum, n=period, norm="forward")
    if kind.type == 2:
        return samples[:, :n]
    if kind.family == "cosine":
        samples[:, :: n - 1] *= math.sqrt(0.5)
    return samples[:, used]


@lru_cache(maxsize=64)
def _weights(kind: _Kind, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The factor of each coefficient in `_by_fft`."""
    with torch.inference_mode(False):
        half = kind.period(n) // 2
        k = torch.arange(kind.first, kind.first + n, dtype=torch.float64)
        ends = k % half == 0  # frequencies that are their own negatives
        size = torch.full_like(k, math.sqrt(2 / half))
        angle = k * (math.pi / (2 * n) if kind.type == 2 else 0.0) - kind.first * math.pi / 2
        size[ends], angle[ends] = math.sqrt(1 / half), 0.0
        if kind.type == 2 and not kind.inverse:
            weights = torch.polar(size, -angle)
        else:  # the negative frequencies add as much again
            weights = torch.polar(torch.where(ends, size, size / 2), angle)
        return weights.to(device, complex_dtype(dtype))


@lru_cache(maxsize=64)
def _matrix(kind: _Kind, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix of a transform of short lines."""
    with torch.inference_mode(False):
        identity = torch.eye(n, dtype=torch.float64)
        weights = _weights(kind, n, identity.dtype, identity.device)
        return _by_fft(identity, kind, weights).mT.to(device, dtype).contiguous()


@cache
def _ducc_here() -> bool:
    """Whether ducc0 is installed."""
    return importlib.util.find_spec("ducc0") is not None


def _by_ducc(x: Tensor, ndim: int, kind: _Kind) -> Tensor:
    """The same of real ``x`` by the compiled transforms of ducc0."""
    from ducc0 import fft

    n, size = x.shape[-1], x.element_size()
    out = torch.empty(x.shape, dtype=x.dtype)
    if n * size % _PAGE == 0:  # lines a whole number of pages apart would share a few sets of the cache
        out = out.new_empty(*x.shape[:-1], n + _LINE // size)[..., :n]
        x = out.copy_(x)
    (fft.dct if kind.family == "cosine" else fft.dst)(
        x.numpy(),
        type=3 if kind.inverse else kind.type,
        axes=range(x.ndim - ndim, x.ndim),
        inorm=1,  # orthonormal
        out=out.numpy(),
        nthreads=torch.get_num_threads(),
    )
    return out.contiguous()
