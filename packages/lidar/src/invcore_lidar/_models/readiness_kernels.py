"""Recursion of a detector with dead time, column by column (numba)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from invcore import threads


@njit(nogil=True, cache=True)
def _settle(e, inner, outer, length, free, periods, x, settled):  # type: ignore[no-untyped-def]
    """Solve x_b = e_b - o_b Σ w_i (i x)_{b-i} bin by bin, and repeating bins by periods to round-off.

    Arrays are (column, bin); ``x`` holds zeros. ``settled`` marks the columns that converged.
    """
    bins = e.shape[1]
    eps = 2.220446049250313e-16
    for c in range(e.shape[0]):
        tau = length[c]
        if not free and tau > bins + 1:
            tau = bins + 1.0
        n = int(np.floor(tau))
        f = tau - n
        near, middle, far = 0.5 * (1 - f) ** 2, 0.5 + f - f * f, 0.5 * f * f
        total = np.zeros(n + 1 + bins + 1)  # counts before bin j of this period, at n + 1 + j
        previous = np.inf
        for t in range(periods if free else 1):
            if t > 0:
                whole = total[n + 1 + bins]
                kept = total[n + 1 :].copy()
                r, m = bins, 1
                for j in range(n + 1):
                    r -= 1
                    total[n - j] = kept[r] - m * whole
                    if r == 0:
                        r, m = bins, m + 1
            change, size = 0.0, 0.0
            running = 0.0
            for b in range(bins):
                held = running - near * total[b + 2] - middle * total[b + 1] - far * total[b]
                new = e[c, b] - outer[c, b] * held
                change += (new - x[c, b]) ** 2
                size += new * new
                x[c, b] = new
                running += inner[c, b] * new
                total[n + 2 + b] = running
            if not free or change <= (64 * eps) ** 2 * size:
                settled[c] = True
                break
            if t > 8 and not change < 0.8 * previous:
                settled[c] = change <= 1e-24 * size
                break
            previous = change


def settle(
    e: Tensor, inner: Tensor | None, outer: Tensor | None, length: Tensor, free: bool, periods: int
) -> tuple[Tensor, Tensor]:
    """Solve (I + O C I) x = e, (bin, column), on the CPU; also return the columns that settled."""
    columns = e.shape[1]

    def rows(t: Tensor | None) -> np.ndarray:
        return np.ones((columns, e.shape[0])) if t is None else t.detach().T.contiguous().numpy()

    arguments = rows(e), rows(inner), rows(outer), length.detach().contiguous().numpy()
    x, settled = np.zeros((columns, e.shape[0])), np.zeros(columns, dtype=np.bool_)
    kernel: Any = _settle

    def work(first: int, last: int) -> None:
        part = slice(first, last)
        kernel(*(a[part] for a in arguments), free, periods, x[part], settled[part])

    threads.run(work, threads.pieces(columns, least=16))
    return torch.from_numpy(x).T, torch.from_numpy(settled)
