"""Nonuniform Fourier sums: directly in torch, in bounded memory, or by finufft.

Points are (m, d), in radians per pixel and float64; images are (T, *shape), centered at n // 2 of each axis.
"""

from __future__ import annotations

import importlib.util
import math
import threading
from typing import Any

import torch
from torch import Tensor

_CHUNK = 2**22
"""Entries of the largest intermediate array of a direct sum."""


def positions(n: int, like: Tensor) -> Tensor:
    """Pixels of an axis from its center, in the dtype and on the device of ``like``."""
    return torch.arange(n, dtype=like.dtype, device=like.device) - n // 2


def _phases(points: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """exp(-i k r) along each axis, (n, m)."""
    angles = [positions(n, points)[:, None] * k for n, k in zip(shape, points.unbind(-1))]
    return [torch.polar(torch.ones_like(a), -a).to(dtype) for a in angles]


def _chunk(count: int, shape: tuple[int, ...]) -> int:
    """How many points a direct sum takes at once."""
    return max(1, _CHUNK // max(count * math.prod(shape[:-1]), *shape))


def direct_to_points(points: Tensor, x: Tensor) -> Tensor:
    """Σ_n x[n] exp(-i k·n), (T, m): one matrix product, and one weighted sum for each further axis."""
    shape = tuple(x.shape[1:])
    parts = []
    for some in points.split(_chunk(len(x), shape)):
        *rest, last = _phases(some, shape, x.dtype)
        z = x @ last
        for phase in reversed(rest):
            z = (z * phase).sum(-2)
        parts.append(z)
    return torch.cat(parts, -1)


def direct_to_grid(points: Tensor, y: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Σ_m y[m] exp(i k·n), (T, *shape)."""
    total = y.new_zeros((len(y), *shape))
    size = _chunk(len(y), shape)
    for some, values in zip(points.split(size), y.split(size, -1)):
        *rest, last = _phases(some, shape, y.dtype)
        for phase in rest:
            values = values.unsqueeze(-2) * phase.conj()
        total += values @ last.mH
    return total


def finufft_here() -> bool:
    """Whether finufft is installed."""
    return importlib.util.find_spec("finufft") is not None


class Plans:
    """finufft's plans for one set of points, which they hold sorted: one a direction, made when needed."""

    def __init__(self, points: Tensor, eps: float) -> None:
        self.points, self.eps = points.cpu().numpy(), eps
        self.lock = threading.Lock()  # a plan works in memory of its own
        self.kept: dict[int, tuple[Any, Any]] = {}

    def _plan(self, kind: int, count: int, shape: tuple[int, ...], dtype: torch.dtype) -> Any:
        import finufft

        threads = torch.get_num_threads()
        key = count, shape, dtype, threads
        if kind not in self.kept or self.kept[kind][0] != key:
            name = str(dtype).removeprefix("torch.")
            real = "float32" if dtype == torch.complex64 else "float64"
            eps = max(self.eps, 1e-14)
            isign = -1 if kind == 2 else 1
            plan = finufft.Plan(
                kind, shape, count, eps=eps, isign=isign, dtype=name, nthreads=threads, showwarn=0
            )
            plan.setpts(*(self.points[:, a].astype(real) for a in range(len(shape))))
            self.kept[kind] = key, plan
        return self.kept[kind][1]

    def _run(self, kind: int, z: Tensor, shape: tuple[int, ...]) -> Tensor:
        with self.lock:
            plan = self._plan(kind, len(z), shape, z.dtype)
            out = torch.from_numpy(plan.execute(z.contiguous().numpy()))
        return out.reshape(len(z), *(shape if kind == 1 else (len(self.points),)))

    def to_points(self, x: Tensor) -> Tensor:
        """As `direct_to_points`, to the relative accuracy ``eps``."""
        return self._run(2, x, tuple(x.shape[1:]))

    def to_grid(self, y: Tensor, shape: tuple[int, ...]) -> Tensor:
        """As `direct_to_grid`, to the relative accuracy ``eps``."""
        return self._run(1, y, shape)
