"""Finite differences in one to three dimensions."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ParameterError
from ..spaces import Space
from ._autograd import call_foreign
from ._axes import AlongAxes
from ._base import LinearOperator

Boundary = Literal["neumann", "periodic", "zero"]


class Differences(AlongAxes):
    r"""Forward finite differences along the spatial axes, x ↦ (D₁x, …, D_dx).

    Along an axis of n samples a distance h apart,

    .. math:: (D x)_i = (x_{i+1} - x_i)/h, \qquad i = 0, \dots, n-1,

    where the boundary condition says what :math:`x_n` is: the last sample again (``"neumann"``: the last
    difference is 0), the first one (``"periodic"``), or 0 (``"zero"``). The adjoint is minus the
    discrete divergence [1]_.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)`` (or ``(*spatial,)`` with ``spatial_dims`` given), real or complex.
    spatial_dims : int, optional
        How many trailing axes to differentiate along, 1 to 3; by default all but the first (the channels).
    boundary : {"neumann", "periodic", "zero"}
    spacing : tuple of float, optional
        Distance h of the samples along each of these axes, in any one unit; 1 by default.

    Returns
    -------
    Tensor, shape (..., axis, channel, \*spatial)
        The range has one more dimension in front of the image: the axis of differentiation.

    Raises
    ------
    ParameterError, ShapeError

    Notes
    -----
    `norm_bound` is the norm itself: :math:`\|D\|^2 = \sum_a 4c_a^2/h_a^2` with c = cos(π/2n) for
    ``"neumann"`` and for ``"periodic"`` with odd n, c = 1 for ``"periodic"`` with even n, c = cos(π/(2n+1))
    for ``"zero"`` (eigenvalues of second differences [2]_; they add over axes since the products commute).

    References
    ----------
    .. [1] A. Chambolle, "An algorithm for total variation minimization and applications", J. Math. Imaging
       Vis. 20 (2004).
    .. [2] G. Strang, "The discrete cosine transform", SIAM Review 41 (1999).

    Examples
    --------
    >>> D = Differences((1, 4))
    >>> D(torch.tensor([[1.0, 2.0, 4.0, 7.0]]))
    tensor([[[1., 2., 3., 0.]]])
    >>> round(float(Differences((1, 512, 512)).norm()), 4)
    2.8284
    """

    domain: Space
    spatial_dims: int | None = None
    boundary: Boundary = "neumann"
    spacing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.dims)
        if self.boundary not in ("neumann", "periodic", "zero"):
            raise ParameterError(f"boundary must be 'neumann', 'periodic' or 'zero', got {self.boundary!r}")
        spacing = (1.0,) * count if self.spacing is None else self.spacing
        if not isinstance(spacing, tuple) or len(spacing) != count or not all(h > 0 for h in spacing):
            raise ParameterError(
                f"spacing must be a tuple of {count} positive numbers, one per axis, got {spacing!r}"
            )

    @property
    def range(self) -> Space:
        return Space((len(self.dims), *self.domain.shape), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.domain.shape)]
        out = x.new_empty((*batch, *self.range.shape))
        along = out.movedim(len(batch), 0)
        for result, dim, h in zip(along, self.dims, self._spacing()):
            n = x.shape[dim]
            torch.sub(x.narrow(dim, 1, n - 1), x.narrow(dim, 0, n - 1), out=result.narrow(dim, 0, n - 1))
            _last(x, dim, self.boundary, result.narrow(dim, n - 1, 1))
            if h != 1:
                result /= h
        return out

    def adjoint(self, y: Tensor) -> Tensor:
        along = y.movedim(y.ndim - len(self.range.shape), 0)
        out = torch.zeros_like(along[0], memory_format=torch.contiguous_format)
        for v, dim, h in zip(along, self.dims, self._spacing()):
            n = v.shape[dim]
            _spread(out, v.narrow(dim, 0, n - 1), v.narrow(dim, n - 1, 1), dim, self.boundary, 1 / h)
        return out

    def _gram(self, x: Tensor) -> Tensor:
        return call_foreign(
            _Laplacian(domain=self.domain, dims=self.dims, boundary=self.boundary, spacing=self._spacing()),
            False,
            x,
        )

    def norm_bound(self) -> Tensor:
        squares = [
            _largest(self.domain.shape[d], self.boundary) / h**2 for d, h in zip(self.dims, self._spacing())
        ]
        return torch.tensor(math.sqrt(sum(squares)) * (1 + 2**-24))  # not below after rounding to float32

    def _spacing(self) -> tuple[float, ...]:
        return self.spacing if self.spacing is not None else (1.0,) * len(self.dims)


class _Laplacian(LinearOperator):
    """DᴴD, without an image per axis in between."""

    domain: Space
    dims: tuple[int, ...]
    boundary: Boundary
    spacing: tuple[float, ...]
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x, memory_format=torch.contiguous_format)
        for dim, h in zip(self.dims, self.spacing):
            n = x.shape[dim]
            inner = x.narrow(dim, 1, n - 1) - x.narrow(dim, 0, n - 1)
            last = torch.empty_like(x.narrow(dim, n - 1, 1))
            _last(x, dim, self.boundary, last)
            _spread(out, inner, last, dim, self.boundary, 1 / h**2)
        return out

    def adjoint(self, y: Tensor) -> Tensor:
        return self.forward(y)


def _last(x: Tensor, dim: int, boundary: Boundary, out: Tensor) -> None:
    """The difference at the end of the axis."""
    end = x.narrow(dim, x.shape[dim] - 1, 1)
    if boundary == "neumann":
        out.zero_()
    elif boundary == "zero":
        torch.neg(end, out=out)
    else:
        torch.sub(x.narrow(dim, 0, 1), end, out=out)


def _spread(out: Tensor, inner: Tensor, last: Tensor, dim: int, boundary: Boundary, scale: float) -> None:
    """Add ``scale`` times the adjoint of the differences along one axis to ``out``."""
    n = out.shape[dim]
    out.narrow(dim, 1, n - 1).add_(inner, alpha=scale)
    out.narrow(dim, 0, n - 1).sub_(inner, alpha=scale)
    if boundary != "neumann":
        out.narrow(dim, n - 1, 1).sub_(last, alpha=scale)
    if boundary == "periodic":
        out.narrow(dim, 0, 1).add_(last, alpha=scale)


def _largest(n: int, boundary: Boundary) -> float:
    """The largest eigenvalue of DᵀD along an axis of ``n`` samples."""
    if boundary == "zero":
        return 4 * math.cos(math.pi / (2 * n + 1)) ** 2
    if n == 1:
        return 0.0
    if boundary == "periodic" and n % 2 == 0:
        return 4.0
    return 4 * math.cos(math.pi / (2 * n)) ** 2
