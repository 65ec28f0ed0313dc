"""Singular values: the nuclear norm of matricizations."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..operators import Space
from ..spaces import per_sample
from ._base import Prior
from ._singular_values import shrink


class Nuclear(Prior):
    r"""The nuclear norm of an image seen as a matrix: the sum of its singular values.

    .. math:: g(x) = \|M(x)\|_* = \sum_k σ_k(M(x))

    with M(x) the matrix whose rows run over the dimensions ``rows`` of the image and whose columns over all
    others: for a series ``(frame, y, x)`` with ``rows=(-3,)`` the Casorati matrix, low rank where frames
    resemble each other. The proximal operator shrinks the singular values [1]_.

    Parameters
    ----------
    rows : tuple of int
        Dimensions of the image that make the rows, counted from the end.

    References
    ----------
    .. [1] J.-F. Cai, E. Candès, Z. Shen, "A singular value thresholding algorithm for matrix completion",
       SIAM J. Optim. 20 (2010).

    Examples
    --------
    >>> x = torch.diag(torch.tensor([3.0, 0.5]))
    >>> g = Nuclear(rows=(-2,))
    >>> g.value(x), g.prox(x, 1.0).diagonal()
    (tensor(3.5000), tensor([2., 0.]))
    """

    degree: ClassVar[int] = 1

    rows: tuple[int, ...] = (-3,)

    def __post_init__(self) -> None:
        if (
            not isinstance(self.rows, tuple)
            or not all(isinstance(d, int) and d < 0 for d in self.rows)
            or len(set(self.rows)) != len(self.rows)
        ):
            raise ParameterError(
                "Nuclear: rows must be a tuple of different negative ints (dimensions counted from the end), "
                f"got {self.rows!r}"
            )

    def _value(self, x: Tensor, space: Space) -> Tensor:
        s = torch.linalg.svdvals(self._matrix(x, space)[0])
        return torch.where(s > 0, s, 0).sum(-1)  # the subgradient of least norm where there is a kernel

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        matrix, order, shape = self._matrix(x, space)
        t = per_sample(step, space)
        if isinstance(t, Tensor) and t.ndim:
            t = t.reshape(t.shape[: t.ndim - len(shape)])
        shrunk = shrink(matrix, t)
        batch = shrunk.shape[:-2]
        permuted = shrunk.reshape(*batch, *(shape[d] for d in order))
        back = sorted(range(len(order)), key=lambda i: order[i])
        return permuted.permute(*range(len(batch)), *(len(batch) + i for i in back)).contiguous()

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """0 where the largest singular value is at most ``weight`` (up to rounding), else infinity."""
        top = torch.linalg.svdvals(self._matrix(u, space)[0]).amax(-1)
        return torch.where(
            top <= weight * (1 + 100 * torch.finfo(top.dtype).eps), torch.zeros_like(top), math.inf
        )

    def _matrix(self, x: Tensor, space: Space) -> tuple[Tensor, list[int], tuple[int, ...]]:
        """Return the matrix (batch..., rows, columns), its order of dimensions, and the image's shape."""
        ndim = len(space.shape)
        shape = tuple(x.shape[x.ndim - ndim :])
        if any(-d > ndim for d in self.rows) or len(self.rows) >= ndim:
            raise ShapeError(f"Nuclear: rows={self.rows} do not leave columns in an image of shape {shape}")
        rows = [ndim + d for d in self.rows]
        order = [*rows, *(d for d in range(ndim) if d not in rows)]
        lead = x.ndim - ndim
        permuted = x.permute(*range(lead), *(lead + d for d in order))
        height = math.prod(shape[d] for d in rows)
        return permuted.reshape(*x.shape[:lead], height, -1), order, shape
