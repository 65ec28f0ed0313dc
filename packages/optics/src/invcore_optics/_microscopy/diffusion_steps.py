"""Implicit time steps of diffusion on a grid of cells, with derivatives of every order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.autograd import Function

from invcore.spaces import broadcast_shapes


class Solve(Function):
    """The solution u of (diag(mass) + Gᵀ diag(conductance) G) u = b, G the differences across faces.

    ``pairs`` (2, face) names the cells on both sides of each face. Factors of the last matrices are kept in
    ``factors``, so that the steps of one movie share theirs. All derivatives are solves with the same
    (symmetric) matrix.
    """

    generate_vmap_rule = False

    @staticmethod
    def forward(
        pairs: Tensor, factors: dict[Any, Any], mass: Tensor, conductance: Tensor, b: Tensor
    ) -> Tensor:
        batch = broadcast_shapes(mass.shape[:-1], conductance.shape[:-1], b.shape[:-1])
        wide = [t.detach().double().expand(*batch, t.shape[-1]) for t in (mass, conductance, b)]
        m, g, rhs = (t.reshape(-1, t.shape[-1]).cpu().numpy() for t in wide)
        ends = pairs.cpu().numpy()
        found = np.stack([_solved(ends, factors, *item) for item in zip(m, g, rhs)])
        return torch.from_numpy(found).reshape(*batch, -1).to(b)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        pairs, ctx.factors, mass, conductance, b = inputs
        ctx.save_for_backward(pairs, mass, conductance, output)
        ctx.save_for_forward(pairs, mass, conductance, output)
        ctx.shapes = mass.shape, conductance.shape, b.shape

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Any:
        pairs, mass, conductance, u = ctx.saved_tensors
        w = Solve.apply(pairs, ctx.factors, mass, conductance, v)
        grads = (-w * u, -across(w, pairs) * across(u, pairs), w)
        return None, None, *(g.sum_to_size(shape) for g, shape in zip(grads, ctx.shapes))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        pairs, mass, conductance, u = ctx.saved_tensors
        _, _, dmass, dconductance, db = tangents
        change = torch.zeros_like(u) if db is None else db
        if dmass is not None:
            change = change - dmass * u
        if dconductance is not None:
            change = change - gathered(dconductance * across(u, pairs), pairs, u.shape[-1])
        return Solve.apply(pairs, ctx.factors, mass, conductance, change)

    @staticmethod
    def vmap(info: Any, dims: Any, pairs: Tensor, factors: Any, *tensors: Tensor) -> tuple[Tensor, int]:
        ndim = max(t.ndim - (d is not None) for t, d in zip(tensors, dims[2:]))
        moved = []
        for t, d in zip(tensors, dims[2:]):
            t = t.unsqueeze(0) if d is None else t.movedim(d, 0)
            moved.append(t.reshape(t.shape[0], *(1,) * (ndim + 1 - t.ndim), *t.shape[1:]))
        out = Solve.apply(pairs, factors, *moved)
        return out.expand(info.batch_size, *out.shape[1:]), 0


def _solved(ends: Any, factors: dict[Any, Any], mass: Any, conductance: Any, b: Any) -> Any:
    if not (np.isfinite(mass).all() and np.isfinite(conductance).all()):
        return np.full_like(b, np.nan)
    return _factor(ends, factors, mass, conductance).solve(b)


def _factor(ends: Any, factors: dict[Any, Any], mass: Any, conductance: Any) -> Any:
    key = (mass.tobytes(), conductance.tobytes())
    if key not in factors:
        if len(factors) >= 16:
            factors.pop(next(iter(factors)))
        i, j = ends
        rows = np.concatenate((i, j, i, j))
        columns = np.concatenate((i, j, j, i))
        values = np.concatenate((conductance, conductance, -conductance, -conductance))
        matrix = coo_matrix((values, (rows, columns)), shape=(len(mass), len(mass))) + diags(mass)
        factors[key] = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return factors[key]


def across(u: Tensor, pairs: Tensor) -> Tensor:
    """G u: the difference over each face, (..., face)."""
    return u[..., pairs[1]] - u[..., pairs[0]]


def gathered(flow: Tensor, pairs: Tensor, cells: int) -> Tensor:
    """Gᵀ of flows (..., face), (..., cell)."""
    zero = flow.new_zeros((*flow.shape[:-1], cells))
    return zero.index_add(-1, pairs[1], flow).index_add(-1, pairs[0], -flow)
