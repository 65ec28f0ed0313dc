"""Cropping and padding."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space
from ._base import LinearOperator

Mode = Literal["zero", "circular", "reflect", "symmetric", "replicate"]


class Crop(LinearOperator):
    r"""A window of the image, :math:`(A x)_i = x_{i + o}` for i in the window.

    The adjoint puts the window back into an image of zeros. A is an orthogonal projection onto coordinates:
    A Aᴴ = I.

    Parameters
    ----------
    domain : Space
        Real or complex; the trailing axes are cropped.
    size : tuple of int
        Length of the window along as many trailing axes.
    offset : tuple of int, optional
        Where the window starts along each of them. By default centered: index n // 2 of the image becomes
        index m // 2 of the window.

    Raises
    ------
    ShapeError
        If the window does not lie inside the image.

    References
    ----------
    .. [1] M. S. C. Almeida and M. Figueiredo, "Deconvolving images with unknown boundaries using the
       alternating direction method of multipliers", IEEE Trans. Image Process. 22 (2013): the mask of
       observed pixels.

    Examples
    --------
    >>> A = Crop((1, 5), size=(3,))
    >>> A(torch.arange(5.0)[None])
    tensor([[1., 2., 3.]])
    >>> A.H(torch.ones(1, 3))
    tensor([[0., 1., 1., 1., 0.]])
    """

    domain: Space
    size: tuple[int, ...]
    offset: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        shape, k = self.domain.shape, len(self.size)
        if not 1 <= k <= len(shape) or (self.offset is not None and len(self.offset) != k):
            raise ShapeError(
                f"size and offset have one entry for each cropped axis of {self.domain}, got {self.size} and "
                f"{self.offset}"
            )
        for n, m, o in zip(shape[-k:], self.size, self._starts()):
            if not 0 <= o <= o + m <= n:
                raise ShapeError(
                    f"A window of {m} from {o} does not fit an axis of {n} in {self.domain}: "
                    f"size={self.size}, offset={self.offset}"
                )

    @property
    def range(self) -> Space:
        return Space((*self.domain.shape[: -len(self.size)], *self.size), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        return x[self._window()].clone()

    def adjoint(self, y: Tensor) -> Tensor:
        before_after: list[int] = []
        lengths = self.domain.shape[-len(self.size) :]
        for n, m, o in reversed(list(zip(lengths, self.size, self._starts()))):
            before_after += [o, n - m - o]
        return torch.nn.functional.pad(y, before_after)

    def _gram(self, x: Tensor) -> Tensor:
        return self.adjoint(x[self._window()])

    def norm_bound(self) -> Tensor:
        return torch.ones(())

    def _starts(self) -> tuple[int, ...]:
        if self.offset is not None:
            return self.offset
        lengths = self.domain.shape[-len(self.size) :]
        return tuple(n // 2 - m // 2 for n, m in zip(lengths, self.size))

    def _window(self) -> tuple[Any, ...]:
        return (..., *(slice(o, o + m) for o, m in zip(self._starts(), self.size)))


class Pad(LinearOperator):
    r"""A larger image around the image, :math:`(A x)_i = x_{s(i)}`, or 0 where the source s(i) is none.

    ====================  =======================================
    ``mode``              ``a b c d`` padded by 2 on either side
    ====================  =======================================
    ``"zero"``            ``0 0 a b c d 0 0``
    ``"circular"``        ``c d a b c d a b``
    ``"reflect"``         ``c b a b c d c b``
    ``"symmetric"``       ``b a a b c d d c``
    ``"replicate"``       ``a a a b c d d d``
    ====================  =======================================

    as `numpy.pad` does with ``constant``, ``wrap``, ``reflect``, ``symmetric`` and ``edge``. Padding may
    exceed the image; it then repeats. The adjoint adds every sample back to its source; AᴴA multiplies each
    pixel by the number of its copies.

    Parameters
    ----------
    domain : Space
        Real or complex; the trailing axes are padded.
    padding : tuple of (int, int)
        Samples before and after, for each of as many trailing axes.
    mode : {"zero", "circular", "reflect", "symmetric", "replicate"}

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    .. [1] P. C. Hansen, J. G. Nagy and D. P. O'Leary, *Deblurring Images: Matrices, Spectra, and Filtering*,
       SIAM (2006), section 3.5: boundary conditions.

    Examples
    --------
    >>> A = Pad((1, 3), padding=((1, 2),), mode="reflect")
    >>> A(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 1., 2., 3., 2., 1.]])
    >>> A.H(torch.ones(1, 6))
    tensor([[2., 3., 1.]])
    """

    domain: Space
    padding: tuple[tuple[int, int], ...]
    mode: Mode = "zero"
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        if self.mode not in ("zero", "circular", "reflect", "symmetric", "replicate"):
            raise ParameterError(
                f"mode must be 'zero', 'circular', 'reflect', 'symmetric' or 'replicate', got {self.mode!r}"
            )
        pairs = isinstance(self.padding, tuple) and all(
            isinstance(p, tuple) and len(p) == 2 and min(p) >= 0 for p in self.padding
        )
        if not pairs or not 1 <= len(self.padding) <= len(self.domain.shape):
            raise ShapeError(
                "padding must be a tuple of (before, after), not negative, for up to "
                f"{len(self.domain.shape)} trailing axes of {self.domain}; got {self.padding!r}"
            )
        for d, pad in self._axes():
            if self.domain.shape[d] < 1 and self.mode != "zero" and any(pad):
                raise ShapeError(f"There is nothing to pad with along an empty axis of {self.domain}")

    @property
    def range(self) -> Space:
        k = len(self.padding)
        padded = (n + b + a for n, (b, a) in zip(self.domain.shape[-k:], self.padding))
        return Space((*self.domain.shape[:-k], *padded), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "zero":
            return torch.nn.functional.pad(x, [n for pair in reversed(self.padding) for n in pair])
        for d, pad in self._axes():
            if any(pad):
                x = torch.cat([run.taken(x, d) for run in _runs(x.shape[d], *pad, self.mode)], d)
        return x if any(map(any, self.padding)) else x.clone()

    def adjoint(self, y: Tensor) -> Tensor:
        for d, pad in self._axes():
            n = self.domain.shape[d]
            out = y.narrow(d, pad[0], n).clone()
            if self.mode != "zero" and any(pad):
                at = 0
                for run in _runs(n, *pad, self.mode):
                    if at != pad[0]:  # the image itself is there already
                        run.add(out, y.narrow(d, at, run.length), d)
                    at += run.length
            y = out
        return y

    def _gram(self, x: Tensor) -> Tensor:
        for d, pad in self._axes():
            if self.mode != "zero" and any(pad):
                copies = torch.tensor(
                    _copies(x.shape[d], *pad, self.mode), dtype=x.real.dtype, device=x.device
                )
                x = x * copies.reshape(-1, *(1,) * (-d - 1))
        return x

    def norm_bound(self) -> Tensor:
        most = [
            1 if self.mode == "zero" else max(_copies(self.domain.shape[d], *pad, self.mode), default=1)
            for d, pad in self._axes()
        ]
        return torch.tensor(math.sqrt(math.prod(most)) * (1 + 2**-24))

    def _axes(self) -> list[tuple[int, tuple[int, int]]]:
        return list(zip(range(-len(self.padding), 0), self.padding))


class _Run(NamedTuple):
    """A run of samples from sources ``start``, ``start + step``, ...; step 1, -1, or 0 for copies of one."""

    start: int
    step: int
    length: int

    def part(self, x: Tensor, d: int) -> Tensor:
        if self.step == 0:
            return x.narrow(d, self.start, 1)
        return x.narrow(d, min(self.start, self.start + self.step * (self.length - 1)), self.length)

    def taken(self, x: Tensor, d: int) -> Tensor:
        source = self.part(x, d)
        if self.step == 0:
            shape = list(x.shape)
            shape[d] = self.length
            return source.expand(shape)
        return source.flip(d) if self.step < 0 else source

    def add(self, out: Tensor, y: Tensor, d: int) -> None:
        if self.step == 0:
            y = y.sum(d, keepdim=True)
        self.part(out, d).add_(y.flip(d) if self.step < 0 else y)


def _sources(n: int, before: int, after: int, mode: Mode) -> list[int]:
    positions = range(-before, n + after)
    if mode == "replicate":
        return [min(max(i, 0), n - 1) for i in positions]
    if mode == "circular" or n == 1:
        return [i % n for i in positions]
    if mode == "symmetric":
        return [i % (2 * n) if i % (2 * n) < n else 2 * n - 1 - i % (2 * n) for i in positions]
    period = 2 * n - 2
    return [min(i % period, period - i % period) for i in positions]


@lru_cache(maxsize=256)
def _copies(n: int, before: int, after: int, mode: Mode) -> tuple[int, ...]:
    copies = [0] * n
    for s in _sources(n, before, after, mode):
        copies[s] += 1
    return tuple(copies)


@lru_cache(maxsize=256)
def _runs(n: int, before: int, after: int, mode: Mode) -> tuple[_Run, ...]:
    """The sources in as few runs as possible; the image itself is one of its own."""
    sources = _sources(n, before, after, mode)
    return (
        *_split(sources[:before]),
        _Run(0, 1, n),
        *_split(sources[before + n :]),
    )


def _split(sources: list[int]) -> list[_Run]:
    runs: list[_Run] = []
    i = 0
    while i < len(sources):
        step = sources[i + 1] - sources[i] if i + 1 < len(sources) else 1
        if step not in (-1, 0, 1):
            step = 1
        j = i + 1
        while j < len(sources) and sources[j] - sources[j - 1] == step:
            j += 1
        runs.append(_Run(sources[i], step, j - i))
        i = j
    return runs
