"""Gaussian noise, real and complex."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._value import real_dtype
from ..fidelities import LeastSquares
from ..fidelities._least_squares import check_sigma
from ..operators import SpaceLike
from ..spaces import batch_shape, broadcast_shapes, device_of, dtype_of, randn, scaled, tree_map
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

    units = {"sigma": 1}
    sigma: float | Tensor
    params = ("sigma",)

    def __post_init__(self) -> None:
        check_sigma(self)

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        batch = batch_shape(y, space)
        if isinstance(self.sigma, Tensor):
            batch = broadcast_shapes(batch, self.sigma.shape)
        draws = randn(space, tuple(batch), generator=generator, dtype=dtype_of(y), device=device_of(y))
        return tree_map(torch.add, y, scaled(self.sigma, draws, space))

    def _information(self, u: Any, space: SpaceLike) -> Any:
        level = torch.as_tensor(self.sigma, dtype=real_dtype(dtype_of(u)), device=device_of(u))
        return scaled(1 / level**2, tree_map(lambda t: torch.ones_like(t.real), u), space)

    def likelihood(self) -> LeastSquares:
        return LeastSquares(sigma=self.sigma)
