"""Checks shared by fidelities and priors: a value per sample, its gradient, its proximal operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..spaces import Space, flatten, unflatten
from ._checks import fail
from ._probes import distance, item, mapped, require_same, seeded, snapshot


@dataclass(frozen=True)
class Function:
    """f(x) of an element of a space, as a fidelity (with its data fixed) or a prior offers it."""

    label: str
    space: Space
    at: Tensor
    value: Callable[[Tensor], Tensor]
    grad: Callable[[Tensor], Tensor] | None = None
    prox: Callable[[Tensor, Any], Tensor] | None = None

    def flat_value(self, v: Tensor) -> Tensor:
        """f in real coordinates."""
        return self.value(unflatten(v, self.space))

    @property
    def flat(self) -> Tensor:
        """The point in real coordinates, one item."""
        return flatten(self.at, self.space)


def require_value_per_sample(f: Function, batch: tuple[int, ...]) -> None:
    """Fail unless the value of a batch is real and has its shape."""
    out = f.value(f.at)
    if tuple(out.shape) != batch or not out.is_floating_point():
        fail(
            f"{f.label}: value has shape {tuple(out.shape)} and dtype {out.dtype}; expected real, shape "
            f"{batch}"
        )


def require_gradient(f: Function) -> None:
    """Fail unless ``grad`` is the gradient of ``value``, by a four-point stencil in every direction tried."""
    assert f.grad is not None
    x = f.flat
    g = f.grad(f.at)
    if g.shape != f.at.shape or g.dtype != f.at.dtype:
        fail(
            f"{f.label}: grad has shape {tuple(g.shape)} and dtype {g.dtype}, its point {tuple(f.at.shape)} "
            f"and {f.at.dtype}"
        )
    gradient = flatten(g, f.space)
    size = float(gradient.norm())
    generator = seeded(51)
    directions = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for _ in range(4)]
    if size:
        directions.insert(0, gradient)
    h = 1e-4
    for d in directions:
        d = d / d.norm() * x.norm().clamp_min(1e-3)
        values = [float(f.flat_value(x + k * h * d)) for k in (-2, -1, 1, 2)]
        numeric = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
        analytic = float((gradient * d).sum())
        scale = max(abs(numeric), size * float(d.norm()), 1e-9 * max(map(abs, values)))
        if not abs(analytic - numeric) <= 1e-6 * scale:
            fitted = f"{analytic / numeric:.6g} x" if numeric else "not"
            fail(
                f"{f.label}: grad is {fitted} the derivative of value ({analytic:.6g} against {numeric:.6g})"
            )


def require_prox(f: Function, steps: tuple[float, ...] = (0.3, 2.0), tolerance: float = 0.0) -> None:
    """Fail if a search finds a point with a smaller f(z) + ‖z - x‖²/(2 step) than ``prox(x, step)``."""
    assert f.prox is not None
    x = f.flat
    for step in steps:
        found = f.prox(f.at, step)
        if found.shape != f.at.shape or found.dtype != f.at.dtype:
            fail(
                f"{f.label}: prox has shape {tuple(found.shape)} and dtype {found.dtype}, its point "
                f"{tuple(f.at.shape)} and {f.at.dtype}"
            )
        z = flatten(found, f.space)
        start = float(_penalized(f, z, x, step))
        if not start < float("inf"):
            fail(f"{f.label}: prox(x, {step}) has the value {start}: it lies outside the domain")
        better, best = _search(lambda v, step=step: _penalized(f, v, x, step), z, [x - z, z, x])  # type: ignore[misc]
        gain = start - best
        if gain > max(tolerance, 1e-9) * max(abs(start), 1e-12):
            fail(
                f"{f.label}: prox(x, {step}) is not the minimizer of f(z) + ‖z - x‖²/(2 step): it gives "
                f"{start:.8g}, and a point at distance {float((better - z).norm()):.2g} gives {best:.8g}"
            )


def _penalized(f: Function, z: Tensor, x: Tensor, step: float) -> Tensor:
    return f.flat_value(z).double() + ((z - x) ** 2).sum(-1) / (2 * step)


def _search(objective: Callable[[Tensor], Tensor], z: Tensor, along: list[Tensor]) -> tuple[Tensor, float]:
    """Brute force: look for a lower value along axes, given and random directions, at many distances.

    All trials are one batch: a value that takes an iteration of its own takes it once.
    """
    axes = torch.eye(len(z), dtype=z.dtype)[:12]
    random = torch.randn((12, len(z)), generator=seeded(52), dtype=z.dtype)
    d = torch.cat([torch.stack(along), axes, random])
    sizes = d.norm(dim=-1, keepdim=True)
    d = (d / torch.where(sizes > 0, sizes, 1)) * (float(z.norm()) or 1.0)
    far = torch.tensor([1e-5, 1e-3, 1e-2, 0.1, 0.5], dtype=z.dtype)
    lengths = torch.cat([far, -far])
    trials = torch.cat([z[None], (z + lengths[:, None, None] * d).reshape(-1, len(z))])
    values = objective(trials)
    best = int(values.nan_to_num(nan=float("inf"), posinf=float("inf"), neginf=float("-inf")).argmin())
    return trials[best], float(values[best])


def require_batch_equals_loop(
    label: str, function: Callable[[Any], Any], x: Any, rtol: float = 1e-12, factor: float = 1e3
) -> None:
    """Fail unless a function of a batch ``(n, ...)`` equals that of each item, whatever the others."""
    together = function(x)
    for i in range(len(x)):
        alone = function(item(x, i))
        require_same(
            item(together, i), alone, rtol, f"{label} of a batch differs from that of its item {i} alone"
        )
    mates = x.clone()
    mates[1:] = factor * mates[1:]
    changed = item(function(mates), 0)
    require_same(changed, item(together, 0), rtol, f"{label} of a sample changes with its batch-mates")


def require_pure(label: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Fail if a call changes its arguments, or gives another result the second time; return the result."""
    kept = [snapshot(a, f"argument {i}") for i, a in enumerate(arguments)]
    first = mapped(lambda t: t.detach().clone(), function(*arguments))
    again = function(*arguments)
    for k in kept:
        if k.changed():
            fail(f"{label} changes its input in place ({k.changed()})")
    if distance(again, first) > 0:
        fail(f"{label} gives another result the second time: it keeps state, or is random")
    return first
