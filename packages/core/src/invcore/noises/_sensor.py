"""Defects of a sensor: dead and hot pixels, saturation, quantization."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from .._errors import ParameterError
from ..fidelities import Box
from ..fidelities._separable import check_positive
from ._base import EntryNoise, need_real, uniform


class SaltPepperNoise(EntryNoise):
    """Impulse noise: an entry becomes ``low`` with probability p, ``high`` with probability s, or stays.

    There is no likelihood that a solver could use: the density has atoms, and says nothing about entries that
    were hit. The ℓ1 and Student-t fidelities are the robust choices.

    Parameters
    ----------
    pepper, salt : float or Tensor, shape (batch...)
        Probabilities p and s with p + s <= 1.
    low, high : float
        Values of dead and hot pixels, in the units of the data.

    Raises
    ------
    ParameterError
        If the probabilities are negative or add to more than one.

    References
    ----------
    R. H. Chan, C.-W. Ho, M. Nikolova, "Salt-and-pepper noise removal by median-type noise detectors and
    detail-preserving regularization", IEEE Trans. Image Process. 14 (2005).

    Examples
    --------
    >>> noise = SaltPepperNoise(pepper=0.3, salt=0.1)
    >>> y = noise(torch.full((10000,), 0.5), generator=torch.Generator().manual_seed(0))
    >>> [round(float((y == value).float().mean()), 1) for value in (0.0, 0.5, 1.0)]
    [0.3, 0.6, 0.1]
    """

    units = {"low": 1, "high": 1}
    pepper: float | Tensor = 0.05
    salt: float | Tensor = 0.05
    low: float = 0.0
    high: float = 1.0
    params = ("pepper", "salt")

    def __post_init__(self) -> None:
        check_positive(self, "pepper", "salt", zero=True)
        total = torch.as_tensor(self.pepper + self.salt).detach()
        if bool((total > 1 + 1e-6).any()):
            raise ParameterError(
                f"SaltPepperNoise: pepper + salt is a probability <= 1, got {float(total.max()):.4g}"
            )

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        need_real(self, y)
        x = uniform(y, generator)
        hot = torch.where(x >= 1 - self.salt, self.high, y)
        return torch.where(x < self.pepper, self.low, hot)

    def likelihood(self) -> NoReturn:
        raise ParameterError(
            "SaltPepperNoise has no likelihood that a solver could use: pass a robust fidelity (ℓ1, "
            "Student-t) instead"
        )


class Quantize(EntryNoise):
    """Rounding to multiples of a step, y ↦ o + Δ round((y - o)/Δ): nothing random.

    The error is at most Δ/2 (in each real component); for a fine step it is nearly uniform, with variance
    Δ²/12. The likelihood is the indicator of the cell, |u - y| <= Δ/2. Halves are rounded to even. Put
    `Saturate` before it for an analogue-digital converter of limited range, see `Compose`.

    Parameters
    ----------
    step : float or Tensor, shape (batch...)
        Δ > 0, in the units of the data.
    offset : float
        o: a value that is represented exactly.

    References
    ----------
    B. Widrow, I. Kollár, Quantization Noise (2008).

    Examples
    --------
    >>> Quantize(step=0.5)(torch.tensor([0.1, 0.3, 1.6]))
    tensor([0.0000, 0.5000, 1.5000])
    """

    units = {"step": 1, "offset": 1}
    step: float | Tensor
    offset: float = 0.0
    params = ("step",)

    def __post_init__(self) -> None:
        check_positive(self, "step")

    @property
    def random(self) -> bool:
        return False

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        if y.is_complex():
            return torch.complex(self.draw(y.real, generator), self.draw(y.imag, generator))
        return self.offset + self.step * torch.round((y - self.offset) / self.step)

    def likelihood(self) -> Box:
        return Box(radius=self.step / 2)


class Saturate(EntryNoise):
    """A sensor of limited range, y ↦ min(max(y, low), high), in each real component: nothing random.

    There is no likelihood of its own: entries in range are exact. With noise before it the model is a
    censored one; solve with a mask for the saturated entries.

    Parameters
    ----------
    low, high : float or Tensor, shape (batch...)
        Limits low < high, in the units of the data.

    Raises
    ------
    ParameterError
        If low is not below high.

    References
    ----------
    A. Foi, "Clipped noisy images: heteroskedastic modeling and practical denoising", Signal Process. 89
    (2009).

    Examples
    --------
    >>> Saturate(high=1.0)(torch.tensor([-0.1, 0.3, 1.6]))
    tensor([0.0000, 0.3000, 1.0000])
    """

    units = {"low": 1, "high": 1}
    low: float | Tensor = 0.0
    high: float | Tensor = 1.0
    params = ("low", "high")

    def __post_init__(self) -> None:
        if not bool(torch.as_tensor(self.high - self.low).gt(0).all()):
            raise ParameterError(f"Saturate: low must be below high, got {self.low!r} and {self.high!r}")

    @property
    def random(self) -> bool:
        return False

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        if y.is_complex():
            return torch.complex(self.draw(y.real, generator), self.draw(y.imag, generator))
        low, high = (torch.as_tensor(v, dtype=y.dtype, device=y.device) for v in (self.low, self.high))
        return torch.minimum(torch.maximum(y, low), high)

    def likelihood(self) -> NoReturn:
        raise ParameterError(
            "Saturate has no likelihood: mask the saturated entries, or pass another fidelity to the solver"
        )
