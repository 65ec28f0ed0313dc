"""Additive noise besides white Gaussian: with a map of standard deviations, uniform, Laplace."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import real_dtype
from ..fidelities import L1, Box, WeightedLeastSquares
from ..fidelities._separable import check_positive
from ..operators import Space, SpaceLike
from ..spaces import scaled, tree_map
from ._base import EntryNoise, exponential, normal, uniform


class GaussianMapNoise(EntryNoise):
    """Gaussian noise with a standard deviation of its own for each entry, y ↦ y + σ n.

    The trailing dimensions of σ are those of the data, or 1: ``(1, 1, x)`` has one value per column.
    (`GaussianNoise` takes one value, or one per sample.) For complex data σ is the standard deviation of the
    real part and of the imaginary part. The likelihood is weighted least squares, ½ Σ |uᵢ - yᵢ|²/σᵢ².

    Parameters
    ----------
    sigma : Tensor, shape (batch..., *space.shape)
        Standard deviations > 0, in the units of the data.

    Raises
    ------
    ParameterError
        If a standard deviation is not > 0, or on the data of a stacked operator (several blocks).
    ShapeError
        If the map does not fit the data.

    References
    ----------
    S. M. Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), Ch. 4.

    Examples
    --------
    >>> noise = GaussianMapNoise(sigma=torch.tensor([1e-6, 1.0]))
    >>> y = noise(torch.zeros(2), generator=torch.Generator().manual_seed(0))
    >>> bool(y[0].abs() < 1e-4), bool(y[1].abs() > 1e-4)
    (True, True)
    """

    units = {"sigma": 1}
    sigma: Tensor
    params = ("sigma",)
    maps = ("sigma",)

    def __post_init__(self) -> None:
        check_positive(self, "sigma")

    def parameter_batch(self, space: SpaceLike) -> torch.Size:
        dims = self._dims(space)
        return self.sigma.shape[: self.sigma.ndim - dims]

    def of_item(self, index: int, batch: torch.Size, space: SpaceLike) -> Self:
        dims = self._dims(space)
        trailing = self.sigma.shape[self.sigma.ndim - dims :]
        flat = self.sigma.expand(*batch, *trailing).reshape(-1, *trailing)
        return type(self)(sigma=flat[index])

    def _dims(self, space: SpaceLike) -> int:
        if not isinstance(space, Space):
            raise ParameterError("GaussianMapNoise has one map of sigma; the data has several blocks")
        n = len(space.shape)
        trailing = tuple(self.sigma.shape[max(self.sigma.ndim - n, 0) :])
        if len(trailing) != n or any(a not in (1, b) for a, b in zip(trailing, space.shape)):
            raise ShapeError(
                f"GaussianMapNoise: sigma has shape {tuple(self.sigma.shape)}; expected (batch..., "
                f"{', '.join(map(str, space.shape))}), with 1 where it is constant along an axis"
            )
        return n

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        return y + self.sigma.to(real_dtype(y.dtype)) * normal(y, generator)

    def _information(self, u: Any, space: SpaceLike) -> Any:
        self._dims(space)
        return torch.ones_like(u.real) / self.sigma.to(real_dtype(u.dtype)) ** 2

    def likelihood(self) -> WeightedLeastSquares:
        return WeightedLeastSquares(weight=self.sigma**-2)


class UniformNoise(EntryNoise):
    """Uniform noise, y ↦ y + n with n uniform on [-a, a]: variance a²/3 of each real component.

    The density is 1/(2a) on the interval; the likelihood is the indicator of the box around y.

    Parameters
    ----------
    width : float or Tensor, shape (batch...)
        Half width a >= 0, in the units of the data.

    References
    ----------
    N. L. Johnson, S. Kotz, N. Balakrishnan, Continuous Univariate Distributions, Vol. 2 (1995), Ch. 26.

    Examples
    --------
    >>> y = UniformNoise(width=0.5)(torch.zeros(1000), generator=torch.Generator().manual_seed(0))
    >>> bool(y.abs().max() <= 0.5), round(float(12 * y.var()), 1)
    (True, 1.0)
    """

    units = {"width": 1}
    width: float | Tensor
    params = ("width",)

    def __post_init__(self) -> None:
        check_positive(self, "width", zero=True)

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        x = uniform(y, generator)
        return y + self.width * (2 * x - (1 + 1j if x.is_complex() else 1))

    def likelihood(self) -> Box:
        return Box(radius=self.width)


class LaplaceNoise(EntryNoise):
    """Laplace noise, y ↦ y + n with density exp(-|n|/b)/(2b): variance 2b².

    Complex noise is circular, with density exp(-|n|/b)/(2πb²) and E|n|² = 6b². The likelihood is ‖u - y‖₁/b.

    Parameters
    ----------
    scale : float or Tensor, shape (batch...)
        b > 0, in the units of the data.

    References
    ----------
    S. Kotz, T. J. Kozubowski, K. Podgórski, The Laplace Distribution and Generalizations (2001).

    Examples
    --------
    >>> y = LaplaceNoise(scale=1.0)(torch.zeros(20000), generator=torch.Generator().manual_seed(0))
    >>> round(float(y.abs().mean()), 1)
    1.0
    """

    units = {"scale": 1}
    scale: float | Tensor
    params = ("scale",)

    def __post_init__(self) -> None:
        check_positive(self, "scale")

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        if not y.is_complex():
            return y + self.scale * (exponential(y, generator) - exponential(y, generator))
        two = exponential(y, generator)  # |n| is the sum of two exponential numbers
        angle: Any = 2 * math.pi * uniform(y.real, generator)
        return y + self.scale * torch.polar(two.real + two.imag, angle)

    def _information(self, u: Any, space: SpaceLike) -> Any:
        one = tree_map(lambda t: torch.full_like(t.real, 0.5 if t.is_complex() else 1.0), u)
        return scaled(1 / self.scale**2, one, space)

    def likelihood(self) -> L1:
        return L1(scale=self.scale)
