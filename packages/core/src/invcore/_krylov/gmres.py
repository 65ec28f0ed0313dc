"""Restarted GMRES, for square maps that need not be symmetric."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Map, Solved, normalized, relative_residual, square


@square
def gmres(
    apply: Map,
    b: Tensor,
    precondition: Map,
    x0: Tensor | None,
    rtol: float,
    max_steps: int,
    restart: int = 30,
) -> Solved:
    """Solve ``apply(x) = b`` for a square map, stopping at ‖r‖ ≤ rtol ‖b‖ per sample [1]_.

    One application a step and no adjoint; the preconditioner is applied on the right. Stores the ``restart``
    vectors between two restarts, and gives up where they no longer lower the residual.

    References
    ----------
    .. [1] Y. Saad and M. Schultz, "GMRES: a generalized minimal residual algorithm for solving nonsymmetric
       linear systems", SIAM J. Sci. Stat. Comput. 7 (1986).
    """
    x = torch.zeros_like(b) if x0 is None else x0
    r = b - apply(x)
    x = x.expand(r.shape)
    floor = rtol * torch.linalg.vector_norm(b, dim=-1).expand(r.shape[:-1])
    size = torch.linalg.vector_norm(r, dim=-1)
    done = stuck = size <= floor
    steps = 0
    while steps < max_steps and not bool((done | stuck).all()):
        change, taken = _cycle(
            lambda v: apply(precondition(v)), r, floor, done, min(restart, max_steps - steps)
        )
        steps += taken
        candidate = x + precondition(change)
        true = b - apply(candidate)
        new = torch.linalg.vector_norm(true, dim=-1)
        better = (new < size) & ~done
        x = torch.where(better.unsqueeze(-1), candidate, x)
        r = torch.where(better.unsqueeze(-1), true, r)
        stuck = ~(new < 0.99 * size)
        size = torch.where(better, new, size)
        done = done | (size <= floor)
    return Solved(x, done, relative_residual(apply, x, b), steps)


def _cycle(apply: Map, r: Tensor, floor: Tensor, done: Tensor, steps: int) -> tuple[Tensor, int]:
    """The correction of smallest residual in the Krylov space of ``r``, and its dimension."""
    v, beta = normalized(r)
    basis = [v]
    rows = r.new_zeros(*r.shape[:-1], steps + 1, steps)
    right = r.new_zeros(*r.shape[:-1], steps + 1)
    right[..., 0] = beta
    tiny = 10 * torch.finfo(r.dtype).eps
    k = 0
    while k < steps:
        w = apply(basis[-1])
        length = torch.linalg.vector_norm(w, dim=-1)
        q = torch.stack(basis, -2)
        for _ in range(2):  # twice is enough (Kahan)
            overlap = q @ w.unsqueeze(-1)
            w = w - (q.mT @ overlap).squeeze(-1)
            rows[..., : k + 1, k] += overlap.squeeze(-1)
        v, left = normalized(w)
        ended = left <= tiny * length  # the Krylov space is invariant
        rows[..., k + 1, k] = torch.where(ended, 0, left)
        basis.append(torch.where(ended.unsqueeze(-1), 0, v))
        k += 1
        y = _least(rows[..., : k + 1, :k], right[..., : k + 1])
        rest = right[..., : k + 1] - (rows[..., : k + 1, :k] @ y.unsqueeze(-1)).squeeze(-1)
        if bool(((torch.linalg.vector_norm(rest, dim=-1) <= 0.5 * floor) | ended | done).all()):
            break
    return (torch.stack(basis[:k], -2).mT @ y.unsqueeze(-1)).squeeze(-1), k


def _least(matrix: Tensor, right: Tensor) -> Tensor:
    """The least-squares solution of small systems of any rank, by singular values."""
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    keep = s > torch.finfo(s.dtype).eps * s[..., :1]
    inner = (u.mT @ right.unsqueeze(-1)).squeeze(-1)
    return (vh.mT @ (torch.where(keep, inner, 0) / torch.where(keep, s, 1)).unsqueeze(-1)).squeeze(-1)
