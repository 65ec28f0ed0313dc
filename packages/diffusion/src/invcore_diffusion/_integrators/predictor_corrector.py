"""Langevin steps at each level."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, Sampler
from invcore.samplers import Integrator

from .euler import Ancestral


class PredictorCorrector(Integrator):
    """Any integrator, followed by Langevin steps at the level that it has reached [1]_.

    x ← x + 2 r² (D(x, σ) - x) + 2 r σ ε with the signal-to-noise ratio r. The paper takes the ratio of the
    norms of noise and score in its place; in high dimensions they are equal to the expected ones, as here,
    and in low ones a step that depends on the image draws from another distribution. The steps inflate the
    variance by up to r² of that of the noise, which vanishes with σ.

    Parameters
    ----------
    predictor : Integrator
    snr : float
        r, above 0 and below 1.
    corrections : int
        Number of Langevin steps.

    References
    ----------
    .. [1] Y. Song et al., Score-based generative modeling through stochastic differential equations,
       ICLR 2021, algorithms 2 to 5.

    Examples
    --------
    >>> x, _ = PredictorCorrector().step(
    ...     lambda x, sigma: 0 * x, torch.ones(1000), 2.0, 1.0, None, torch.Generator().manual_seed(0))
    >>> round(float(x.std()), 1)
    0.9
    """

    predictor: Integrator = Ancestral()
    snr: float = 0.16
    corrections: int = 1

    def __post_init__(self) -> None:
        if (
            isinstance(self.corrections, bool)
            or not isinstance(self.corrections, int)
            or self.corrections < 1
        ):
            raise ParameterError(
                f"PredictorCorrector: corrections must be a whole number from 1 on, got {self.corrections!r}"
            )
        if not 0 < self.snr < 1:
            raise ParameterError(f"PredictorCorrector: snr must lie between 0 and 1, got {self.snr!r}")

    def step(
        self,
        estimate: Any,
        x: Tensor,
        sigma: float,
        following: float,
        memory: Any,
        generator: torch.Generator,
    ) -> tuple[Tensor, Any]:
        """See `Integrator.step`."""
        x, memory = self.predictor.step(estimate, x, sigma, following, memory, generator)
        if following > 0:
            for _ in range(self.corrections):
                noise = 2 * self.snr * following * Sampler.noise(x, generator)
                x = torch.lerp(x, estimate(x, following), 2 * self.snr**2) + noise
        return x, memory
