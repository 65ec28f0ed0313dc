"""Group sparsity: the sum over groups of the Euclidean norm within each."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import real_dtype
from ..operators import Space, SpaceLike
from ..spaces import flatten, per_sample
from ._base import Prior
from ._l1 import onto_ball, total


class GroupL12(Prior):
    r"""The mixed norm ℓ₁,₂: the sum over groups of the Euclidean norm of their entries.

    .. math:: g(x) = \sum_i \varphi_δ\bigl((\textstyle\sum_j |x_{ij}|^2)^{1/2}\bigr), \qquad
       φ_δ(r) = r^2/2δ \text{ for } r ≤ δ, \quad r - δ/2 \text{ beyond},

    with j running over ``dims`` and i over all other entries. Without smoothing φ(r) = r, and the proximal
    operator shrinks the norm of each group [1]_; with δ > 0 (Huber) there is a gradient as well.

    Parameters
    ----------
    dims : tuple of int
        The dimensions of the image that a group extends over, counted from the end; ``(-3,)`` couples the
        channels of a 2-D image, ``()`` couples nothing.
    smoothing : float
        δ ≥ 0, in the units of x.

    References
    ----------
    .. [1] M. Yuan and Y. Lin, "Model selection and estimation in regression with grouped variables", J. R.
       Stat. Soc. B 68 (2006).

    Examples
    --------
    >>> g = GroupL12(dims=(-2,))
    >>> x = torch.tensor([[3.0, 0.1], [4.0, 0.2]])
    >>> g.prox(x, 1.0)
    tensor([[2.4000, 0.0000],
            [3.2000, 0.0000]])
    """

    units = {"smoothing": 1}
    degree: ClassVar[int] = 1

    dims: tuple[int, ...] = (-3,)
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.dims, tuple) or not all(isinstance(d, int) and d < 0 for d in self.dims):
            raise ParameterError(
                "GroupL12: dims must be a tuple of negative ints (dimensions counted from the end), "
                f"got {self.dims!r}"
            )
        super().__post_init__()

    def _value(self, x: Tensor, space: Space) -> Tensor:
        r = self._norms(x, space)
        if self.smoothing:
            d = self.smoothing
            r = torch.where(r <= d, r.square() / (2 * d), r - d / 2)
        return total(r, space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        t = per_sample(step, space)
        r = self._norms(x, space)
        # beyond δ + t the norm shrinks by t, below it by the factor δ/(δ + t): 1 - t / max(r, δ + t)
        least = torch.as_tensor(self.smoothing + t, dtype=r.dtype, device=r.device)
        return x * (1 - t / r.clamp_min(tiny(r)).maximum(least))

    @property
    def has_grad(self) -> bool:
        """True with ``smoothing`` > 0."""
        return self.smoothing > 0

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        if not self.smoothing:
            raise ParameterError(
                "GroupL12 has a gradient with smoothing > 0 only: set it, or choose a proximal solver"
            )
        return x / self._norms(x, space).clamp_min(self.smoothing)

    def majorizer(self, space: SpaceLike) -> float | None:
        """1/δ."""
        return 1 / self.smoothing if self.smoothing else None

    def _prox_conjugate(
        self, u: Tensor, step: float | Tensor, space: Space, weight: float | Tensor
    ) -> Tensor:
        """u/(1 + δ step/weight), each group projected onto the ball of radius ``weight``.

        Exact for small steps, where Moreau's identity cancels.
        """
        limit, s = per_sample(weight, space), per_sample(step, space)
        if self.smoothing:  # u λ/(λ + δs)
            limit = torch.as_tensor(limit, dtype=real_dtype(u.dtype), device=u.device)
            u = u * (limit / (limit + self.smoothing * s).clamp_min(tiny(limit)))
        return onto_ball(u, self._norms(u, space), limit)

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """δ‖u‖²/(2 weight) where no group's norm exceeds ``weight`` (up to rounding), else infinity."""
        limit = per_sample(weight, space)
        r = self._norms(u, space)
        inside = (r <= limit * (1 + 100 * torch.finfo(r.dtype).eps)).flatten(-len(space.shape))
        v = flatten(u, space)
        return torch.where(
            inside.all(-1), self.smoothing * torch.linalg.vecdot(v, v) / (2 * weight), math.inf
        )

    def _norms(self, x: Tensor, space: Space) -> Tensor:
        """The norm of each group, with dimensions kept; its derivative at zero is zero."""
        ndim = len(space.shape)
        if any(-d > ndim for d in self.dims):
            raise ShapeError(
                f"GroupL12: dims {self.dims} reach beyond the {ndim} dimensions of an image "
                f"of shape {tuple(x.shape)}"
            )
        return norm_over(x, self.dims)


def norm_over(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """√Σ|x|² over ``dims``, kept; differentiable, with derivative zero at zero.

    Written out: torch's vector_norm over a leading dimension is hundreds of times slower on a CPU.
    """
    if not dims:
        return x.abs()
    power = x.real.square() + x.imag.square() if x.is_complex() else x.square()
    power = power.sum(dims, keepdim=True)
    if not torch.is_grad_enabled():
        return power.sqrt()
    positive = power > 0
    return torch.where(positive, torch.where(positive, power, 1).sqrt(), 0)


def tiny(x: Tensor) -> float:
    """The smallest normal number of the precision of ``x``."""
    return torch.finfo(x.dtype).tiny
