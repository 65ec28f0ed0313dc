"""Noise added to an image that is not scaled."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .process import Process, Spacing, require_increasing


class VarianceExploding(Process):
    """Variance-exploding diffusion: s = 1, with geometric levels [1]_. Its time is σ.

    Parameters
    ----------
    sigma_min, sigma_max : float
        The smallest and the largest level.
    spacing : {"time", "log_snr", "karras"}
        See `Process`.

    References
    ----------
    .. [1] Y. Song et al., Score-based generative modeling through stochastic differential equations,
       ICLR 2021, eq. 31.

    Examples
    --------
    >>> [round(float(sigma), 2) for sigma in VarianceExploding(sigma_min=0.1, sigma_max=10.0).levels(3)]
    [10.0, 1.0, 0.1, 0.0]
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    spacing: Spacing = "log_snr"

    def __post_init__(self) -> None:
        require_increasing("VarianceExploding", sigma_min=self.sigma_min, sigma_max=self.sigma_max)

    @property
    def ends(self) -> tuple[float, float]:
        """As given."""
        return self.sigma_min, self.sigma_max

    def sigma(self, time: Tensor) -> Tensor:
        """See `Process.sigma`."""
        return time

    def time(self, sigma: Tensor) -> Tensor:
        """See `Process.time`."""
        return sigma

    def scale(self, sigma: Any) -> Any:
        """See `Process.scale`."""
        return 1.0
