"""The levels of Karras et al."""

from __future__ import annotations

from torch import Tensor

from invcore import ParameterError
from invcore.samplers import Schedule

from .process import require_increasing, spaced


class Karras(Schedule):
    """Levels whose ρ-th roots are evenly spaced, from ``sigma_max`` to ``sigma_min`` [1]_.

    σ_k = (σ_max^{1/ρ} + k/(N-1) (σ_min^{1/ρ} - σ_max^{1/ρ}))^ρ.

    Parameters
    ----------
    sigma_min, sigma_max : float
        0 < sigma_min < sigma_max; for images in [0, 1].
    rho : float
        ρ; larger values spend more steps at small levels, inf is geometric.

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
        require_increasing("Karras", sigma_min=self.sigma_min, sigma_max=self.sigma_max)
        if not self.rho > 0:
            raise ParameterError(f"Karras: rho must be positive, got {self.rho!r}")

    def between(self, steps: int) -> Tensor:
        """See `Schedule.between`."""
        return spaced(self.sigma_max, self.sigma_min, steps, self.rho)
