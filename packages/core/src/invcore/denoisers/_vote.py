"""Means of candidates, each weighted by the likelihood of what is observed, in chunks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = 2**22
"""Numbers that are worked on together."""

Part = Callable[[Tensor], tuple[Tensor, Tensor]]
"""``part(v)``: squared distances (..., query, candidate) and values (..., candidate, entry)."""


def voted(
    v: Tensor, variance: Tensor, parts: Iterable[Part], width: int, *, dtype: torch.dtype, recompute: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distance of the nearest candidate, and relative to its weight Σ w and Σ w value.

    Parameters
    ----------
    v : Tensor, shape (..., query, dimension)
    variance : Tensor
        Real; broadcasts against (..., query, candidate). A weight is exp(-distance²/(2 variance)).
    parts : iterable of callable
        The candidates, a chunk each.
    width : int
        Entries of a value.
    dtype : torch.dtype
        Of the values.
    recompute : bool
        Compute the distances again in the backward pass, so that they need not be stored.

    Returns
    -------
    tuple of Tensor, shapes (..., query) twice and (..., query, width)
    """
    nearest = torch.full(v.shape[:-1], math.inf, dtype=variance.dtype, device=v.device)
    sums: Any = (nearest, torch.zeros_like(nearest), v.new_zeros((*v.shape[:-1], width), dtype=dtype))
    for part in parts:
        if recompute:
            how: Any = {"use_reentrant": False, "preserve_rng_state": False}
            sums = checkpoint(_add, v, variance, part, *sums, **how)
        else:
            sums = _add(v, variance, part, *sums)
    return sums


def _add(
    v: Tensor, variance: Tensor, part: Part, nearest: Tensor, total: Tensor, mean: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Add a chunk to the running sums; exponents are relative to the nearest candidate so far."""
    away, values = part(v)
    now = nearest.minimum(away.detach().amin(-1))
    before = _weight((nearest - now)[..., None], variance)
    weight = _weight(away - now[..., None], variance)
    added = weight.to(values.dtype) @ values
    return now, before.squeeze(-1) * total + weight.sum(-1), before * mean + added


def _weight(excess: Tensor, variance: Tensor) -> Tensor:
    """exp(-excess/(2 variance)), and its limit for variance 0: one where there is no excess, else zero."""
    far = excess > 1500 * variance  # the exponential underflows, and its derivative may be 0 times infinity
    near = torch.where(far, 0, excess)
    return torch.where(far, 0, torch.exp(-near / (2 * torch.where(variance == 0, 1, variance))))
