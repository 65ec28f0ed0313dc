"""The same operator for smaller images, for coarse-to-fine methods."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space, broadcast_shapes
from ._base import LinearOperator, Operator
from ._basic import Identity, Mask
from ._convolution import Convolution
from ._resampling import Downsample, Filter, Upsample, coarse, coarse_convolution


class Level(NamedTuple):
    """One resolution of a problem: images are ``factor`` times smaller along each axis.

    ``operator`` maps the coarse image to coarse data, ``restrict`` the measured data to coarse data, and
    ``prolong`` the coarse image to the image of the next finer level (of the last, to itself).
    """

    factor: int
    operator: Operator
    restrict: LinearOperator
    prolong: LinearOperator


def multiresolution(
    A: Operator, factors: tuple[int, ...] = (4, 2, 1), *, kernel: Filter = "bicubic"
) -> tuple[Level, ...]:
    """An operator at several resolutions, with the transfers of data and images between them.

    ===================================  ====================================  =========================
    operator                             at a coarse level                     data there
    ===================================  ====================================  =========================
    `Convolution`, circular              D A U, itself a convolution           downsampled
    `Convolution` but "valid"            that kernel, with the boundary of A   downsampled
    `Mask`                               1 where a coarse pixel is seen        means of what is seen
    `Downsample` to a divisible factor   by the factor that is left            as measured
    any other                            A U                                   as measured
    ===================================  ====================================  =========================

    with U the interpolation by ``factor`` and D the downsampling with one kernel; for a mask that is "box",
    with which the coarse operator is exactly the restriction of A U.

    Parameters
    ----------
    A : Operator
        Its domain is ``(channel, *spatial)``, with spatial dimensions that are multiples of the factors.
    factors : tuple of int
        Coarse to fine; each is a multiple of the next.
    kernel : str
        Of U and D, as for `Downsample`.

    Returns
    -------
    tuple of Level

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    S. G. Nash, "A multigrid approach to discretized optimization problems", Optim. Methods Softw. 14 (2000).

    Examples
    --------
    >>> A = Mask(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0]), (1, 8))
    >>> half, full = multiresolution(A, (2, 1))
    >>> half.restrict(A(torch.arange(8.0)[None])), half.operator.mask
    (tensor([[0.0000, 0.0000, 4.5000, 7.0000]]), tensor([[1., 0., 1., 1.]]))
    """
    ends = (*factors[1:], factors[-1]) if factors else ()
    if (
        not factors
        or any(not isinstance(f, int) or f < 1 for f in factors)
        or any(a % b for a, b in zip(factors, ends))
    ):
        raise ParameterError(
            f"multiresolution: factors go from coarse to fine, each a multiple of the next, got {factors}"
        )
    if not isinstance(A.domain, Space) or any(n % factors[0] for n in A.domain.shape[1:]):
        raise ShapeError(
            f"multiresolution: the image must be (channel, *spatial) with multiples of {factors[0]} pixels, "
            f"got {A.domain}"
        )
    levels = []
    for factor, finer in zip(factors, ends):
        operator, restrict = _at(A, factor, kernel)
        image = operator.domain
        assert isinstance(image, Space)
        ratio = factor // finer
        filter_ = "box" if isinstance(A, Mask) else kernel
        prolong = Upsample(image, factor=ratio, kernel=filter_) if ratio > 1 else Identity(image)
        levels.append(Level(factor, operator, restrict, prolong))
    return tuple(levels)


def _at(A: Operator, factor: int, kernel: Filter) -> tuple[Operator, LinearOperator]:
    """The operator at 1 / factor of the resolution, and the restriction of its data."""
    if factor == 1:
        return A, Identity(A.range)
    if isinstance(A, Mask):
        return _coarse_mask(A, factor)
    if isinstance(A, Convolution) and A.boundary != "valid":
        down = Downsample(A.domain, factor=factor, kernel=kernel)
        if A.boundary == "circular":
            return coarse_convolution(A, factor, kernel=kernel), down
        small = Convolution(
            _coarse_kernel(A, factor, kernel), down.range, boundary=A.boundary, method=A.method
        )
        return small, down
    if isinstance(A, Downsample) and isinstance(A.kernel, str) and A.factor % factor == 0:
        small_image = Downsample(A.domain, factor=factor).range
        left = A.factor // factor
        return Downsample(small_image, factor=left, kernel=A.kernel, boundary=A.boundary), Identity(A.range)
    return coarse(A, factor, kernel=kernel), Identity(A.range)


def _coarse_mask(A: Mask, factor: int) -> tuple[Mask, LinearOperator]:
    """Least squares of the seen pixels under one coarse pixel: mean of m̄ y over mean of |m|²."""
    down = Downsample(A.domain, factor=factor, kernel="box")
    size = A.mask.abs() if A.mask.is_complex() else A.mask.to(A.dtype)
    shape = broadcast_shapes(size.shape, (1,) * len(A.domain.shape))
    full = (size**2).expand(*shape[: -len(A.domain.shape)], *A.domain.shape)
    channels = Space(A.domain.shape)  # real, whatever the image is
    power = Downsample(channels, factor=factor, kernel="box")._apply(full)
    seen = (power > 0).to(power.dtype)
    inverse: Tensor = torch.where(power > 0, 1 / torch.where(power > 0, power, 1), 0)
    restrict: Any = Mask(inverse, down.range) @ down @ A.H
    return Mask(seen, down.range), restrict


def _coarse_kernel(A: Convolution, factor: int, kernel: Filter) -> Tensor:
    """The kernel of D A U away from the edges: that of a periodic image large enough to hold it."""
    d = len(A.domain.shape) - 1
    reach = tuple(-(-k // (2 * factor)) + 5 for k in A.kernel.shape[-d:])  # "sinc" reaches 3, twice
    grid = Space((A.domain.shape[0], *(2 * r * factor for r in reach)), A.domain.kind)
    return coarse_convolution(Convolution(A.kernel, grid), factor, kernel=kernel).kernel
