"""The total-variation denoising problem on its dual, in place: the hot loop of `TV.prox`.

Images lie flat: ``(sample, group, component, pixels)`` with pixels contiguous. A difference along an axis is
then a shift of the whole buffer by a stride, and stays correct across images because the last slice of every
dual field is kept at zero. Everything is in units where the weight of the penalty is 1 (the penalty is
homogeneous: x/t solves the problem for v/t).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_CHUNK = 2**19
"""Entries of the samples that are worked on together on a CPU: what the caches hold."""


class DualResult(NamedTuple):
    """x, the dual fields, relative gap (0 where it is below rounding) and steps per sample."""

    x: Tensor
    p: Tensor
    gap: Tensor
    steps: Tensor


class _Fields:
    """Buffers for a set of samples, and the passes over them."""

    def __init__(
        self, u: Tensor, p: Tensor, shape: tuple[int, ...], scales: tuple[float, ...], isotropic: bool
    ) -> None:
        self.u, self.p, self.q = u, p, p.clone()
        self.shape, self.scales, self.isotropic = shape, scales, isotropic
        self.strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        self.x, self.t = torch.empty_like(u), torch.zeros_like(u)
        # caches are small: without components to sum over, the magnitudes share the work space
        self.m = self.t if u.shape[2] == 1 else torch.empty_like(u[:, :, :1])
        self.sums = u.new_empty(2, *u[:, :, :1].shape)
        self.plain = u.shape[2] == 1 and (not isotropic or len(shape) == 1)  # scalars: a clamp

    def primal(self) -> None:
        """x = u - Kᵀq."""
        x, u = self.x.view(-1), self.u.view(-1)
        source = u
        for q, stride, s in zip(self.q, self.strides, self.scales):
            q = q.view(-1)
            torch.add(source, q, alpha=s, out=x)
            x[stride:].sub_(q[:-stride], alpha=s)
            source = x

    def differences(self, axis: int) -> Tensor:
        """Kx along one axis, without the spacing; the last slice is zero. In the work space."""
        x, stride, n = self.x.view(-1), self.strides[axis], self.shape[axis]
        torch.sub(x[stride:], x[:-stride], out=self.t.view(-1)[:-stride])
        self.t.view(-1, n, stride)[:, n - 1].zero_()
        return self.t

    def ascend(self, tau: float, shrink: Tensor | None) -> None:
        """q ← projection of (q + τ Kx)·shrink on the unit balls."""
        for axis, s in enumerate(self.scales):
            self.q[axis].add_(self.differences(axis), alpha=tau * s)
        if shrink is not None:
            self.q.mul_(shrink)
        if self.plain:
            self.q.clamp_(-1, 1)
        elif self.isotropic:
            self._power(self.q).clamp_min_(1).rsqrt_()
            self.q.mul_(self.m)
        else:
            for q in self.q:
                self._power(q.unsqueeze(0)).clamp_min_(1).rsqrt_()
                q.mul_(self.m)

    def _power(self, fields: Tensor) -> Tensor:
        """m = the squared norm of each group."""
        first = True
        for field in fields:
            for c in range(field.shape[2]):
                part = field[:, :, c : c + 1]
                if first:
                    torch.mul(part, part, out=self.m)
                    first = False
                else:
                    self.m.addcmul_(part, part)
        return self.m

    def measure(self, smoothing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gap, primal value and dual cost ‖x‖²/2 + δ‖q‖²/2 of each sample, from the x of the current q.

        Values and products are subtracted entry by entry, so that their sums do not cancel.
        """
        d, smooth = smoothing.view(-1, 1, 1, 1), bool((smoothing > 0).any())
        axes = range(len(self.q))
        gap, value = torch.zeros_like(smoothing), torch.zeros_like(smoothing)
        power, inner = self.sums
        for together in [axes] if self.isotropic else [[axis] for axis in axes]:
            power.zero_(), inner.zero_()
            for axis in together:
                slopes = self.differences(axis).mul_(self.scales[axis])
                for slope, q in zip(slopes.split(1, 2), self.q[axis].split(1, 2)):
                    power.addcmul_(slope, slope)
                    inner.addcmul_(slope, q)
            r = power.sqrt_()
            if smooth:
                r = torch.where(r <= d, r.square() / (2 * d), r - d / 2)
            value += _total(r)
            gap += _total(torch.sub(r, inner, out=inner))
        conjugate = smoothing / 2 * sum(map(_total, self.q.square())) if smooth else 0.0
        distance = _total(torch.sub(self.x, self.u, out=self.t).square_()) / 2
        size = _total(torch.mul(self.x, self.x, out=self.t)) / 2
        return gap + conjugate, distance + value, size + conjugate

    def extrapolate(self, beta: Tensor) -> None:
        """q ← q + β (q - p), p ← q."""
        if (
            len(beta) == 1 and beta.device.type == "cpu"
        ):  # elsewhere reading the number would wait for the device
            torch.lerp(self.p, self.q, 1 + float(beta), out=self.p)
        else:
            torch.lerp(self.p, self.q, 1 + beta.view(-1, 1, 1, 1), out=self.p)
        self.p, self.q = self.q, self.p

    def keep(self, index: Tensor) -> None:
        """Go on with these samples only."""
        self.u, self.x, self.t = self.u[index], self.x[index], self.t[index]
        self.m = self.t if self.u.shape[2] == 1 else self.m[index]
        self.p, self.q = self.p[:, index], self.q[:, index]
        self.sums = self.sums[:, : len(index)]


def _total(x: Tensor) -> Tensor:
    """The sum over each sample."""
    return x.flatten(1).sum(1)


@torch.no_grad()
def solve(
    u: Tensor,
    shape: tuple[int, ...],
    *,
    scales: tuple[float, ...],
    isotropic: bool,
    smoothing: Tensor,
    rtol: float,
    max_steps: int,
    start: Tensor | None = None,
    every: int = 10,
) -> DualResult:
    """Minimize TV(x) + ‖x - u‖²/2 for each sample by FISTA on the dual, with restarts and a stop per sample.

    Parameters
    ----------
    u : Tensor, shape (sample, group, component, pixels)
        Real. Norms are over components (and axes, if isotropic).
    shape : tuple of int
        The spatial axes that ``pixels`` stands for.
    scales : tuple of float
        One over the spacing of each axis.
    smoothing : Tensor, shape (sample,)
        Huber's δ.
    rtol : float
        Relative duality gap to reach.
    start : Tensor, shape (axis, sample, group, component, pixels), optional
        Dual fields to start from.
    """
    count = len(u)
    if not u.numel():
        none = u.new_zeros(count)
        return DualResult(u, u.new_zeros((len(shape), *u.shape)), none, none.int())
    step = _CHUNK // max(u[:1].numel(), 1) if u.device.type == "cpu" else count
    parts = [
        _solve(u[i : i + step], shape, scales, isotropic, smoothing[i : i + step], rtol, max_steps,
               None if start is None else start[:, i : i + step], every)
        for step in (max(step, 1),)
        for i in range(0, count, step)
    ]  # fmt: skip
    if len(parts) == 1:
        return parts[0]
    return DualResult(
        torch.cat([r.x for r in parts]),
        torch.cat([r.p for r in parts], 1),
        torch.cat([r.gap for r in parts]),
        torch.cat([r.steps for r in parts]),
    )


def _solve(
    u: Tensor,
    shape: tuple[int, ...],
    scales: tuple[float, ...],
    isotropic: bool,
    smoothing: Tensor,
    rtol: float,
    max_steps: int,
    start: Tensor | None,
    every: int,
) -> DualResult:
    p = u.new_zeros((len(shape), *u.shape)) if start is None else start.clone()
    f = _Fields(u, p, shape, scales, isotropic)
    tau = 1 / sum(4 * s**2 for s in scales)
    smooth = bool((smoothing > 0).any())
    eps = torch.finfo(u.dtype).eps
    floor = max(rtol, eps)
    rounding = eps * sum(scales) * u.abs().flatten(1).sum(1)  # of the value: a gap below it is none
    out = DualResult(
        torch.empty_like(u),
        torch.empty_like(p),
        u.new_full((len(u),), math.inf),
        torch.zeros(len(u), dtype=torch.int32),
    )
    at = torch.arange(len(u), device=u.device)
    momentum, best = u.new_zeros(len(u)), u.new_full((len(u),), math.inf)
    delta = smoothing
    for k in range(1, max_steps + 1):
        f.primal()
        f.ascend(tau, 1 / (1 + tau * delta.view(-1, 1, 1, 1)) if smooth else None)
        if k % every == 0 or k == max_steps:
            f.primal()
            absolute, value, cost = f.measure(delta)
            gap = torch.where(absolute > rounding[at], absolute / value, 0)
            stop = (gap <= floor) | (k == max_steps)
            if bool(stop.all()) and len(at) == len(u):  # none has ended before: nothing to put together
                return DualResult(f.x, f.q, gap, torch.full_like(out.steps, k))
            if bool(stop.any()):
                ended, on = stop.nonzero()[:, 0], (~stop).nonzero()[:, 0]
                out.x[at[ended]], out.p[:, at[ended]] = f.x[ended], f.q[:, ended]
                out.gap[at[ended]], out.steps[at[ended].cpu()] = gap[ended], k
                if not len(on):
                    break
                f.keep(on)
                at, momentum, best, cost, delta = at[on], momentum[on], best[on], cost[on], delta[on]
            momentum = torch.where(cost > best, 0.0, momentum)
            best = cost
        momentum = momentum + 1
        f.extrapolate(momentum / (momentum + 3))
    return out
