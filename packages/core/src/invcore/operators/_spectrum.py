"""Norm and condition number of a linear operator by Krylov methods, in real coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._finite import check_fields_finite
from .._krylov.base import dot
from .._value import power_of_two
from ..spaces import flatten, real_size_of, unflatten

if TYPE_CHECKING:
    from ._base import LinearOperator

_FAILURE = 1e-6
_POWERS, _FLOOR = 15, 1e-3
_SQUARES = 2.0**30
"""Between 1/this and this, an operator has squares far from the ends of float32."""


def _start(op: LinearOperator, generator: torch.Generator | None) -> Tensor:
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    n = real_size_of(op.domain)
    v = torch.randn(n, generator=generator, dtype=torch.float64, device=generator.device).to(
        op.device, op.dtype
    )
    return v / torch.linalg.vector_norm(v)


class Tridiagonal(NamedTuple):
    """Tridiagonal matrix of k Lanczos steps on a symmetric map, in float64."""

    diagonal: Tensor
    side: Tensor
    exhausted: bool
    """True if the Krylov space ended, so that the Ritz values are eigenvalues."""

    def eigh(self) -> tuple[Tensor, Tensor]:
        """Ritz values (batch..., k), ascending, and the first components of the Ritz vectors."""
        matrix = (
            torch.diag_embed(self.diagonal) + torch.diag_embed(self.side, 1) + torch.diag_embed(self.side, -1)
        )
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors[..., 0, :]

    def top(self) -> Tensor:
        """The largest Ritz value, (batch...), with derivatives of two orders where a graph is recorded."""
        if not self.diagonal.requires_grad:
            return self._top()
        side = torch.diag_embed(self.side, 1)
        matrix = torch.diag_embed(self.diagonal) + side + side.mT
        with torch.no_grad():
            values, vectors = torch.linalg.eigh(matrix)
            gap = values[..., -1:] - values
            apart = gap > 1e-8 * values[..., -1:].abs()  # not the copies that rounding makes of the largest
            inverse = torch.where(apart, 1 / torch.where(apart, gap, 1), 0)
        s = vectors[..., -1]
        moves = (
            (vectors * inverse.unsqueeze(-2)) @ vectors.mT @ matrix @ s.unsqueeze(-1)
        )  # 0, but for its slope
        s = s + moves.squeeze(-1)
        return dot(s, (matrix @ s.unsqueeze(-1)).squeeze(-1)) / dot(s, s)

    def _top(self) -> Tensor:
        """By numpy: torch wakes its threads for a matrix this small."""
        n = self.diagonal.shape[-1]
        matrix = np.zeros((*self.diagonal.shape, n))
        i = np.arange(n)
        matrix[..., i, i] = self.diagonal.cpu().numpy()
        matrix[..., i[1:], i[:-1]] = self.side.cpu().numpy()  # the lower half, which is what eigvalsh reads
        return torch.from_numpy(np.asarray(np.linalg.eigvalsh(matrix)[..., -1])).to(self.diagonal.device)


def lanczos(apply: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tridiagonal:
    """Lanczos tridiagonalization of a symmetric map from ``start`` (batch..., n), in real coordinates.

    A derivative with respect to what the map depends on is that of these steps.
    """
    length = torch.linalg.vector_norm(start, dim=-1, keepdim=True)
    q, before = start / torch.where(length > 0, length, 1), None
    alphas: list[Tensor] = []
    betas: list[Tensor] = []
    exhausted = False
    for _ in range(steps):
        r = apply(q)
        q = q.expand_as(r)
        alphas.append(dot(q, r))
        r = r - alphas[-1].unsqueeze(-1) * q
        if before is not None:
            r = r - betas[-1].unsqueeze(-1) * before
        beta = torch.linalg.vector_norm(r, dim=-1)
        scale = torch.stack(alphas).abs().amax(0)
        betas.append(torch.where(beta > 10 * torch.finfo(beta.dtype).eps * scale, beta, 0))
        if not bool((betas[-1] > 0).any()):
            exhausted = True
            break
        before, q = q, r / torch.where(betas[-1] > 0, beta, torch.inf).unsqueeze(-1)
    return Tridiagonal(torch.stack(alphas, -1).double(), torch.stack(betas, -1).double()[..., :-1], exhausted)


def flat_gram(op: LinearOperator) -> Callable[[Tensor], Tensor]:
    """AᴴA in real coordinates."""
    return lambda v: flatten(op._gram(unflatten(v, op.domain)), op.domain)


def in_unit(
    op: LinearOperator, start: Tensor
) -> tuple[Tensor, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """α, A/α and Aᴴ/α in real coordinates; α, (batch...), is the power of two next to the entries of A v.

    Squares of A/α neither overflow nor underflow, and rounding is as for A.
    """
    check_fields_finite(op, type(op).__name__)
    image = flatten(op._apply(unflatten(start, op.domain)), op.range)
    alpha = (
        power_of_two(image.detach().abs().amax(-1)) if image.shape[-1] else image.new_ones(image.shape[:-1])
    )
    unit = alpha.unsqueeze(-1)

    def apply(v: Tensor) -> Tensor:
        return flatten(op._apply(unflatten(v, op.domain)), op.range) / unit

    def adjoint(u: Tensor) -> Tensor:
        return flatten(op._apply_adjoint(unflatten(u, op.range)), op.domain) / unit

    return alpha, apply, adjoint


def _perron(apply: Callable[[Tensor], Tensor], v: Tensor, rtol: float) -> Tensor | None:
    """The Collatz–Wielandt bound of a symmetric map without negative entries; None if it stays loose.

    max_i (Mv)_i/v_i bounds ‖M‖ for every v > 0, and the Rayleigh quotient of v lies below ‖M‖.
    """
    bound: Tensor = torch.full_like(v[..., 0], torch.inf)
    for _ in range(_POWERS):
        image = apply(v)
        v = v.expand_as(image)
        bound = torch.minimum(bound, (image / v).amax(-1))
        if bool(((1 - rtol) * bound <= dot(v, image) / dot(v, v)).all()):
            return bound * (1 + 100 * torch.finfo(v.dtype).eps)
        largest = image.amax(-1, keepdim=True)
        v = image / torch.where(largest > 0, largest, 1) + _FLOOR
    return None


def norm(op: LinearOperator, *, rtol: float, generator: torch.Generator | None) -> Tensor:
    """See `LinearOperator.norm`.

    Nothing is recorded for a derivative unless a parameter of the operator requires one.
    """
    bound = op.norm_bound()
    if bound is not None:
        return bound
    n = real_size_of(op.domain)
    if n == 0:
        return torch.zeros((), dtype=op.dtype, device=op.device)
    start = _start(op, generator)
    alpha, apply, adjoint = in_unit(op, start)
    if bool(((alpha <= _SQUARES) & (alpha >= 1 / _SQUARES)).all()):
        gram, square = flat_gram(op), alpha.square().unsqueeze(-1)  # which may be fast

        def normal(v: Tensor) -> Tensor:
            return gram(v) / square
    else:

        def normal(v: Tensor) -> Tensor:
            return adjoint(apply(v))

    if op.nonnegative and (bound := _perron(normal, torch.ones_like(start), rtol)) is not None:
        return bound.sqrt().to(op.dtype) * alpha
    steps = math.ceil((math.log(1.648 * math.sqrt(n) / _FAILURE) / math.sqrt(rtol) + 1) / 2)
    krylov = lanczos(normal, start, min(steps, n))
    top = krylov.top()
    exact = krylov.exhausted or steps >= n
    margin = 1 + 100 * torch.finfo(op.dtype).eps if exact else 1 / (1 - rtol)
    seen = top > 0  # zero has no root with a derivative
    return torch.where(seen, torch.where(seen, top * margin, 1).sqrt(), 0).to(op.dtype) * alpha


@torch.no_grad()
def cond(op: LinearOperator, *, max_steps: int, generator: torch.Generator | None) -> Tensor:
    """See `LinearOperator.cond`."""
    tall = op if real_size_of(op.range) >= real_size_of(op.domain) else op.H
    v = _start(tall, generator)
    _, apply, adjoint = in_unit(tall, v)

    def orthogonal(v: Tensor, basis: list[Tensor]) -> Tensor:
        for _ in range(2):  # twice is enough (Kahan)
            if basis:
                q = torch.stack([b.expand_as(v) for b in basis], -1)
                v = v - (q @ (q.mT @ v.unsqueeze(-1))).squeeze(-1)
        return v

    steps = min(real_size_of(tall.domain), max_steps)
    tiny = 50 * torch.finfo(op.dtype).eps
    vs: list[Tensor] = [v]
    us: list[Tensor] = []
    alphas: list[Tensor] = []
    betas: list[Tensor] = []
    for k in range(steps):
        u = apply(vs[-1]) if k == 0 else apply(vs[-1]) - betas[-1].unsqueeze(-1) * us[-1]
        u = orthogonal(u, us)
        alphas.append(torch.linalg.vector_norm(u, dim=-1))
        us.append(u / torch.where(alphas[-1] > 0, alphas[-1], 1).unsqueeze(-1))
        w = adjoint(us[-1]) - alphas[-1].unsqueeze(-1) * vs[-1]
        w = orthogonal(w, vs)
        betas.append(torch.linalg.vector_norm(w, dim=-1))
        vs.append(w / torch.where(betas[-1] > 0, betas[-1], 1).unsqueeze(-1))
        if bool((betas[-1] <= tiny * torch.stack(alphas).amax(0)).all()):
            break
    a, b = torch.stack(alphas, -1).double(), torch.stack(betas, -1).double()
    batch = a.shape[:-1]
    results = []
    for diagonal, side in zip(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])):
        stop = (
            side <= tiny * diagonal.max()
        ).nonzero()  # the Krylov space is exhausted: distinct values are all found
        k = int(stop[0]) + 1 if len(stop) else len(diagonal)
        s = torch.linalg.svdvals(torch.diag(diagonal[:k]) + torch.diag(side[: k - 1], 1))
        results.append(torch.inf if s[-1] <= tiny * s[0] else float(s[0] / s[-1]))
    return torch.tensor(results, dtype=op.dtype, device=op.device).reshape(batch)
