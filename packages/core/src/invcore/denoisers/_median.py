"""Median filter."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from ._base import Denoiser
from ._windows import Boundary, check_options, extended


class Median(Denoiser):
    """Median filter: each pixel becomes the median of the ``size × size`` pixels around it.

    It does not depend on the noise level: ``sigma`` is only looked at to return the image as it is where σ =
    0. Made for impulses (salt and pepper) more than for Gaussian noise. Channels, and the real and imaginary
    part of complex images, are filtered one by one.

    Parameters
    ----------
    size : int
        Side of the window, odd.
    boundary : "symmetric", "reflect", "replicate" or "circular"
        How the image goes on beyond its edges. ``"symmetric"`` is called ``"reflect"`` in scipy.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    J. W. Tukey, *Exploratory Data Analysis* (1977), chapter 7.

    Examples
    --------
    >>> Median(spatial_dims=1)(torch.tensor([[1.0, 1.0, 9.0, 1.0, 2.0]]), 1.0)
    tensor([[1., 1., 1., 2., 2.]])
    """

    channels: ClassVar[int | None] = None
    value_range: ClassVar[tuple[float, float] | None] = None
    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    size: int = 3
    boundary: Boundary = "symmetric"
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        check_options("Median", self.spatial_dims, self.boundary)
        if self.size < 1 or self.size % 2 == 0:
            raise ParameterError(f"Median: size must be odd and positive, got {self.size!r}.")

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not x.numel():
            return x.clone()
        if x.is_complex():
            filtered = torch.complex(self._filtered(x.real), self._filtered(x.imag))
        else:
            filtered = self._filtered(x)
        return torch.where(sigma > 0, filtered, x)

    def _filtered(self, x: Tensor) -> Tensor:
        d = self.spatial_dims
        near = extended(x, self.size // 2, range(-d, 0), self.boundary)
        planes = near.reshape(-1, *near.shape[-d:])
        return torch.stack([self._plane(p) for p in planes]).view(x.shape)

    def _plane(self, x: Tensor) -> Tensor:
        for axis in range(self.spatial_dims):
            x = x.unfold(axis, self.size, 1)
        return x.flatten(self.spatial_dims).median(-1).values
