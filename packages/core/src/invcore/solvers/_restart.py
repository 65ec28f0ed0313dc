"""Restarts of accelerated methods that need no parameters: the growth of the objective is estimated."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_C = 6.38
_SHORTEST = math.floor(2 * _C)


class Schedule(NamedTuple):
    """Where a sample restarted, and when it will do so again; all of shape (batch...) or (batch..., most).

    ``values`` are F(r₀), F(r₁), … at the restarts, ``lengths`` the numbers of steps between them; ``last``
    is the index of the last one, ``due`` the steps to the next one, and ``growth`` the estimate of μ/L.
    """

    values: Tensor
    lengths: Tensor
    last: Tensor
    due: Tensor
    growth: Tensor


def first_schedule(value: Tensor, max_steps: int) -> Schedule:
    """The schedule at r₀, with F(r₀)."""
    most = max_steps // _SHORTEST + 2
    values = torch.full((*value.shape, most), torch.nan, dtype=value.dtype, device=value.device)
    values[..., 0] = value
    lengths = torch.full_like(values, _SHORTEST)
    count = torch.zeros_like(value, dtype=torch.long)
    return Schedule(values, lengths, count, count + _SHORTEST, torch.full_like(value, torch.nan))


@torch.no_grad()
def lengthened(schedule: Schedule, value: Tensor, now: Tensor) -> Schedule:
    r"""The schedule after a restart of the samples ``now``, at points r_j with F(r_j) = ``value``.

    .. math::
        \tilde μ_j = \min_{1 ≤ i < j} \frac{4L}{(n_{i-1} + 1)^2} \frac{F(r_{i-1}) - F(r_j)}{F(r_i) - F(r_j)},
        \qquad n_j = 2 n_{j-1} \text{ if } n_{j-1} ≤ C \sqrt{L/\tilde μ_j}, \text{ else } n_{j-1}

    with C = 6.38 and n_0 = n_1 = ⌊2C⌋. Differences that are rounding say nothing.
    """
    values, lengths, last, due, growth = schedule
    j = (last + 1).clamp_max(values.shape[-1] - 1).unsqueeze(-1)
    at = torch.arange(values.shape[-1], device=value.device)
    values = torch.where((at == j) & now.unsqueeze(-1), value.unsqueeze(-1), values)
    fall = values - value.unsqueeze(-1)
    rounding = 100 * torch.finfo(value.dtype).eps * value.abs().unsqueeze(-1)
    known = (at[1:] < j) & (fall[..., 1:] > rounding)
    ratio = torch.where(known, fall[..., :-1], 1) / torch.where(known, fall[..., 1:], 1)
    estimate = torch.where(known, 4 / (lengths[..., :-1] + 1) ** 2 * ratio, torch.inf).amin(-1)
    growth = torch.where(now & (estimate < torch.inf), estimate, growth)
    before = lengths.gather(-1, j - 1).squeeze(-1)
    longer = (j.squeeze(-1) > 1) & (before <= _C / growth.sqrt())
    after = torch.where(longer, 2 * before, before)
    lengths = torch.where((at == j) & now.unsqueeze(-1), after.unsqueeze(-1), lengths)
    return Schedule(
        values,
        lengths,
        torch.where(now, j.squeeze(-1), last),
        torch.where(now, after.long(), due),
        growth,
    )
