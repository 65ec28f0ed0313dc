"""The best affine reconstruction where the operator itself is random, known or learned from pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor

from .._errors import DataError, ParameterError, ShapeError
from .._physics import Physics
from .._value import Value, real_dtype
from ..noises import Noise
from ..operators import LinearOperator, Space
from ..spaces import SpaceLike, batch_shape, check, flatten, real_size_of, space_of, unflatten
from ._evidence import noise_covariance


class LinearEstimator(Value):
    r"""An affine reconstruction x̂ = E x + R (y - E y), of least mean squared error.

    Data y = A_ξ x + e of an operator that is not known exactly (a blur, a geometry), with the mean Ā, images
    of mean m and covariance C, and noise of covariance Σ, all independent:

    .. math::
        R = C \bar A^{\mathsf H} (\bar A C \bar A^{\mathsf H} + S)^{-1}, \qquad
        S = Σ + E\,(A_ξ - \bar A)(C + m m^{\mathsf H})(A_ξ - \bar A)^{\mathsf H}

    a Tikhonov solution, the uncertainty of the operator seen through the images being added to the noise
    [1]_: the minimizer of (Āx - y)ᴴS⁻¹(Āx - y) + (x - m)ᴴC⁻¹(x - m). `of_operators` makes it from
    operators, `fit` from pairs of images and data. It is called as any model, ``R(y, physics)``, of which
    only the spaces are looked at. Matrices are stored: for small images, or patches.

    Parameters
    ----------
    matrix : Tensor, shape (n, m)
        R over real coordinates (of complex images and data: real and imaginary parts).
    mean_x : Tensor, shape (channel, *spatial)
        E x.
    mean_y : Tensor, shape (m,)
        E y in real coordinates.
    error : Tensor, shape (n, n), optional
        The covariance of x̂ - x where it is known: its trace is the mean squared error.

    References
    ----------
    .. [1] N. Buskulic, L. Calatroni, L. Rosasco, S. Villa, "On the sample complexity of learning for blind
       inverse problems", arXiv:2512.23405 (2025).

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> one = Identity((1, 1))
    >>> R = LinearEstimator.of_operators(
    ...     [0.5 * one, 1.5 * one],
    ...     mean=torch.zeros(1, 1),
    ...     covariance=torch.eye(1),
    ...     noise=GaussianNoise(sigma=0.5),
    ... )
    >>> R(torch.tensor([[3.0]]), Physics(one)).round(decimals=3)  # 3 / (1 + 0.5² + 0.25)
    tensor([[2.]])
    """

    matrix: Tensor
    mean_x: Tensor
    mean_y: Tensor
    error: Tensor | None = None
    params = ("matrix", "mean_x", "mean_y")

    def __post_init__(self) -> None:
        n, m = real_size_of(self.domain), self.mean_y.shape[-1] if self.mean_y.ndim else 0
        if self.mean_y.ndim != 1 or tuple(self.matrix.shape) != (n, m):
            raise ShapeError(
                f"LinearEstimator: for images {tuple(self.mean_x.shape)} and mean_y "
                f"{tuple(self.mean_y.shape)} the matrix has shape ({n}, {m}), got {tuple(self.matrix.shape)}"
            )

    @property
    def domain(self) -> Space:
        """Space of the images."""
        return Space(tuple(self.mean_x.shape), "complex" if self.mean_x.is_complex() else "real")

    @classmethod
    def of_operators(
        cls, operators: Iterable[LinearOperator], *, mean: Tensor, covariance: Tensor, noise: Noise
    ) -> Self:
        """The estimator for an operator that is one of several, equally likely.

        Draws of a random operator give S with an error that falls as one over the root of their number; a
        few hundred do.

        Parameters
        ----------
        operators : iterable of LinearOperator
            All that there are, or draws.
        mean : Tensor, shape (channel, *spatial)
            m.
        covariance : Tensor, shape (n, n)
            C over ``mean.flatten()``; for complex images over real coordinates.
        noise : Noise
            Gaussian, or none.

        Raises
        ------
        ParameterError
            If there is no operator, or the noise is not Gaussian.
        ShapeError
            If the operators differ in their spaces, or C does not fit.
        """
        held = list(operators)
        if not held:
            raise ParameterError("LinearEstimator.of_operators: give at least one operator")
        first = held[0]
        for A in held:
            if not isinstance(A, LinearOperator):
                raise ParameterError(f"LinearEstimator.of_operators: {type(A).__name__} is not linear")
            if (A.domain, A.range) != (first.domain, first.range):
                raise ShapeError("LinearEstimator.of_operators: the operators differ in their spaces")
        n = real_size_of(first.domain)
        check(mean, first.domain, "LinearEstimator.of_operators: mean")
        if tuple(covariance.shape) != (n, n):
            raise ShapeError(
                f"LinearEstimator.of_operators: covariance must be ({n}, {n}), got {tuple(covariance.shape)}"
            )
        m, C = flatten(mean, first.domain), covariance.to(real_dtype(mean.dtype))
        matrices = torch.stack([_matrix(A, m) for A in held])
        average = matrices.mean(0)
        away = matrices - average
        S = (away @ (C + torch.outer(m, m)) @ away.mT).mean(0)
        sigma = noise_covariance(noise, first.range, ())
        if sigma is not None:
            S = S + _matrix(sigma, m)
        cross = average @ C
        R = _solved(cross @ average.mT + S, cross).mT
        return cls(matrix=R, mean_x=mean, mean_y=average @ m, error=C - R @ cross)

    @classmethod
    def fit(
        cls, x: Tensor, y: Any, *, spaces: tuple[Space, SpaceLike] | None = None, ridge: float = 0.0
    ) -> Self:
        r"""Learn the estimator from pairs: R = (Σ x yᵀ)(Σ y yᵀ + N λ)⁻¹, x and y without their means.

        The mean squared error exceeds the least possible one by about 1/N times a constant, once N is some
        times the number of data entries.

        Parameters
        ----------
        x : Tensor, shape (N, channel, *spatial)
            Images.
        y : Tensor or tuple of Tensor, shape (N, *range.shape)
            Their data.
        spaces : (Space, Space), optional
            Of one image and its data; by default all but the first dimension.
        ridge : float
            λ, the variance added to each entry of the data.

        Raises
        ------
        ShapeError
            If there is not a datum for each image.
        DataError
            If the data of the pairs do not determine R: there are fewer pairs than entries, and no ridge.
        """
        domain, range = spaces or (_one(x), _one(y))
        check(x, domain, "LinearEstimator.fit: x")
        check(y, range, "LinearEstimator.fit: y")
        if len(batch_shape(x, domain)) != 1 or batch_shape(x, domain) != batch_shape(y, range):
            raise ShapeError(
                "LinearEstimator.fit: x and y hold one image and one datum for each pair, (N, ...), got "
                f"batches {tuple(batch_shape(x, domain))} and {tuple(batch_shape(y, range))}"
            )
        if not ridge >= 0:
            raise ParameterError(f"LinearEstimator.fit: ridge must be >= 0, got {ridge!r}")
        u, v = flatten(x, domain), flatten(y, range)
        if len(u) <= v.shape[-1] and ridge == 0:
            raise DataError(
                f"LinearEstimator.fit: {len(u)} pairs do not determine a matrix for {v.shape[-1]} data "
                "entries: more pairs, or ridge > 0"
            )
        mean_x, mean_y = u.mean(0), v.mean(0)
        u, v = u - mean_x, v - mean_y
        gram = v.mT @ v / len(v) + ridge * torch.eye(v.shape[-1], dtype=v.dtype, device=v.device)
        R = _solved(gram, v.mT @ u / len(v)).mT
        return cls(matrix=R, mean_x=unflatten(mean_x, domain), mean_y=mean_y)

    def __call__(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *physics.range.shape)
        physics : Physics
            Its images are like ``mean_x``, its data of the size of ``mean_y``.

        Returns
        -------
        Tensor, shape (batch..., channel, *spatial)

        Raises
        ------
        ShapeError, DtypeError
        """
        check(y, physics.range, "LinearEstimator: y")
        if physics.domain != self.domain or real_size_of(physics.range) != self.mean_y.numel():
            raise ShapeError(
                f"LinearEstimator: it is for images in {self.domain} and {self.mean_y.numel()} data "
                f"entries, got {physics.domain} and {physics.range}"
            )
        v = flatten(y, physics.range)
        R, mean_y = self.matrix.to(v.dtype), self.mean_y.to(v.dtype)
        mean_x = flatten(self.mean_x, self.domain).to(v.dtype)
        return unflatten(mean_x + (v - mean_y) @ R.mT, self.domain)


def _one(x: Any) -> Any:
    """The space of one item of a batch."""
    return tuple(map(_one, x)) if isinstance(x, tuple) else space_of(x, x.ndim - 1)


def _matrix(A: LinearOperator, like: Tensor) -> Tensor:
    """A in real coordinates, (m, n)."""
    basis = torch.eye(real_size_of(A.domain), dtype=like.dtype, device=like.device)
    return flatten(A(unflatten(basis, A.domain)), A.range).mT


def _solved(matrix: Tensor, b: Tensor) -> Tensor:
    """Solve with a positive semidefinite matrix: the solution of least norm where it is singular."""
    root, failed = torch.linalg.cholesky_ex(matrix)
    if not bool(failed):
        return torch.cholesky_solve(b, root)
    return torch.linalg.pinv(matrix, hermitian=True) @ b
