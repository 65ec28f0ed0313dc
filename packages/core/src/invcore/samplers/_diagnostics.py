"""How well chains have mixed: R-hat, effective sample size, and the quantiles of their draws.

Draws have the shape (draw, chain, ...); all that comes after is taken entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError

_CHUNK = 2**22
"""Numbers that are worked on at a time."""


def r_hat(draws: Tensor) -> Tensor:
    """The larger of R-hat of the ranks, and of the ranks of the distances from the median."""
    halves = _split(draws)
    folded = (halves - quantile(halves.flatten(0, 1), 0.5)).abs()
    return torch.maximum(_ratio(_normal_scores(halves)), _ratio(_normal_scores(folded)))


def effective_size(draws: Tensor) -> Tensor:
    """The bulk effective sample size: that of the ranks."""
    return _effective_size(_normal_scores(_split(draws)))


def entrywise(function: Callable[[Tensor], Tensor], draws: Tensor) -> Tensor:
    """``function`` of draws (draw, chain, n), in double precision and chunks of entries."""
    shape = draws.shape[2:]
    flat = draws.reshape(*draws.shape[:2], -1)
    size = max(1, _CHUNK // (flat.shape[0] * flat.shape[1]))
    found = [function(part.double()) for part in flat.split(size, dim=-1)]
    return torch.cat(found).view(shape) if found else flat.new_zeros(shape)


def quantile(draws: Tensor, q: Any) -> Tensor:
    """Quantiles along the first dimension, between two draws by linear interpolation."""
    levels = torch.as_tensor(q, dtype=torch.float64)
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise ParameterError(f"quantile: q must lie in [0, 1], got {q!r}")
    ordered = draws.sort(0).values
    place = levels.reshape(-1).to(draws.device) * (len(ordered) - 1)
    below = place.floor().long()
    part = (place - below).to(draws.dtype).view(-1, *(1,) * (draws.ndim - 1))
    found = torch.lerp(ordered[below], ordered[(below + 1).clamp_max(len(ordered) - 1)], part)
    return found.view(*levels.shape, *draws.shape[1:])


def _split(draws: Tensor) -> Tensor:
    """Each chain as two, its halves."""
    n = len(draws) // 2
    return torch.cat([draws[:n], draws[-n:]], 1)


def _normal_scores(draws: Tensor) -> Tensor:
    """Each number as the normal quantile of its rank among all draws; equal ones share their mean rank."""
    pooled = draws.flatten(0, 1).movedim(0, -1).contiguous()
    ordered = pooled.sort(-1).values
    below = torch.searchsorted(ordered, pooled)
    upto = torch.searchsorted(ordered, pooled, right=True)
    rank = (below + upto + 1).to(draws.dtype) / 2
    scores = torch.special.ndtri((rank - 0.375) / (pooled.shape[-1] + 0.25))
    return scores.movedim(-1, 0).view(draws.shape)


def _ratio(x: Tensor) -> Tensor:
    """√(pooled variance / variance within chains); 1 for constants."""
    n = len(x)
    within, between = x.var(0).mean(0), x.mean(0).var(0)
    return torch.where(within > 0, ((n - 1) / n + between / torch.where(within > 0, within, 1)).sqrt(), 1)


def _effective_size(x: Tensor) -> Tensor:
    """By Geyer's initial monotone sequence of the autocorrelations of all chains together."""
    n, chains = x.shape[:2]
    away = x - x.mean(0)
    spectrum = torch.fft.rfft(away, 2 * n, dim=0).abs().square()
    covariance = torch.fft.irfft(spectrum, 2 * n, dim=0)[:n].mean(1) / n
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (x.mean(0).var(0) if chains > 1 else 0)
    rho = 1 - (within - covariance) / torch.where(total > 0, total, 1)
    rho[0] = 1
    pairs = rho[: n - n % 2].unflatten(0, (-1, 2)).sum(1)
    # no pair beyond the last lags, of which too little is known
    positive = (pairs[: max(1, (n - 1) // 2)] > 0).cumprod(0)
    sums = (pairs[: len(positive)].cummin(0).values * positive).sum(0)
    end = 2 * positive.sum(0).clamp_max(len(positive) - 1)
    after = rho.gather(0, end.unsqueeze(0)).squeeze(0).clamp_min(0)
    after = torch.where(positive[-1] > 0, 0, after)
    tau = (2 * sums - 1 + after).clamp_min(1 / math.log10(n * chains))
    return torch.where(total > 0, n * chains / tau, n * chains)
