"""The operators that no single domain owns."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._errors import ShapeError
from ..spaces import Space, SpaceLike, align, per_sample
from ._base import LinearOperator
from ._products import product

if TYPE_CHECKING:
    from ._svd import SVD


class Identity(LinearOperator):
    """The identity x ↦ x.

    Parameters
    ----------
    domain : Space or tuple of Space

    Examples
    --------
    >>> Identity((3,))(torch.ones(3))
    tensor([1., 1., 1.])
    """

    domain: SpaceLike

    @property
    def range(self) -> SpaceLike:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y

    def norm_bound(self) -> Tensor:
        return torch.ones(())

    def _svd(self) -> SVD | None:
        from ._svd import SVD

        if not isinstance(self.domain, Space):
            return None
        return SVD(U=self, s=torch.ones((1,) * len(self.domain.shape)), V=self)


class Mask(LinearOperator):
    """Multiplication by a mask (inpainting, sampling, any diagonal): x ↦ m ⊙ x.

    Parameters
    ----------
    mask : Tensor, shape (..., *domain.shape), with size 1 where it is constant
        Real, boolean or complex; leading dimensions are batch. With fewer dimensions than the domain it lies
        along the axes that have its lengths, spatial ones first: (y, x) for all channels, (y,) or (x,) where
        y ≠ x.
    domain : Space

    Raises
    ------
    ShapeError
        If the mask does not fit the domain, or fits in several ways.

    Examples
    --------
    >>> A = Mask(torch.tensor([1.0, 0.0]), domain=(2,))
    >>> A(torch.tensor([3.0, 4.0]))
    tensor([3., 0.])
    """

    mask: Tensor
    domain: Space
    params = ("mask",)

    def __post_init__(self) -> None:
        shape = self.domain.shape
        object.__setattr__(self, "mask", align(self.mask, shape, "Mask: a mask", channels=len(shape) > 1))
        if any(m not in (1, n) for m, n in zip(reversed(self.mask.shape), reversed(shape))):
            raise ShapeError(
                f"mask of shape {tuple(self.mask.shape)} does not broadcast against {self.domain}; "
                "a batch of masks has all dimensions of the domain, as mask[:, None] for one channel"
            )
        if self.mask.is_complex() and self.domain.kind == "real":
            raise ShapeError("a complex mask needs a complex domain: Space(shape, 'complex')")

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return self.mask * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self.mask.conj() * y

    def _gram(self, x: Tensor) -> Tensor:
        return (self.mask.abs() ** 2 if self.mask.requires_grad else self._square) * x

    @cached_property
    def _square(self) -> Tensor:
        return self.mask.to(self.dtype) ** 2 if not self.mask.is_complex() else self.mask.abs() ** 2

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor:
        w = per_sample(weight, self.domain)
        total = 0 if y is None else self.adjoint(y)
        return (total if z is None else total + w * z) / (self._square + w)

    def norm_bound(self) -> Tensor:
        own = tuple(range(-min(self.mask.ndim, len(self.domain.shape)), 0))
        size = self.mask.abs() if self.mask.is_complex() else self.mask.to(self.dtype).abs()
        return size.amax(own)

    def _svd(self) -> SVD:
        from ._svd import SVD, phase

        mask = self.mask if self.mask.is_complex() else self.mask.to(self.dtype)
        size = mask.abs()
        size = size.reshape(*(1,) * (len(self.domain.shape) - size.ndim), *size.shape)
        return SVD(U=Mask(phase(mask, size), self.domain), s=size, V=Identity(self.domain))


class Matrix(LinearOperator):
    """Multiplication by a matrix, x ↦ M x.

    Parameters
    ----------
    matrix : Tensor, shape (..., m, n)
        Real or complex; leading dimensions are batch.

    Examples
    --------
    >>> A = Matrix(torch.tensor([[1.0, 2.0]]))
    >>> A(torch.tensor([3.0, 4.0])), A.norm()
    (tensor([11.]), tensor(2.2361))
    """

    matrix: Tensor
    params = ("matrix",)

    def __post_init__(self) -> None:
        if self.matrix.ndim < 2 or not (self.matrix.is_floating_point() or self.matrix.is_complex()):
            raise ShapeError(
                f"matrix must be a floating or complex tensor (..., m, n), got {self.matrix.dtype} "
                f"{tuple(self.matrix.shape)}"
            )

    @property
    def domain(self) -> Space:
        return Space((self.matrix.shape[-1],), "complex" if self.matrix.is_complex() else "real")

    @property
    def range(self) -> Space:
        return Space((self.matrix.shape[-2],), "complex" if self.matrix.is_complex() else "real")

    def forward(self, x: Tensor) -> Tensor:
        return product(self.matrix, x.unsqueeze(-1)).squeeze(-1)

    def adjoint(self, y: Tensor) -> Tensor:
        return product(self.matrix.mH, y.unsqueeze(-1)).squeeze(-1)

    def norm_bound(self) -> Tensor:
        return torch.linalg.matrix_norm(self.matrix, ord=2)
