"""The levels of a schedule in another unit."""

from __future__ import annotations

from torch import Tensor

from invcore import ParameterError
from invcore.samplers import Schedule


class Scaled(Schedule):
    """The levels of a schedule times a factor: images in [0, 1] have half the noise of images in [-1, 1].

    Parameters
    ----------
    schedule : Schedule
    factor : float

    Examples
    --------
    >>> from invcore_diffusion import Karras
    >>> Scaled(Karras(sigma_min=0.1, sigma_max=10.0, rho=1.0), factor=0.5).levels(2).tolist()
    [5.0, 0.05, 0.0]
    """

    schedule: Schedule
    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor < float("inf"):
            raise ParameterError(f"Scaled: factor must be a positive number, got {self.factor!r}")

    def between(self, steps: int) -> Tensor:
        """See `Schedule.between`."""
        return self.factor * self.schedule.between(steps)

    def scale(self, sigma: float) -> float:
        """That of the schedule at its own level."""
        return self.schedule.scale(sigma / self.factor)
