"""Functions on the sphere from their spherical harmonic coefficients."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space
from ._base import LinearOperator


class SphericalHarmonics(LinearOperator):
    r"""Values on a grid of the sphere from spherical harmonic coefficients up to a degree L.

    .. math:: y(θ, φ) = \sum_{l=0}^{L} \sum_{m=-l}^{l} x_{l^2 + l + m}\, Y_{lm}(θ, φ), \quad
        Y_{lm} = \bar P_{l|m|}(\cos θ) \cdot
        \begin{cases} \sqrt 2 \cos m φ & m > 0 \\ 1 & m = 0 \\ \sqrt 2 \sin |m| φ & m < 0 \end{cases}

    with real harmonics, orthonormal on the sphere, without the sign :math:`(-1)^m`. Colatitudes θ are those
    of a Gauss-Legendre rule in cos θ, from the north pole on, longitudes φ equally spaced from 0. The rule
    integrates products of two functions of degree L exactly, so `analysis` inverts the operator.

    Parameters
    ----------
    degree : int
        L ≥ 0.
    channels : int
        Functions side by side.
    kind : {"real", "complex"}
        Of coefficients and values.
    grid : tuple of int, optional
        Number of latitudes, at least L + 1, and of longitudes, at least 2 L + 1; by default (L + 1, 2 L + 2).

    Raises
    ------
    ParameterError

    References
    ----------
    S. A. Holmes and W. E. Featherstone, "A unified approach to the Clenshaw summation and the recursive
    computation of very high degree and order normalised associated Legendre functions", J. Geodesy 76 (2002),
    for the recurrence in l.

    Examples
    --------
    >>> A = SphericalHarmonics(2)
    >>> A.range
    Space((1, 3, 6))
    >>> x = torch.tensor([[0.0, 0, 1, 0, 0, 0, 0, 0, 0]])  # the cosine of the colatitude, times √(3/4π)
    >>> A(x)[0, 0, 0], A.colatitude[0].cos()
    (tensor(0.3785), tensor(0.7746, dtype=torch.float64))
    >>> torch.allclose(A.analysis(A(x)), x, atol=1e-6), A.power(x).round(decimals=4)
    (True, tensor([[0., 1., 0.]]))
    """

    degree: int
    channels: int = 1
    kind: Literal["real", "complex"] = "real"
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        least = (self.degree + 1, 2 * self.degree + 1)
        if self.degree < 0 or self.channels < 1:
            raise ParameterError(
                f"SphericalHarmonics: degree >= 0 and channels >= 1 are needed, got {self.degree} and "
                f"{self.channels}"
            )
        if self.grid is not None and (len(self.grid) != 2 or any(n < k for n, k in zip(self.grid, least))):
            raise ParameterError(
                f"SphericalHarmonics: degree {self.degree} needs a grid of at least {least} latitudes and "
                f"longitudes, got {self.grid}"
            )

    @property
    def domain(self) -> Space:
        """``(channel, (L + 1)**2)``."""
        return Space((self.channels, (self.degree + 1) ** 2), self.kind)

    @property
    def range(self) -> Space:
        """``(channel, latitude, longitude)``."""
        return Space((self.channels, *self._grid), self.kind)

    @property
    def _grid(self) -> tuple[int, int]:
        return self.grid or (self.degree + 1, 2 * self.degree + 2)

    @cached_property
    def colatitude(self) -> Tensor:
        """θ in radians, ascending, in float64."""
        nodes, _ = np.polynomial.legendre.leggauss(self._grid[0])
        return torch.from_numpy(np.arccos(nodes[::-1]).copy())

    @property
    def longitude(self) -> Tensor:
        """φ in radians, in float64."""
        n = self._grid[1]
        return 2 * math.pi / n * torch.arange(n, dtype=torch.float64)

    @cached_property
    def weights(self) -> Tensor:
        """The area of the sphere that each value stands for, shape (latitude, 1), in float64."""
        _, w = np.polynomial.legendre.leggauss(self._grid[0])
        return 2 * math.pi / self._grid[1] * torch.from_numpy(w[::-1].copy())[:, None]

    @cached_property
    def _legendre(self) -> Tensor:
        """P̄ of the order m and the degree l at each latitude, shape (m, l, latitude); zero for l < m."""
        return legendre(self.degree, self.colatitude.cos())

    @cached_property
    def _waves(self) -> Tensor:
        """The functions of φ, of orders -L to L, shape (2 L + 1, longitude)."""
        return waves(self.degree, self.longitude)

    @cached_property
    def _order(self) -> tuple[Tensor, Tensor]:
        """l and m of each coefficient."""
        l = torch.arange(self.degree + 1).repeat_interleave(2 * torch.arange(self.degree + 1) + 1)
        return l, torch.arange(len(l)) - l * (l + 1)

    @property
    def _places(self) -> Tensor:
        """Where each coefficient lies in the table of m from -L to L and l from 0 to L."""
        l, m = self._order
        return (m + self.degree) * (self.degree + 1) + l

    def forward(self, x: Tensor) -> Tensor:
        sizes = (2 * self.degree + 1, self.degree + 1)
        table = x.new_zeros(*x.shape[:-1], math.prod(sizes)).index_copy(-1, self._places.to(x.device), x)
        rings = torch.einsum("...ml,mlt->...mt", table.unflatten(-1, sizes), self._both(x))
        return rings.transpose(-1, -2) @ self._waves.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        rings = (y @ self._waves.to(y).T).transpose(-1, -2)
        table = torch.einsum("...mt,mlt->...ml", rings, self._both(y))
        return table.flatten(-2).index_select(-1, self._places.to(y.device))

    def _both(self, like: Tensor) -> Tensor:
        """`_legendre` for the orders -L to L."""
        P = self._legendre.to(like)
        return torch.cat([P[1:].flip(0), P])

    def analysis(self, y: Tensor) -> Tensor:
        """The coefficients of a function of degree L or less from its values: ∫ y Y over the sphere.

        Parameters
        ----------
        y : Tensor, shape (batch..., channel, latitude, longitude)

        Returns
        -------
        Tensor, shape (batch..., channel, (L + 1)**2)
        """
        return self.H(self.weights.to(y) * y)

    def power(self, x: Tensor) -> Tensor:
        """The energy Σ_m |x_lm|² of each degree.

        Parameters
        ----------
        x : Tensor, shape (..., (L + 1)**2)
            Coefficients.

        Returns
        -------
        Tensor, shape (..., L + 1)
        """
        l, _ = self._order
        size = x.abs().square()
        return size.new_zeros(*size.shape[:-1], self.degree + 1).index_add(-1, l.to(x.device), size)

    def at(self, directions: Tensor) -> Tensor:
        """The harmonics at any points of the sphere, as a matrix for `Matrix` or a fit.

        Parameters
        ----------
        directions : Tensor, shape (..., 3)
            (x, y, z); their length does not matter. The north pole is z.

        Returns
        -------
        Tensor, shape (..., (L + 1)**2)
        """
        if directions.shape[-1:] != (3,):
            raise ShapeError(
                f"SphericalHarmonics: directions must be (..., 3), got {tuple(directions.shape)}"
            )
        x, y, z = (directions / directions.norm(dim=-1, keepdim=True)).unbind(-1)
        l, m = (t.to(x.device) for t in self._order)
        P = legendre(self.degree, z, torch.hypot(x, y))[m.abs(), l]
        return (P * waves(self.degree, torch.atan2(y, x))[m + self.degree]).movedim(0, -1)

    def norm_bound(self) -> Tensor:
        # orders are orthogonal on the circle, with n values of mean square one
        root = torch.linalg.matrix_norm(self._legendre, 2).amax() * math.sqrt(self._grid[1])
        return (root * (1 + 8 * torch.finfo(self.dtype).eps)).to(self.dtype)


def legendre(degree: int, z: Tensor, rho: Tensor | None = None) -> Tensor:
    """Normalized associated Legendre functions P̄ at z = cos θ, with ρ = sin θ: shape (m, l, *z.shape)."""
    rho = (1 - z.square()).clamp_min(0).sqrt() if rho is None else rho
    rows = []
    diagonal = torch.full_like(z, math.sqrt(1 / (4 * math.pi)))
    for m in range(degree + 1):
        if m:
            diagonal = math.sqrt((2 * m + 1) / (2 * m)) * rho * diagonal
        row = [torch.zeros_like(z)] * m + [diagonal]
        for l in range(m + 1, degree + 1):
            a = math.sqrt((4 * l * l - 1) / (l * l - m * m))
            b = math.sqrt(((l - 1) ** 2 - m * m) / (4 * (l - 1) ** 2 - 1))
            row.append(a * (z * row[l - 1] - b * row[l - 2]) if l > m + 1 else a * z * diagonal)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def waves(degree: int, angle: Tensor) -> Tensor:
    """√2 sin |m|φ, 1 and √2 cos mφ for the orders -L to L: shape (2 L + 1, *angle.shape)."""
    m = torch.arange(1, degree + 1, dtype=angle.dtype, device=angle.device).reshape(-1, *(1,) * angle.ndim)
    odd, even = (math.sqrt(2) * function(m * angle) for function in (torch.sin, torch.cos))
    return torch.cat([odd.flip(0), torch.ones_like(angle)[None], even])
