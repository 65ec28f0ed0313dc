"""Hard constraints on the residual: the ℓ2 ball and the box."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .._value import real_dtype
from ..operators import SpaceLike
from ..spaces import dtype_of, flatten, scaled, tree_map
from ._base import Fidelity
from ._separable import Separable, check_positive, inner


class L2Ball(Fidelity):
    """f(u; y) = 0 if ‖u - y‖ <= r, else infinite: data known up to an error of norm r.

    `prox` is the projection y + (u - y) min(1, r/‖u - y‖), whatever the step; the conjugate is Re⟨p, y⟩ +
    r‖p‖. There is no gradient. The constraint is checked up to round-off.

    Parameters
    ----------
    radius : float or Tensor, shape (batch...)
        r >= 0. For Gaussian noise of n real components σ√n is the usual choice.

    References
    ----------
    P. L. Combettes, J.-C. Pesquet, "Proximal splitting methods in signal processing" (2011).

    Examples
    --------
    >>> L2Ball(radius=1.0).prox(torch.tensor([3.0, 4.0]), torch.zeros(2), 1.0)
    tensor([0.6000, 0.8000])
    """

    units = {"radius": 1}
    radius: float | Tensor
    params = ("radius",)
    smooth: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "radius", zero=True)

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        a, b = flatten(u, space), flatten(y, space)
        slack = 8 * torch.finfo(a.dtype).eps * (_norm(a) + _norm(b))
        return torch.where(_norm(a - b) <= self.radius + slack, 0.0, torch.inf).to(a.dtype)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        residual = tree_map(torch.sub, u, y)
        size = _norm(flatten(residual, space))
        outside = size > self.radius
        factor = torch.where(outside, self.radius / torch.where(outside, size, 1.0), 1.0)
        return tree_map(torch.add, y, scaled(factor.to(real_dtype(dtype_of(u))), residual, space))

    def conjugate(self, p: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        a, b = flatten(p, space), flatten(y, space)
        return torch.linalg.vecdot(a, b) + self.radius * _norm(a)


def _norm(v: Tensor) -> Tensor:
    return torch.linalg.vector_norm(v, dim=-1)


class Box(Separable):
    """f(u; y) = 0 if |uᵢ - yᵢ| <= r for each real component, else infinite.

    The negative log-likelihood of uniform noise on [-r, r], and of quantization to cells of width 2r. `prox`
    clips u to [y - r, y + r], whatever the step; the conjugate is Re⟨p, y⟩ + r‖p‖₁. There is no gradient. For
    complex data the box holds for the real and the imaginary part. The constraint is checked up to round-off.

    Parameters
    ----------
    radius : float or Tensor, shape (batch...)
        Half width r >= 0.

    Examples
    --------
    >>> Box(radius=0.5).prox(torch.tensor([3.0, 0.2]), torch.zeros(2), 1.0)
    tensor([0.5000, 0.2000])
    """

    units = {"radius": 1}
    radius: float | Tensor
    params = ("radius",)
    smooth: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "radius", zero=True)

    def _value(self, u: Tensor, y: Tensor, radius: Any) -> Tensor:
        if u.is_complex():
            return self._value(u.real, y.real, radius) + self._value(u.imag, y.imag, radius)
        slack = 8 * torch.finfo(u.dtype).eps * (u.abs() + y.abs())
        return torch.where((u - y).abs() <= radius + slack, 0.0, torch.inf).to(u.dtype)

    def _prox(self, u: Tensor, y: Tensor, step: Any, radius: Any) -> Tensor:
        if u.is_complex():
            return torch.complex(
                self._prox(u.real, y.real, step, radius), self._prox(u.imag, y.imag, step, radius)
            )
        return torch.maximum(torch.minimum(u, y + radius), y - radius)

    def _conjugate(self, p: Tensor, y: Tensor, radius: Any) -> Tensor:
        size = p.real.abs() + p.imag.abs() if p.is_complex() else p.abs()
        return inner(p, y) + radius * size
