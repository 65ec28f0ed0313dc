"""Between real and complex images."""

from __future__ import annotations

import torch
from torch import Tensor

from .._errors import ShapeError
from ..spaces import Space
from ._axes import Isometry
from ._base import LinearOperator


class RealPart(LinearOperator):
    r"""The real part, x ↦ Re x.

    Linear over the reals. Its adjoint in the real inner product Re⟨x, y⟩ is `AsComplex`, which puts a real
    image into the complex ones; A Aᴴ = I.

    Parameters
    ----------
    domain : Space
        Complex.

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] K. Kreutz-Delgado, "The complex gradient operator and the CR-calculus", arXiv:0906.4835 (2009):
       complex vectors as real ones.

    Examples
    --------
    >>> A = RealPart(Space((2,), "complex"))
    >>> A(torch.tensor([1 + 2j, 3 - 1j])), A.H(torch.ones(2))
    (tensor([1., 3.]), tensor([1.+0.j, 1.+0.j]))
    """

    domain: Space

    def __post_init__(self) -> None:
        if self.domain.kind != "complex":
            raise ShapeError(f"RealPart takes complex images, got {self.domain}")

    @property
    def range(self) -> Space:
        return Space(self.domain.shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.real.clone()

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.complex(y, torch.zeros_like(y))

    def norm_bound(self) -> Tensor:
        return torch.ones(())


class AsComplex(Isometry):
    r"""A real image as a complex one, x ↦ x + 0i.

    ``F @ AsComplex(domain=...)`` restricts an operator F of complex images to real ones. An isometry; its
    adjoint in the real inner product Re⟨x, y⟩ takes the real part.

    Parameters
    ----------
    domain : Space
        Real.

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] K. Kreutz-Delgado, "The complex gradient operator and the CR-calculus", arXiv:0906.4835 (2009):
       complex vectors as real ones.

    Examples
    --------
    >>> AsComplex((2,))(torch.ones(2))
    tensor([1.+0.j, 1.+0.j])
    """

    domain: Space

    def __post_init__(self) -> None:
        if self.domain.kind != "real":
            raise ShapeError(f"AsComplex takes real images, got {self.domain}")

    @property
    def range(self) -> Space:
        return Space(self.domain.shape, "complex")

    def forward(self, x: Tensor) -> Tensor:
        return torch.complex(x, torch.zeros_like(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return y.real.clone()
