"""Group sparsity: the sum over groups of the Euclidean norm within each."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import real_dtype
from ..operators import Space, SpaceLike
from ..spaces import flatten, per_sample, space_of
from ._base import Prior
from ._dual import onto_ball


class GroupL12(Prior):
    r"""The mixed norm ℓ₁,₂: the sum over groups of the Euclidean norm of their entries.

    .. math:: g(x) = \sum_i \varphi_δ\bigl((\textstyle\sum_j |x_{ij}|^2)^{1/2}\bigr), \qquad
       φ_δ(r) = r^2/2δ \text{ for } r ≤ δ, \quad r - δ/2 \text{ beyond},

    with j running over ``dims`` and i over all other entries. Without smoothing φ(r) = r, and the proximal operator
    shrinks the norm of each group [1]_; with δ > 0 (Huber) there is a gradient as well. ``weight="auto"`` takes
    λ = n/g(x) of a Tikhonov solution x with n real unknowns, the most likely weight of a prior ∝ exp(-λ g) with
    homogeneous g [2]_.

    Parameters
    ----------
    dims : tuple of int
        The dimensions of the image that a group extends over, counted from the end; ``(-3,)`` couples the channels of a
        2-D image, ``()`` couples nothing.
    smoothing : float
        δ ≥ 0, in the units of x.

    References
    ----------
    .. [1] M. Yuan and Y. Lin, "Model selection and estimation in regression with grouped variables", J. R. Stat. Soc. B 68
       (2006).
    .. [2] M. Pereyra, J. Bioucas-Dias, M. Figueiredo, "Maximum-a-posteriori estimation with unknown regularization
       parameters", EUSIPCO (2015).

    Examples
    --------
    >>> g = GroupL12(dims=(-2,))
    >>> x = torch.tensor([[3.0, 0.1], [4.0, 0.2]])
    >>> g.prox(x, 1.0)
    tensor([[2.4000, 0.0000],
            [3.2000, 0.0000]])
    """

    degree: ClassVar[int] = 1

    dims: tuple[int, ...] = (-3,)
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.dims, tuple) or not all(isinstance(d, int) and d < 0 for d in self.dims):
            raise ParameterError(
                f"GroupL12: dims must be a tuple of negative ints (dimensions counted from the end), got {self.dims!r}"
            )
        require_smoothing("GroupL12", self.smoothing)

    def value(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        r = self._norms(x, space)
        if self.smoothing:
            d = self.smoothing
            r = torch.where(r <= d, r.square() / (2 * d), r - d / 2)
        return r.sum() if space is None else r.sum(tuple(range(-len(one(space).shape), 0)))

    def prox(self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        t = step if space is None else per_sample(step, space)
        r = self._norms(x, space)
        # beyond δ + t the norm shrinks by t, below it by the factor δ/(δ + t): 1 - t / max(r, δ + t)
        return x * (
            1
            - t
            / torch.clamp_min(r, tiny(r)).maximum(
                torch.as_tensor(self.smoothing + t, dtype=r.dtype, device=r.device)
            )
        )

    def grad(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        if not self.smoothing:
            raise ParameterError(
                "GroupL12 has a gradient with smoothing > 0 only: set it, or choose a proximal solver"
            )
        return x / self._norms(x, space).clamp_min(self.smoothing)

    def prox_conjugate(
        self, u: Tensor, step: float | Tensor, space: SpaceLike | None = None, *, weight: float | Tensor = 1.0
    ) -> Tensor:
        """u/(1 + δ step/weight), each group projected onto the ball of radius ``weight``: exact for small steps, where Moreau's
        identity cancels."""
        limit, s = (weight, step) if space is None else (per_sample(weight, space), per_sample(step, space))
        if self.smoothing:  # u λ/(λ + δs)
            limit = torch.as_tensor(limit, dtype=real_dtype(u.dtype), device=u.device)
            u = u * (limit / (limit + self.smoothing * s).clamp_min(tiny(limit)))
        return onto_ball(u, self._norms(u, space), limit)

    def conjugate(self, u: Tensor, space: SpaceLike | None = None, *, weight: float | Tensor = 1.0) -> Tensor:
        """(weight g)*(u): δ‖u‖²/(2 weight) where no group's norm exceeds ``weight`` (up to rounding), else infinity."""
        limit = weight if space is None else per_sample(weight, space)
        r = self._norms(u, space)
        inside = (r <= limit * (1 + 100 * torch.finfo(r.dtype).eps)).flatten(
            -len(u.shape if space is None else one(space).shape)
        )
        v = flatten(u, space)
        return torch.where(
            inside.all(-1), self.smoothing * torch.linalg.vecdot(v, v) / (2 * weight), math.inf
        )

    def _norms(self, x: Tensor, space: SpaceLike | None) -> Tensor:
        """The norm of each group, with dimensions kept; its derivative at zero is zero."""
        ndim = x.ndim if space is None else len(one(space).shape)
        if any(-d > ndim for d in self.dims):
            raise ShapeError(
                f"GroupL12: dims {self.dims} reach beyond the {ndim} dimensions of an image of shape {tuple(x.shape)}"
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


def require_smoothing(name: str, smoothing: float) -> None:
    """Raise unless the smoothing is a finite number not below zero."""
    if not (isinstance(smoothing, int | float) and 0 <= smoothing < math.inf):
        raise ParameterError(f"{name}: smoothing must be a finite number >= 0, got {smoothing!r}")


def one(space: SpaceLike) -> Space:
    """The space, which must be a single image."""
    if not isinstance(space, Space):
        raise ShapeError("this prior acts on single images; the operator's domain is a tuple of blocks")
    return space


def item_space(x: Tensor, space: SpaceLike | None) -> Space:
    """The space of one item; without ``space`` all of ``x``."""
    return space_of(x) if space is None else one(space)
