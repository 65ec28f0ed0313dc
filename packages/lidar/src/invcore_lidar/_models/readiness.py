"""Probability that a detector with dead time is ready, as a linear system over the bins of a histogram.

Let qⱼ be the probability that a ready detector counts in bin j, Lⱼ that it is ready and Pⱼ = qⱼ Lⱼ that it
counts. At most one of the counts within a dead time can occur, so that their probabilities add: L = 1 - C P,
where C sums over the dead time before a bin, and (I + C Q) L = 1. Tensors are (bin, column), a column per
pixel.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from invcore import ConvergenceWarning
from invcore.operators import under_transform
from invcore.spaces import broadcast_shapes

_PERIODS, _CYCLES, _STEPS = 120, 6, 60


def window(p: Tensor, length: Tensor, free: bool) -> Tensor:
    """Return C p: the counts within the dead time before each bin, averaged over positions within bins.

    Photons i bins apart are closer than τ bins with probability F(τ - i), F the distribution function of the
    difference of two uniform numbers; the sum over i is a difference of cumulative sums, the farther one
    interpolated by a quadratic B-spline.

    Parameters
    ----------
    p : Tensor, shape (bin, column)
    length : Tensor, shape (column,)
        τ >= 1, the dead time in bins.
    free : bool
        True if the bins repeat periodically; else nothing precedes the first.
    """
    total = _cumulative(p)
    n, f = _split(length, p.shape[0], free)
    return (
        total[:-1]
        - 0.5 * (1 - f) ** 2 * _before(total, n - 1, free)
        - (0.5 + f - f * f) * _before(total, n, free)
        - 0.5 * f * f * _before(total, n + 1, free)
    )


def window_adjoint(p: Tensor, length: Tensor, free: bool) -> Tensor:
    """Return Cᵀ p."""
    return window(p.flip(0), length, free).flip(0)


def window_slope(p: Tensor, length: Tensor, free: bool) -> Tensor:
    """Return (dC/dτ) p."""
    total = _cumulative(p)
    n, f = _split(length, p.shape[0], free)
    return (
        (1 - f) * _before(total, n - 1, free)
        - (1 - 2 * f) * _before(total, n, free)
        - f * _before(total, n + 1, free)
    )


def _cumulative(p: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(p[:1]), p.cumsum(0)])


def _split(length: Tensor, bins: int, free: bool) -> tuple[int | Tensor, Tensor]:
    """Return the whole bins (a number if equal for all columns) and the fraction."""
    if not free:
        length = length.clamp_max(bins + 1)
    whole = length.detach().floor()
    low, high = (float(v) for v in whole.aminmax())
    return int(low) if low == high else whole.long(), length - whole


def _before(total: Tensor, back: int | Tensor, free: bool) -> Tensor:
    """Return the counts before the bin that lies ``back`` bins before each bin."""
    bins = total.shape[0] - 1
    row = torch.arange(bins, device=total.device)
    if isinstance(back, Tensor):
        row = row[:, None] - back
        take = row.remainder(bins) if free else row.clamp_min(0)
        found = total.gather(0, take)
        return found + row.div(bins, rounding_mode="floor") * total[-1] if free else found
    row = row - back
    found = total[row.remainder(bins) if free else row.clamp_min(0)]
    return found + row.div(bins, rounding_mode="floor")[:, None] * total[-1] if free else found


# -- the system ----------------------------------------------------------------------------------------


def solve_readiness(e: Tensor, q: Tensor, length: Tensor, free: bool) -> Tensor:
    """Solve (I + C Q) x = e, differentiable in all three tensors, any number of times.

    Parameters
    ----------
    e, q : Tensor, shape (bin, column)
        Float64.
    length : Tensor, shape (column,)
    free : bool
    """
    return _Readiness.apply(e, q, length, free, False)


class _Readiness(torch.autograd.Function):
    """Solution x of (I + C Q) x = e, or of (I + Q Cᵀ) x = e if transposed."""

    @staticmethod
    def forward(e: Tensor, q: Tensor, length: Tensor, free: bool, transposed: bool) -> Tensor:
        if transposed:  # reversing time turns C into Cᵀ
            return _solved(e.flip(0), None, q.flip(0), length, free).flip(0)
        return _solved(e, q, None, length, free)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, q, length, ctx.free, ctx.transposed = inputs
        ctx.save_for_backward(q, length, output)
        ctx.save_for_forward(q, length, output)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        q, length, x = ctx.saved_tensors
        free = ctx.free
        z = _Readiness.apply(v, q, length, free, not ctx.transposed)
        first, second = (z, x) if ctx.transposed else (x, z)  # <second, C Q first>
        grad_q = -first * window_adjoint(second, length, free) if ctx.needs_input_grad[1] else None
        grad_length = None
        if ctx.needs_input_grad[2]:
            grad_length = -(second * window_slope(q * first, length, free)).sum(0)
        return z, grad_q, grad_length, None, None

    @staticmethod
    def jvp(ctx: Any, de: Tensor | None, dq: Tensor | None, dlength: Tensor | None, *rest: None) -> Tensor:
        q, length, x = ctx.saved_tensors
        free = ctx.free
        right = torch.zeros_like(x) if de is None else de
        if dq is not None:
            right = right - (
                dq * window_adjoint(x, length, free) if ctx.transposed else window(dq * x, length, free)
            )
        if dlength is not None:
            if ctx.transposed:
                right = right - q * window_slope(x.flip(0), length, free).flip(0) * dlength
            else:
                right = right - window_slope(q * x, length, free) * dlength
        return _Readiness.apply(right, q, length, free, ctx.transposed)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        *tensors, free, transposed = inputs
        spread = [
            t.unsqueeze(-1).expand(*t.shape, info.batch_size) if d is None else t.movedim(d, -1)
            for t, d in zip(tensors, in_dims)
        ]
        shape = broadcast_shapes(spread[0].shape, spread[1].shape)
        out = _Readiness.apply(*(t.flatten(-2) for t in spread), free, transposed)
        return out.reshape(shape), len(shape) - 1


def _solved(e: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor, free: bool) -> Tensor:
    """Solve (I + O C I) x = e."""
    if e.device.type == "cpu" and not under_transform():
        from .readiness_kernels import settle  # numba takes a second to load

        x, settled = settle(e, inner, outer, length, free, _PERIODS)
        return x if bool(settled.all()) else _finished(x, ~settled, e, inner, outer, length)
    if not free:
        return _sweep(e, inner, outer, length)
    return _in_pieces(_repeating, e, inner, outer, length, 2**23)


def _finished(
    x: Tensor, rest: Tensor, e: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor
) -> Tensor:
    """Return x with the columns ``rest`` solved by GMRES."""
    index = rest.nonzero().squeeze(1)
    first, last = (None if t is None else t[:, index] for t in (inner, outer))
    solved = _in_pieces(_minimal, e[:, index], first, last, length[index], 2**26 // _STEPS)
    return x.index_copy(1, index, solved)


def _in_pieces(
    solve: Any, e: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor, entries: int
) -> Tensor:
    """Call ``solve`` for groups of columns with at most ``entries`` entries."""
    columns = max(1, entries // max(e.shape[0], 1))
    pieces = []
    for start in range(0, e.shape[1], columns):
        part = slice(start, start + columns)
        cut = (None if t is None else t[:, part] for t in (inner, outer))
        pieces.append(solve(e[:, part], *cut, length[part]))
    return torch.cat(pieces, dim=1) if pieces else e.clone()


def _sweep(e: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor) -> Tensor:
    """Solve bin by bin if nothing precedes the first bin."""
    bins, columns = e.shape
    n, f = _split(length, bins, False)
    weights = 0.5 * (1 - f) ** 2, 0.5 + f - f * f, 0.5 * f * f
    total = e.new_zeros(bins + 1, columns)
    x = torch.empty_like(e)
    for b in range(bins):
        held = total[b].clone()
        for k, weight in enumerate(weights):
            if isinstance(n, int):
                row = b - n + 1 - k
                if row > 0:
                    held -= weight * total[row]
            else:
                held -= weight * total.gather(0, (b - n + 1 - k).clamp_min(0)[None])[0]
        x[b] = e[b] - (held if outer is None else outer[b] * held)
        total[b + 1] = total[b] + (x[b] if inner is None else inner[b] * x[b])
    return x


def _repeating(e: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor) -> Tensor:
    """Solve for repeating bins, period by period until nothing changes.

    A few periods suffice unless the memory of the detector is long, as at high flux; GMRES solves those
    columns.
    """
    x = torch.zeros_like(e)
    left, floor = e, 4 * torch.finfo(e.dtype).eps * e.norm(dim=0)
    before = torch.full_like(floor, torch.inf)
    for _ in range(_PERIODS):
        x = x + _sweep(left, inner, outer, length)
        left = e - _applied(x, inner, outer, length)
        now = left.norm(dim=0)
        hard = ~(now <= floor)
        if bool((~hard | ~(now < 0.5 * before)).all()):
            break
        before = now
    hard = hard & ~(now <= 4 * floor)
    return _finished(x, hard, e, inner, outer, length) if bool(hard.any()) else x


def _applied(x: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor) -> Tensor:
    """Return (I + O C I) x."""
    held = window(x if inner is None else inner * x, length, True)
    return x + (held if outer is None else outer * held)


def _minimal(e: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor) -> Tensor:
    """Solve by GMRES, preconditioned by a sweep and restarted until the residual is round-off."""
    x = torch.zeros_like(e)
    left = e
    size = e.norm(dim=0)
    floor = 4 * torch.finfo(e.dtype).eps * size
    best = torch.full_like(size, torch.inf)
    for _ in range(_CYCLES):
        x = x + _corrected(
            lambda v: _sweep(_applied(v, inner, outer, length), inner, outer, length),
            left,
            inner,
            outer,
            length,
        )
        left = e - _applied(x, inner, outer, length)
        now = left.norm(dim=0)
        if bool(((now <= floor) | (now > 0.5 * best)).all()):
            break
        best = torch.minimum(best, now)
    if bool((now > 1e-6 * size).any()):
        warnings.warn(
            f"DeadTime: the stationary state of {int((now > 1e-6 * size).sum())} pixels was found to "
            f"{float((now / size).max()):.1e} only: their rates are negative, or beyond any detector",
            ConvergenceWarning,
            stacklevel=2,
        )
    return x


def _corrected(apply: Any, e: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor) -> Tensor:
    """Run one cycle of GMRES with Givens rotations for apply(x) = sweep(e), columns independently."""
    r = _sweep(e, inner, outer, length)
    beta = r.norm(dim=0)
    floor = 1e-10 * beta
    basis = [r / torch.where(beta > 0, beta, 1.0)]
    triangle: list[list[Tensor]] = []
    turns: list[tuple[Tensor, Tensor]] = []
    right = [beta]
    for k in range(min(_STEPS, e.shape[0])):
        w = apply(basis[k])
        length_of_w = w.norm(dim=0)
        column = [torch.zeros_like(beta) for _ in basis]
        for _ in range(2):  # twice is enough (Kahan)
            for i, v in enumerate(basis):
                overlap = (v * w).sum(0)
                w = w - overlap * v
                column[i] = column[i] + overlap
        below = w.norm(dim=0)
        below = torch.where(below > 1e-14 * length_of_w, below, 0.0)
        basis.append(torch.where(below > 0, w / torch.where(below > 0, below, 1.0), 0.0))
        for i, (c, s) in enumerate(turns):
            column[i], column[i + 1] = c * column[i] + s * column[i + 1], c * column[i + 1] - s * column[i]
        radius = torch.hypot(column[k], below)
        safe = torch.where(radius > 0, radius, 1.0)
        c, s = torch.where(radius > 0, column[k] / safe, 1.0), below / safe
        turns.append((c, s))
        column[k] = radius
        triangle.append(column)
        right[k], last = c * right[k], -s * right[k]
        right.append(last)
        if bool((last.abs() <= floor).all()):
            break
    y: list[Tensor] = []
    for i in reversed(range(len(triangle))):
        rest = right[i] - sum(
            (triangle[j][i] * y[len(triangle) - 1 - j] for j in range(i + 1, len(triangle))), 0.0
        )
        diagonal = triangle[i][i]
        y.append(torch.where(diagonal > 0, rest / torch.where(diagonal > 0, diagonal, 1.0), 0.0))
    y.reverse()
    return sum((a * v for a, v in zip(y, basis)), torch.zeros_like(e))
