"""Gaussian noise, real and complex."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from ..fidelities import LeastSquares
from ..operators import SpaceLike
from ..operators._space import batch_shape, per_sample, randn
from ._base import Noise


class GaussianNoise(Noise):
    """White Gaussian noise, y ↦ y + σ n.

    For complex data σ is the standard deviation of the real part and of the imaginary part (so that
    E|σ n|² = 2σ²), and -log p(y | u) = ‖y - u‖²/(2σ²) holds for real and complex data alike.

    Parameters
    ----------
    sigma : float or Tensor, shape (batch...)
        Standard deviation σ ≥ 0 of each real component: one value, or one per sample.

    Raises
    ------
    ParameterError
        If ``sigma`` is negative or not a number.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> y = GaussianNoise(sigma=2.0)(torch.zeros(10000, dtype=torch.complex64), generator=g)
    >>> round(y.real.std().item(), 1), round(y.imag.std().item(), 1)
    (2.0, 2.0)
    """

    sigma: float | Tensor
    params = ("sigma",)

    def __post_init__(self) -> None:
        smallest = self.sigma.detach().min() if isinstance(self.sigma, Tensor) else self.sigma
        if not smallest >= 0:
            raise ParameterError(f"GaussianNoise: sigma must be a number >= 0, got {float(smallest):.4g}")

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        if isinstance(space, tuple):
            return tuple(self.sample(part, s, generator) for part, s in zip(y, space))
        sigma = per_sample(self.sigma, space)
        if isinstance(sigma, Tensor):
            y = y.expand(torch.broadcast_shapes(y.shape, sigma.shape))
        return y + sigma * randn(
            space, tuple(batch_shape(y, space)), generator=generator, dtype=y.dtype, device=y.device
        )

    def likelihood(self) -> LeastSquares:
        return LeastSquares(sigma=self.sigma)
