"""Block-diagonal covariance matrices, for data correlated in small groups."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError, Value


class BlockCovariance(Value):
    """Covariance matrix Σ that is block-diagonal after a permutation of the data.

    Entries are numbered as in the flattened data. Blocks are padded to a common size.

    Parameters
    ----------
    index : Tensor, shape (block, k), int64
        Entries of each block; -1 where a block is smaller than k.
    matrix : Tensor, shape (block, k, k)
        Covariances of these entries, symmetric and positive definite. Padding is ignored.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the parts do not fit together, entries are missing or repeated, or a block is not positive
        definite.

    Examples
    --------
    >>> pair = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> covariance = BlockCovariance(index=torch.tensor([[0, 2], [1, -1]]), matrix=torch.stack([pair, pair]))
    >>> covariance.dense()
    tensor([[2., 0., 1.],
            [0., 2., 0.],
            [1., 0., 2.]])
    >>> covariance.solve(torch.tensor([3.0, 2.0, 3.0])).round()
    tensor([1., 1., 1.])
    """

    index: Tensor
    matrix: Tensor

    def __post_init__(self) -> None:
        if self.index.dtype != torch.int64 or not self.matrix.is_floating_point():
            raise DtypeError(
                f"BlockCovariance: index must be int64 and matrix real, got {self.index.dtype} and "
                f"{self.matrix.dtype}"
            )
        if self.index.ndim != 2 or tuple(self.matrix.shape) != (*self.index.shape, self.index.shape[1]):
            raise ShapeError(
                "BlockCovariance: expected index (block, k) and matrix (block, k, k), got "
                f"{tuple(self.index.shape)} and {tuple(self.matrix.shape)}"
            )
        used = self.index[self.index >= 0].sort().values
        if not torch.equal(used, torch.arange(len(used), device=used.device)):
            raise ParameterError(
                "BlockCovariance: index must hold every entry from 0 to n - 1 once, and -1 for padding"
            )
        if int(torch.linalg.cholesky_ex(self._padded)[1].count_nonzero()):
            raise ParameterError(
                "BlockCovariance: a block is not positive definite; closures need a minimal set, or a "
                "systematic error"
            )

    @property
    def size(self) -> int:
        """Number of data."""
        return int((self.index >= 0).sum())

    @cached_property
    def _padded(self) -> Tensor:
        """Blocks, padded with the identity."""
        used = self.index >= 0
        both = used.unsqueeze(-1) & used.unsqueeze(-2)
        eye = torch.eye(self.index.shape[1], dtype=self.matrix.dtype, device=self.matrix.device)
        return torch.where(both, self.matrix, eye)

    @cached_property
    def _factor(self) -> Tensor:
        return torch.linalg.cholesky(self._padded)

    @cached_property
    def _place(self) -> Tensor:
        """Position of each entry in the flattened blocks."""
        flat = self.index.reshape(-1)
        where = torch.nonzero(flat >= 0).squeeze(-1)
        return where[flat[where].argsort()]

    def _blocks(self, r: Tensor) -> Tensor:
        """Gather (..., n) into (..., block, k), with zeros as padding."""
        if r.shape[-1] != self.size:
            raise ShapeError(
                f"BlockCovariance of {self.size} data: got {r.shape[-1]} values of shape {tuple(r.shape)}"
            )
        padded = torch.cat([r, r.new_zeros((*r.shape[:-1], 1))], dim=-1)
        return padded[..., torch.where(self.index < 0, self.size, self.index)]

    def _flat(self, blocks: Tensor) -> Tensor:
        return blocks.flatten(-2)[..., self._place]

    def solve(self, r: Tensor) -> Tensor:
        """Return Σ⁻¹ r, shape (..., n)."""
        factor = self._factor.to(r.dtype)
        return self._flat(torch.cholesky_solve(self._blocks(r).unsqueeze(-1), factor).squeeze(-1))

    def whiten(self, r: Tensor) -> Tensor:
        """Return L⁻¹ r with Σ = LLᵀ, which is white if r has the covariance Σ; shape (..., n)."""
        factor = self._factor.to(r.dtype)
        solved = torch.linalg.solve_triangular(factor, self._blocks(r).unsqueeze(-1), upper=False)
        return self._flat(solved.squeeze(-1))

    def color(self, white: Tensor) -> Tensor:
        """Return L n with Σ = LLᵀ, which has the covariance Σ if n is white; shape (..., n)."""
        factor = self._factor.to(white.dtype)
        return self._flat((factor @ self._blocks(white).unsqueeze(-1)).squeeze(-1))

    @cached_property
    def _inverse(self) -> Tensor:
        """Inverse of each block, padded with zeros."""
        used = self.index >= 0
        both = used.unsqueeze(-1) & used.unsqueeze(-2)
        return torch.where(both, torch.cholesky_inverse(self._factor), 0)

    @cached_property
    def _spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues and eigenvectors of each block."""
        values, vectors = torch.linalg.eigh(self._padded)
        return values, vectors

    @property
    def variance(self) -> Tensor:
        """Diagonal of Σ, shape (n,)."""
        return self._flat(torch.diagonal(self.matrix, dim1=-2, dim2=-1))

    def dense(self) -> Tensor:
        """Return Σ as a matrix, shape (n, n)."""
        n = self.size
        full = self.matrix.new_zeros((n + 1, n + 1))
        at = torch.where(self.index < 0, n, self.index)
        full[at.unsqueeze(-1), at.unsqueeze(-2)] = self.matrix
        return full[:n, :n]
