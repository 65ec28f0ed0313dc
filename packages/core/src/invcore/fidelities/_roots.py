"""Scalar equations behind proximal operators, solved entry by entry and differentiable."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def newton(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    low: Tensor,
    high: Tensor,
    steps: int = 60,
) -> Tensor:
    """Find a root in [low, high] of a function that returns its value and slope.

    Iterates are kept in the interval. The last step carries the derivative with respect to whatever the
    function depends on (implicit function theorem), so that gradients do not pass through the iteration; one
    more carries the second derivative.
    """
    with torch.no_grad():
        z = start.detach().clone()
        for _ in range(steps):
            new = torch.maximum(torch.minimum(z - _ratio(*function(z)), high), low)
            done = bool(((new - z).abs() <= 4 * torch.finfo(z.dtype).eps * new.abs()).all())
            z = new
            if done:
                break
    for _ in range(2 if torch.is_grad_enabled() else 1):
        value, slope = function(z)
        z = z - _ratio(value, slope.detach())
    return z


def _ratio(value: Tensor, slope: Tensor) -> Tensor:
    return value / torch.where(slope.abs() > torch.finfo(slope.dtype).tiny, slope, torch.ones_like(slope))


def cubic_minimizer(
    a: Tensor, b: Tensor, c: Tensor, upper: Tensor, objective: Callable[[Tensor], Tensor]
) -> Tensor:
    """Among the roots of z³ - a z² + b z - c in [0, upper] the one where the objective is smallest.

    For b > 0, c >= 0 and a cubic that is >= 0 at ``upper``. The cubic is concave up to a/3 and convex beyond,
    so Newton's iteration from 0 rises to the smallest root, and from ``upper`` falls to the largest: the only
    ones that can be minima.
    """

    def cubic(z: Tensor) -> tuple[Tensor, Tensor]:
        return ((z - a) * z + b) * z - c, (3 * z - 2 * a) * z + b

    zero = torch.zeros_like(upper)
    small = newton(cubic, zero, zero, upper.detach())
    large = newton(cubic, upper, zero, upper.detach())
    return torch.where(objective(small) < objective(large), small, large)
