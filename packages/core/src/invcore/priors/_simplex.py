"""The probability simplex: non-negative entries of a given sum."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._physics import Physics
from .._weights import Weight
from ..fidelities import Fidelity
from ..operators import Space
from ..spaces import per_sample
from ._base import Prior
from ._constraints import _indicator, _real
from ._l1 import total as summed


class Simplex(Prior):
    r"""The indicator of a simplex: 0 if every :math:`x_i \ge 0` and :math:`\sum_i x_i = s`, else infinity.

    What a blur kernel, or the shares of materials in a pixel, obey. The proximal operator is the projection
    max(x - τ, 0) with the τ that gives the sum, found by sorting [1]_; the weight plays no part. Real images
    only.

    Parameters
    ----------
    total : float or Tensor, shape (batch...)
        s > 0.
    dims : tuple of int, optional
        The dimensions that are summed over, counted from the end: ``(-2, -1)`` for a kernel of sum s in each
        channel. By default all.

    References
    ----------
    .. [1] J. Duchi, S. Shalev-Shwartz, Y. Singer, T. Chandra, "Efficient projections onto the l1-ball for
       learning in high dimensions", ICML (2008).

    Examples
    --------
    >>> Simplex().prox(torch.tensor([0.9, 0.5, -1.0]), 1.0)
    tensor([0.7000, 0.3000, 0.0000])
    """

    power = 0
    units: ClassVar[dict[str, int] | None] = {"total": 1}
    total: float | Tensor = 1.0
    dims: tuple[int, ...] | None = None
    params = ("total",)

    def __post_init__(self) -> None:
        held = torch.as_tensor(self.total)
        if held.is_complex() or not bool((torch.isfinite(held) & (held > 0)).all()):
            raise ParameterError(f"Simplex: total must be positive and finite, got {self.total!r}")
        dims = () if self.dims is None else self.dims
        if not isinstance(dims, tuple) or not all(isinstance(d, int) and d < 0 for d in dims):
            raise ParameterError(
                "Simplex: dims must be a tuple of negative ints (dimensions counted from the end), got "
                f"{dims!r}"
            )
        super().__post_init__()

    def _value(self, x: Tensor, space: Space) -> Tensor:
        x = _real(x, "Simplex")
        dims, level = self._dims(space), self._level(x, space)
        off = (x.sum(dims, keepdim=True) - level).abs()
        allowed = 10 * math.sqrt(self._count(space)) * torch.finfo(x.dtype).eps * level
        return _indicator((x >= 0) & (off <= allowed), x, space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        x, dims, n = _real(x, "Simplex"), self._dims(space), self._count(space)
        if n == 0:
            return x
        flat = x.movedim(dims, tuple(range(-len(dims), 0)))
        kept = flat.shape[-len(dims) :]
        flat = flat.flatten(-len(dims))
        level = self._level(x, space).movedim(dims, tuple(range(-len(dims), 0))).flatten(-len(dims))
        ordered = flat.sort(-1, descending=True).values
        tau = (ordered.cumsum(-1) - level) / torch.arange(1, n + 1, dtype=x.dtype, device=x.device)
        support = (ordered > tau).sum(-1, keepdim=True).clamp_min(1)
        projected = (flat - tau.gather(-1, support - 1)).clamp_min(0)
        return projected.unflatten(-1, kept).movedim(tuple(range(-len(dims), 0)), dims)

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """The support function: s times the largest entry, summed over the groups."""
        u = _real(u, "Simplex")
        largest = u.amax(self._dims(space), keepdim=True)
        return summed(self._level(u, space) * largest, space)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        """A constraint has no weight: 1."""
        return Weight(1.0)

    def _dims(self, space: Space) -> tuple[int, ...]:
        ndim = len(space.shape)
        dims = tuple(range(-ndim, 0)) if self.dims is None else self.dims
        if any(-d > ndim for d in dims):
            raise ShapeError(f"Simplex: dims {dims} reach beyond the {ndim} dimensions of an image {space}")
        return dims

    def _count(self, space: Space) -> int:
        return math.prod(space.shape[d] for d in self._dims(space))

    def _level(self, x: Tensor, space: Space) -> Tensor:
        """s of each sample, with a dimension for each of the image."""
        level = torch.as_tensor(self.total, dtype=x.dtype, device=x.device)
        held = per_sample(level, space)
        return held if held.ndim >= len(space.shape) else held.reshape((1,) * len(space.shape))
