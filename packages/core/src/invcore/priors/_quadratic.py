"""A squared norm behind a linear operator: Tikhonov regularization in general form."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import real_dtype
from ..operators import Differences, Identity, LinearOperator, SpaceLike, least_squares
from ..spaces import check, dtype_of, per_sample, tree_map, vdot
from ._base import Prior
from ._tikhonov import Tikhonov


class Quadratic(Prior):
    r"""Tikhonov regularization in general form [1]_: g(x) = ‖L (x - x₀)‖² / 2 for a linear operator L.

    With finite differences it asks for smoothness; with an image x₀ for something close to it. The proximal
    operator

    .. math:: \operatorname{prox}_{t g}(x) = x_0 + (1 + t L^{\mathsf H} L)^{-1} (x - x_0)

    is a division in Fourier space for periodic `invcore.operators.Differences`, otherwise conjugate gradients
    to ``rtol``. (The rules of `Tikhonov`, whose L is 1, are sharper.)

    Parameters
    ----------
    operator : LinearOperator
        L. Its domain is the space of the images.
    center : Tensor, shape (batch..., *domain.shape), optional
        x₀; zero by default.
    rtol : float
        Relative residual at which conjugate gradients stop.
    max_steps : int, optional
        Maximum number of their steps.

    References
    ----------
    .. [1] P. Hansen, "Rank-deficient and discrete ill-posed problems", SIAM (1998).

    Examples
    --------
    >>> L = Differences((1, 4), spatial_dims=1, boundary="periodic")
    >>> g = Quadratic(L)
    >>> x = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    >>> g.value(x), g.prox(x, 1.0)  # four differences of 2; the eigenvalue 4 of LᴴL
    (tensor(8.), tensor([[ 0.2000, -0.2000,  0.2000, -0.2000]]))
    """

    units = {"center": 1}
    blocks: ClassVar[bool] = True
    degree: ClassVar[int] = 2

    operator: LinearOperator
    center: Tensor | None = None
    rtol: float = 1e-6
    max_steps: int | None = None
    params = ("center",)
    maps = ("center",)

    def __post_init__(self) -> None:
        if not isinstance(self.operator, LinearOperator):
            raise ParameterError(
                f"Quadratic: the operator must be a LinearOperator, got {type(self.operator).__name__}"
            )
        if self.center is not None:
            check(self.center, self.operator.domain, "Quadratic: center")
        super().__post_init__()

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """L, and the squared norm (around L x₀)."""
        if self.center is None:
            return self.operator, Tikhonov()
        target = self.operator._apply(self.center)
        if not isinstance(target, Tensor):  # several blocks
            return Identity(domain=space), self
        return self.operator, Quadratic(operator=Identity(domain=self.operator.range), center=target)

    def majorizer(self, space: SpaceLike) -> LinearOperator | float:
        """LᴴL."""
        return 1.0 if isinstance(self.operator, Identity) else self.operator.gram

    def _value(self, x: Any, space: SpaceLike) -> Tensor:
        v = self.operator._apply(self._away(x))
        return vdot(v, v, self.operator.range) / 2

    def _grad(self, x: Any, space: SpaceLike) -> Any:
        return self.operator._apply_adjoint(self.operator._apply(self._away(x)))

    def _prox(self, x: Any, step: float | Tensor, space: SpaceLike) -> Any:
        away, L = self._away(x), self.operator
        t = torch.as_tensor(step, dtype=real_dtype(dtype_of(x)))
        if not bool((t >= 0).all()):
            raise ParameterError(f"Quadratic.prox: step must not be negative, got {float(t.min()):g}")
        if isinstance(L, Identity):
            moved = tree_map(lambda v: v / (1 + per_sample(t.to(v.device), L.domain)), away)
        elif isinstance(L, Differences) and L.boundary == "periodic":
            moved = _filtered(L, away, t.to(away.device))
        else:
            moving = torch.where(t > 0, t, 1)
            nothing = tree_map(torch.zeros_like, L._apply(away))
            found = least_squares(
                L, nothing, shift=1 / moving, center=away, rtol=self.rtol, max_steps=self.max_steps
            )
            moved = tree_map(
                lambda z, v: torch.where(per_sample(t > 0, L.domain).to(v.device), z, v), found, away
            )
        return moved if self.center is None else self.center + moved

    def _fit(self, space: SpaceLike, batch: tuple[int, ...]) -> None:
        super()._fit(self.operator.domain, batch)

    @property
    def tolerance(self) -> float:
        exact = isinstance(self.operator, Identity) or (
            isinstance(self.operator, Differences) and self.operator.boundary == "periodic"
        )
        return 0.0 if exact else self.rtol

    def _away(self, x: Any) -> Any:
        check(x, self.operator.domain, "Quadratic: x")
        return x if self.center is None else x - self.center


def _filtered(L: Differences, v: Tensor, t: Tensor) -> Tensor:
    """(1 + t LᴴL)⁻¹ v: the eigenvalues of LᴴL are Σ_a (2 sin(π k_a/n_a)/h_a)²."""
    shape = L.domain.shape
    power = torch.zeros((), dtype=real_dtype(v.dtype), device=v.device)
    for d, h in zip(L.dims, L._spacing()):
        k = torch.arange(shape[d], dtype=power.dtype, device=v.device)
        wave = (2 * torch.sin(math.pi * k / shape[d]) / h).square()
        power = power + wave.reshape(-1, *(1,) * (-d - 1 if d < 0 else len(shape) - d - 1))
    axes = tuple(d if d < 0 else d - len(shape) for d in L.dims)
    spectrum = torch.fft.fftn(v, dim=axes) / (1 + per_sample(t, L.domain) * power)
    out = torch.fft.ifftn(spectrum, dim=axes)
    return out if v.is_complex() else out.real
