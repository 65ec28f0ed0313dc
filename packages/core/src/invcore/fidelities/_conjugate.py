"""The conjugate of a function that offers its value and proximal operator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import ConvergenceWarning
from ..spaces import SpaceLike, add, norm, tree_map, vdot

_STEPS, _LONGEST = 60, 4.0**20


def numeric_conjugate(
    value: Callable[[Any], Tensor],
    prox: Callable[[Any, float], Any],
    p: Any,
    space: SpaceLike,
    *,
    tolerance: float = 0.0,
    what: str,
) -> Tensor:
    r"""f*(p) = sup over u of Re⟨p, u⟩ - f(u), of each sample, by the proximal point method.

    .. math:: u_{k+1} = \operatorname{prox}_{t_k f}(u_k + t_k p), \quad t_k = 4^k

    where :math:`q = p - (u_{k+1} - u_k)/t_k` is a subgradient of f at :math:`u_{k+1}`, so that f*(q) is known
    exactly. It ends where q is p to ``tolerance`` or, if that is more, ε^(3/4) of the precision; a sample
    whose q stays away lies outside the domain, and gives infinity. The derivative is that of the supremum.

    References
    ----------
    R. T. Rockafellar, "Monotone operators and the proximal point algorithm", SIAM J. Control Optim. 14
    (1976).
    """
    slope = norm(p, space)
    tolerance = max(tolerance, torch.finfo(slope.dtype).eps ** 0.75)
    with torch.no_grad():
        u, t = tree_map(torch.zeros_like, p), 1.0
        left = torch.full_like(slope, torch.inf)
        for _ in range(_STEPS):
            new = prox(add(u, p, t), t)
            moved = norm(tree_map(torch.sub, new, u), space)
            scale = t * slope + norm(new, space)
            left = torch.where(scale > 0, moved / torch.where(scale > 0, scale, 1), 0)
            u = new
            if bool((left <= tolerance).all()):
                break
            t = min(4 * t, _LONGEST)
    outside = left > max(1e-3, 10 * tolerance)
    worst = float(torch.where(outside, 0, left).amax()) if left.numel() else 0.0
    if worst > tolerance:
        warnings.warn(
            f"{what}.conjugate: a relative distance of {worst:.1e} from the slope asked for remains; it lies "
            f"at the edge of the domain, or the proximal operator is less exact than {tolerance:.1e}",
            ConvergenceWarning,
            stacklevel=4,
        )
    return torch.where(outside, torch.inf, vdot(p, u, space) - value(u)).to(slope.dtype)
