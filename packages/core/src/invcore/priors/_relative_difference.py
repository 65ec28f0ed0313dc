"""Relative differences: the smooth edge-preserving prior of emission tomography."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError
from ..operators import Space
from ._base import Prior


class RelativeDifference(Prior):
    r"""Relative difference prior of emission tomography [1]_: differences relative to the sum of neighbors.

    .. math:: g(x) = \sum_{\{j,k\}} w_{jk} \frac{(x_j - x_k)^2}{x_j + x_k + γ |x_j - x_k| + ε}

    over pairs of neighbors along the spatial axes, with weight one over their distance. Smooth and convex
    where x ≥ 0; large γ preserves edges. Images must be real, and not negative: others have an infinite
    value.

    Parameters
    ----------
    gamma : float
        γ ≥ 0.
    epsilon : float
        ε > 0, small against the activity, keeps the quotient smooth where both pixels are zero.

    References
    ----------
    .. [1] J. Nuyts, D. Bequé, P. Dupont, L. Mortelmans, "A concave prior penalizing relative differences for
       maximum-a-posteriori reconstruction in emission tomography", IEEE Trans. Nucl. Sci. 49 (2002).

    Examples
    --------
    >>> g = RelativeDifference(gamma=0.0, epsilon=1e-9, spatial_dims=1)
    >>> g.value(torch.tensor([[1.0, 3.0]]))
    tensor(1.)
    """

    power = 1
    units = {"epsilon": 1}
    gamma: float = 2.0
    epsilon: float = 1e-6
    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < math.inf or not 0 < self.epsilon < math.inf:
            raise ParameterError(
                "RelativeDifference: gamma must be >= 0 and epsilon > 0, "
                f"got {self.gamma!r} and {self.epsilon!r}"
            )
        super().__post_init__()

    def _value(self, x: Tensor, space: Space) -> Tensor:
        _require_real(x)
        ndim = len(space.shape)
        item = tuple(range(-ndim, 0))
        total = torch.zeros(x.shape[: x.ndim - ndim], dtype=x.dtype, device=x.device)
        clipped = x.clamp_min(0)
        for dim, h in self._axes():
            d, bottom = self._pairs(clipped, dim)
            total = total + (d.square() / bottom).sum(item) / h
        return torch.where((x >= 0).flatten(x.ndim - ndim).all(-1), total, math.inf)

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        """∇g of the image with negative values (where g is infinite) taken as zero."""
        _require_real(x)
        clipped = x.clamp_min(0)
        result = torch.zeros_like(x)
        for dim, h in self._axes():
            d, bottom = self._pairs(clipped, dim)
            ratio = d / bottom
            common = ratio.square()
            slope = 2 * ratio - self.gamma * ratio * ratio.abs()  # derivative to d, at a fixed sum
            pad = [0, 0] * (-dim - 1)
            to_left = torch.nn.functional.pad((slope - common) / h, [*pad, 0, 1])
            to_right = torch.nn.functional.pad((-slope - common) / h, [*pad, 1, 0])
            result = result + to_left + to_right
        return result

    def _pairs(self, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        n = x.shape[dim]
        left, right = x.narrow(dim, 0, n - 1), x.narrow(dim, 1, n - 1)
        d = left - right
        return d, left + right + self.gamma * d.abs() + self.epsilon

    def _axes(self) -> list[tuple[int, float]]:
        return list(zip(range(-self.spatial_dims, 0), self.spacing or (1.0,) * self.spatial_dims))


def _require_real(x: Tensor) -> None:
    if x.is_complex():
        raise DtypeError(f"RelativeDifference: activity is real; expected a real image, got {x.dtype}")
