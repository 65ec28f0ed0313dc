"""Resizing as MATLAB's imresize does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space
from ._base import LinearOperator

if TYPE_CHECKING:
    from ._svd import SVD

Kernel = Literal["bicubic", "bilinear", "box", "lanczos2", "lanczos3"]


def _cubic(t: Tensor) -> Tensor:
    t = t.abs()
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t <= 2, far, 0.0))


def _lanczos(a: int) -> Callable[[Tensor], Tensor]:
    return lambda t: torch.where(t.abs() < a, torch.sinc(t) * torch.sinc(t / a), 0.0)


_KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "bicubic": (_cubic, 4),
    "bilinear": (lambda t: (1 - t.abs()).clamp_min(0), 2),
    "box": (lambda t: ((t >= -0.5) & (t < 0.5)).to(t.dtype), 1),
    "lanczos2": (_lanczos(2), 4),
    "lanczos3": (_lanczos(3), 6),
}
"""Kernels of unit pixels, and the length of their support."""


def resize_matrix(size: int, out: int, scale: float, kernel: Kernel, antialias: bool) -> Tensor:
    """The weights (out, size) of imresize along one axis, in float64."""
    function, width = _KERNELS[kernel]
    stretch = scale if antialias and scale < 1 else 1.0
    # 1-based, as published: pixel n of the output has its center at u
    u = torch.arange(1, out + 1, dtype=torch.float64) / scale + 0.5 * (1 - 1 / scale)
    left = torch.floor(u - width / stretch / 2)
    index = left[:, None] + torch.arange(math.ceil(width / stretch) + 2)
    weights = function(stretch * (u[:, None] - index))
    weights = weights / weights.sum(1, keepdim=True)
    mirrored = (index.long() - 1) % (2 * size)
    mirrored = torch.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    return torch.zeros(out, size, dtype=torch.float64).scatter_add_(1, mirrored, weights)


class _Taps:
    """The entries of a matrix that are not zero, row by row, as gathers: index and weight (taps, rows)."""

    def __init__(self, matrix: Tensor) -> None:
        taps = int((matrix != 0).sum(1).max())
        order = (matrix != 0).to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :taps]
        self.index, self.weight = order.T.contiguous(), matrix.gather(1, order).T.contiguous()

    def __call__(self, x: Tensor, dim: int) -> Tensor:
        shape = (-1, *(1,) * (-dim - 1))
        weight = self.weight.to(x.device, x.real.dtype)
        terms = (
            x.index_select(dim, index) * w.reshape(shape) for index, w in zip(self.index.to(x.device), weight)
        )
        total = next(terms)
        for term in terms:
            total = total + term
        return total


class Imresize(LinearOperator):
    r"""Resize an image as MATLAB's ``imresize``, to any size, with its kernels, antialiasing and border.

    Along each axis, with pixels counted from 1 and the kernel h of unit pixels,

    .. math:: y[n] = \sum_j w_{nj} \tilde x[j], \quad w_{nj} \propto h(s\,(u_n - j)), \quad
        u_n = n / \text{scale} + \tfrac12 (1 - 1/\text{scale})

    where s is the scale if the image shrinks (the kernel is stretched against aliasing) and 1 otherwise, the
    weights of each n sum to one, and x̃ is x mirrored about its edges, with the outermost pixel repeated. It
    is the degradation of the standard benchmarks of super-resolution.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex, with one to three spatial dimensions.
    scale : float or tuple of float, optional
        One for all axes or one for each; the output has ``ceil(scale * n)`` pixels.
    size : tuple of int, optional
        Pixels of the output, in place of ``scale``; the scale is then ``size / n`` along each axis.
    kernel : {"bicubic", "bilinear", "box", "lanczos2", "lanczos3"}
        Keys' cubic with a = -1/2, the triangle, the nearest pixel or the mean over pixels, windowed sincs.
    antialias : bool

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. Acoust. Speech
    Signal Process. 29 (1981). MathWorks, documentation of ``imresize``.

    Examples
    --------
    >>> A = Imresize((1, 4), scale=0.5, kernel="bilinear")
    >>> A(torch.tensor([[0.0, 8.0, 16.0, 24.0]]))
    tensor([[ 5., 19.]])
    >>> Imresize((1, 5, 7), size=(3, 9)).range
    Space((1, 3, 9))
    """

    domain: Space
    scale: float | tuple[float, ...] | None = None
    size: tuple[int, ...] | None = None
    kernel: Kernel = "bicubic"
    antialias: bool = True

    def __post_init__(self) -> None:
        spatial = self.domain.shape[1:]
        if not 1 <= len(spatial) <= 3 or 0 in self.domain.shape:
            raise ShapeError(f"Imresize: the image must be (channel, *spatial), got {self.domain}")
        if (self.scale is None) == (self.size is None):
            raise ParameterError("Imresize: say scale or size, one of the two")
        if self.kernel not in _KERNELS:
            raise ParameterError(f"Imresize: kernel must be one of {tuple(_KERNELS)}, got {self.kernel!r}")
        given = self.size if self.size is not None else self.scale
        if isinstance(given, tuple) and len(given) != len(spatial):
            raise ShapeError(f"Imresize: one number for each of {len(spatial)} spatial axes, got {given}")
        if not all(math.isfinite(s) and s > 0 for s in self._scales) or 0 in self.range.shape:
            raise ParameterError(f"Imresize: scale and size must be positive, got {given}")

    @property
    def _scales(self) -> tuple[float, ...]:
        spatial = self.domain.shape[1:]
        if self.size is not None:
            return tuple(m / n for m, n in zip(self.size, spatial))
        assert self.scale is not None
        return self.scale if isinstance(self.scale, tuple) else (self.scale,) * len(spatial)

    @property
    def range(self) -> Space:
        channels, *spatial = self.domain.shape
        size = self.size or tuple(math.ceil(s * n) for s, n in zip(self._scales, spatial))
        return Space((channels, *size), self.domain.kind)

    @cached_property
    def _matrices(self) -> list[Tensor]:
        sizes = zip(self.domain.shape[1:], self.range.shape[1:], self._scales)
        with torch.inference_mode(False):
            return [resize_matrix(n, m, s, self.kernel, self.antialias) for n, m, s in sizes]

    @cached_property
    def _taps(self) -> list[_Taps]:
        with torch.inference_mode(False):
            return [_Taps(m) for m in self._matrices]

    @cached_property
    def _adjoint_taps(self) -> list[_Taps]:
        with torch.inference_mode(False):
            return [_Taps(m.T) for m in self._matrices]

    def forward(self, x: Tensor) -> Tensor:
        return _along(x, self._taps)

    def adjoint(self, y: Tensor) -> Tensor:
        return _along(y, self._adjoint_taps)

    def norm_bound(self) -> Tensor | None:
        """The product of the norms along the axes, rounded up; None for axes of more than 2048 pixels."""
        if self._large:
            return None
        grams = (m @ m.T if m.shape[0] < m.shape[1] else m.T @ m for m in self._matrices)
        exact = torch.stack([torch.linalg.eigvalsh(g)[-1] for g in grams]).prod().sqrt()
        return (exact * (1 + 8 * torch.finfo(self.dtype).eps)).to(self.dtype)

    @property
    def _large(self) -> bool:
        return max(min(m.shape) for m in self._matrices) > 2048

    def _svd(self) -> SVD | None:
        return None if self._large else self._decomposed(self.dtype)

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor | None:
        given = y if y is not None else z
        assert given is not None
        return None if self._large else self._decomposed(given.real.dtype).ridge(y, z, weight=weight)

    def _decomposed(self, dtype: torch.dtype) -> SVD:
        """The Kronecker product of the decompositions along the axes."""
        from ._svd import SVD

        left, values, right = zip(*self._factors)
        s = torch.ones((), dtype=torch.float64)
        for own in values:
            s = s.unsqueeze(-1) * own.to(s)
        middle = Space((self.domain.shape[0], *s.shape), self.domain.kind)
        return SVD(U=AlongAxes(left, middle), s=s.to(dtype)[None], V=AlongAxes(right, middle))

    @cached_property
    def _factors(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """U, s and V along each axis."""
        with torch.inference_mode(False):
            found = (torch.linalg.svd(m, full_matrices=False) for m in self._matrices)
            return [(u, s, vh.T.contiguous()) for u, s, vh in found]


class AlongAxes(LinearOperator):
    """A real matrix along each spatial axis of an image: their Kronecker product.

    The matrices are kept in float64 and applied in the precision of the image.

    Examples
    --------
    >>> A = AlongAxes((torch.ones(1, 2), torch.eye(3)), Space((1, 2, 3)))
    >>> A(torch.ones(1, 2, 3))
    tensor([[[2., 2., 2.]]])
    """

    matrices: tuple[Tensor, ...]
    domain: Space

    @property
    def range(self) -> Space:
        return Space((self.domain.shape[0], *(len(m) for m in self.matrices)), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        return self._applied(x, self.matrices)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._applied(y, tuple(m.T for m in self.matrices))

    def _applied(self, x: Tensor, matrices: tuple[Tensor, ...]) -> Tensor:
        for dim, m in zip(range(-len(matrices), 0), matrices):
            x = (x.movedim(dim, -1) @ m.T.to(x.device, x.dtype)).movedim(-1, dim)
        return x


def _along(x: Tensor, taps: list[_Taps]) -> Tensor:
    for dim, apply in zip(range(-len(taps), 0), taps):
        x = apply(x, dim)
    return x
