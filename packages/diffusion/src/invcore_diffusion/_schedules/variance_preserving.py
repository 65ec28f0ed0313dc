"""Processes that keep the variance: s² (1 + σ²) = 1."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor

from invcore import ParameterError

from .process import Process, Spacing, require_increasing


def _scale(sigma: Any) -> Any:
    return (1 + sigma**2) ** -0.5


class VariancePreserving(Process):
    """Variance-preserving diffusion in continuous time with a linear rate [1]_.

    The rate β(t) = β_min + t (β_max - β_min) gives the level σ² = exp(∫₀ᵗ β) - 1 and s² = 1 / (1 + σ²).

    Parameters
    ----------
    beta_min, beta_max : float
        The rate at time 0 and at time 1.
    t_min, t_max : float
        The times of the smallest and of the largest level.
    spacing : {"time", "log_snr", "karras"}
        See `Process`.

    References
    ----------
    .. [1] Y. Song et al., Score-based generative modeling through stochastic differential equations,
       ICLR 2021, eq. 32.

    Examples
    --------
    >>> levels = VariancePreserving().levels(3)
    >>> [round(float(sigma), 4) for sigma in levels]
    [152.167, 3.4222, 0.0105, 0.0]
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0
    spacing: Spacing = "time"

    def __post_init__(self) -> None:
        require_increasing("VariancePreserving", t_min=self.t_min, t_max=self.t_max)
        require_increasing("VariancePreserving", beta_min=self.beta_min, beta_max=self.beta_max)

    @property
    def ends(self) -> tuple[float, float]:
        """Those at ``t_min`` and ``t_max``."""
        return self._at(self.t_min), self._at(self.t_max)

    def sigma(self, time: Tensor) -> Tensor:
        """See `Process.sigma`."""
        return torch.expm1(time * (self.beta_min + time * (self.beta_max - self.beta_min) / 2)).sqrt()

    def time(self, sigma: Tensor) -> Tensor:
        """See `Process.time`."""
        total = torch.log1p(sigma**2)
        root = (self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * total).sqrt()
        return 2 * total / (self.beta_min + root)

    def scale(self, sigma: Any) -> Any:
        """See `Process.scale`."""
        return _scale(sigma)


class Cosine(Process):
    """Variance-preserving diffusion with s² = cos²(u) / cos²(u₀), u = (t + offset) / (1 + offset) · π/2 [1]_.

    Parameters
    ----------
    offset : float
        Keeps the smallest levels apart; u₀ is u at time 0.
    t_min, t_max : float
        The times of the smallest and of the largest level; at time 1 there is noise alone.
    spacing : {"time", "log_snr", "karras"}
        See `Process`.

    References
    ----------
    .. [1] A. Nichol, P. Dhariwal, Improved denoising diffusion probabilistic models, ICML 2021, eq. 17.

    Examples
    --------
    >>> [round(float(sigma), 3) for sigma in Cosine().levels(3)]
    [118.824, 1.005, 0.006, 0.0]
    """

    offset: float = 0.008
    t_min: float = 1e-3
    t_max: float = 0.9946
    spacing: Spacing = "time"

    def __post_init__(self) -> None:
        require_increasing("Cosine", t_min=self.t_min, t_max=self.t_max, one=1.0)
        require_increasing("Cosine", offset=self.offset)

    @property
    def ends(self) -> tuple[float, float]:
        """Those at ``t_min`` and ``t_max``."""
        return self._at(self.t_min), self._at(self.t_max)

    @property
    def _first(self) -> float:
        return self.offset / (1 + self.offset) * math.pi / 2

    def sigma(self, time: Tensor) -> Tensor:
        """See `Process.sigma`."""
        gone = time / (1 + self.offset) * math.pi / 2  # cos²u₀ - cos²u = sin(u - u₀) sin(u + u₀)
        return (gone.sin() * (gone + 2 * self._first).sin()).sqrt() / (gone + self._first).cos()

    def time(self, sigma: Tensor) -> Tensor:
        """See `Process.time`."""
        u = torch.atan((sigma**2 + math.sin(self._first) ** 2).sqrt() / math.cos(self._first))
        return (u - self._first) * (1 + self.offset) / (math.pi / 2)

    def scale(self, sigma: Any) -> Any:
        """See `Process.scale`."""
        return _scale(sigma)


class Discrete(Process):
    """Variance-preserving diffusion at the steps 0, 1, … of a table, as checkpoints of DDPM state it [1]_.

    The table holds ᾱ = s², so that σ² = (1 - ᾱ) / ᾱ. Between two steps log σ is interpolated.

    Parameters
    ----------
    alphas_cumprod : Tensor, shape (T,)
        ᾱ, decreasing.
    whole : bool
        Whether the network takes whole steps only: then a level between two has the time of the nearest.
    spacing : {"time", "log_snr", "karras"}
        See `Process`.

    References
    ----------
    .. [1] J. Ho, A. Jain, P. Abbeel, Denoising diffusion probabilistic models, NeurIPS 2020.

    Examples
    --------
    >>> ddpm = Discrete.from_betas(torch.linspace(1e-4, 0.02, 1000))
    >>> [round(float(sigma), 4) for sigma in ddpm.levels(3)]
    [157.4073, 3.4335, 0.01, 0.0]
    """

    alphas_cumprod: Tensor
    whole: bool = False
    spacing: Spacing = "time"

    def __post_init__(self) -> None:
        table = self.alphas_cumprod
        if table.ndim != 1 or len(table) < 2 or not bool(((table > 0) & (table < 1)).all()):
            raise ParameterError(
                f"Discrete: alphas_cumprod must be a list of two or more numbers between 0 and 1, got shape "
                f"{tuple(table.shape)}"
            )
        if bool((table.diff() >= 0).any()):
            raise ParameterError("Discrete: alphas_cumprod must decrease from step to step")

    @classmethod
    def from_betas(cls, betas: Tensor, *, whole: bool = False, spacing: Spacing = "time") -> Self:
        """The process of the variances β of the steps: ᾱ = ∏ (1 - β).

        Parameters
        ----------
        betas : Tensor, shape (T,)
        whole, spacing
            As of the class.
        """
        return cls(torch.cumprod(1 - betas.double(), 0), whole=whole, spacing=spacing)

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last of the table."""
        low, high = self._logs(torch.float64).exp()[[0, -1]].tolist()
        return low, high

    def sigma(self, time: Tensor) -> Tensor:
        """See `Process.sigma`."""
        time = (time.round() if self.whole else time) if time.is_floating_point() else time.double()
        logs = self._logs(time.dtype, time.device)
        below = time.floor().long().clamp(0, len(logs) - 2)
        return torch.lerp(logs[below], logs[below + 1], time - below).exp()

    def time(self, sigma: Tensor) -> Tensor:
        """See `Process.time`."""
        logs, level = self._logs(sigma.dtype, sigma.device), sigma.log()
        above = torch.searchsorted(logs, level).clamp(1, len(logs) - 1)
        step = above - 1 + (level - logs[above - 1]) / (logs[above] - logs[above - 1])
        return step.round().long() if self.whole else step

    def scale(self, sigma: Any) -> Any:
        """See `Process.scale`."""
        return _scale(sigma)

    def _logs(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Log σ of each step."""
        table = self.alphas_cumprod.double()
        return ((torch.log1p(-table) - table.log()) / 2).to(device=device, dtype=dtype)
