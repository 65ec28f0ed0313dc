"""Constraints: indicator functions of convex sets."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError
from .._physics import Physics
from .._weights import Weight
from ..fidelities import Fidelity
from ..operators import Space
from ..spaces import broadcast_shapes
from ._base import Prior
from ._l1 import total


class NonNegative(Prior):
    r"""The indicator of the non-negative images: 0 if every :math:`x_i \ge 0`, else infinity.

    Its proximal operator is the projection max(x, 0), whatever the step; the weight plays no part. Real
    images only.

    References
    ----------
    N. Parikh and S. Boyd, "Proximal algorithms", Found. Trends Optim. 1 (2014), Section 6.2.

    Examples
    --------
    >>> NonNegative().prox(torch.tensor([-1.0, 2.0]), 1.0)
    tensor([0., 2.])
    """

    power = 0

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return _indicator(_real(x, "NonNegative") >= 0, x, space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        return _real(x, "NonNegative").clamp_min(0)

    def _prox_conjugate(
        self, u: Tensor, step: float | Tensor, space: Space, weight: float | Tensor
    ) -> Tensor:
        """The projection on u ≤ 0."""
        return _real(u, "NonNegative").clamp_max(0)

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """The indicator of u ≤ 0."""
        return _indicator(_real(u, "NonNegative") <= 0, u, space)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        """A constraint has no weight: 1."""
        return Weight(1.0)


class Box(Prior):
    r"""The indicator of a box: 0 if every entry lies in [lower, upper], else infinity.

    Its proximal operator is the projection, whatever the step; the weight plays no part. Real images only.

    Parameters
    ----------
    lower, upper : float or Tensor, broadcastable to the image
        Bounds, one for all entries or one for each; infinite where there is none.

    References
    ----------
    N. Parikh and S. Boyd, "Proximal algorithms", Found. Trends Optim. 1 (2014), Section 6.2.

    Examples
    --------
    >>> Box(lower=0.0, upper=1.0).prox(torch.tensor([-1.0, 0.5, 2.0]), 1.0)
    tensor([0.0000, 0.5000, 1.0000])
    """

    power = 0
    units = {"lower": 1, "upper": 1}
    lower: float | Tensor = 0.0
    upper: float | Tensor = 1.0
    params = ("lower", "upper")
    maps = ("lower", "upper")

    def __post_init__(self) -> None:
        low, high = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        try:
            broadcast_shapes(low.shape, high.shape)
        except RuntimeError as error:
            raise ShapeError(
                f"Box: lower has shape {tuple(low.shape)} and upper {tuple(high.shape)}; give both that of "
                "the image, with 1 where they are constant along an axis"
            ) from error
        if low.is_complex() or high.is_complex() or not bool((low <= high).all()):
            raise ParameterError(
                f"Box: lower must be real and at most upper, got {self.lower!r} and {self.upper!r}"
            )

    def _value(self, x: Tensor, space: Space) -> Tensor:
        x = _real(x, "Box")
        return _indicator((x >= self.lower) & (x <= self.upper), x, space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        x = _real(x, "Box")
        low, high = (torch.as_tensor(b, dtype=x.dtype, device=x.device) for b in (self.lower, self.upper))
        return torch.minimum(torch.maximum(x, low), high)

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """The support function Σ max(lower·u, upper·u)."""
        u = _real(u, "Box")
        terms = torch.where(u == 0, 0, torch.maximum(self.lower * u, self.upper * u))
        return total(terms, space)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        """A constraint has no weight: 1."""
        return Weight(1.0)


def _real(x: Tensor, name: str) -> Tensor:
    if x.is_complex():
        raise DtypeError(f"{name}: order is for real numbers; expected a real image, got {x.dtype}")
    return x


def _indicator(inside: Tensor, x: Tensor, space: Space) -> Tensor:
    ndim = len(space.shape)
    every = inside.reshape(*inside.shape[: inside.ndim - ndim], -1).all(-1)
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    return torch.where(every, zero, zero + math.inf)
