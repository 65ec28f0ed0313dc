"""Images sampled at given coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError
from ..spaces import Space, broadcast_shapes
from ._base import LinearOperator

Interpolation = Literal["linear", "cubic"]
WarpBoundary = Literal["zero", "replicate", "circular", "symmetric"]

Taps = list[tuple[Tensor, Tensor]]
"""Flat index and weight of each pixel that one axis of an interpolation reads."""


class Warp(LinearOperator):
    r"""Sample an image at given coordinates: :math:`y_p = \sum_n h(u_p - n)\, \tilde x_n`.

    Motion, registration, lens distortion, non-rigid deformation. ``A.H`` is the exact adjoint: it spreads
    what `forward` gathers. Derivatives reach the coordinates, of any order where the interpolation has them.

    Parameters
    ----------
    coordinates : Tensor, shape (..., d, *out)
        u, in pixels of the image: 0 is the center of the first pixel; axes in the order of the image.
        `affine_coordinates`, `rigid_coordinates` and `thin_plate_spline` make them. Leading dimensions are
        batch.
    domain : Space
        ``(channel, *spatial)`` with d = 1 to 3 spatial dimensions, real or complex.
    interpolation : {"linear", "cubic"}
        A product along the axes: the triangle, or the cubic of Keys with a = -1/2, which keeps parabolas.
    boundary : {"zero", "replicate", "circular", "symmetric"}
        x̃ beyond the edges: zero, the outermost pixel, periodic, or mirrored with that pixel repeated.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. Acoust. Speech
    Signal Process. 29 (1981).

    Examples
    --------
    >>> A = Warp(torch.tensor([[0.5, 2.0, 2.5]]), domain=(1, 3))
    >>> A(torch.tensor([[1.0, 2.0, 4.0]])), A.H(torch.tensor([[1.0, 0.0, 0.0]]))
    (tensor([[1.5000, 4.0000, 2.0000]]), tensor([[0.5000, 0.5000, 0.0000]]))
    """

    coordinates: Tensor
    domain: Space
    interpolation: Interpolation = "linear"
    boundary: WarpBoundary = "zero"
    params = ("coordinates",)

    def __post_init__(self) -> None:
        d = len(self.domain.shape) - 1
        if not 1 <= d <= 3 or 0 in self.domain.shape:
            raise ShapeError(f"Warp: the image must be (channel, *spatial), got {self.domain}")
        if not self.coordinates.is_floating_point():
            raise DtypeError(f"Warp: coordinates must be real and floating, got {self.coordinates.dtype}")
        if self.coordinates.ndim < d + 1 or self.coordinates.shape[-d - 1] != d:
            raise ShapeError(
                f"Warp: coordinates must be (..., {d}, *out) with {d} axes out for {self.domain}, got "
                f"{tuple(self.coordinates.shape)}"
            )
        if self.interpolation not in ("linear", "cubic"):
            raise ParameterError(
                f"Warp: interpolation must be 'linear' or 'cubic', got {self.interpolation!r}"
            )
        if self.boundary not in ("zero", "replicate", "circular", "symmetric"):
            raise ParameterError(
                "Warp: boundary must be 'zero', 'replicate', 'circular' or 'symmetric', got "
                f"{self.boundary!r}"
            )

    @property
    def _d(self) -> int:
        return len(self.domain.shape) - 1

    @property
    def range(self) -> Space:
        return Space((self.domain.shape[0], *self.coordinates.shape[-self._d :]), self.domain.kind)

    @cached_property
    def _kept(self) -> list[Taps]:
        with torch.inference_mode(False):
            return self._taps()

    def _taps(self) -> list[Taps]:
        positions = self.coordinates.flatten(-self._d).unbind(-2)
        strides = [math.prod(self.domain.shape[i + 2 :]) for i in range(self._d)]
        return [
            self._taps_of(t, n, stride) for t, n, stride in zip(positions, self.domain.shape[1:], strides)
        ]

    def _taps_of(self, t: Tensor, n: int, stride: int) -> Taps:
        below = t.detach().floor()
        f = t - below
        if self.interpolation == "linear":
            weights = {0: 1 - f, 1: f}
        else:
            weights = {
                -1: ((-0.5 * f + 1) * f - 0.5) * f,
                0: (1.5 * f - 2.5) * f * f + 1,
                1: ((-1.5 * f + 2) * f + 0.5) * f,
                2: (0.5 * f - 0.5) * f * f,
            }
        taps = []
        for offset, weight in weights.items():
            index = below.long() + offset
            if self.boundary == "zero":
                weight = weight * ((index >= 0) & (index < n))
            elif self.boundary == "circular":
                index = index % n
            elif self.boundary == "symmetric":
                index = index % (2 * n)
                index = torch.where(index < n, index, 2 * n - 1 - index)
            taps.append((index.clamp(0, n - 1) * stride, weight))
        return taps

    def _corners(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Flat index and weight, (..., 1, M), of each pixel that the interpolation reads."""
        taps = self._taps() if self.coordinates.requires_grad else self._kept
        for corner in product(*taps):
            index = sum(i for i, _ in corner)
            assert isinstance(index, Tensor)
            weight = corner[0][1]
            for _, w in corner[1:]:
                weight = weight * w
            yield index.unsqueeze(-2), weight.unsqueeze(-2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(-self._d)
        total: Tensor | None = None
        for index, weight in self._corners():
            shape = broadcast_shapes(x.shape[:-1], index.shape[:-1])
            read = x.expand(*shape, x.shape[-1]).gather(-1, index.expand(*shape, index.shape[-1]))
            total = read * weight if total is None else total + read * weight
        assert total is not None
        return total.reshape(*total.shape[:-1], *self.range.shape[1:])

    def adjoint(self, y: Tensor) -> Tensor:
        y = y.flatten(-self._d)
        total: Tensor | None = None
        for index, weight in self._corners():
            spread = y * weight
            if total is None:
                total = spread.new_zeros((*spread.shape[:-1], math.prod(self.domain.shape[1:])))
            total = total.scatter_add(-1, index.expand(spread.shape), spread)
        assert total is not None
        return total.reshape(*total.shape[:-1], *self.domain.shape[1:])
