"""The weakest right singular vectors of a Jacobian."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


def weakest(
    gram: Map, n: int, count: int, like: Tensor, *, rtol: float, max_steps: int, seed: int
) -> tuple[Tensor, Tensor, bool]:
    """The ``count`` smallest eigenvalues of a positive semidefinite map of (k, n), eigenvectors as rows.

    Locally optimal block conjugate gradient: Rayleigh and Ritz on the span of vectors, residuals and last
    moves (A. Knyazev, SIAM J. Sci. Comput. 23, 2001). Also whether all residuals are below ``rtol`` times the
    largest value seen.
    """
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(min(count + 2, n), n, generator=generator, dtype=torch.float64).to(like)
    P = X[:0]
    largest, done = 0.0, False
    values = X.new_zeros(count)
    for _ in range(max_steps):
        basis = torch.linalg.qr(torch.cat([X, P]).mT).Q.mT
        images = gram(basis)
        values, rotation = torch.linalg.eigh(basis @ images.mT)
        largest = max(largest, float(values[-1]))
        k = min(count + 2, n)
        new, images = rotation[:, :k].mT @ basis, rotation[:, :k].mT @ images
        R = images - values[:k, None] * new
        done = float(R[:count].norm(dim=-1).max()) <= rtol * largest
        if done or k == n:
            X, done = new, True
            break
        X, P = new, torch.cat([_unit(R), _unit(new - (new @ X.mT) @ X)])
    return values[:count].clamp_min(0), X[:count], done


def _unit(v: Tensor) -> Tensor:
    size = v.norm(dim=-1, keepdim=True)
    return v / torch.where(size > 0, size, 1)
