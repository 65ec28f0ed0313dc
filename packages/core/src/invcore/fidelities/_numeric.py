"""Gradients and proximal operators of functions that are only given as code."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import ConvergenceWarning, ParameterError
from ..spaces import Space, SpaceLike, batch_shape, broadcast_shapes, expand_batch, flatten, unflatten

_HISTORY = 10
_TRIALS = 20


def by_sample(function: Callable[..., Any], vectors: tuple[Any, ...], space: SpaceLike, what: str) -> Tensor:
    """``function`` of each sample of one or several elements of ``space``, shape (batch...).

    Raises
    ------
    ParameterError
        If it does not return one real number.
    """
    batch = broadcast_shapes(*(batch_shape(v, space) for v in vectors))
    flat = [_rows(v, space, batch) for v in vectors]
    found = []
    for rows in zip(*flat):
        one = torch.as_tensor(function(*(unflatten(row, space) for row in rows)))
        if one.numel() != 1 or one.is_complex():
            raise ParameterError(
                f"{what}: the function must return one real number for one sample, got shape "
                f"{tuple(one.shape)} of {one.dtype}"
            )
        found.append(one.reshape(()).to(rows[0].dtype))
    return torch.stack(found).reshape(batch) if found else flat[0].new_zeros(batch)


def gradient(value: Callable[[Any], Tensor], x: Any, space: SpaceLike) -> Any:
    """Gradient of a function with one value per sample, by autograd; recorded where that is asked for."""
    flat = flatten(x, space)
    recorded = torch.is_grad_enabled() and (flat.requires_grad or value(x).requires_grad)
    with torch.enable_grad():
        try:
            point = flat if flat.requires_grad else flat.detach().requires_grad_()
        except RuntimeError:  # inside a transform of torch.func, which differentiates otherwise
            found = torch.func.grad(lambda v: value(unflatten(v, space)).sum())(flat)
            return unflatten(found, space)
        total = value(unflatten(point, space)).sum()
        if not total.requires_grad:
            return unflatten(torch.zeros_like(point), space)
        (found,) = torch.autograd.grad(total, point, create_graph=recorded)
    return unflatten(found, space)


def numeric_prox(
    function: Callable[[Any, Any], Tensor],
    x: Any,
    step: float | Tensor,
    space: SpaceLike,
    *,
    data: Any = None,
    data_space: SpaceLike | None = None,
    rtol: float,
    max_steps: int,
    what: str,
    project: Callable[[Any], Any] | None = None,
) -> Any:
    """argmin over z of step f(z) + ‖z - x‖²/2 by L-BFGS [1]_ on its gradient, sample by sample.

    With ``project``, the projection on a convex set, z is of that set: by projected gradients with momentum,
    and the gradient is that with the multipliers of the set.

    ``function(z, y)`` is f(z; y) for one sample and its part of the ``data``. Where f is convex the objective
    is strongly convex, and the norm of its gradient bounds the distance to the minimizer; it is brought below
    rtol (‖x‖ + step ‖∇f(x)‖). Line searches look at slopes only, which rounding leaves exact where values do
    not change any more.

    Raises
    ------
    ParameterError
        If a derivative of the result is asked for, or f is not finite at x.

    References
    ----------
    .. [1] D. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Math.
       Program. 45 (1989).
    """
    batch = batch_shape(x, space)
    t = torch.as_tensor(step, dtype=torch.float64)
    batch = broadcast_shapes(batch, t.shape)
    data_space = space if data_space is None else data_space
    if data is not None:
        batch = broadcast_shapes(batch, batch_shape(data, data_space))
    rows = _rows(x, space, batch)
    given: list[Any] = [None] * len(rows)
    if data is not None:
        given = [unflatten(row, data_space) for row in _rows(data, data_space, batch)]
    if torch.is_grad_enabled() and (rows.requires_grad or t.requires_grad):
        raise ParameterError(f"{what}.prox has no derivatives: use a solver that takes its gradient")
    steps = t.to(rows).expand(batch).reshape(-1)
    found, worst = [], 0.0
    for row, one, y in zip(rows, steps, given):

        def slope(z: Tensor, row: Tensor = row, one: Tensor = one, y: Any = y) -> Tensor:
            up = gradient(lambda v: function(unflatten(v, space), y), z, Space(tuple(z.shape)))
            return one * up.detach() + z - row

        with torch.no_grad():
            if project is None:
                first = row.detach()
            else:

                def onto(z: Tensor) -> Tensor:
                    return flatten(project(unflatten(z, space)), space)

                first = onto(row.detach())
            if not bool(torch.isfinite(function(unflatten(first, space), y))):
                raise ParameterError(f"{what}.prox: the function is not finite at the point given")
            if project is None:
                z, left = _descended(slope, first, rtol, max_steps)
            else:
                z, left = _projected(slope, onto, first, rtol, max_steps)
        found.append(z)
        worst = max(worst, left)
    if worst > max(rtol, 100 * torch.finfo(rows.dtype).eps):
        warnings.warn(
            f"{what}.prox: relative gradient {worst:.1e} after {max_steps} steps, wanted {rtol:.1e}. Raise "
            "max_steps or rtol; a function with kinks is none for this method.",
            ConvergenceWarning,
            stacklevel=4,
        )
    out = torch.stack(found) if found else rows
    return unflatten(out.reshape(*batch, rows.shape[-1]), space)


def _rows(x: Any, space: SpaceLike, batch: tuple[int, ...]) -> Tensor:
    """The real components of each sample, (n, components)."""
    return flatten(expand_batch(x, space, torch.Size(batch)), space).reshape(math.prod(batch), -1)


def _descended(
    slope: Callable[[Tensor], Tensor], x: Tensor, rtol: float, max_steps: int
) -> tuple[Tensor, float]:
    """Minimizer, and its gradient relative to where the descent began."""
    z, g = x, slope(x)
    scale = float(x.norm() + g.norm()) or 1.0
    rtol = max(rtol, 10 * torch.finfo(x.dtype).eps)
    pairs: list[tuple[Tensor, Tensor]] = []
    for _ in range(max_steps):
        if float(g.norm()) <= rtol * scale:
            break
        d = -_two_loops(g, pairs)
        z_new, g_new = _searched(slope, z, g, d)
        s, y = z_new - z, g_new - g
        if float(s @ y) > 0:
            pairs = [*pairs[-_HISTORY + 1 :], (s, y)]
        else:
            pairs = []
        z, g = z_new, g_new
    return z, float(g.norm()) / scale


def _projected(
    slope: Callable[[Tensor], Tensor],
    project: Callable[[Tensor], Tensor],
    x: Tensor,
    rtol: float,
    max_steps: int,
) -> tuple[Tensor, float]:
    """The same in a convex set, by FISTA with backtracking and restarts; ``slope`` is that of the sum."""
    z, z_before, t, momentum = x, x, 1.0, 1.0
    scale = float(x.norm() + slope(x).norm()) or 1.0
    rtol, left = max(rtol, 10 * torch.finfo(x.dtype).eps), math.inf
    for _ in range(max_steps):
        further = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        v = z + (momentum - 1) / further * (z - z_before)
        g = slope(v)
        for _ in range(_TRIALS):
            z_new = project(v - t * g)
            d, bend = z_new - v, slope(z_new) - g
            if bool(torch.isfinite(bend).all()) and float(d @ bend) <= 1.01 * float(d @ d) / t:
                break
            t = t / 2
        left = float((bend - d / t).norm()) / scale  # of an element of the subdifferential at z_new
        if left <= rtol:
            return z_new, left
        uphill = float((v - z_new) @ (z_new - z)) > 0
        z_before, z, momentum, t = z, z_new, 1.0 if uphill else further, 1.1 * t
    return z, left


def _two_loops(g: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The inverse Hessian of L-BFGS times g."""
    q, kept = g, []
    for s, y in reversed(pairs):
        a = (s @ q) / (s @ y)
        q = q - a * y
        kept.append(a)
    if pairs:
        s, y = pairs[-1]
        q = q * ((s @ y) / (y @ y))
    for (s, y), a in zip(pairs, reversed(kept)):
        q = q + (a - (y @ q) / (s @ y)) * s
    return q


def _searched(slope: Callable[[Tensor], Tensor], z: Tensor, g: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """A point on the ray along which the slope is less than 0.9 of the first: by bracket and secant."""
    first = float(g @ d)
    low, high, a = 0.0, math.inf, 1.0
    best = z, g
    for _ in range(_TRIALS):
        z_new = z + a * d
        g_new = slope(z_new)
        here = float(g_new @ d) if bool(torch.isfinite(g_new).all()) else math.inf
        if here < math.inf:
            best = z_new, g_new
            if abs(here) <= 0.9 * abs(first):
                break
        if here > 0:
            high = a
        else:
            low = a
        a = 2 * a if high == math.inf else (low + high) / 2
    return best
