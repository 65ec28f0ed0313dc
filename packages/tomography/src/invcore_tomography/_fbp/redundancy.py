"""Redundancy weights of FBP and FDK: angular widths, Parker's weights, off-center detectors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_GAP = 5.0  # angles further apart than this many times the median are not filled in


class Arc(NamedTuple):
    """The angles of a scan.

    Attributes
    ----------
    weight : Tensor, shape (view,)
        Angular width of each view, in radians.
    full : bool
        True if the angles cover the whole period.
    start, range : Tensor, shape ()
        Beginning and length of the arc otherwise.
    """

    weight: Tensor
    full: bool
    start: Tensor
    range: Tensor


def arc(angle: Tensor, period: float) -> Arc:
    """Angular width of each view: half way to both neighbors, except across a gap.

    Examples
    --------
    >>> arc(torch.tensor([0.0, 1.0, 2.0]), 3.0).weight
    tensor([1., 1., 1.])
    >>> arc(torch.tensor([0.0, 0.25, 0.5]), 3.0)[1:]
    (False, tensor(-0.1250), tensor(0.7500))
    """
    n = angle.shape[0]
    whole = torch.full_like(angle[:1], period)
    if n == 1:
        return Arc(whole, True, whole[0] * 0, whole[0])
    ordered, order = torch.sort(angle % period)
    gap = torch.diff(ordered, append=ordered[:1] + period)  # after each view
    typical = gap[gap.detach() > 1e-6 * period / n].median()
    wide = gap.detach() > _GAP * typical.detach()
    filled = torch.where(wide, typical, gap)
    weight = torch.zeros_like(filled).index_copy(0, order, (filled + filled.roll(1)) / 2)
    if not bool(wide.any()):
        return Arc(weight, True, whole[0] * 0, whole[0])
    last = int(gap.argmax())
    return Arc(weight, False, ordered[(last + 1) % n] - typical / 2, period - gap[last] + typical)


def along(angle: Tensor) -> Tensor:
    """Angular width of each view of a path of several turns: half way to both neighbors."""
    n = angle.shape[0]
    if n == 1:
        return torch.full_like(angle, 2 * math.pi)
    step = torch.diff(angle)
    step = torch.remainder(step + math.pi, 2 * math.pi) - math.pi
    step = torch.cat([step[:1], step, step[-1:]]).abs()
    return (step[:-1] + step[1:]) / 2


def parker(beta: Tensor, alpha: Tensor, length: Tensor) -> Tensor:
    """Weights of a scan over less than a turn, so that the two measurements of a ray count once together.

    The ray at angle α from the one through the axis, in the view at β, is the ray at -α in the view at
    β + π + 2α. With the arc π + 2δ,

    .. math:: w = \\sin^2(π/4 · β/(δ - α)) \\text{ for } β < 2(δ - α), \\quad
              \\sin^2(π/4 · (π + 2δ - β)/(δ + α)) \\text{ for } β > π - 2α, \\quad 1 \\text{ between.}

    An arc too short for the fan leaves rays unmeasured: then each ray counts one over how often it was
    measured.

    Parameters
    ----------
    beta : Tensor, shape (view,)
        Angles from the beginning of the arc.
    alpha : Tensor, shape (view, column)
    length : Tensor, shape ()
        The arc π + 2δ.

    References
    ----------
    D. L. Parker, "Optimal short scan convolution reconstruction for fanbeam CT", Med. Phys. 9 (1982).
    M. D. Silver, "A method for including redundant data in computed tomography", Med. Phys. 27 (2000), for
    longer arcs.
    """
    beta = beta[:, None]
    delta = (length - math.pi) / 2
    if bool(delta <= alpha.abs().max()):
        after, before = beta + math.pi + 2 * alpha, beta - math.pi + 2 * alpha
        twice = (after < length) | (before > 0)
        return 1 - 0.5 * twice.to(beta.dtype)
    first = torch.sin(math.pi / 4 * (beta / (delta - alpha)).clamp(0, 2)) ** 2
    final = torch.sin(math.pi / 4 * ((length - beta) / (delta + alpha)).clamp(0, 2)) ** 2
    out = torch.where(beta < 2 * (delta - alpha), first, torch.ones_like(first))
    return torch.where(beta > math.pi - 2 * alpha, final, out)


def offset(position: Tensor) -> Tensor:
    """Weights of a full scan with an off-center detector: rays seen from both sides count once, smoothly.

    .. math:: w(s) = 1 + \\sin(π s / (2 o)) \\text{ for } |s| < o,
              \\quad 2 \\text{ beyond on the longer side,}

    o being the reach of the shorter side; w(s) + w(-s) = 2.

    Parameters
    ----------
    position : Tensor, shape (view, column)
        Distance or angle of each column from the ray through the axis, increasing or decreasing along the
        columns.

    References
    ----------
    G. Wang, "X-ray micro-CT with a displaced detector array", Med. Phys. 29 (2002).
    """
    step = position.diff(dim=1).abs().mean() if position.shape[1] > 1 else 0
    low, high = position.amin(dim=1, keepdim=True), position.amax(dim=1, keepdim=True)
    sign = torch.where(high + low >= 0, 1.0, -1.0).to(position.dtype)
    reach = torch.minimum(high, -low)
    even = ((high + low).abs() <= 2 * step) | (
        reach <= 0
    )  # nothing to balance, or the axis is not seen at all
    weight = 1 + torch.sin(math.pi / 2 * (sign * position / reach.clamp_min(1e-30)).clamp(-1, 1))
    return torch.where(even, torch.ones_like(weight), weight)
