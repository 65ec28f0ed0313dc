"""What networks of Karras et al. see."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from invcore import ParameterError

from .process import Process, Spacing, require_increasing


class EDM(Process):
    """The input of preconditioned networks: s = 1 / √(σ² + σ_data²), of unit variance, and ln(σ) / 4 [1]_.

    Parameters
    ----------
    sigma_min, sigma_max : float
        The smallest and the largest level.
    sigma_data : float
        Standard deviation of the pixels of clean images.
    time_factor : float
        The time is ``time_factor`` ln σ: 1/4, and 250 for consistency models.
    spacing : {"time", "log_snr", "karras"}
        See `Process`.

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022, table 1.

    Examples
    --------
    >>> [round(float(sigma), 3) for sigma in EDM().levels(3)]
    [80.0, 2.515, 0.002, 0.0]
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    time_factor: float = 0.25
    spacing: Spacing = "karras"

    def __post_init__(self) -> None:
        require_increasing("EDM", sigma_min=self.sigma_min, sigma_max=self.sigma_max)
        if not (self.sigma_data > 0 and self.time_factor > 0):
            raise ParameterError(
                f"EDM: expected sigma_data > 0 and time_factor > 0, got {self.sigma_data!r} and "
                f"{self.time_factor!r}"
            )

    @property
    def ends(self) -> tuple[float, float]:
        """As given."""
        return self.sigma_min, self.sigma_max

    def sigma(self, time: Tensor) -> Tensor:
        """See `Process.sigma`."""
        return (time / self.time_factor).exp()

    def time(self, sigma: Tensor) -> Tensor:
        """See `Process.time`."""
        return self.time_factor * sigma.log()

    def scale(self, sigma: Any) -> Any:
        """See `Process.scale`."""
        return (sigma**2 + self.sigma_data**2) ** -0.5
