"""A map from noisy to clean images: some steps of the probability flow."""

from __future__ import annotations

import math

from torch import Tensor

from invcore import Denoiser, ParameterError, Value


class ProbabilityFlow(Value):
    r"""Take an image with noise σ to a clean one along dx/dσ = (x - D(x, σ))/σ, so that its law is the prior.

    Midpoint steps in u = log(1 + σ²/c), in which the flow is smooth at small levels and at large ones. A
    consistency model does the same in one step. For Gaussian images N(m, C) the map is

    .. math:: G(x, σ) = m + C^{1/2} (C + σ^2)^{-1/2} (x - m).

    Parameters
    ----------
    denoiser : Denoiser
    steps : int
        Each calls the denoiser twice.
    variance : float
        c, about that of a pixel.

    References
    ----------
    Y. Song, P. Dhariwal, M. Chen, I. Sutskever, Consistency models, ICML 2023.

    Examples
    --------
    >>> import torch
    >>> from invcore.denoisers import GaussianDenoiser
    >>> D = GaussianDenoiser(mean=torch.zeros(1, 1), covariance=torch.ones(1, 1))
    >>> ProbabilityFlow(D, steps=8)(torch.full((1, 1), 2.0), 3**0.5).round(decimals=2)  # 2 / (1 + 3)^½
    tensor([[1.]])
    """

    denoiser: Denoiser
    steps: int = 2
    variance: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.steps, int) and self.steps >= 1 and self.variance > 0):
            raise ParameterError(
                "ProbabilityFlow: expected steps >= 1 and variance > 0, got "
                f"{self.steps!r} and {self.variance!r}"
            )

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Take ``x``, with noise of the level ``sigma``, to a clean image."""
        first = math.log1p(sigma**2 / self.variance)
        h = first / self.steps
        for k in range(self.steps):
            u = first - k * h
            middle = x - h / 2 * self._slope(x, u)
            x = x - h * self._slope(middle, u - h / 2)
        return x

    def _slope(self, x: Tensor, u: float) -> Tensor:
        """dx/du."""
        square = self.variance * math.expm1(u)
        sigma = min(square**0.5, self.denoiser.sigma_range[1])  # which rounding may pass
        return (square + self.variance) / (2 * square) * (x - self.denoiser(x, sigma))
