"""`Process`: what a network of a diffusion was trained on, and the noise levels that follow from it."""

from __future__ import annotations

import math
from abc import abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.samplers import Schedule

Spacing = Literal["time", "log_snr", "karras"]


class Process(Schedule, abstract=True):
    """Images z = s (clean + σ · noise) whose level σ and factor s depend on a time: base class.

    Networks are trained on z and the time. Samplers need neither: for them a process is a list of levels.

    Attributes
    ----------
    spacing : {"time", "log_snr", "karras"}
        Levels evenly spaced in time, in the logarithm of the signal-to-noise ratio (geometric), or in the
        7th root of σ (`Karras`, which takes other roots).
    """

    if TYPE_CHECKING:

        @property
        def spacing(self) -> Spacing:
            """How levels are spaced."""

    @property
    @abstractmethod
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest level of a sampler."""

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The smallest and the largest level that a network was trained for."""
        return self.ends

    @abstractmethod
    def sigma(self, time: Tensor) -> Tensor:
        """The noise level at a time."""

    @abstractmethod
    def time(self, sigma: Tensor) -> Tensor:
        """The time of a noise level."""

    @abstractmethod
    def scale(self, sigma: Any) -> Any:
        """s at the level ``sigma``, a number or a tensor."""

    def _at(self, time: float) -> float:
        """The level at a time, as a number."""
        return float(self.sigma(torch.tensor(time, dtype=torch.float64)))

    def _check(self) -> None:
        super()._check()
        if self.spacing not in ("time", "log_snr", "karras"):
            raise ParameterError(
                f"{type(self).__name__}: spacing must be 'time', 'log_snr' or 'karras', got {self.spacing!r}"
            )

    def between(self, steps: int) -> Tensor:
        """See `Schedule.between`."""
        low, high = self.ends
        if self.spacing == "time":
            last, first = self.time(torch.tensor(self.ends, dtype=torch.float64)).tolist()
            levels = self.sigma(torch.linspace(first, last, steps, dtype=torch.float64)).clamp(low, high)
        else:
            levels = spaced(high, low, steps, 7.0 if self.spacing == "karras" else math.inf)
        if bool((levels.diff() >= 0).any()):
            raise ParameterError(f"{type(self).__name__} has no {steps} different levels: take fewer steps")
        return levels


def spaced(high: float, low: float, steps: int, rho: float) -> Tensor:
    """Levels from ``high`` to ``low`` whose ρ-th roots, or whose logarithms if ρ = ∞, are evenly spaced."""
    if math.isinf(rho):
        levels = torch.linspace(math.log(high), math.log(low), steps, dtype=torch.float64).exp()
    else:
        levels = torch.linspace(high ** (1 / rho), low ** (1 / rho), steps, dtype=torch.float64) ** rho
    return levels.clamp(low, high)


def require_increasing(name: str, **numbers: float) -> None:
    """Refuse numbers that are not positive and increasing."""
    values = [0.0, *numbers.values()]
    if not all(a < b for a, b in pairwise(values)):
        got = ", ".join(f"{value!r}" for value in numbers.values())
        raise ParameterError(f"{name}: expected 0 < {' < '.join(numbers)}, got {got}")
