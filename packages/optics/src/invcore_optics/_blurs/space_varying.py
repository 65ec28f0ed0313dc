"""Blurs whose kernel varies over the image: a few kernels, each weighted by a map."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Self

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import LinearOperator, Space

from .spectra import BOUNDARIES, Boundary, Layout, layout, mixed, spread, transfer

Order = Literal["product_convolution", "convolution_product"]
ORDERS = ("product_convolution", "convolution_product")


class SpaceVaryingBlur(LinearOperator):
    r"""Blur by a kernel that varies over the image, a sum of K convolutions with maps as weights.

    .. math::
        y &= \sum_k h_k * (w_k \odot x) && \text{product\_convolution} \\
        y &= \sum_k w_k \odot (h_k * x) && \text{convolution\_product}

    In the first order the maps are those of the *source*: a point at p becomes the image Σ w_k(p) h_k, the
    point spread function at p. In the second they are those of the *detector*: what pixel p collects. They
    are different blurs unless the kernel varies slowly; measured point sources give the first one. Each is
    the adjoint of the other with mirrored kernels.

    Forward and adjoint take K + 1 real FFTs; the spectra of the kernels are kept unless they need a gradient.
    Derivatives reach image, kernels and maps.

    Parameters
    ----------
    kernels : Tensor, shape (..., K, *k)
        Two or three spatial dimensions; leading dimensions are batch. All channels share them.
    maps : Tensor, shape (..., K, *spatial)
        On the grid of the domain for "product_convolution", of the range for "convolution_product".
    domain : Space
        ``(channel, *spatial)``, real.
    order : {"product_convolution", "convolution_product"}
    boundary : {"valid", "zero", "circular"}
        With "valid" (default), the boundary is unknown: the image is larger than the data by k - 1, and what
        was blurred into the data from beyond their border is estimated along with the rest. "zero" and
        "circular" claim to know it.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    .. [1] P. Escande and P. Weiss, "Approximation of integral operators using product-convolution
       expansions", J. Math. Imaging Vis. 58 (2017).
    .. [2] L. Denis, E. Thiébaut, F. Soulez, J.-M. Becker, R. Mourya, "Fast approximations of shift-variant
       blur", Int. J. Comput. Vis. 115 (2015).

    Examples
    --------
    >>> kernels = torch.tensor([[[0.0, 1.0, 0.0]], [[1.0, 1.0, 1.0]]])  # sharp on the left, wide on the right
    >>> maps = torch.tensor([[[1.0, 1.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 1.0, 1.0]]])
    >>> A = SpaceVaryingBlur(kernels=kernels, maps=maps, domain=(1, 1, 5), boundary="zero")
    >>> A(torch.tensor([[[1.0, 0.0, 0.0, 0.0, 1.0]]])).round().abs()
    tensor([[[1., 0., 0., 1., 1.]]])
    """

    kernels: Tensor
    maps: Tensor
    domain: Space
    order: Order = "product_convolution"
    boundary: Boundary = "valid"
    params = ("kernels", "maps")

    def __post_init__(self) -> None:
        d = len(self.domain.shape) - 1
        if d not in (2, 3) or 0 in self.domain.shape or self.domain.kind != "real":
            raise ShapeError(
                "SpaceVaryingBlur: the image must be real and (channel, y, x) or (channel, z, y, x), got "
                f"{self.domain}"
            )
        check_choice("SpaceVaryingBlur", "order", self.order, ORDERS)
        check_choice("SpaceVaryingBlur", "boundary", self.boundary, BOUNDARIES)
        for name, t in (("kernels", self.kernels), ("maps", self.maps)):
            if not t.is_floating_point():
                raise DtypeError(f"SpaceVaryingBlur: {name} must be real floating point, got {t.dtype}")
            if t.ndim < d + 1 or 0 in t.shape[-d - 1 :]:
                raise ShapeError(
                    f"SpaceVaryingBlur: {name} must be (..., K, *spatial) with {d} spatial dimensions for "
                    f"{self.domain}, got {tuple(t.shape)}"
                )
        check_fits("SpaceVaryingBlur", self._taps, self.domain.shape[1:])
        grid = self.domain.shape[1:] if self.order == "product_convolution" else self._plan.out
        if tuple(self.maps.shape[-d - 1 :]) != (self.kernels.shape[-d - 1], *grid):
            raise ShapeError(
                f"SpaceVaryingBlur: maps must be (..., {self.kernels.shape[-d - 1]}, "
                f"{', '.join(map(str, grid))}): one for each kernel, on the grid of the "
                f"{'image' if self.order == 'product_convolution' else 'data'}, got {tuple(self.maps.shape)}"
            )

    @classmethod
    def from_grid(
        cls,
        kernels: Tensor,
        *,
        domain: Space,
        rank: int,
        order: Order = "product_convolution",
        boundary: Boundary = "valid",
    ) -> Self:
        """Approximate a blur known at a grid of points: the ``rank`` main kernels and smooth maps of them.

        The points are the centers of equal tiles of the image. The singular value decomposition of their
        kernels gives the best ``rank`` ones; their coefficients are interpolated between the points.

        Parameters
        ----------
        kernels : Tensor, shape (ty, tx, ky, kx)
            Point spread functions.
        domain : Space
            ``(channel, y, x)``.
        rank : int
            K, at most the number of points.
        order, boundary
            As for the class.

        Raises
        ------
        ShapeError, ParameterError

        Examples
        --------
        >>> psfs = torch.rand(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
        >>> SpaceVaryingBlur.from_grid(psfs, domain=Space((1, 64, 64)), rank=2).kernels.shape
        torch.Size([2, 5, 5])
        """
        if kernels.ndim != 4 or len(domain.shape) != 3:
            raise ShapeError(
                "SpaceVaryingBlur.from_grid takes kernels (ty, tx, ky, kx) and images (channel, y, x), got "
                f"{tuple(kernels.shape)} and {domain}"
            )
        points = kernels.shape[0] * kernels.shape[1]
        if not 1 <= rank <= points:
            raise ParameterError(f"rank must be between 1 and the number of kernels {points}, got {rank}")
        spatial, taps = domain.shape[1:], tuple(kernels.shape[-2:])
        check_fits("SpaceVaryingBlur.from_grid", taps, spatial)
        U, s, Vh = torch.linalg.svd(kernels.flatten(2).flatten(0, 1), full_matrices=False)
        coefficients = (U * s).T[:rank].unflatten(-1, kernels.shape[:2])
        grid = spatial if order == "product_convolution" else layout(spatial, taps, boundary).out
        maps = torch.nn.functional.interpolate(
            coefficients[None], size=grid, mode="bilinear", align_corners=False
        )[0]
        return cls(
            kernels=Vh[:rank].unflatten(-1, taps), maps=maps, domain=domain, order=order, boundary=boundary
        )

    @property
    def range(self) -> Space:
        return Space((self.domain.shape[0], *self._plan.out))

    @property
    def _taps(self) -> tuple[int, ...]:
        return tuple(self.kernels.shape[1 - len(self.domain.shape) :])

    @property
    def _plan(self) -> Layout:
        return layout(self.domain.shape[1:], self._taps, self.boundary)

    @cached_property
    def _kept(self) -> Tensor:
        with torch.inference_mode(False):
            return transfer(self.kernels, self._plan.sizes, self._plan.shift)

    @property
    def _transfers(self) -> Tensor:
        if self.kernels.requires_grad:  # a kept graph could be backpropagated only once
            return transfer(self.kernels, self._plan.sizes, self._plan.shift)
        return self._kept

    def forward(self, x: Tensor) -> Tensor:
        along = mixed if self.order == "product_convolution" else spread
        return along(x, self._transfers, self._plan, self._plan.out, self.maps)

    def adjoint(self, y: Tensor) -> Tensor:
        along = spread if self.order == "product_convolution" else mixed
        transfers = self._transfers.conj().resolve_conj()
        return along(y, transfers, self._plan, self.domain.shape[1:], self.maps)

    def kernel_at(self, *position: int) -> Tensor:
        """Return the kernel at a pixel, Σ_k w_k(p) h_k, of shape (..., *k).

        Parameters
        ----------
        *position : int
            A pixel of the grid of the maps: ``(y, x)`` or ``(z, y, x)``.
        """
        weights, d = self.maps, len(position)
        for place in reversed(position):
            weights = weights.select(-1, place)
        return (weights.reshape(*weights.shape, *(1,) * d) * self.kernels).sum(-d - 1)


def check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise a `ParameterError` unless a value is among the choices."""
    if value not in choices:
        raise ParameterError(f"{owner}: {name} must be one of {choices}, got {value!r}")


def check_fits(owner: str, taps: tuple[int, ...], spatial: tuple[int, ...]) -> None:
    """Raise a `ShapeError` if a kernel is larger than the image."""
    if any(k > n for k, n in zip(taps, spatial)):
        raise ShapeError(f"{owner}: the kernel {taps} must not be larger than the image {spatial}")
