"""Straight lines from noise to images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .process import Process, Spacing, require_increasing


class Flow(Process):
    """Rectified flow: z = t · clean + (1 - t) · noise, so that s = t and σ = (1 - t) / t [1]_ [2]_.

    Evenly spaced times end at t = 1, the clean image.

    Parameters
    ----------
    t_min, t_max : float
        The times of the largest level, and of the smallest one of the other spacings. At time 0 there is
        noise alone.
    spacing : {"time", "log_snr", "karras"}
        See `Process`.

    References
    ----------
    .. [1] X. Liu, C. Gong, Q. Liu, Flow straight and fast, ICLR 2023.
    .. [2] Y. Lipman et al., Flow matching for generative modeling, ICLR 2023.

    Examples
    --------
    >>> [round(float(sigma), 4) for sigma in Flow(t_min=0.25).levels(3)]
    [3.0, 1.0, 0.3333, 0.0]
    """

    t_min: float = 1e-3
    t_max: float = 0.999
    spacing: Spacing = "time"

    def __post_init__(self) -> None:
        require_increasing("Flow", t_min=self.t_min, t_max=self.t_max, one=1.0)

    @property
    def ends(self) -> tuple[float, float]:
        """Those at ``t_max`` and ``t_min``."""
        return 1 / self.t_max - 1, 1 / self.t_min - 1

    @property
    def sigma_range(self) -> tuple[float, float]:
        """From 0: a velocity is known up to t = 1."""
        return 0.0, self.ends[1]

    def between(self, steps: int) -> Tensor:
        """See `Schedule.between`."""
        if self.spacing != "time":
            return super().between(steps)
        return self.sigma(torch.linspace(self.t_min, 1, steps + 1, dtype=torch.float64)[:-1])

    def sigma(self, time: Tensor) -> Tensor:
        """See `Process.sigma`."""
        return 1 / time - 1

    def time(self, sigma: Tensor) -> Tensor:
        """See `Process.time`."""
        return 1 / (1 + sigma)

    def scale(self, sigma: Any) -> Any:
        """See `Process.scale`."""
        return 1 / (1 + sigma)
