"""Singular values shrunk, with a derivative where they are zero or equal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..operators._autograd import broadcast_to_sum, differentiable_once, under_transform

_ONCE = "where singular values are equal only the first derivative has a formula"


def shrink(matrix: Tensor, t: float | Tensor) -> Tensor:
    r"""Lower the singular values of matrices (..., rows, columns) by ``t`` (...), to zero at least.

    With M = U diag(s) Vᴴ, f(s) = max(s - t, 0) and Ĝ = Uᴴ G V, the derivative in direction G is

    .. math:: U (Γ^- ∘ \tfrac12 (Ĝ + Ĝ^{\mathsf H}) + Γ^+ ∘ \tfrac12 (Ĝ - Ĝ^{\mathsf H})) V^{\mathsf H} +
        (1 - U U^{\mathsf H}) G V D V^{\mathsf H} + U D U^{\mathsf H} G (1 - V V^{\mathsf H}), \quad
        Γ^±_{ij} = \frac{f(s_i) ± f(s_j)}{s_i ± s_j}, \quad D = \operatorname{diag}(f(s)/s)

    whose quotients have limits where their denominators vanish [1]_, at zero and at equal singular values.
    The derivative of a derivative needs singular values that differ.

    References
    ----------
    .. [1] C.-A. Deledalle, S. Vaiter, G. Peyré, J. Fadili, "Risk estimation for matrix recovery with spectral
       regularization", ICML workshop (2012), arXiv 1205.1482.
    """
    return _Shrunk.apply(matrix, torch.as_tensor(t, dtype=matrix.real.dtype, device=matrix.device))


class _Shrunk(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, t: Tensor) -> Tensor:
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        return (u * (s - t.unsqueeze(-1)).clamp_min(0).unsqueeze(-2).to(u.dtype)) @ vh

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        matrix, t = ctx.saved_tensors
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        pulled = broadcast_to_sum(_derivative(u, s, vh, t, g), matrix.shape)
        to_t = broadcast_to_sum(-(g.conj() * _kept(u, s, vh, t)).real.sum((-2, -1)), t.shape)
        if not under_transform() and not bool((s[..., :-1] > s[..., 1:]).all()):
            pulled, to_t = (differentiable_once(v, _ONCE, matrix, t, g) for v in (pulled, to_t))
        return pulled, to_t

    @staticmethod
    def jvp(ctx: Any, g: Tensor | None, dt: Tensor | None) -> Tensor:
        matrix, t = ctx.saved_tensors
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        g = torch.zeros_like(matrix) if g is None else g
        dt = torch.zeros_like(t) if dt is None else dt
        return _derivative(u, s, vh, t, g) - dt[..., None, None] * _kept(u, s, vh, t)


def _kept(u: Tensor, s: Tensor, vh: Tensor, t: Tensor) -> Tensor:
    """Minus the derivative of `shrink` in t."""
    return (u * (s > t.unsqueeze(-1)).unsqueeze(-2).to(u.dtype)) @ vh


def _derivative(u: Tensor, s: Tensor, vh: Tensor, t: Tensor, g: Tensor) -> Tensor:
    """The derivative of `shrink` in direction g."""
    t = t.unsqueeze(-1)
    f, kept = (s - t).clamp_min(0), (s > t) | (t == 0)
    a, b, fa, fb = s.unsqueeze(-1), s.unsqueeze(-2), f.unsqueeze(-1), f.unsqueeze(-2)
    both, one = kept.unsqueeze(-1) & kept.unsqueeze(-2), kept.unsqueeze(-1) ^ kept.unsqueeze(-2)
    minus = both + torch.where(one, torch.maximum(fa, fb) / torch.where(one, (a - b).abs(), 1), 0)
    plus = torch.where(a + b > 0, (fa + fb) / torch.where(a + b > 0, a + b, 1), both.to(s))
    d = torch.where(s > 0, f / torch.where(s > 0, s, 1), kept.to(s)).unsqueeze(-2).to(u.dtype)
    left, right = u.mH @ g, g @ vh.mH
    inner = left @ vh.mH
    middle = (minus + plus) / 2 * inner + (minus - plus) / 2 * inner.mH
    return (u @ middle + (right - u @ inner) * d) @ vh + (u * d) @ (left - inner @ vh)
