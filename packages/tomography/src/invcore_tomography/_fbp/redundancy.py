"""Redundancy weights of FBP and FDK: angular widths, Parker's weights, off-center detectors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_GAP = 5.0  # the missing wedge is wider than this many times the median gap,
_NEXT = 2.0  # than this many times any other gap,
_WEDGE = 0.5  # and than this many radians: narrower gaps are views that were dropped


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


def arc(angle: Tensor, period: float, *, wedge: float = _WEDGE) -> Arc:
    """Angular width of each view: half way to both neighbors on the circle, except across a missing wedge.

    Views at one angle share its width equally. The missing wedge is the widest gap, if it is wider than
    ``wedge`` radians and stands out: views at random angles have gaps of five times the median, too.

    Examples
    --------
    >>> arc(torch.tensor([0.0, 1.0, 2.0]), 3.0).weight
    tensor([1., 1., 1.])
    >>> arc(torch.tensor([0.0, 1.0, 1.0, 3.0]), 4.0).weight
    tensor([1.0000, 0.7500, 0.7500, 1.5000])
    >>> arc(torch.tensor([0.0, 0.25, 0.5]), 3.0)[1:]
    (False, tensor(-0.1250), tensor(0.7500))
    """
    whole = torch.full_like(angle[:1], period)
    ordered, order = torch.sort(angle % period)
    same = 1e-6 * period / angle.shape[0]
    # equal angles, also those on both sides of 0, are one place on the circle
    apart = torch.diff(ordered.detach(), prepend=ordered.detach()[-1:] - period) > same
    place = (apart.cumsum(0) - 1) % max(1, int(apart.sum()))
    first = ordered[apart]
    n = first.shape[0]
    if n < 2:
        return Arc(whole.expand_as(angle) / angle.shape[0], True, whole[0] * 0, whole[0])
    gap = torch.diff(first, append=first[:1] + period)  # after each place
    typical = gap.median()
    widest, last = gap.detach().sort(descending=True)
    missing = float(widest[0]) > max(_GAP * float(typical.detach()), _NEXT * float(widest[1]), wedge)
    filled = torch.where(gap.detach() == widest[0], typical, gap) if missing else gap
    share = (filled + filled.roll(1)) / 2 / torch.bincount(place)
    weight = torch.zeros_like(ordered).index_copy(0, order, share[place])
    if not missing:
        return Arc(weight, True, whole[0] * 0, whole[0])
    k = int(last[0])
    return Arc(weight, False, first[(k + 1) % n] - typical / 2, period - gap[k] + typical)


def along(angle: Tensor, height: Tensor) -> Tensor:
    """Angular width of each view of a helix, in any order: half way to its neighbors in height."""
    if angle.shape[0] == 1:
        return torch.full_like(angle, 2 * math.pi)
    order = height.detach().argsort()
    step = torch.diff(angle[order])
    step = torch.remainder(step + math.pi, 2 * math.pi) - math.pi
    step = torch.cat([step[:1], step, step[-1:]]).abs()
    return torch.zeros_like(angle).index_copy(0, order, (step[:-1] + step[1:]) / 2)


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
