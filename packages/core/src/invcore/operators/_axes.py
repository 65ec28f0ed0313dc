"""Operators along the trailing axes of an image, and isometries."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from .._errors import ShapeError
from ..spaces import Space
from ._base import LinearOperator

if TYPE_CHECKING:
    from ._svd import SVD


class AlongAxes(LinearOperator, abstract=True):
    """Base class of linear operators along the last one to three axes of an image.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex.
    spatial_dims : int, optional
        Number of trailing axes that it acts along, 1 to 3; by default all but the first (the channels).
    """

    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    domain: Space
    spatial_dims: int | None

    def __post_init__(self) -> None:
        spatial_axes(self.domain, self.spatial_dims, type(self).__name__)

    @property
    def dims(self) -> tuple[int, ...]:
        """The axes it acts along, counted from the end."""
        return spatial_axes(self.domain, self.spatial_dims, type(self).__name__)


class Isometry(LinearOperator, abstract=True):
    """Base class of linear operators with AᴴA = I."""

    def _gram(self, x: Tensor) -> Tensor:
        return x

    def norm_bound(self) -> Tensor:
        return torch.ones(())

    def _svd(self) -> SVD | None:
        from ._basic import Identity
        from ._svd import SVD

        if not isinstance(self.domain, Space):
            return None
        ones = torch.ones((1,) * len(self.domain.shape), dtype=self.dtype, device=self.device)
        return SVD(U=self, s=ones, V=Identity(self.domain))


def spatial_axes(domain: Space, spatial_dims: int | None, what: str) -> tuple[int, ...]:
    """The last ``spatial_dims`` axes, counted from the end; by default all but the first (the channels).

    Raises
    ------
    ShapeError
        If they are not 1 to 3 axes of ``domain`` with at least one sample each.
    """
    ndim = len(domain.shape)
    count = ndim - 1 if spatial_dims is None else spatial_dims
    if not isinstance(count, int) or not 1 <= count <= min(3, ndim):
        raise ShapeError(
            f"{what} acts along the last 1 to 3 axes; {domain} with spatial_dims={spatial_dims!r} means "
            f"{count!r}. Give an image (channel, *spatial), or say spatial_dims."
        )
    if any(n < 1 for n in domain.shape[ndim - count :]):
        raise ShapeError(f"{what} needs at least one sample along every axis, got {domain}")
    return tuple(range(-count, 0))
