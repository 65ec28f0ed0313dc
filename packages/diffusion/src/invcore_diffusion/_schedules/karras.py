"""The levels of Karras et al."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.samplers import Schedule


class Karras(Schedule):
    """Levels whose ρ-th roots are evenly spaced, from ``sigma_max`` to ``sigma_min`` [1]_.

    σ_k = (σ_max^{1/ρ} + k/(N-1) (σ_min^{1/ρ} - σ_max^{1/ρ}))^ρ.

    Parameters
    ----------
    sigma_min, sigma_max : float
        0 < sigma_min < sigma_max; for images in [0, 1].
    rho : float
        ρ; larger values spend more steps at small levels.

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022, eq. 5.

    Examples
    --------
    >>> Karras(sigma_min=0.1, sigma_max=10.0, rho=1.0).levels(3).tolist()
    [10.0, 5.05, 0.1, 0.0]
    """

    sigma_min: float = 0.002
    sigma_max: float = 50.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not (0 < self.sigma_min < self.sigma_max and self.rho > 0):
            raise ParameterError(
                f"Karras: expected 0 < sigma_min < sigma_max and rho > 0, got {self.sigma_min:g}, "
                f"{self.sigma_max:g} and {self.rho:g}"
            )

    def between(self, steps: int) -> Tensor:
        """See `Schedule.between`."""
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return torch.linspace(high, low, steps, dtype=torch.float64) ** self.rho
