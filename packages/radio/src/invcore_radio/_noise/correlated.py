"""Correlated Gaussian noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import DtypeError
from invcore.fidelities import Fidelity
from invcore.noises import EntryNoise
from invcore.operators import Space, SpaceLike

from .covariance import BlockCovariance


class CorrelatedLeastSquares(Fidelity):
    """Likelihood of real data with correlated Gaussian errors, f(u; y) = ½ (u - y)ᵀ Σ⁻¹ (u - y).

    Parameters
    ----------
    covariance : BlockCovariance
        Covariance Σ of the flattened data.

    Raises
    ------
    ShapeError, DtypeError
        If the data do not have as many entries as Σ, or are not real.

    References
    ----------
    S. M. Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), Ch. 4.

    Examples
    --------
    >>> pair = torch.tensor([[[2.0, 1.0], [1.0, 2.0]]])
    >>> f = CorrelatedLeastSquares(BlockCovariance(index=torch.tensor([[0, 1]]), matrix=pair))
    >>> f.value(torch.ones(2), torch.zeros(2)), f.grad(torch.ones(2), torch.zeros(2))
    (tensor(0.3333), tensor([0.3333, 0.3333]))
    """

    chi_square = True
    covariance: BlockCovariance

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return 0.5 * self.covariance.whiten(self._residual(u, y, space)).square().sum(-1)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return self.covariance.solve(self._residual(u, y, space)).reshape(u.shape)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        """y + Σ (Σ + step)⁻¹ (u - y), block by block."""
        t = torch.as_tensor(step, dtype=u.dtype, device=u.device)
        t = t.reshape(*t.shape, 1, 1) if t.ndim else t
        values, vectors = (part.to(u.dtype) for part in self.covariance._spectrum)
        r = self.covariance._blocks(self._residual(u, y, space)).unsqueeze(-1)
        shrunk = (values / (values + t)).unsqueeze(-1) * (vectors.mT @ r)
        return y + self.covariance._flat((vectors @ shrunk).squeeze(-1)).reshape(u.shape)

    def conjugate(self, p: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        """⟨p, y⟩ + ½ pᵀ Σ p."""
        flat, data = (self._residual(v, torch.zeros_like(v), space) for v in (p, y))
        blocks = self.covariance._blocks(flat)
        quadratic = torch.einsum("...i,...ij,...j->...", blocks, self.covariance.matrix.to(p.dtype), blocks)
        return (flat * data).sum(-1) + 0.5 * quadratic.sum(-1)

    def expected(self) -> Tensor:
        """Return the mean of `value` at the truth, half the number of data."""
        return torch.tensor(self.covariance.size / 2)

    def lipschitz(self) -> Tensor:
        """Return 1/λ for the smallest eigenvalue λ of Σ."""
        return 1 / self.covariance._spectrum[0].min()

    def _residual(self, u: Any, y: Any, space: SpaceLike | None) -> Tensor:
        for v in (u, y):
            if not isinstance(v, Tensor) or not v.is_floating_point():
                got = (
                    v.dtype
                    if isinstance(v, Tensor)
                    else f"{type(v).__name__} (several blocks: use BlockNoise)"
                )
                raise DtypeError(f"CorrelatedLeastSquares is a model of real data, got {got}")
        r = u - y
        return r.flatten(-len(space.shape)) if isinstance(space, Space) else r.reshape(-1)


class CorrelatedNoise(EntryNoise):
    """Correlated Gaussian noise of real data, y ↦ y + n with E nnᵀ = Σ.

    Parameters
    ----------
    covariance : BlockCovariance
        Covariance Σ of the flattened data.

    Raises
    ------
    ShapeError, DtypeError
        If the data do not have as many entries as Σ, or are not real.

    References
    ----------
    S. M. Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), Ch. 4.

    Examples
    --------
    >>> pair = torch.tensor([[[2.0, 1.0], [1.0, 2.0]]])
    >>> noise = CorrelatedNoise(BlockCovariance(index=torch.tensor([[0, 1]]), matrix=pair))
    >>> y = noise(torch.zeros(20000, 2), space=Space((2,)), generator=torch.Generator().manual_seed(0))
    >>> (y.T @ y / 20000).round(decimals=1)
    tensor([[2., 1.],
            [1., 2.]])
    """

    covariance: BlockCovariance

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        if not y.is_floating_point():
            raise DtypeError(f"CorrelatedNoise is a model of real data, got {y.dtype}")
        n = torch.empty(y.numel(), dtype=y.dtype, device=generator.device).normal_(generator=generator)
        return y + self.covariance.color(n.to(y.device)).reshape(y.shape)

    def likelihood(self) -> CorrelatedLeastSquares:
        return CorrelatedLeastSquares(covariance=self.covariance)
