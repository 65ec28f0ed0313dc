"""The fast Walsh–Hadamard transform."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space
from ._axes import AlongAxes, Isometry

Order = Literal["natural", "dyadic", "sequency"]
_BLOCK = 5
"""Butterflies are applied this many levels at a time, as a small matrix product."""


class HadamardTransform(AlongAxes, Isometry):
    r"""The orthonormal Walsh–Hadamard transform in one to three dimensions.

    Along an axis of n = 2^m samples

    .. math::

        X = n^{-1/2} P H_n x, \qquad H_1 = 1, \quad
        H_{2n} = \begin{pmatrix} H_n & H_n \\ H_n & -H_n \end{pmatrix},

    where P sorts the rows: not at all (``"natural"``, Hadamard's order), in bit-reversed order (``"dyadic"``,
    Paley's), or by the number of sign changes (``"sequency"``, Walsh's, the analogue of frequency). Symmetric
    and orthogonal in each order: the transform is its own adjoint and its own inverse. n log n operations.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex, with powers of two along the transformed axes (`Pad` helps).
    order : {"natural", "dyadic", "sequency"}

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    .. [1] B. J. Fino and V. R. Algazi, "Unified matrix treatment of the fast Walsh–Hadamard transform", IEEE
       Trans. Computers C-25 (1976).

    Examples
    --------
    >>> H = HadamardTransform((1, 4), order="sequency")
    >>> 2 * H.dense()
    tensor([[ 1.,  1.,  1.,  1.],
            [ 1.,  1., -1., -1.],
            [ 1., -1., -1.,  1.],
            [ 1., -1.,  1., -1.]])
    """

    domain: Space
    spatial_dims: int | None = None
    order: Order = "natural"

    def __post_init__(self) -> None:
        for d in self.dims:
            n = self.domain.shape[d]
            if n & (n - 1):
                raise ShapeError(
                    f"HadamardTransform needs powers of two along its axes, got {n} in {self.domain}. "
                    f"Pad to {1 << n.bit_length()} first: HadamardTransform(...) @ Pad(...)."
                )
        if self.order not in ("natural", "dyadic", "sequency"):
            raise ParameterError(f"order must be 'natural', 'dyadic' or 'sequency', got {self.order!r}")

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        for d in self.dims:
            x = fwht(x.movedim(d, -1))
            if self.order != "natural":
                x = x[..., _rows(x.shape[-1], self.order).to(x.device)]
            x = x.movedim(-1, d)
        return x.contiguous()

    def adjoint(self, y: Tensor) -> Tensor:
        return self.forward(y)


def fwht(x: Tensor) -> Tensor:
    """The orthonormal transform of the last axis in natural order.

    H of size 2^(a+b) is the Kronecker product of those of size 2^a and 2^b: an axis is folded into axes of at
    most 32 samples, and each is multiplied by a small matrix.
    """
    if x.is_complex():
        return torch.view_as_complex(fwht(torch.view_as_real(x).movedim(-1, 0)).movedim(0, -1).contiguous())
    n = x.shape[-1]
    levels, shape, inner = n.bit_length() - 1, x.shape, 1
    while levels:
        step = min(levels, _BLOCK)
        H = _hadamard(step).to(x)
        size = 1 << step
        x = x.reshape(-1, size, inner)
        x = x.squeeze(-1) @ H if inner == 1 else H @ x
        inner, levels = inner * size, levels - step
    return x.reshape(shape) if n > 1 else x.clone()


@lru_cache
def _hadamard(levels: int) -> Tensor:
    H = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(levels):
        H = torch.cat((torch.cat((H, H), 1), torch.cat((H, -H), 1))) * 0.5**0.5
    return H


@lru_cache
def _rows(n: int, order: Order) -> Tensor:
    """The row of the matrix in natural order that is row k of the matrix in ``order``."""
    k = torch.arange(n)
    if order == "sequency":
        k = k ^ (k >> 1)  # Gray code
    rows = torch.zeros_like(k)
    for _ in range(n.bit_length() - 1):
        rows, k = 2 * rows + (k & 1), k >> 1
    return rows
