"""Operators by their singular value decomposition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import full_precision
from ..spaces import Space, SpaceLike, Vector, check, per_sample, real_size_of, unflatten
from ._base import LinearOperator
from ._products import product


class SVD(LinearOperator):
    r"""A linear operator by its singular value decomposition, :math:`A = U \, \mathrm{diag}(s) \, V^H`.

    With it the norm, the pseudo-inverse and regularized least squares are one multiplication in the
    coordinates c = Vᴴx, and a sampler can treat each of them by its own signal-to-noise ratio [1]_.
    ``A.bind(s=A.s * keep)`` is the operator with some of the singular values only.

    Parameters
    ----------
    U : LinearOperator or Tensor, shape (..., m, k)
        From the space of the singular values to the range; a tensor is a matrix of columns, and
        `LinearOperator.from_function` takes a function. An isometry on the coordinates with s ≠ 0.
    s : Tensor, shape (..., *U.domain.shape), with size 1 where it is constant
        Real; leading dimensions are batch.
    V : LinearOperator or Tensor, shape (..., n, k)
        The same to the domain.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    .. [1] B. Kawar, M. Elad, S. Ermon and J. Song, "Denoising diffusion restoration models", NeurIPS (2022).

    Examples
    --------
    >>> A = SVD(U=torch.eye(3)[:, :2], s=torch.tensor([2.0, 0.5]), V=torch.eye(2))
    >>> A(torch.tensor([1.0, 1.0])), A.pinv(torch.tensor([2.0, 0.5, 7.0])), A.norm()
    (tensor([2.0000, 0.5000, 0.0000]), tensor([1., 1.]), tensor(2.))
    """

    U: LinearOperator | Tensor
    s: Tensor
    V: LinearOperator | Tensor
    params: ClassVar[tuple[str, ...]] = ("s",)

    def __post_init__(self) -> None:
        for name in ("U", "V"):
            if isinstance(held := getattr(self, name), Tensor):
                kind: Any = "complex" if held.is_complex() else "real"
                object.__setattr__(self, name, Columns(held, Space((held.shape[-2],), kind)))
        if self._left.domain != self._right.domain or not isinstance(self._left.domain, Space):
            raise ShapeError(
                "SVD: U and V map one space of singular values to the range and to the domain; these map "
                f"{self._left.domain} and {self._right.domain}"
            )
        if self.s.is_complex() or not self.s.is_floating_point():
            raise ParameterError(f"SVD: s must be real and floating, got {self.s.dtype}")
        shape = self._middle.shape
        own = tuple(self.s.shape[-len(shape) :]) if shape else ()
        if len(own) < len(shape) or any(k not in (1, n) for k, n in zip(own, shape)):
            raise ShapeError(f"SVD: s must be (..., *{shape}), got {tuple(self.s.shape)}")

    @classmethod
    @full_precision
    def of(cls, A: LinearOperator) -> SVD:
        """The decomposition of an operator: in closed form where it has one, else of its matrix.

        Closed forms have `Identity`, `Mask`, `FourierTransform`, `Imresize`, `Convolution` and `Downsample`
        with a circular boundary, their adjoints, and `SVD` itself.

        Raises
        ------
        ShapeError
            If there is no closed form and the matrix is too large for `LinearOperator.dense`.

        Examples
        --------
        >>> from invcore.operators import Matrix
        >>> A = SVD.of(Matrix(torch.tensor([[3.0, 0.0], [4.0, 0.0]])))
        >>> A.s, A.pinv(torch.tensor([3.0, 4.0]))
        (tensor([5., 0.]), tensor([1., 0.]))
        """
        if (found := A._svd()) is not None:
            return found
        U, s, Vh = torch.linalg.svd(A.dense(), full_matrices=False)
        return cls(U=Columns(U, A.range), s=s, V=Columns(Vh.mH, A.domain))

    @property
    def _left(self) -> LinearOperator:
        assert isinstance(self.U, LinearOperator)
        return self.U

    @property
    def _right(self) -> LinearOperator:
        assert isinstance(self.V, LinearOperator)
        return self.V

    @property
    def _middle(self) -> Space:
        assert isinstance(self._left.domain, Space)
        return self._left.domain

    @property
    def domain(self) -> SpaceLike:
        return self._right.range

    @property
    def range(self) -> SpaceLike:
        return self._left.range

    def _leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
        """The singular values alone: what U and V are made of cannot change without losing the isometry."""
        yield (*path, "s"), self.s

    def forward(self, x: Vector) -> Vector:
        return self._left._apply(self.s * self._right._apply_adjoint(x))

    def adjoint(self, y: Vector) -> Vector:
        return self._right._apply(self.s * self._left._apply_adjoint(y))

    def _gram(self, x: Vector) -> Vector:
        if any(
            p.requires_grad for p in (*self._left.parameters().values(), *self._right.parameters().values())
        ):
            return self.adjoint(self.forward(x))  # along a gradient they leave the isometries
        return self._right._apply(self.s**2 * self._right._apply_adjoint(x))

    def norm_bound(self) -> Tensor:
        return self.s.abs().amax(self._own)

    @property
    def _own(self) -> tuple[int, ...]:
        return tuple(range(-len(self._middle.shape), 0))

    def cond(self, *, max_steps: int = 200, generator: torch.Generator | None = None) -> Tensor:
        """The condition number max \\|s\\| / min \\|s\\|, infinite if there are too few s."""
        size = self.s.abs()
        if real_size_of(self._middle) < min(real_size_of(self.domain), real_size_of(self.range)):
            return torch.full_like(size.amax(self._own), torch.inf)
        return size.amax(self._own) / size.amin(self._own)

    def pinv(self, y: Vector, *, rtol: float | None = None, max_steps: int | None = None) -> Vector:
        """The pseudo-inverse A⁺y = V s⁺ Uᴴ y; nothing to iterate.

        Parameters
        ----------
        y : Tensor, shape (batch..., *range.shape)
        rtol : float, optional
            Singular values up to ``rtol`` times the largest count as zero; by default 32 ulps.
        max_steps : int, optional
            Not used.
        """
        check(y, self.range, "pinv of SVD")
        rtol = 32 * torch.finfo(self.s.dtype).eps if rtol is None else rtol
        kept = self.s.abs() > rtol * self.s.abs().amax(self._own, keepdim=True)
        inverse = torch.where(kept, 1 / torch.where(kept, self.s, 1), 0)
        return self._right._apply(inverse * self._left._apply_adjoint(y))

    def ridge(self, y: Tensor | None = None, z: Tensor | None = None, *, weight: float | Tensor) -> Tensor:
        """The minimizer of ½‖A x − y‖² + ½ weight ‖x − z‖², in closed form.

        `least_squares` and the splitting solvers use it automatically.

        Parameters
        ----------
        y : Tensor, shape (..., *range.shape), optional
        z : Tensor, shape (..., *domain.shape), optional
            By default zero; at least one of the two is needed.
        weight : float or Tensor, shape (...)
            Positive; one for all or one for each sample.
        """
        if y is None and z is None:
            raise ParameterError("SVD.ridge needs data y, a center z, or both")
        seen = 0 if z is None else self.s * self._right._apply_adjoint(z)
        rest = -seen if y is None else self._left._apply_adjoint(y) - seen
        x = self._right._apply(self.s / (self.s**2 + per_sample(weight, self._middle)) * rest)
        return x if z is None else z + x

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor | None:
        whole = isinstance(self.domain, Space) and isinstance(self.range, Space)
        return self.ridge(y, z, weight=weight) if whole else None

    def _svd(self) -> SVD:
        return self


class Columns(LinearOperator):
    """A matrix whose columns are elements of a space of any shape: singular vectors found from a matrix.

    Examples
    --------
    >>> Columns(torch.eye(4)[:, :2], Space((2, 2)))(torch.tensor([1.0, 2.0]))
    tensor([[1., 2.],
            [0., 0.]])
    """

    matrix: Tensor
    range: SpaceLike
    params: ClassVar[tuple[str, ...]] = ("matrix",)

    @property
    def domain(self) -> Space:
        return Space((self.matrix.shape[-1],), "complex" if self.matrix.is_complex() else "real")

    def forward(self, x: Tensor) -> Vector:
        y = product(self.matrix, x.unsqueeze(-1)).squeeze(-1)
        return unflatten(torch.view_as_real(y).flatten(-2) if y.is_complex() else y, self.range)


def phase(a: Tensor, size: Tensor) -> Tensor:
    """``a`` over its magnitude ``size``, and 1 where it is zero."""
    return torch.where(size > 0, a / torch.where(size > 0, size, 1), torch.ones_like(a))
