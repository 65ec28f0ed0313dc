"""The projection onto the images whose residual has at most a given norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import DataError, ParameterError
from ..operators import LinearOperator, least_squares
from ..spaces import expand_batch, norm, tree_map
from ._indicators import L2Ball

_TRIALS = 60
_LARGEST = 1e6


def onto_ball(f: L2Ball, A: LinearOperator, u: Any, y: Any, *, rtol: float, max_steps: int) -> Any:
    r"""argmin over x of ‖x - u‖ with ‖Ax - y‖ ≤ r.

    .. math:: x_λ = \operatorname{argmin}_x λ ‖Ax - y‖^2 + ‖x - u‖^2

    has a residual ρ(λ) that falls from ‖Au - y‖ on. 1/ρ is concave, a power mean of order -2 of 1 + λσᵢ², so
    that secants which start at the lower bound (ρ(0)/r - 1)/‖A‖² approach the root from below.

    Raises
    ------
    DataError
        If no image has a residual so small.
    ParameterError
        If r is zero, or a derivative of the result is asked for.

    References
    ----------
    J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory" (1978), for 1/ρ.
    """
    if torch.is_grad_enabled() and any(t.requires_grad for t in (*_tensors(u), *_tensors(y), *A._tensors())):
        raise ParameterError("Composed: the projection onto a ball has no derivatives: use torch.no_grad()")
    with torch.no_grad():
        rest = tree_map(torch.sub, A._apply(u), y)
        rho = norm(rest, A.range)
        r = torch.as_tensor(f.radius, dtype=rho.dtype, device=rho.device).expand(rho.shape)
        if not bool((r > 0).all()):
            raise ParameterError("Composed: the radius of the ball must be positive: A.pinv solves Ax = y")
        u = expand_batch(u, A.domain, rho.shape)
        outside = rho > r
        if not bool(outside.any()):
            return u
        size = A.norm().to(rho) ** 2
        before, g_before = torch.zeros_like(rho), 1 / torch.where(outside, rho, r)
        multiplier = torch.where(outside, (r * g_before) ** -1 - 1, 1) / torch.where(size > 0, size, 1)
        tolerance, x = max(rtol, 10 * torch.finfo(rho.dtype).eps), u
        for _ in range(_TRIALS):
            found = least_squares(
                A, y, shift=1 / multiplier, center=u, x0=x, rtol=0.1 * tolerance, max_steps=max_steps
            )
            x = tree_map(lambda a, b, s: torch.where(_over(outside, s), a, b), found, u, A.domain)
            rho = norm(tree_map(torch.sub, A._apply(x), y), A.range)
            g = 1 / rho
            slope = (g - g_before) / (multiplier - before)
            stuck = ~(slope > 0) | (multiplier * size > _LARGEST / tolerance)  # by rounding, or for good
            far = outside & (rho > r * (1 + torch.where(stuck, tolerance**0.5, tolerance)))
            if bool((far & stuck).any()):
                break
            if not bool(far.any()):
                return x
            before, g_before = (torch.where(far, *pair) for pair in ((multiplier, before), (g, g_before)))
            multiplier = torch.where(far, multiplier + (1 / r - g) / slope, multiplier)
    raise DataError(
        f"Composed: no image found whose residual has norm {float(r[far][0]):.4g} or less; the smallest is "
        f"about {float(rho[far][0]):.4g}. Raise the radius of the ball."
    )


def _tensors(x: Any) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else [t for part in x for t in _tensors(part)]


def _over(flags: Tensor, space: Any) -> Tensor:
    return flags.reshape(*flags.shape, *(1,) * len(space.shape))
