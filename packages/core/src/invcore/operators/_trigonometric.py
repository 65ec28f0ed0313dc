"""Orthonormal discrete cosine and sine transforms by the fast Fourier transform."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import complex_dtype
from ..spaces import Space
from ._axes import AlongAxes, Isometry


class _Trigonometric(AlongAxes, Isometry, abstract=True):
    """A transform of type I or II, by a pair of `_Kind`."""

    type: Literal[1, 2]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type not in (1, 2):
            raise ParameterError(
                f"type must be 1 or 2, got {self.type!r}. The transform of type III is that of type 2 with .H"
            )

    @abstractmethod
    def _kinds(self) -> tuple[_Kind, _Kind]:
        """The transform and its inverse."""

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return _along(x, self.dims, self._kinds()[0])

    def adjoint(self, y: Tensor) -> Tensor:
        return _along(y, self.dims, self._kinds()[1])


class CosineTransform(_Trigonometric):
    r"""The orthonormal discrete cosine transform, of type I or II, in one to three dimensions.

    Along an axis of n samples, with c = 1/√2 at the ends that are marked and 1 elsewhere,

    .. math::
        \text{II:}\quad X_k &= \sqrt{2/n}\; c_k \sum_{j=0}^{n-1} x_j \cos\frac{\pi k (2j + 1)}{2n},
            \qquad c_0 \text{ marked} \\
        \text{I:}\quad X_k &= \sqrt{2/(n-1)}\; c_k \sum_{j=0}^{n-1} c_j x_j \cos\frac{\pi k j}{n-1},
            \qquad c_0, c_{n-1} \text{ marked}

    Both are orthogonal, ``A.H`` is the inverse (for type II it is the transform of type III). Each takes one
    real FFT of length n (II [1]_) or 2(n - 1) (I) an axis.

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

    domain: Space
    spatial_dims: int | None = None
    type: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type == 1 and any(self.domain.shape[d] < 2 for d in self.dims):
            raise ShapeError(
                f"The cosine transform of type I needs two samples along every axis, got {self.domain}"
            )

    def _kinds(self) -> tuple[_Kind, _Kind]:
        return (_cosine_1, _cosine_1) if self.type == 1 else (_cosine_2, _cosine_3)


class SineTransform(_Trigonometric):
    r"""The orthonormal discrete sine transform, of type I or II, in one to three dimensions.

    Along an axis of n samples, with c = 1/√2 for k = n - 1 and 1 elsewhere,

    .. math::
        \text{I:}\quad X_k &= \sqrt{2/(n+1)} \sum_{j=0}^{n-1} x_j \sin\frac{\pi (k + 1)(j + 1)}{n+1} \\
        \text{II:}\quad X_k &= \sqrt{2/n}\; c_k \sum_{j=0}^{n-1} x_j \sin\frac{\pi (k + 1)(2j + 1)}{2n}

    Both are orthogonal, ``A.H`` is the inverse; type I is its own. Each takes one real FFT of length n (II)
    or 2(n + 1) (I) an axis.

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
    .. [1] G. Strang, "The discrete cosine transform", SIAM Review 41 (1999).
    .. [2] J. Makhoul, "A fast cosine transform in one and two dimensions", IEEE Trans. Acoust. Speech Signal
       Process. 28 (1980).

    Examples
    --------
    >>> S = SineTransform((1, 3))
    >>> S(S(torch.tensor([[1.0, 2.0, 3.0]]))).round(decimals=4)
    tensor([[1., 2., 3.]])
    """

    domain: Space
    spatial_dims: int | None = None
    type: Literal[1, 2] = 1

    def _kinds(self) -> tuple[_Kind, _Kind]:
        return (_sine_1, _sine_1) if self.type == 1 else (_sine_2, _sine_3)


# -- engine -------------------------------------------------------------------------------------------------
# Lines are read from the last axis and written to the first, so that after all axes they are in order again.
# All work is done in buffers that stay in cache; the operators differentiate by their adjoints, so none of it
# is recorded.

_CHUNK = 2**17  # real numbers transformed together
_GROUP = 2**17  # images smaller than this are transformed several at a time


class _Kind(NamedTuple):
    """A real transform of lines ``(m, n)`` by one real FFT of each."""

    before: Callable[[Tensor, Tensor], None]
    """Fills the buffer ``(m, length(n))`` to be transformed; or, for an inverse FFT, its half spectrum."""
    after: Callable[[Tensor, int], Tensor]
    """The result ``(n, m)`` from the transposed outcome (a spectrum: real and imaginary parts in turns)."""
    length: Callable[[int], int] = int
    inverse: bool = False
    twiddled: bool = True


def _along(x: Tensor, dims: tuple[int, ...], kind: _Kind) -> Tensor:
    """Apply a real transform along the trailing axes ``dims``."""
    if x.is_complex():
        parts = _along(torch.view_as_real(x).movedim(-1, 0), dims, kind)
        return torch.complex(parts[0], parts[1])
    sizes = x.shape[-len(dims) :]
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if x.numel() == 0:
        return out
    images, results = x.reshape(-1, *sizes), out.view(-1, *sizes)
    if len(sizes) == 1:
        _transform(images, results.mT, kind)
        return out
    count = max(1, _GROUP // sizes.numel()) if x.device.type == "cpu" else len(images)
    for start in range(0, len(images), count):
        group = images[start : start + count]
        many = len(group) > 1
        for k, n in enumerate(reversed(sizes)):
            shape = (n, *group.shape[:-1])
            final = k == len(sizes) - 1 and not many
            into = results[start].unsqueeze(-1) if final else group.new_empty(shape)
            _transform(group.reshape(-1, n), into.view(n, -1), kind)
            group = into
        if many:
            results[start : start + count].copy_(group.movedim(-1, 0))
    return out


def _transform(x: Tensor, y: Tensor, kind: _Kind) -> None:
    """The lines of x ``(m, n)`` into the columns of y ``(n, m)``."""
    lines, n = x.shape
    length = kind.length(n)
    count = min(lines, max(1, _CHUNK // length)) if x.device.type == "cpu" else lines
    grid = x.new_empty((count, length))
    half = x.new_empty((count, length // 2 + 1), dtype=complex_dtype(x.dtype))
    numbers = torch.view_as_real(half).view(count, -1)
    transposed = x.new_empty((grid if kind.inverse else numbers).numel())
    for start in range(0, lines, count):
        m = min(count, lines - start)
        kind.before(x[start : start + m], (numbers if kind.inverse else grid)[:m])
        if not kind.inverse:
            torch.fft.rfft(grid[:m], out=half[:m])
        if kind.twiddled:
            half[:m] *= _phases(n, x.dtype, x.device, kind.inverse)
        if kind.inverse:
            half[:m, 0].imag.zero_()
            torch.fft.irfft(half[:m], n=n, norm="forward", out=grid[:m])
        rows = (grid if kind.inverse else numbers)[:m]
        # by blocks, as cutting first would not be
        turned = transposed[: rows.numel()].view(-1, m).copy_(rows.mT)
        y[:, start : start + m].copy_(kind.after(turned, n))


# The FFT of the samples in order 0, 2, 4, ..., 5, 3, 1, times e^{-iπk/2n}, holds coefficient k in its real
# part and n - k in minus the imaginary one. With the order reversed (modulo n) all is conjugated, and there
# are no signs.


@lru_cache(maxsize=64)
def _phases(n: int, dtype: torch.dtype, device: torch.device, inverse: bool) -> Tensor:
    """e^{iπk/2n} √(2/n) for k = 0, ..., ⌊n/2⌋ (√(1/n) at 0); or its inverse, with the 1/n of an FFT."""
    with torch.inference_mode(False):
        angle = torch.arange(n // 2 + 1, dtype=torch.float64) * (math.pi / (2 * n))
        scale = torch.full_like(angle, math.sqrt(2 / n))
        scale[0] = math.sqrt(1 / n)
        phases = torch.polar(1 / (n * scale) if inverse else scale, -angle if inverse else angle)
        return phases.to(device, complex_dtype(dtype))


@lru_cache(maxsize=64)
def _orders(n: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Index arrays: samples to FFT and back, spectrum to coefficients and back (these also reversed)."""
    with torch.inference_mode(False):
        fold = torch.cat((torch.arange(0, n, 2), torch.arange(1, n, 2).flip(0)))
        fold = fold[-torch.arange(n) % n]
        unfold = torch.empty_like(fold)
        unfold[fold] = torch.arange(n)
        h, m = n // 2, (n - 1) // 2
        pick = torch.cat((2 * torch.arange(h + 1), 2 * torch.arange(m, 0, -1) + 1))
        k = torch.arange(h + 1)
        place = torch.stack((k, (n - k) % n), 1).flatten()
        found = (fold, unfold, pick, place, pick.flip(0), n - 1 - place)
        fold, unfold, pick, place, back, placed = (t.to(device) for t in found)
        return fold, unfold, pick, place, back, placed


def _before_cosine_2(x: Tensor, grid: Tensor) -> None:
    torch.index_select(x, 1, _orders(x.shape[1], x.device)[0], out=grid)


def _before_sine_2(x: Tensor, grid: Tensor) -> None:
    """The cosine transform of samples of alternating sign, backwards."""
    n = x.shape[1]
    _before_cosine_2(x, grid)
    grid[:, 1 : n // 2 + 1].neg_()


def _before_cosine_3(x: Tensor, numbers: Tensor) -> None:
    torch.index_select(x, 1, _orders(x.shape[1], x.device)[3], out=numbers)


def _before_sine_3(x: Tensor, numbers: Tensor) -> None:
    torch.index_select(x, 1, _orders(x.shape[1], x.device)[5], out=numbers)


def _after_sine_3(grid: Tensor, n: int) -> Tensor:
    grid[1 : n // 2 + 1].neg_()
    return grid.index_select(0, _orders(n, grid.device)[1])


def _before_cosine_1(x: Tensor, grid: Tensor) -> None:
    """The even extension, which holds the ends once, the others twice."""
    n = x.shape[1]
    grid[:, :n].copy_(x)
    grid[:, :: n - 1].mul_(math.sqrt(2))
    grid[:, n:].copy_(x[:, 1 : n - 1].flip(1))
    grid.mul_(math.sqrt(0.5 / (n - 1)))


def _after_cosine_1(numbers: Tensor, n: int) -> Tensor:
    numbers[:: 2 * (n - 1)].mul_(math.sqrt(0.5))
    return numbers[::2]


def _before_sine_1(x: Tensor, grid: Tensor) -> None:
    """The odd extension, with the sign of the sine in the Fourier transform."""
    n = x.shape[1]
    grid[:, :: n + 1] = 0
    scale = math.sqrt(0.5 / (n + 1))
    torch.mul(x, -scale, out=grid[:, 1 : n + 1])
    torch.mul(x.flip(1), scale, out=grid[:, n + 2 :])


_cosine_2 = _Kind(_before_cosine_2, lambda v, n: v.index_select(0, _orders(n, v.device)[2]))
_cosine_3 = _Kind(_before_cosine_3, lambda v, n: v.index_select(0, _orders(n, v.device)[1]), inverse=True)
_sine_2 = _Kind(_before_sine_2, lambda v, n: v.index_select(0, _orders(n, v.device)[4]))
_sine_3 = _Kind(_before_sine_3, _after_sine_3, inverse=True)
_cosine_1 = _Kind(_before_cosine_1, _after_cosine_1, lambda n: 2 * (n - 1), twiddled=False)
_sine_1 = _Kind(_before_sine_1, lambda v, n: v[3 : 2 * n + 2 : 2], lambda n: 2 * (n + 1), twiddled=False)
