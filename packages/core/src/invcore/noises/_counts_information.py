"""Fisher information of counts with read noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FEW = 0.05
"""Read noise, in counts, below which it hides nothing: two counts are confused with a chance of e⁻⁵⁰."""

_MANY = 100.0
"""Variance, in counts, above which two terms of the expansion are exact to 4e-4."""


def counts_information(rate: Tensor, spread: Tensor) -> Tensor:
    r"""Information about λ of N + s n, N Poisson of mean λ, n standard normal.

    .. math:: I(λ) = \int \frac{(p(t - 1) - p(t))^2}{p(t)} dt, \qquad
        p(t) = \sum_k e^{-λ} \frac{λ^k}{k!} \frac{e^{-(t - k)^2/2s^2}}{\sqrt{2π} s}

    by the trapezoidal rule, whose error vanishes faster than any power of its step here; 1/λ where s < 0.05;
    1/V + (1 - λ/V)²/(2V²), V = λ + s², where V is large.

    Parameters
    ----------
    rate : Tensor
        λ >= 0.
    spread : Tensor
        s >= 0, broadcasts against ``rate``.

    Returns
    -------
    Tensor
        In the shape of ``rate``. No derivatives reach the arguments where the integral is taken.

    References
    ----------
    A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, "Practical Poissonian-Gaussian noise modeling and
    fitting for single-image raw-data", IEEE Trans. Image Process. 17 (2008), for the density.

    Examples
    --------
    >>> zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    >>> round(float(counts_information(zero, one)), 6)  # e - 1
    1.718282
    """
    spread = spread.expand(rate.shape)
    variance = rate + spread**2
    found = 1 / variance + (1 - rate / variance) ** 2 / (2 * variance**2)
    found = torch.where(spread < _FEW, 1 / rate, found)
    between = (spread >= _FEW) & (variance <= _MANY)
    with torch.no_grad():
        values = torch.zeros_like(found, dtype=torch.float64)
        for s in spread[between].unique().tolist():
            at = between & (spread == s)
            values[at] = _integral(rate[at].double(), s)
    return torch.where(between, values.to(found.dtype), found)


def _integral(rate: Tensor, s: float) -> Tensor:
    # the integrand is as smooth as Gaussians of width s, and where two of them meet, at e^(-1/8s²), as s²
    step = 19 * s**2 / max(18 - 1 / (8 * s**2), 19 * s**2 / (0.8 * min(s, 1.0)))
    reach = math.ceil(9 * s) + 1
    near = torch.arange(-reach, reach + 1, dtype=rate.dtype, device=rate.device)
    found, order = torch.zeros_like(rate), rate.argsort()
    for some in order.split(32):  # rates of a size share their range
        low, high = float(rate[some[0]]), float(rate[some[-1]])
        ends = low - 9 * low**0.5 - 9 * s - 2, high + 9 * high**0.5 + 9 * s + 20
        t = torch.arange(max(ends[0], -9 * s - 2), ends[1], step, dtype=rate.dtype, device=rate.device)
        here, before = (_log_density(rate[some], u, near, s) for u in (t, t - 1))
        terms = here.exp() * torch.expm1(before - here).square()
        found[some] = torch.where(here > -math.inf, terms, 0).sum(1) * step
    return found


def _log_density(rate: Tensor, t: Tensor, near: Tensor, s: float) -> Tensor:
    """log p(t) at each rate, shape (rate, t), from the counts near t."""
    k = t.round().clamp_min(0)[:, None] + near
    gaps = torch.where(k < 0, math.inf, (t[:, None] - k).square() / (2 * s**2))
    k = k.clamp_min(0)
    counts = torch.xlogy(k, rate[:, None, None]) - rate[:, None, None] - torch.lgamma(k + 1)
    return (counts - gaps).logsumexp(2) - math.log(math.sqrt(2 * math.pi) * s)
