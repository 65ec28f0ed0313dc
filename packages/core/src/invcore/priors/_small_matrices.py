"""Singular values of many 2 x 2 or 3 x 3 matrices at once, entry by entry: no library call for each."""

from __future__ import annotations

import torch
from torch import Tensor

_SWEEPS = {torch.float32: 4, torch.float64: 5}


def eigen3(m: list[list[Tensor]]) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Eigenvalues and eigenvectors (v[i][k]: entry i of the k-th) of symmetric 3 x 3 matrices (Jacobi)."""
    a = [list(row) for row in m]
    one, zero = torch.ones_like(a[0][0]), torch.zeros_like(a[0][0])
    v = [[one if i == k else zero for k in range(3)] for i in range(3)]
    small = torch.finfo(one.dtype).tiny
    for _ in range(_SWEEPS.get(one.dtype, 5)):
        for p, q in ((0, 1), (0, 2), (1, 2)):
            r = 3 - p - q
            d, off = a[q][q] - a[p][p], a[p][q]
            length = (d.square() + 4 * off.square()).clamp_min(small).sqrt()
            t = 2 * off * torch.where(d < 0, -1.0, 1.0).to(d.dtype) / (d.abs() + length)
            c = (1 + t.square()).rsqrt()
            s = t * c
            a[p][p], a[q][q] = a[p][p] - t * off, a[q][q] + t * off
            a[p][q] = a[q][p] = zero
            x, y = a[r][p], a[r][q]
            a[r][p] = a[p][r] = c * x - s * y
            a[r][q] = a[q][r] = s * x + c * y
            for row in v:
                row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
    return [a[k][k] for k in range(3)], v


def shrink3(m: list[list[Tensor]], t: float | Tensor) -> list[list[Tensor]]:
    """Eigenvalues of real symmetric 3 x 3 matrices pulled towards zero by ``t``."""
    values, v = eigen3(m)
    f = [e.sign() * (e.abs() - t).clamp_min(0) for e in values]
    entry = lambda i, j: f[0] * v[i][0] * v[j][0] + f[1] * v[i][1] * v[j][1] + f[2] * v[i][2] * v[j][2]
    rows = [[entry(i, j) for j in range(i + 1)] for i in range(3)]
    return [[rows[max(i, j)][min(i, j)] for j in range(3)] for i in range(3)]


def singular2(m: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
    """The two singular values of complex 2 x 2 matrices."""
    high, low, _ = _spectrum2(m, _gram2(m))
    return high, low


def shrink2(m: list[list[Tensor]], t: float | Tensor) -> list[list[Tensor]]:
    """Lower the singular values of complex 2 x 2 matrices by ``t``: M (α + β MᴴM), affine in MᴴM."""
    gram = _gram2(m)
    high, low, apart = _spectrum2(m, gram)
    small = torch.finfo(high.dtype).tiny
    f, g = ((1 - t / s.clamp_min(small)).clamp_min(0) for s in (high, low))
    floor = low.clamp_min(small**0.5)
    floor = floor.maximum(torch.as_tensor(t, dtype=low.dtype, device=low.device))
    steepest = t / floor / (2 * floor.square())  # of 1 - t/√λ from λ = max(s, t)² on
    slope = ((f - g) / apart).clamp_min(0).minimum(steepest)
    level = f - slope * high.square()
    inner = [[slope * gram[i][j] + (level if i == j else 0) for j in range(2)] for i in range(2)]
    return [[m[i][0] * inner[0][j] + m[i][1] * inner[1][j] for j in range(2)] for i in range(2)]


def _gram2(m: list[list[Tensor]]) -> list[list[Tensor]]:
    """MᴴM."""
    return [[m[0][i].conj() * m[0][j] + m[1][i].conj() * m[1][j] for j in range(2)] for i in range(2)]


def _spectrum2(m: list[list[Tensor]], gram: list[list[Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values (the smaller one from the determinant, for accuracy), and the difference of squares."""
    a, b = gram[0][0].real, gram[1][1].real
    small = torch.finfo(a.dtype).tiny
    apart = ((a - b).square() + 4 * _power(gram[0][1])).clamp_min(small).sqrt()
    high = ((a + b + apart) / 2).sqrt()
    low = (m[0][0] * m[1][1] - m[0][1] * m[1][0]).abs() / high
    return high, torch.minimum(low, high), apart


def _power(x: Tensor) -> Tensor:
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()
