"""Metrics built on the pixelwise error: MAE, MSE, NMSE, NRMSE, PSNR."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ._base import Comparison, RangedComparison, decibel, energy_of, image_dims


class MSE(Comparison):
    """Mean squared error ``mean |x_hat - x|^2``.

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> MSE()(0.5 * x, x)
    tensor(3.1250)
    """

    higher_is_better: ClassVar[bool] = False

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return energy_of(x_hat - x, self.spatial_dims) / _count(x, self.spatial_dims)


class MAE(Comparison):
    """Mean absolute error ``mean |x_hat - x|``.

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> MAE()(0.5 * x, x)
    tensor(1.7500)
    """

    higher_is_better: ClassVar[bool] = False

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return (x_hat - x).abs().mean(image_dims(self.spatial_dims))


class NMSE(Comparison):
    """Normalized mean squared error ``||x_hat - x||^2 / ||x||^2``.

    Raises
    ------
    DataError
        If the reference is zero everywhere.

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> NMSE()(0.5 * x, x)
    tensor(0.2500)
    """

    higher_is_better: ClassVar[bool] = False

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return energy_of(x_hat - x, self.spatial_dims) / self._reference_energy(x)


class NRMSE(Comparison):
    """Normalized root mean squared error ``||x_hat - x|| / ||x||``.

    Raises
    ------
    DataError
        If the reference is zero everywhere.

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> NRMSE()(0.5 * x, x)
    tensor(0.5000)
    """

    higher_is_better: ClassVar[bool] = False

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        squared = energy_of(x_hat - x, self.spatial_dims) / self._reference_energy(x)
        exact = squared == 0  # the square root has no derivative there; take zero
        return torch.where(exact, squared, torch.where(exact, 1, squared).sqrt())


class PSNR(RangedComparison):
    """Peak signal-to-noise ratio ``10 log10(data_range^2 / MSE)`` in decibel; infinite for equal images.

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> PSNR(data_range=4.0)(0.5 * x, x)
    tensor(7.0927)
    """

    higher_is_better: ClassVar[bool] = True

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        mse = energy_of(x_hat - x, self.spatial_dims, keepdim=True) / _count(x, self.spatial_dims)
        return decibel(self._peak(x).square(), mse).squeeze(image_dims(self.spatial_dims))


def _count(x: Tensor, spatial_dims: int) -> int:
    return math.prod(x.shape[x.ndim - spatial_dims - 1 :])
